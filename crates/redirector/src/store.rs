//! A blob store at run time: its identity, its URLs, its counters and its probes. It outlives
//! the configuration that names it: a new configuration with the same store keeps all of them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use prometheus_client::metrics::counter::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    clock::Tick,
    config::StoreSetting,
    failure::OutboundError,
    failure_log::FailureLog,
    metrics::{FrontMetrics, ProbeMetrics},
    redirect::StoreBase,
    store_id::StoreId,
};

/// The most probes in flight per store: enough for thousands of new blobs a second at the few
/// milliseconds that a bucket in the same region takes, and the most requests that a store which
/// does not respond can delay.
pub(crate) const MAX_PROBES: usize = 128;

/// A blob store that clients may be sent to.
pub(crate) struct Store {
    id: StoreId,
    name: String,
    url: String,
    base: StoreBase,
    failure_log: FailureLog,
    /// [`MAX_PROBES`] in all.
    permits: Arc<Semaphore>,
    /// How many of them may be taken: fewer where the limit of open files is low.
    max_probes: AtomicUsize,
    pub(crate) redirects: Counter,
    pub(crate) probes: ProbeMetrics,
}

impl Store {
    fn new(id: StoreId, setting: &StoreSetting, metrics: &FrontMetrics) -> Self {
        Self {
            id,
            name: setting.name.clone(),
            url: setting.url.to_string(),
            base: StoreBase::new(setting),
            failure_log: FailureLog::default(),
            permits: Arc::new(Semaphore::new(MAX_PROBES)),
            max_probes: AtomicUsize::new(MAX_PROBES),
            redirects: metrics.store_redirects(&setting.name),
            probes: metrics.probes(&setting.name),
        }
    }

    pub(crate) fn id(&self) -> StoreId {
        self.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn base(&self) -> &StoreBase {
        &self.base
    }

    /// A permit for one more probe, if the store has one left. Calls must not run at the same time.
    pub(crate) fn permit_probe(&self) -> Option<OwnedSemaphorePermit> {
        let in_flight = MAX_PROBES - self.permits.available_permits();
        if in_flight >= self.max_probes.load(Relaxed) {
            return None;
        }
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// Whether `setting` names this store: only then do its cached results stay valid.
    fn is(&self, setting: &StoreSetting) -> bool {
        self.name == setting.name && self.base == StoreBase::new(setting)
    }

    /// Logs a failure: as a warning if one is due.
    pub(crate) fn log_failure(&self, blob: &str, cause: &OutboundError, now: Tick) {
        let Self { name: store, url, failure_log, .. } = self;
        match failure_log.failed(now) {
            Some(failures) => tracing::warn!(
                store, url, %cause, failures,
                "a blob store fails; clients are sent to the upstream instead"
            ),
            None => tracing::debug!(store, url = blob, %cause, "a blob store fails"),
        }
    }

    /// Logs the end of an outage that was logged.
    pub(crate) fn log_recovery(&self, now: Tick) {
        let Self { name: store, url, failure_log, .. } = self;
        if let Some(lasted) = failure_log.succeeded(now) {
            let seconds = lasted.as_secs();
            tracing::info!(store, url, seconds, "a blob store works again");
        }
    }
}

/// The stores of the configuration in effect, and the next free number.
#[derive(Default)]
pub(crate) struct StoreTable {
    next: u32,
    current: Vec<Arc<Store>>,
    /// The limit of probes in flight to all stores together, if there is one.
    max_probes: Option<usize>,
}

impl StoreTable {
    /// The stores of these settings, in their order. A store that was there before is kept; the new ones
    /// are numbered in the order of their names, so that their order in the file does not matter.
    pub(crate) fn update(
        &mut self,
        settings: &[StoreSetting],
        metrics: &FrontMetrics,
    ) -> Box<[Arc<Store>]> {
        let kept = |setting: &StoreSetting| self.current.iter().find(|it| it.is(setting)).cloned();
        let mut stores: Vec<_> =
            settings.iter().enumerate().map(|(at, it)| (at, it, kept(it))).collect();
        stores.sort_by_key(|(_, setting, _)| &setting.name);
        let mut placed: Vec<_> = stores
            .into_iter()
            .map(|(at, setting, kept)| (at, kept.unwrap_or_else(|| self.add(setting, metrics))))
            .collect();
        placed.sort_by_key(|(at, _)| *at);
        self.current = placed.into_iter().map(|(_, store)| store).collect();
        self.divide_probes();
        self.current.iter().cloned().collect()
    }

    /// Allows at most so many probes in flight: each store has an equal part of them.
    pub(crate) fn limit_probes(&mut self, all: usize) {
        self.max_probes = Some(all);
        self.divide_probes();
    }

    fn divide_probes(&self) {
        let Some(all) = self.max_probes else { return };
        let part = all.checked_div(self.current.len()).unwrap_or(all);
        // With more stores than that, one each: the next ones wait for no more than a client would.
        let part = part.clamp(1, MAX_PROBES);
        self.current.iter().for_each(|store| store.max_probes.store(part, Relaxed));
    }

    fn add(&mut self, setting: &StoreSetting, metrics: &FrontMetrics) -> Arc<Store> {
        let id = StoreId::new(self.next);
        self.next = self.next.wrapping_add(1);
        Arc::new(Store::new(id, setting, metrics))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn settings(stores: &[(&str, &str)]) -> Vec<StoreSetting> {
        let lines: String = stores
            .iter()
            .map(|(name, host)| {
                format!("  - {{name: {name}, url: 'https://{host}.example', serves: [{{cloud: {name}}}]}}\n")
            })
            .collect();
        let yaml = format!("upstream: {{endpoint: https://up.example}}\nstores:\n{lines}");
        Config::from_yaml("test", &yaml).expect("valid").stores
    }

    #[test]
    fn stores_share_the_probes_that_the_limit_of_open_files_allows() {
        let (mut table, metrics) = (StoreTable::default(), FrontMetrics::new());
        table.limit_probes(6);
        let permits = |store: &Store| {
            let mut taken = Vec::new();
            while let Some(permit) = store.permit_probe() {
                taken.push(permit);
            }
            taken.len()
        };
        let two = table.update(&settings(&[("a", "a"), ("b", "b")]), &metrics);
        assert_eq!([permits(&two[0]), permits(&two[1])], [3, 3]);
        let three = table.update(&settings(&[("a", "a"), ("b", "b"), ("c", "c")]), &metrics);
        assert_eq!([permits(&three[0]), permits(&three[2])], [2, 2]);
    }

    #[test]
    fn an_id_follows_the_store_and_is_never_used_for_another() {
        let (mut table, metrics) = (StoreTable::default(), FrontMetrics::new());
        let mut ids = |stores: &[(&str, &str)]| {
            let stores = table.update(&settings(stores), &metrics);
            stores.iter().map(|store| store.id().number()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&[("b", "b"), ("a", "a")]), [1, 0], "numbered by name");
        assert_eq!(ids(&[("a", "a"), ("b", "b")]), [0, 1], "reordered");
        assert_eq!(ids(&[("c", "c"), ("b", "b"), ("a", "a")]), [2, 1, 0], "one more");
        assert_eq!(ids(&[("a", "other"), ("b", "b")]), [3, 1], "another URL is another store");
        assert_eq!(ids(&[("a", "a"), ("b", "b")]), [4, 1], "a store that returns is new");
    }
}
