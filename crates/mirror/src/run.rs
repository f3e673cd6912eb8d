//! What the parts of a run share: settings, bounds, failures, and which hosts and stores are lost.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use blob_store::BlobStore;
use job::{Confirm, Progress};
use oci::{Reference, RegistryPrefix, Repository, Tag};
use registry_client::{RegistryClient, RepositoryClient};
use tokio::sync::Semaphore;
use transfer::{Destination, PerDigest};
use wording::Chain;

use crate::{
    Failure, FailureCause, StoreSet, Stores, Totals,
    state::{ContentFailure, ContentState, NotMirrored, StoreFailures},
};

/// How many manifests are being read at the same time in the whole run, before it is known whether they are as short as
/// described.
pub const READS_AT_ONCE: usize = 16;

/// How many blobs move at the same time in the whole run: connections, and pieces in memory.
pub const BLOBS_IN_MOTION: usize = 8;

/// A tag and its repository.
pub(crate) type Tagged = (RepositoryClient, Tag);

/// What to mirror, and how.
#[derive(Clone, Debug)]
pub struct MirrorOptions {
    /// The repositories at and below it are mirrored.
    pub from: RegistryPrefix,
    /// The stores that are written to.
    pub to: Stores,
    /// Whether to write.
    pub confirm: Confirm,
}

pub(crate) struct MirrorRun<'a> {
    pub(crate) client: &'a RegistryClient,
    pub(crate) options: &'a MirrorOptions,
    pub(crate) progress: &'a dyn Progress,
    stores: Vec<StoreState>,
    /// Separate from blobs: the same bytes may be listed as either, and only manifests are followed.
    pub(crate) manifests: PerDigest<ContentState>,
    pub(crate) blobs: PerDigest<ContentState>,
    pub(crate) reads: Semaphore,
    pub(crate) in_motion: Semaphore,
    /// The first request that had no response; no other is sent then.
    host_lost: OnceLock<Arc<dyn Error + Send + Sync>>,
    /// The stores that were much slower than others.
    left_behind: Mutex<StoreSet>,
    /// How many tags were not reached because the registry does not respond, of each repository and for which stores;
    /// 0 if its tags were not listed.
    unreached: Mutex<BTreeMap<(Repository, StoreSet), u64>>,
    totals: Mutex<Totals>,
}

/// A store of the run.
struct StoreState {
    store: BlobStore,
    destination: Destination,
    /// Why nothing can be written to it; nothing more is written then.
    lost: OnceLock<Arc<blob_store::Error>>,
}

impl<'a> MirrorRun<'a> {
    pub(crate) fn new(
        client: &'a RegistryClient,
        options: &'a MirrorOptions,
        progress: &'a dyn Progress,
    ) -> Self {
        let stores = options.to.as_slice();
        Self {
            client,
            options,
            progress,
            stores: stores.iter().map(StoreState::new).collect(),
            manifests: PerDigest::default(),
            blobs: PerDigest::default(),
            reads: Semaphore::new(READS_AT_ONCE),
            in_motion: Semaphore::new(BLOBS_IN_MOTION),
            host_lost: OnceLock::new(),
            left_behind: Mutex::default(),
            unreached: Mutex::default(),
            totals: Mutex::new(Totals::of(stores)),
        }
    }
}

impl StoreState {
    fn new(store: &BlobStore) -> Self {
        let destination = Destination::Store(store.clone());
        Self { store: store.clone(), destination, lost: OnceLock::new() }
    }
}

impl MirrorRun<'_> {
    /// All stores of the run.
    pub(crate) fn stores(&self) -> StoreSet {
        self.options.to.all()
    }

    pub(crate) fn store(&self, store: usize) -> &BlobStore {
        &self.stores[store].store
    }

    pub(crate) fn destination(&self, store: usize) -> &Destination {
        &self.stores[store].destination
    }

    /// Records why stores do not have what a tag reaches.
    pub(crate) fn settle(&self, (from, tag): &Tagged, failures: StoreFailures<NotMirrored>) {
        let fail = |stores, cause| {
            self.fail(stores, Some(from.name()), Some(tag.clone().into()), cause);
        };
        for (failure, stores) in failures.by_failure() {
            match failure {
                NotMirrored::HostLost => self.not_reached(from.name(), stores, 1),
                NotMirrored::StoreLost => {
                    for store in stores.iter() {
                        if let Some(cause) = self.unwritable(store) {
                            fail(StoreSet::one(store), cause);
                        }
                    }
                }
                NotMirrored::Failed(content) => fail(stores, FailureCause::TagIncomplete(content)),
                NotMirrored::Bound(bound) => fail(stores, FailureCause::TagTooLarge(bound)),
                // The tag is followed again for them.
                NotMirrored::LeftBehind => {}
            }
        }
        self.progress.advance(1);
    }

    /// Records that a tag was not followed.
    pub(crate) fn settle_unfollowed(
        &self,
        tagged: &Tagged,
        stores: StoreSet,
        failure: ContentFailure,
    ) {
        let (from, tag) = tagged;
        match failure {
            ContentFailure::Recorded(failure) => {
                self.settle(tagged, StoreFailures::all(stores, &failure));
            }
            ContentFailure::Unrecorded(cause) => {
                self.fail(stores, Some(from.name()), Some(tag.clone().into()), cause);
                self.progress.advance(1);
            }
        }
    }

    /// Whether requests may still be sent to the registry.
    pub(crate) fn host_responds(&self) -> Result<(), NotMirrored> {
        if self.host_lost.get().is_some() { Err(NotMirrored::HostLost) } else { Ok(()) }
    }

    /// Whether content may still be written to the store.
    pub(crate) fn may_write(&self, store: usize) -> Result<(), NotMirrored> {
        match () {
            () if self.stores[store].lost.get().is_some() => Err(NotMirrored::StoreLost),
            () if self.left_behind().contains(store) => Err(NotMirrored::LeftBehind),
            () => Ok(()),
        }
    }

    fn unwritable(&self, store: usize) -> Option<FailureCause> {
        let StoreState { store, lost, .. } = &self.stores[store];
        let error = lost.get().cloned()?;
        Some(FailureCause::StoreUnwritable { store: store.to_string(), error })
    }

    /// Nothing can be written to the store, so that no more objects are read for it.
    pub(crate) fn lose_store(&self, store: usize, error: Arc<blob_store::Error>) -> NotMirrored {
        let StoreState { store, lost, .. } = &self.stores[store];
        if lost.set(error).is_ok()
            && let Some(error) = lost.get()
        {
            tracing::info!(%store, error = %Chain(&**error), "the store cannot be written to");
        }
        NotMirrored::StoreLost
    }

    /// The registry does not respond: each further request would cost a timeout.
    pub(crate) fn lose_host(&self, error: impl Error + Send + Sync + 'static) -> NotMirrored {
        if self.host_lost.set(Arc::new(error)).is_ok()
            && let Some(error) = self.host_lost.get()
        {
            let host = &self.options.from.host;
            tracing::info!(%host, error = %Chain(&**error), "the registry does not respond");
        }
        NotMirrored::HostLost
    }

    /// The store is much slower than the others: it gets nothing more until they are done.
    pub(crate) fn leave_behind(&self, store: usize) -> NotMirrored {
        let mut left_behind = self.left_behind.lock().unwrap_or_else(PoisonError::into_inner);
        if !left_behind.contains(store) {
            let url = self.store(store);
            tracing::info!(store = %url, "the store is much slower than the others and gets the rest after them");
        }
        *left_behind = left_behind.with(store);
        NotMirrored::LeftBehind
    }

    /// The stores that get nothing more until the others are done.
    pub(crate) fn left_behind(&self) -> StoreSet {
        *self.left_behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, and resets them: they are written to again.
    pub(crate) fn take_left_behind(&self) -> StoreSet {
        std::mem::take(&mut *self.left_behind.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts `tags` of a repository that were not reached.
    pub(crate) fn not_reached(&self, repository: &Repository, stores: StoreSet, tags: u64) {
        let mut unreached = self.unreached.lock().unwrap_or_else(PoisonError::into_inner);
        *unreached.entry((repository.clone(), stores)).or_default() += tags;
    }

    pub(crate) fn finish(self) -> Totals {
        let unreached = self.unreached.lock().unwrap_or_else(PoisonError::into_inner);
        for ((repository, stores), tags) in &*unreached {
            let Some(error) = self.host_lost.get().cloned() else { break };
            let host = self.options.from.host.clone();
            let cause = FailureCause::RegistryUnreachable { host, tags: *tags, error };
            self.fail(*stores, Some(repository), None, cause);
        }
        drop(unreached);
        let mut totals = self.totals.into_inner().unwrap_or_else(PoisonError::into_inner);
        totals.stores.iter_mut().for_each(|store| store.plan.sort());
        totals
    }

    pub(crate) fn nothing_failed(&self) -> bool {
        self.host_responds().is_ok() && self.totals().failed.is_empty()
    }

    /// Records that something is not in these stores.
    pub(crate) fn fail(
        &self,
        stores: StoreSet,
        repository: Option<&Repository>,
        reference: Option<Reference>,
        cause: FailureCause,
    ) {
        let failure = Failure { stores, repository: repository.cloned(), reference, cause };
        // The report names it too.
        tracing::info!(%failure, "not mirrored");
        self.totals().failed.push(failure);
    }

    pub(crate) fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
