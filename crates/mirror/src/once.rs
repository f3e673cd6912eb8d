//! Each digest is handled once in a run.
//!
//! A digest is handled behind its own lock: the second task waits, and shares the result. A manifest waits
//! for what it lists while it holds its lock; that ends, since no digest can list itself. A fault of the
//! content is recorded with the digest; a fault of the path to it is not.

use oci::Reference;
use transfer::{Content, PerDigest};

use crate::{
    FailureCause, StoreSet,
    content_fault::FailedContent,
    state::{ContentState, FailedAttempt, Fault, Mirrored, NotMirrored, StoreFaults},
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
        W: Future<Output = Result<Mirrored<Fault>, Fault>>,
    {
        let (Content::Manifest(digest) | Content::Blob(digest)) = content;
        let from = self.from.name();
        let mut known = known.lock(&digest).await;
        let without = self.stores.without(known.complete);
        let mut faults = StoreFaults::default();
        for attempt in known.failed.iter().filter(|attempt| attempt.from == *from) {
            let stores = attempt.stores.intersection(without);
            faults = faults.join(StoreFaults::all(stores, &NotMirrored::Failed(attempt.first)));
        }
        let stores = without.without(faults.stores());
        if stores.is_empty() {
            return Mirrored { length: known.length, faults };
        }
        let tried = work(Lacking { stores, complete: known.complete }).await;
        let tried = tried.unwrap_or_else(|fault| Mirrored {
            length: None,
            faults: StoreFaults::all(stores, &fault),
        });
        known.length = known.length.or(tried.length);
        known.complete = known.complete.union(stores.without(tried.faults.stores()));
        let new = self.record(content, tried.faults);
        for (fault, stores) in new.clone().by_fault() {
            if let NotMirrored::Failed(first) = fault {
                known.failed.push(FailedAttempt { from: from.clone(), stores, first });
            }
        }
        Mirrored { length: known.length, faults: faults.join(new) }
    }

    /// Reports the faults that were not reported before; one cause in several stores is one failure.
    fn record(&self, content: Content, faults: StoreFaults<Fault>) -> StoreFaults<NotMirrored> {
        let (Content::Manifest(digest) | Content::Blob(digest)) = content;
        let mut failures: Vec<(FailureCause, StoreSet)> = Vec::new();
        let mut recorded = StoreFaults::default();
        for (store, fault) in faults {
            let not_mirrored = match fault {
                Fault::Recorded(not_mirrored) => not_mirrored,
                Fault::Unrecorded(fault, cause) => {
                    match failures.iter_mut().find(|(known, _)| known.is_same(&cause)) {
                        Some((_, stores)) => *stores = stores.with(store),
                        None => failures.push((cause, StoreSet::one(store))),
                    }
                    NotMirrored::Failed(FailedContent { content, fault })
                }
            };
            recorded.add(store, not_mirrored);
        }
        for (cause, stores) in failures {
            self.run.fail(stores, Some(self.from.name()), Some(Reference::Digest(digest)), cause);
        }
        recorded
    }
}
