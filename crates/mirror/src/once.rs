//! Each digest is handled once in a run.
//!
//! A digest is handled behind its own lock: the second task waits, and shares the result. A manifest waits
//! for what it lists while it holds its lock; that ends, since no digest can list itself. A failure of the
//! content is recorded with the digest; a failure of the path to it is not.

use oci::Reference;
use transfer::{Content, PerDigest};

use crate::{
    FailedContent, FailureCause, StoreSet,
    state::{ContentFailure, ContentState, FailedAttempt, Mirrored, NotMirrored, StoreFailures},
    tag_walk::TagWalk,
};

/// The stores to look for content in, and those that have it already.
#[derive(Clone, Copy)]
pub(crate) struct Lacking {
    /// Not known to have it.
    pub(crate) stores: StoreSet,
    /// Known to have it; in a dry run some would have it only after a run that writes.
    pub(crate) complete: StoreSet,
}

impl TagWalk<'_> {
    /// Does `work` on content for the stores that do not have it yet, except those for which the same repository failed
    /// before.
    pub(crate) async fn once<W>(
        &self,
        known: &PerDigest<ContentState>,
        content: Content,
        work: impl FnOnce(Lacking) -> W,
    ) -> Mirrored<NotMirrored>
    where
        W: Future<Output = Result<Mirrored<ContentFailure>, ContentFailure>>,
    {
        let (Content::Manifest(digest) | Content::Blob(digest)) = content;
        let from = self.from.name();
        let mut known = known.lock(&digest).await;
        let without = self.stores.without(known.complete);
        let mut failures = StoreFailures::default();
        for attempt in known.failed.iter().filter(|attempt| attempt.from == *from) {
            let stores = attempt.stores.intersection(without);
            failures =
                failures.join(StoreFailures::all(stores, &NotMirrored::Failed(attempt.first)));
        }
        let stores = without.without(failures.stores());
        if stores.is_empty() {
            return Mirrored { length: known.length, failures };
        }
        let tried = work(Lacking { stores, complete: known.complete }).await;
        let tried = tried.unwrap_or_else(|failure| Mirrored {
            length: None,
            failures: StoreFailures::all(stores, &failure),
        });
        known.length = known.length.or(tried.length);
        known.complete = known.complete.union(stores.without(tried.failures.stores()));
        let new = self.record(content, tried.failures);
        for (failure, stores) in new.clone().by_failure() {
            if let NotMirrored::Failed(first) = failure {
                known.failed.push(FailedAttempt { from: from.clone(), stores, first });
            }
        }
        Mirrored { length: known.length, failures: failures.join(new) }
    }

    /// Reports the failures that were not reported before; one cause in several stores is one failure.
    fn record(
        &self,
        content: Content,
        failures: StoreFailures<ContentFailure>,
    ) -> StoreFailures<NotMirrored> {
        let (Content::Manifest(digest) | Content::Blob(digest)) = content;
        let mut causes: Vec<(FailureCause, StoreSet)> = Vec::new();
        let mut recorded = StoreFailures::default();
        for (store, failure) in failures {
            let not_mirrored = match failure {
                ContentFailure::Recorded(not_mirrored) => not_mirrored,
                ContentFailure::Unrecorded(cause) => {
                    let code = cause.code();
                    match causes.iter_mut().find(|(known, _)| known.is_same(&cause)) {
                        Some((_, stores)) => *stores = stores.with(store),
                        None => causes.push((cause, StoreSet::one(store))),
                    }
                    NotMirrored::Failed(FailedContent { content, code })
                }
            };
            recorded.add(store, not_mirrored);
        }
        for (cause, stores) in causes {
            self.run.fail(stores, Some(self.from.name()), Some(Reference::Digest(digest)), cause);
        }
        recorded
    }
}
