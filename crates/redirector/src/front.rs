//! The front: the snapshot in effect, and what outlives it: the cached presence of blobs, the stores and
//! the metrics.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::{ArcSwap, Cache, Guard};
use cloud_ranges::Ranges;

use crate::{
    clock::Clock,
    config::Config,
    metrics::FrontMetrics,
    outbound::{NO_AUTHORITIES, Outbound},
    presence::StorePresence,
    snapshot::Snapshot,
    store::StoreTable,
};

/// The state in effect, which costs next to nothing to load while it stays the same.
pub(crate) type SnapshotCache = Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>;

/// Decides where each request finds its content. Cheap to share, not to make.
pub struct Front {
    /// Swapped as a whole: a request sees one configuration from its start to its decision.
    snapshot: Arc<ArcSwap<Snapshot>>,
    stores: Mutex<StoreTable>,
    pub(crate) presence: Arc<StorePresence>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) metrics: FrontMetrics,
}

impl Front {
    /// A front with these ranges, and nothing cached.
    #[must_use]
    pub fn new(outbound: &Outbound, config: Config, ranges: Ranges) -> Self {
        if !outbound.has_authorities() && config.stores.iter().any(|of| of.url.is_https()) {
            tracing::error!(
                "stores cannot be checked, so every client is sent to the upstream: {NO_AUTHORITIES}"
            );
        }
        let clock = Arc::new(Clock::start());
        let metrics = FrontMetrics::new();
        metrics.set_prefixes(ranges.len());
        let presence =
            StorePresence::new(&config.presence, outbound.clone(), Arc::clone(&clock), &metrics);
        let mut stores = StoreTable::default();
        let runtime_stores = stores.update(&config.stores, &metrics);
        let snapshot = Snapshot::new(config, ranges, runtime_stores);
        Self {
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            stores: Mutex::new(stores),
            presence: Arc::new(presence),
            clock,
            metrics,
        }
    }

    /// Replaces configuration and ranges for the requests from now on. Stores that stay keep their cached
    /// results. Not replaced, since they are fixed at start: `listen`, `admin`, `presence`,
    /// and which peers have no connection limit.
    pub fn update(&self, config: Config, ranges: Ranges) {
        // Nothing that is done under the lock can leave the table half changed.
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime_stores = stores.update(&config.stores, &self.metrics);
        self.metrics.set_prefixes(ranges.len());
        self.snapshot.store(Arc::new(Snapshot::new(config, ranges, runtime_stores)));
    }

    /// Allows at most so many probes in flight: each store has an equal part of them.
    pub(crate) fn limit_probes(&self, all: usize) {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).limit_probes(all);
    }

    /// The state in effect. It takes no lock.
    pub(crate) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// The state in effect, for one connection: several times as fast as [`Front::snapshot`].
    pub(crate) fn snapshot_cache(&self) -> SnapshotCache {
        Cache::new(Arc::clone(&self.snapshot))
    }

    /// The name and the number of each store, in the order of the configuration. The number is the store's
    /// identity in the cache; it does not depend on that order.
    #[must_use]
    pub fn store_ids(&self) -> Vec<(String, u32)> {
        let snapshot = self.snapshot();
        let stores = snapshot.stores().iter();
        stores.map(|store| (store.name().to_owned(), store.id().number())).collect()
    }

    /// All metrics, as text.
    pub(crate) fn metrics_text(&self) -> String {
        self.metrics.text(self.presence.len())
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("config", &self.snapshot().config).finish_non_exhaustive()
    }
}
