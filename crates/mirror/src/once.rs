//! Each digest is handled once in a run.
//!
//! A digest is handled behind its own lock: the second task waits, and shares the result. A manifest waits
//! for what it lists while it holds its lock; that ends, since no digest can list itself. What is wrong with
//! content is recorded; what is wrong with the way to it is not.

use oci::Reference;
use transfer::{Content, PerDigest};

use crate::{
    content_fault::FailedContent,
    state::{ContentState, Fault, NotMirrored},
    walk::Walk,
};

impl Walk<'_> {
    /// Does `work` on content, which gives its length, unless it was done, or was tried in vain with the same
    /// repository.
    pub(crate) async fn once(
        &self,
        known: &PerDigest<ContentState>,
        content: Content,
        work: impl Future<Output = Result<u64, Fault>>,
    ) -> Result<u64, NotMirrored> {
        let (Content::Manifest(digest) | Content::Blob(digest)) = content;
        let from = self.from.name();
        let mut known = known.lock(&digest).await;
        if let Some(length) = known.length {
            return Ok(length);
        }
        if let Some((_, first)) = known.failed.iter().find(|(repository, _)| repository == from) {
            return Err(NotMirrored::Failed(*first));
        }
        let not_mirrored = match work.await {
            Ok(length) => {
                known.length = Some(length);
                return Ok(length);
            }
            Err(Fault::Recorded(not_mirrored)) => not_mirrored,
            Err(Fault::Unrecorded(fault, cause)) => {
                self.run.fail(Some(from), Some(Reference::Digest(digest)), cause);
                NotMirrored::Failed(FailedContent { content, fault })
            }
        };
        if let NotMirrored::Failed(first) = not_mirrored {
            known.failed.push((from.clone(), first));
        }
        Err(not_mirrored)
    }
}

/// The first failure. A failure of the way, which is not recorded with the digest, comes before one of the content,
/// which is.
pub(crate) fn together(
    so_far: Result<(), NotMirrored>,
    next: Result<(), NotMirrored>,
) -> Result<(), NotMirrored> {
    match (so_far, next) {
        (Ok(()), next) => next,
        (
            Err(NotMirrored::Failed(_)),
            Err(NotMirrored::HostLost | NotMirrored::StoreLost | NotMirrored::Bound(_)),
        ) => next,
        (failed, _) => failed,
    }
}
