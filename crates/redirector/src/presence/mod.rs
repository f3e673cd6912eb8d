//! Whether a store has a blob: from the cache, or by a probe. Equal probes run once at a time, each
//! under a deadline, and the number of probes per store is limited. The rules are in
//! `docs/reference/front.md`, "Whether the store has the blob". It does not choose where the client is sent.

mod cache;
mod probe;
mod table;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use oci::Digest;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::{
    clock::{Clock, Tick},
    config::PresenceSettings,
    failure::OutboundError,
    metrics::{FrontMetrics, PresenceMetrics},
    outbound::Outbound,
    store::Store,
};

pub(crate) use cache::{Presence, PresenceKey};

/// The presence of blobs in the stores.
pub(crate) struct StorePresence {
    cache: cache::PresenceCache,
    /// The probes in flight. No more than [`MAX_PROBES`](crate::store::MAX_PROBES) per store.
    in_flight: Mutex<HashMap<PresenceKey, watch::Receiver<Option<ProbeResult>>>>,
    outbound: Outbound,
    timeout: Duration,
    clock: Arc<Clock>,
    metrics: PresenceMetrics,
}

/// The result of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProbeResult {
    Known(Presence),
    /// The store failed, or did not respond in time. Not cached: it may recover at once.
    Unknown,
}

/// The first step of a check.
enum Lookup {
    Cached(Presence),
    InFlight(watch::Receiver<Option<ProbeResult>>),
    OverLimit,
}

impl StorePresence {
    pub(crate) fn new(
        settings: &PresenceSettings,
        outbound: Outbound,
        clock: Arc<Clock>,
        metrics: &FrontMetrics,
    ) -> Self {
        Self {
            cache: cache::PresenceCache::new(settings),
            in_flight: Mutex::default(),
            outbound,
            timeout: settings.timeout,
            clock,
            metrics: metrics.presence.clone(),
        }
    }

    /// The cached result, if it has not expired. It does not wait.
    pub(crate) fn cached(&self, key: &PresenceKey, now: Tick) -> Option<Presence> {
        let presence = self.cache.get(key, now)?;
        self.metrics.cached(presence).inc();
        Some(presence)
    }

    /// Probes the store, or joins the probe in flight for the same blob. `None` if the store fails or does
    /// not respond in time. `url` is the blob's in the store.
    pub(crate) async fn check(
        self: &Arc<Self>,
        store: &Arc<Store>,
        digest: Digest,
        url: &str,
    ) -> Option<Presence> {
        let mut result = match self.look_up(store, digest, url) {
            Lookup::Cached(result) => return Some(result),
            Lookup::OverLimit => return None,
            Lookup::InFlight(result) => result,
        };
        // The sender is dropped without a result only when the process ends.
        let result = result.wait_for(Option::is_some).await.ok().and_then(|result| *result);
        match result {
            Some(ProbeResult::Known(result)) => Some(result),
            Some(ProbeResult::Unknown) | None => None,
        }
    }

    /// The number of blobs with cached results: present, absent.
    pub(crate) fn len(&self) -> (usize, usize) {
        self.cache.len()
    }

    fn look_up(self: &Arc<Self>, store: &Arc<Store>, digest: Digest, url: &str) -> Lookup {
        let key = PresenceKey::new(store.id(), digest);
        let mut in_flight = self.in_flight();
        if let Some(result) = in_flight.get(&key) {
            self.metrics.joined.inc();
            return Lookup::InFlight(result.clone());
        }
        // A probe may have ended since the caller's look at the cache.
        if let Some(result) = self.cached(&key, self.clock.advance()) {
            return Lookup::Cached(result);
        }
        let Some(permit) = store.permit_probe() else {
            self.metrics.over_limit.inc();
            return Lookup::OverLimit;
        };
        self.metrics.probed.inc();
        let (sender, result) = watch::channel(None);
        in_flight.insert(key, result.clone());
        // A task of its own: the probe continues when the client that caused it disconnects.
        tokio::spawn(Arc::clone(self).run_probe(
            Arc::clone(store),
            key,
            url.to_owned(),
            (sender, permit),
        ));
        Lookup::InFlight(result)
    }

    async fn run_probe(
        self: Arc<Self>,
        store: Arc<Store>,
        key: PresenceKey,
        url: String,
        (sender, permit): (watch::Sender<Option<ProbeResult>>, OwnedSemaphorePermit),
    ) {
        let result = self.probe(&store, &url).await;
        if let ProbeResult::Known(result) = result {
            self.cache.insert(&key, result, self.clock.advance());
        }
        // In this order: a request that finds no probe in flight finds the result in the cache.
        self.in_flight().remove(&key);
        drop(permit);
        sender.send_replace(Some(result));
    }

    async fn probe(&self, store: &Store, url: &str) -> ProbeResult {
        let start = Instant::now();
        let response = tokio::time::timeout(self.timeout, probe::head(&self.outbound, url)).await;
        self.metrics.duration.observe(start.elapsed().as_secs_f64());
        let (counter, failure) = match response {
            Ok(Ok(result)) => {
                store.probes.result(result).inc();
                store.log_recovery(self.clock.advance());
                return ProbeResult::Known(result);
            }
            Ok(Err(failure)) => (&store.probes.failed, failure),
            Err(_elapsed) => (&store.probes.timeout, OutboundError::Timeout(self.timeout)),
        };
        counter.inc();
        store.log_failure(url, &failure, self.clock.advance());
        ProbeResult::Unknown
    }

    fn in_flight(
        &self,
    ) -> MutexGuard<'_, HashMap<PresenceKey, watch::Receiver<Option<ProbeResult>>>> {
        // Nothing that is done under the lock can leave the map half changed.
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
