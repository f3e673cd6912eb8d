//! The hosts that are much slower than the other destinations: their images are copied later.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use oci::Host;
use tokio::sync::Semaphore;

use crate::{
    PromotionRun,
    ready::{Ready, ReadyTarget},
};

/// Images copied at once to a deferred host, which is slow already.
const DEFERRED_AT_ONCE: usize = 4;

/// The hosts that are deferred for the rest of the run, each with its permits.
#[derive(Default)]
pub(crate) struct SlowHosts(Mutex<HashMap<Host, Arc<Semaphore>>>);

impl SlowHosts {
    fn hosts(&self) -> MutexGuard<'_, HashMap<Host, Arc<Semaphore>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Defers a host from now on.
    pub(crate) fn add(&self, host: &Host) {
        if !self.hosts().contains_key(host) {
            tracing::warn!(%host, "the host is much slower than the other destinations; its images are copied after theirs");
        }
        self.permits(host);
    }

    pub(crate) fn permits(&self, host: &Host) -> Arc<Semaphore> {
        let new = || Arc::new(Semaphore::new(DEFERRED_AT_ONCE));
        Arc::clone(self.hosts().entry(host.clone()).or_insert_with(new))
    }

    /// Takes the targets at slow hosts out of `ready`, unless there are no other targets.
    pub(crate) fn take_from(&self, run: &PromotionRun<'_>, ready: &mut Ready) -> Vec<ReadyTarget> {
        let hosts = self.hosts();
        let is_slow = |target: &ReadyTarget| {
            hosts.contains_key(&run.edges.destinations()[target.destination()].prefix.host)
        };
        if hosts.is_empty() || ready.targets.iter().all(is_slow) {
            return Vec::new();
        }
        ready.targets.extract_if(.., |target| is_slow(target)).collect()
    }
}
