//! The state of content within a run, and why content is not in a store.

use std::{collections::BTreeMap, sync::Arc};

use oci::{ManifestError, Repository};
use transfer::BoundExceeded;

use crate::{FailedContent, FailureCause, StoreSet};

/// The state of a digest within a run.
#[derive(Default)]
pub(crate) struct ContentState {
    /// Its length in bytes, once it is known.
    pub(crate) length: Option<u64>,
    /// The stores that have it with all that it reaches, or would.
    pub(crate) complete: StoreSet,
    /// What was tried and failed.
    pub(crate) failed: Vec<FailedAttempt>,
}

/// Content that could not be brought from a repository to stores.
pub(crate) struct FailedAttempt {
    pub(crate) from: Repository,
    pub(crate) stores: StoreSet,
    /// The content that failed first.
    pub(crate) first: FailedContent,
}

/// Why content is not in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotMirrored {
    /// This content failed first, which a [`Failure`](crate::Failure) names with its reason.
    Failed(FailedContent),
    /// The registry does not respond; no more requests are sent to it.
    HostLost,
    /// The store cannot be written to; nothing more is written to it.
    StoreLost,
    /// The store is much slower than the others; it is written to when they are done.
    LeftBehind,
    /// The path from its tag to it exceeds a bound; another tag may reach it by a shorter path.
    Bound(BoundExceeded),
}

/// A failure that may not have been recorded yet.
#[derive(Clone)]
pub(crate) enum ContentFailure {
    Unrecorded(FailureCause),
    Recorded(NotMirrored),
}

impl From<NotMirrored> for ContentFailure {
    fn from(not_mirrored: NotMirrored) -> Self {
        Self::Recorded(not_mirrored)
    }
}

impl From<BoundExceeded> for ContentFailure {
    fn from(bound: BoundExceeded) -> Self {
        Self::Recorded(NotMirrored::Bound(bound))
    }
}

impl From<ManifestError> for ContentFailure {
    fn from(error: ManifestError) -> Self {
        Self::Unrecorded(FailureCause::InvalidManifest(Arc::new(error)))
    }
}

/// The stores that do not have content, each with the reason.
#[derive(Clone, Debug)]
pub(crate) struct StoreFailures<F>(BTreeMap<usize, F>);

impl<F> Default for StoreFailures<F> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<F: Clone> StoreFailures<F> {
    /// The same failure in all of these stores.
    pub(crate) fn all(stores: StoreSet, failure: &F) -> Self {
        Self(stores.iter().map(|store| (store, failure.clone())).collect())
    }
}

impl<F> StoreFailures<F> {
    /// Adds the failure of a store, if it has none yet.
    pub(crate) fn add(&mut self, store: usize, failure: F) {
        self.0.entry(store).or_insert(failure);
    }

    /// The stores that have a failure.
    pub(crate) fn stores(&self) -> StoreSet {
        self.0.keys().fold(StoreSet::EMPTY, |set, store| set.with(*store))
    }

    /// The failures of these stores only.
    pub(crate) fn within(mut self, stores: StoreSet) -> Self {
        self.0.retain(|store, _| stores.contains(*store));
        self
    }
}

impl<F> IntoIterator for StoreFailures<F> {
    type Item = (usize, F);
    type IntoIter = std::collections::btree_map::IntoIter<usize, F>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl StoreFailures<NotMirrored> {
    /// Adds the failures of other content. Each store keeps its first one; but a failure that is not of the content, and
    /// so is not recorded with the digest, replaces one that is.
    pub(crate) fn join(mut self, others: Self) -> Self {
        for (store, other) in others {
            let failure = self.0.entry(store).or_insert(other);
            let is_recorded = |failure: &NotMirrored| matches!(failure, NotMirrored::Failed(_));
            if is_recorded(failure) && !is_recorded(&other) {
                *failure = other;
            }
        }
        self
    }

    /// Each failure once, with its stores.
    pub(crate) fn by_failure(self) -> Vec<(NotMirrored, StoreSet)> {
        let mut all: Vec<(NotMirrored, StoreSet)> = Vec::new();
        for (store, failure) in self {
            match all.iter_mut().find(|(known, _)| *known == failure) {
                Some((_, stores)) => *stores = stores.with(store),
                None => all.push((failure, StoreSet::one(store))),
            }
        }
        all
    }

    /// The stores that have this failure.
    pub(crate) fn stores_with(&self, failure: NotMirrored) -> StoreSet {
        let stores = self.0.iter().filter(|(_, own)| **own == failure);
        stores.fold(StoreSet::EMPTY, |set, (store, _)| set.with(*store))
    }
}

/// What came of mirroring content to stores. A store without a failure has the content, or would have it.
pub(crate) struct Mirrored<F> {
    /// Its length in bytes, if that is known.
    pub(crate) length: Option<u64>,
    pub(crate) failures: StoreFailures<F>,
}

#[cfg(test)]
mod tests {
    use oci::Digest;
    use transfer::Content;

    use super::*;
    use crate::FailureCode;

    #[test]
    fn a_store_keeps_its_first_failure_unless_a_later_one_is_not_recorded_with_the_digest() {
        let failed = |text: &str| {
            let content = Content::Blob(Digest::sha256(text.as_bytes()));
            NotMirrored::Failed(FailedContent { content, code: FailureCode::ContentMissing })
        };
        let both = StoreSet::one(0).with(1);
        let first = StoreFailures::all(both, &failed("a"));
        let joined = first.join(StoreFailures::all(both, &failed("b")));
        let joined = joined.join(StoreFailures::all(StoreSet::one(1), &NotMirrored::HostLost));
        let joined = joined.join(StoreFailures::all(StoreSet::one(1), &NotMirrored::StoreLost));
        assert_eq!(joined.stores_with(NotMirrored::HostLost), StoreSet::one(1));
        assert_eq!(
            joined.by_failure(),
            [(failed("a"), StoreSet::one(0)), (NotMirrored::HostLost, StoreSet::one(1))]
        );
    }
}
