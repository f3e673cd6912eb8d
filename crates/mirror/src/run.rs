//! What the parts of a run share: its settings, its bounds, what failed, and what is lost.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use blob_store::BlobStore;
use job::{Confirm, Progress};
use oci::{Reference, RegistryPrefix, Repository, Tag};
use registry_client::{Client, RepositoryClient};
use tokio::sync::Semaphore;
use transfer::{Destination, PerDigest};
use wording::Chain;

use crate::{
    Failure, FailureCause, Totals,
    state::{ContentState, Fault, NotMirrored},
};

/// How many manifests are being read at the same time in the whole run, before it is known whether they
/// are as short as was said.
pub const READS_AT_ONCE: usize = 16;

/// How many blobs move at the same time in the whole run: connections, and pieces in memory.
pub const BLOBS_IN_MOTION: usize = 8;

/// A tag, and where it is.
pub(crate) type Tagged = (RepositoryClient, Tag);

/// What to mirror, and how.
#[derive(Clone, Debug)]
pub struct MirrorOptions {
    /// What lies below it is mirrored.
    pub from: RegistryPrefix,
    /// Where it goes.
    pub to: BlobStore,
    /// Whether to write.
    pub confirm: Confirm,
}

pub(crate) struct Run<'a> {
    pub(crate) client: &'a Client,
    pub(crate) options: &'a MirrorOptions,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) destination: Destination,
    /// Apart from blobs: the same bytes may be listed as either, and only a manifest is followed.
    pub(crate) manifests: PerDigest<ContentState>,
    pub(crate) blobs: PerDigest<ContentState>,
    pub(crate) reads: Semaphore,
    pub(crate) in_motion: Semaphore,
    /// The first request that had no response; no other is sent then.
    host_lost: OnceLock<Arc<dyn Error + Send + Sync>>,
    /// Why the store takes nothing; it is not written to any more then.
    store_lost: OnceLock<Arc<blob_store::Error>>,
    /// How many tags were not reached for that reason, of each repository; 0 when they are not known.
    unreached: Mutex<BTreeMap<Repository, u64>>,
    totals: Mutex<Totals>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        client: &'a Client,
        options: &'a MirrorOptions,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            client,
            options,
            progress,
            destination: Destination::Store(options.to.clone()),
            manifests: PerDigest::default(),
            blobs: PerDigest::default(),
            reads: Semaphore::new(READS_AT_ONCE),
            in_motion: Semaphore::new(BLOBS_IN_MOTION),
            host_lost: OnceLock::new(),
            store_lost: OnceLock::new(),
            unreached: Mutex::default(),
            totals: Mutex::default(),
        }
    }
}

impl Run<'_> {
    /// Records what became of a tag.
    pub(crate) fn settle(&self, (from, tag): &Tagged, mirrored: Result<(), Fault>) {
        let failed = |cause| self.fail(Some(from.name()), Some(tag.clone().into()), cause);
        match mirrored {
            Ok(()) => {}
            Err(Fault::Unrecorded(_, cause)) => failed(cause),
            Err(Fault::Recorded(NotMirrored::HostLost)) => self.not_reached(from.name(), 1),
            Err(Fault::Recorded(NotMirrored::StoreLost)) => {
                if let Some(error) = self.store_lost.get().cloned() {
                    failed(FailureCause::StoreUnwritable {
                        store: self.options.to.to_string(),
                        error,
                    });
                }
            }
            Err(Fault::Recorded(NotMirrored::Failed(content))) => {
                failed(FailureCause::TagIncomplete(content));
            }
            Err(Fault::Recorded(NotMirrored::Bound(bound))) => {
                failed(FailureCause::TagTooLarge(bound));
            }
        }
        self.progress.advance(1);
    }

    /// Whether requests may still be sent to the registry.
    pub(crate) fn host_responds(&self) -> Result<(), NotMirrored> {
        if self.host_lost.get().is_some() { Err(NotMirrored::HostLost) } else { Ok(()) }
    }

    /// Whether there is a registry to read from and a store to write to.
    pub(crate) fn may_go_on(&self) -> Result<(), NotMirrored> {
        self.host_responds()?;
        if self.store_lost.get().is_some() { Err(NotMirrored::StoreLost) } else { Ok(()) }
    }

    /// The store takes nothing: each further object would be read in vain.
    pub(crate) fn lose_store(&self, error: Arc<blob_store::Error>) -> NotMirrored {
        let error = self.store_lost.get_or_init(|| error);
        tracing::info!(store = %self.options.to, error = %Chain(&**error), "the store cannot be written to");
        NotMirrored::StoreLost
    }

    /// The registry does not respond: each further request would cost a time-out.
    pub(crate) fn lose_host(&self, error: impl Error + Send + Sync + 'static) -> NotMirrored {
        let error = self.host_lost.get_or_init(|| Arc::new(error));
        tracing::info!(host = %self.options.from.host, error = %Chain(&**error), "the registry does not respond");
        NotMirrored::HostLost
    }

    /// Counts `tags` of a repository that were not reached.
    pub(crate) fn not_reached(&self, repository: &Repository, tags: u64) {
        let mut unreached = self.unreached.lock().unwrap_or_else(PoisonError::into_inner);
        *unreached.entry(repository.clone()).or_default() += tags;
    }

    pub(crate) fn finish(self) -> Totals {
        let unreached = self.unreached.lock().unwrap_or_else(PoisonError::into_inner);
        for (repository, tags) in &*unreached {
            let Some(error) = self.host_lost.get().cloned() else { break };
            let host = self.options.from.host.clone();
            let cause = FailureCause::RegistryUnreachable { host, tags: *tags, error };
            self.fail(Some(repository), None, cause);
        }
        drop(unreached);
        let mut totals = self.totals.into_inner().unwrap_or_else(PoisonError::into_inner);
        totals.plan.sort();
        totals
    }

    pub(crate) fn nothing_failed(&self) -> bool {
        self.host_responds().is_ok() && self.totals().failed.is_empty()
    }

    pub(crate) fn fail(
        &self,
        repository: Option<&Repository>,
        reference: Option<Reference>,
        cause: FailureCause,
    ) {
        let failure = Failure { repository: repository.cloned(), reference, cause };
        // The report names it too.
        tracing::info!(%failure, "not mirrored");
        self.totals().failed.push(failure);
    }

    pub(crate) fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
