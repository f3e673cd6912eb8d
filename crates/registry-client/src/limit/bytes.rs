//! Bytes a second at one host, both ways together. Bytes are counted when they have moved, so the
//! count goes into debt, and whoever moved the last ones waits until it is paid.

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
    /// When all that has moved is paid.
    paid: Mutex<Instant>,
}

impl Bytes {
    pub(super) fn new(per_second: Option<u64>) -> Self {
        let per_second = per_second.map(|rate| rate.max(1) as f64);
        Self { per_second, paid: Mutex::new(Instant::now()) }
    }

    /// How long so many bytes take at least.
    pub(super) fn estimate(&self, number: u64) -> Duration {
        self.per_second.map(|rate| seconds(number as f64 / rate)).unwrap_or_default()
    }

    /// Counts `number` bytes that have moved, and waits until the debt is small.
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
