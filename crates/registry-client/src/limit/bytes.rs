//! Bytes a second at one host, both ways together. Bytes are counted when they have moved, so the
//! count can exceed the limit, and the task that moved the last bytes waits for the difference.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{BURST, seconds};

/// The bytes of one host.
#[derive(Debug)]
pub(super) struct Bytes {
    per_second: Option<f64>,
    /// The time until which the moved bytes use the limit.
    paid: Mutex<Instant>,
}

impl Bytes {
    pub(super) fn new(per_second: Option<u64>) -> Self {
        let per_second = per_second.map(|rate| rate.max(1) as f64);
        Self { per_second, paid: Mutex::new(Instant::now()) }
    }

    /// The least time that so many bytes take.
    pub(super) fn estimate(&self, number: u64) -> Duration {
        self.per_second.map(|rate| seconds(number as f64 / rate)).unwrap_or_default()
    }

    /// Counts `number` moved bytes, and waits until the limit allows more.
    pub(super) async fn moved(&self, number: u64) {
        let Some(per_second) = self.per_second else { return };
        let worth = seconds(number as f64 / per_second);
        let now = Instant::now();
        let paid = {
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            *paid = (*paid).max(now) + worth;
            *paid
        };
        if let Some(until) = paid.checked_sub(seconds(BURST)).filter(|until| *until > now) {
            sleep_until(until).await;
        }
    }
}
