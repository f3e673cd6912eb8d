//! All attachments of an image: of each manifest that it reaches, and of the attachments themselves.
//!
//! Not here: which manifests an image reaches (crate `transfer`).
//!
//! Source: distribution-spec 1.1, "Listing Referrers".

use std::collections::HashSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci::Digest;
use registry_client::{Inventory, RepositoryClient};

use crate::{
    AttachedBy, Attachment, AttachmentBound, DanglingTag, Defect, Error, MAX_ATTACHMENT_LEVELS,
    MAX_ATTACHMENTS, MAX_LISTING_BYTES, SubjectListing, list,
};

/// Manifests of one image whose attachments are listed at once.
pub const SUBJECTS_AT_ONCE: usize = 4;

/// The attachments of one image.
#[derive(Debug, Default)]
pub struct Discovered {
    /// The attachments. Those of an attachment follow it.
    pub attachments: Vec<Attachment>,
    /// The digest tags that are listed, and that have no manifest.
    pub dangling: Vec<DanglingTag>,
}

/// Finds all attachments of `subjects`, and the attachments of these. An inventory of the repository saves requests,
/// as for [`list`].
///
/// Source: distribution-spec 1.1, "Listing Referrers" and "Referrers Tag Schema".
///
/// # Errors
/// When a listing cannot be read, or the attachments exceed an [`AttachmentBound`].
pub async fn discover(
    at: &RepositoryClient,
    inventory: Option<&Inventory>,
    subjects: Vec<Digest>,
) -> Result<Discovered, Error> {
    let mut discovery = Discovery::of(&subjects);
    let (mut subjects, mut level) = (subjects, 1);
    while !subjects.is_empty() {
        let refused =
            |bound| Error::unusable(Defect::TooMany { repository: at.to_string(), bound });
        let listed = stream::iter(subjects).map(|subject| async move {
            list(at, &subject, inventory).await.map(|listing| (subject, listing))
        });
        let mut listed = listed.buffered(SUBJECTS_AT_ONCE);
        let mut new = Vec::new();
        while let Some((subject, listing)) = listed.try_next().await? {
            new.extend(discovery.add(subject, listing).map_err(refused)?);
        }
        if level > MAX_ATTACHMENT_LEVELS && !new.is_empty() {
            return Err(refused(AttachmentBound::Levels));
        }
        (subjects, level) = (new, level + 1);
    }
    Ok(discovery.discovered)
}

/// What was discovered so far.
struct Discovery {
    discovered: Discovered,
    seen: HashSet<Digest>,
    bytes: usize,
}

impl Discovery {
    fn of(subjects: &[Digest]) -> Self {
        let seen = subjects.iter().copied().collect();
        Self { discovered: Discovered::default(), seen, bytes: 0 }
    }

    /// Adds what refers to `subject`. Gives the attachments that were not known before.
    fn add(
        &mut self,
        subject: Digest,
        listing: SubjectListing,
    ) -> Result<Vec<Digest>, AttachmentBound> {
        let SubjectListing { referrers, tags, dangling, bytes } = listing;
        self.bytes += bytes;
        if self.bytes > MAX_LISTING_BYTES {
            return Err(AttachmentBound::Bytes);
        }
        let referrers = referrers.into_iter().map(|it| (it.digest, AttachedBy::Referrer));
        let tags = tags.into_iter().map(|it| (it.digest, AttachedBy::Tag(it.tag)));
        let found: Vec<_> =
            referrers.chain(tags).map(|(digest, by)| Attachment { subject, digest, by }).collect();
        let Discovered { attachments, dangling: all_dangling } = &mut self.discovered;
        if attachments.len() + found.len() > MAX_ATTACHMENTS {
            return Err(AttachmentBound::Attachments);
        }
        let new = found.iter().map(|it| it.digest).filter(|digest| self.seen.insert(*digest));
        let new = new.collect();
        attachments.extend(found);
        all_dangling.extend(dangling);
        Ok(new)
    }
}
