//! The turns of requests at one host: each waits until the host's back-off is over and its rates
//! allow it, first come first served among those of the same kind.
//!
//! Those of one kind wait behind each other, and not for those of the other: a kind that was slowed
//! down must not hold up the other one.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{Quota, RequestKind, pace::Pace, rate_signal::RateSignal, seconds};

/// The turns of one host.
#[derive(Debug)]
pub(super) struct Turns {
    pace: Mutex<Pace>,
    /// The head of each kind's queue holds its gate; tokio's are fair.
    kind_gates: [tokio::sync::Mutex<()>; 2],
    /// The two heads take turns at this one.
    host_gate: tokio::sync::Mutex<()>,
}

impl Turns {
    pub(super) fn new(quota: &Quota) -> Self {
        let now = Instant::now();
        Self {
            pace: Mutex::new(Pace::new(quota, now)),
            kind_gates: RequestKind::ALL.map(|_| tokio::sync::Mutex::new(())),
            host_gate: tokio::sync::Mutex::new(()),
        }
    }

    /// Waits for a turn, and returns its time.
    pub(super) async fn wait(&self, kind: RequestKind) -> Instant {
        let now = Instant::now();
        if self.pace().take_if_free(kind, now) { now } else { self.queue(kind).await }
    }

    async fn queue(&self, kind: RequestKind) -> Instant {
        let _kind = self.kind_gates[kind.index()].lock().await;
        loop {
            let ready = self.until(|pace, now| pace.kind_allows(kind, now)).await;
            let _host = self.host_gate.lock().await;
            self.until(|pace, now| pace.host_allows(now)).await;
            // The kind's rate may have dropped during the wait for the host.
            let now = Instant::now();
            if self.pace().take(kind, ready, now) {
                return now;
            }
        }
    }

    /// Waits for the time that `allows` returns, and returns it. The time may change during the wait.
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

    /// A request that had its turn at `sent` got a response.
    pub(super) fn received(&self, kind: RequestKind, sent: Instant, response: RateSignal) {
        self.pace().received(kind, sent, response, Instant::now());
    }

    /// The time that so many more requests take at the present rate; zero without a rate.
    pub(super) fn estimate(&self, kind: RequestKind, requests: u64) -> Duration {
        let now = Instant::now();
        let mut pace = self.pace();
        let back_off = pace.back_off().saturating_duration_since(now);
        let rate = pace.rate(kind, now);
        back_off + rate.map_or(Duration::ZERO, |rate| seconds(requests as f64 / rate))
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        // It is never left half changed.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
