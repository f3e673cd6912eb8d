//! The turns of requests at one host: each waits until the host's back-off is over and its rates
//! allow it, first come first served among those of the same verb.
//!
//! Those of one verb wait behind each other, and not for those of the other: a verb that was slowed
//! down must not hold up the other one.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{Quota, Verb, pace::Pace, recent::Recent, seconds};

/// The turns of one host.
#[derive(Debug)]
pub(super) struct Turns {
    /// Whether there is anything to wait for. Changed only while the pace is held.
    is_paced: AtomicBool,
    pace: Mutex<Pace>,
    recent: [Recent; 2],
    /// The head of each verb's queue holds its gate; tokio's are fair.
    verb_gates: [tokio::sync::Mutex<()>; 2],
    /// The two heads take turns at this one.
    host_gate: tokio::sync::Mutex<()>,
}

impl Turns {
    pub(super) fn new(quota: &Quota) -> Self {
        let now = Instant::now();
        let mut pace = Pace::new(quota, now);
        Self {
            is_paced: AtomicBool::new(!pace.is_free(now)),
            pace: Mutex::new(pace),
            recent: Verb::ALL.map(|_| Recent::new(now)),
            verb_gates: Verb::ALL.map(|_| tokio::sync::Mutex::new(())),
            host_gate: tokio::sync::Mutex::new(()),
        }
    }

    /// Waits for a turn, and says when it came.
    pub(super) async fn wait(&self, verb: Verb) -> Instant {
        if self.is_paced.load(Ordering::Acquire) {
            self.queue(verb).await;
        }
        let now = Instant::now();
        self.recent[verb.index()].count(now);
        now
    }

    async fn queue(&self, verb: Verb) {
        let _verb = self.verb_gates[verb.index()].lock().await;
        loop {
            let ready = self.until(|pace, now| pace.verb_allows(verb, now)).await;
            let _host = self.host_gate.lock().await;
            self.until(|pace, now| pace.host_allows(now)).await;
            // The verb's rate may have been lowered while the host was waited for.
            if self.take(verb, ready) {
                return;
            }
        }
    }

    /// Waits until what `allows` says is now, and gives that back. It may change while it is waited for.
    async fn until(&self, mut allows: impl FnMut(&mut Pace, Instant) -> Instant) -> Instant {
        loop {
            let now = Instant::now();
            let at = allows(&mut self.pace(), now);
            if at <= now {
                return now;
            }
            sleep_until(at).await;
        }
    }

    fn take(&self, verb: Verb, ready: Instant) -> bool {
        let now = Instant::now();
        let mut pace = self.pace();
        let taken = pace.take(verb, ready, now);
        if pace.is_free(now) {
            self.is_paced.store(false, Ordering::Release);
        }
        taken
    }

    /// A request whose turn was at `asked` was refused.
    pub(super) fn refuse(&self, verb: Verb, asked: Instant, retry_after: Option<Duration>) {
        let now = Instant::now();
        let measured = [self.recent[0].rate(now), self.recent[1].rate(now)];
        let mut pace = self.pace();
        pace.refuse(verb, asked, retry_after, measured, now);
        self.is_paced.store(true, Ordering::Release);
    }

    /// How long so many more requests take at the present rate: nothing where there is none.
    pub(super) fn estimate(&self, verb: Verb, requests: u64) -> Duration {
        let now = Instant::now();
        let mut pace = self.pace();
        let back_off = pace.back_off().saturating_duration_since(now);
        let rate = pace.rate(verb, now);
        back_off + rate.map_or(Duration::ZERO, |rate| seconds(requests as f64 / rate))
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        // It is never left half changed.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
