//! Whether a store has a blob: from memory, or by asking it. Equal questions are asked once at a
//! time, each under a deadline, and a store is asked only so many at once. The rules are in
//! `docs/front.md`, "Whether the store has the blob". It does not decide where the client goes.

mod memory;
mod probe;
mod table;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{
    clock::{Clock, Tick},
    config::Config,
    failure::Failure,
    metrics::{Metrics, PresenceMetrics, ProbeMetrics},
    outage::Outage,
    outbound::Outbound,
};

pub(crate) use memory::{Key, Remembered};

/// How many questions may be open at one store: enough for some thousand new blobs a second at the
/// few milliseconds that a bucket in the same region takes, and all that a store that hangs can
/// delay.
pub(crate) const MAX_QUESTIONS: usize = 128;

/// What is known of the stores.
pub(crate) struct Presence {
    memory: memory::Memory,
    /// The open questions. No more than [`MAX_QUESTIONS`] a store.
    open: Mutex<HashMap<Key, watch::Receiver<Option<Answer>>>>,
    stores: Box<[AskedStore]>,
    outbound: Outbound,
    timeout: Duration,
    clock: Arc<Clock>,
    metrics: PresenceMetrics,
}

/// What asking one store needs.
struct AskedStore {
    name: String,
    url: String,
    outage: Outage,
    permits: Arc<Semaphore>,
    metrics: ProbeMetrics,
}

impl AskedStore {
    /// Logs a failure: as a warning if one is due.
    fn fails(&self, blob: &str, cause: &Failure, now: Tick) {
        let Self { name: store, url, outage, .. } = self;
        match outage.failed(now) {
            Some(failures) => tracing::warn!(
                store, url, %cause, failures,
                "a blob store fails; clients are sent to the upstream instead"
            ),
            None => tracing::debug!(store, url = blob, %cause, "a blob store fails"),
        }
    }

    /// Logs the end of an outage that was logged.
    fn works(&self, now: Tick) {
        let Self { name: store, url, outage, .. } = self;
        if let Some(lasted) = outage.succeeded(now) {
            let seconds = lasted.as_secs();
            tracing::info!(store, url, seconds, "a blob store works again");
        }
    }
}

/// The answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Said(Remembered),
    /// It did not say, or not in time. Not remembered: the store may be well again at once.
    Unknown,
}

/// What becomes of a request's question.
enum Question {
    Answered(Remembered),
    Open(watch::Receiver<Option<Answer>>),
    OverLimit,
}

impl Presence {
    pub(crate) fn new(
        config: &Config,
        outbound: Outbound,
        clock: Arc<Clock>,
        metrics: &Metrics,
    ) -> Self {
        let stores = config.stores.iter().map(|store| AskedStore {
            name: store.name.clone(),
            url: store.url.to_string(),
            outage: Outage::default(),
            permits: Arc::new(Semaphore::new(MAX_QUESTIONS)),
            metrics: metrics.probes(&store.name),
        });
        Self {
            memory: memory::Memory::new(&config.presence),
            open: Mutex::default(),
            stores: stores.collect(),
            outbound,
            timeout: config.presence.timeout,
            clock,
            metrics: metrics.presence.clone(),
        }
    }

    /// What the store said last, if that is still worth something. Waits for nothing.
    pub(crate) fn recall(&self, key: &Key, now: Tick) -> Option<Remembered> {
        let remembered = self.memory.recall(key, now)?;
        self.metrics.remembered(remembered).inc();
        Some(remembered)
    }

    /// Asks the store, or waits for the answer to the same question; nothing if it does not say so
    /// in time. `url` is where the store has the blob, if it has it.
    pub(crate) async fn ask(self: &Arc<Self>, key: Key, url: &str) -> Option<Remembered> {
        let mut open = match self.question(key, url) {
            Question::Answered(answer) => return Some(answer),
            Question::OverLimit => return None,
            Question::Open(open) => open,
        };
        // The other end goes away without an answer only when the process ends.
        let answer = open.wait_for(Option::is_some).await.ok().and_then(|answer| *answer);
        match answer {
            Some(Answer::Said(answer)) => Some(answer),
            Some(Answer::Unknown) | None => None,
        }
    }

    /// How many answers are remembered: present, absent.
    pub(crate) fn len(&self) -> (usize, usize) {
        self.memory.len()
    }

    fn question(self: &Arc<Self>, key: Key, url: &str) -> Question {
        let mut open = self.open();
        if let Some(answer) = open.get(&key) {
            self.metrics.joined.inc();
            return Question::Open(answer.clone());
        }
        // It may have been answered between the caller's look at the memory and ours.
        if let Some(answer) = self.recall(&key, self.clock.advance()) {
            return Question::Answered(answer);
        }
        let permits = Arc::clone(&self.stores[key.store().index()].permits);
        let Ok(permit) = permits.try_acquire_owned() else {
            self.metrics.over_limit.inc();
            return Question::OverLimit;
        };
        self.metrics.asked.inc();
        let (tell, answer) = watch::channel(None);
        open.insert(key, answer.clone());
        // A task of its own: the question goes on when the client that caused it hangs up.
        tokio::spawn(Arc::clone(self).settle(key, url.to_owned(), tell, permit));
        Question::Open(answer)
    }

    async fn settle(
        self: Arc<Self>,
        key: Key,
        url: String,
        tell: watch::Sender<Option<Answer>>,
        permit: OwnedSemaphorePermit,
    ) {
        let answer = self.probe(&key, &url).await;
        if let Answer::Said(answer) = answer {
            self.memory.remember(&key, answer, self.clock.advance());
        }
        // In this order: who finds the question closed finds the answer in memory.
        self.open().remove(&key);
        drop(permit);
        tell.send_replace(Some(answer));
    }

    async fn probe(&self, key: &Key, url: &str) -> Answer {
        let store = &self.stores[key.store().index()];
        let start = Instant::now();
        let response = tokio::time::timeout(self.timeout, probe::head(&self.outbound, url)).await;
        self.metrics.duration.observe(start.elapsed().as_secs_f64());
        let (counter, failure) = match response {
            Ok(Ok(answer)) => {
                store.metrics.said(answer).inc();
                store.works(self.clock.advance());
                return Answer::Said(answer);
            }
            Ok(Err(failure)) => (&store.metrics.failed, failure),
            Err(_elapsed) => (&store.metrics.timeout, Failure::Timeout(self.timeout)),
        };
        counter.inc();
        store.fails(url, &failure, self.clock.advance());
        Answer::Unknown
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Option<Answer>>>> {
        // Nothing that is done under the lock can leave the map half changed.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
