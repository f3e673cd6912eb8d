//! A rate that was lowered, and how it comes back.

use std::time::Duration;

use tokio::time::Instant;

/// A rate below the configured one, or where none is configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lowered {
    pub(super) rate: f64,
    /// Up to here it doubles with each interval.
    pub(super) threshold: f64,
    /// Where it ends.
    pub(super) limit: f64,
    /// Since when it grows.
    pub(super) since: Instant,
    /// Whether it follows from a pause only. It grows while a trial is open, since it may be far too low.
    pub(super) is_restart: bool,
    /// The longest interval.
    pub(super) step: Duration,
}
