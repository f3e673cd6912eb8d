//! A lowered rate, and how it recovers.

use std::time::Duration;

use tokio::time::Instant;

/// A rate below the configured one, or where none is configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lowered {
    pub(super) rate: f64,
    /// The rate up to which it doubles with each interval.
    pub(super) threshold: f64,
    /// The rate at which the recovery ends.
    pub(super) limit: f64,
    /// The start of the growth.
    pub(super) since: Instant,
    /// Whether it follows only from a pause. Such a rate grows also during a trial, since it may be far too low.
    pub(super) is_restart: bool,
    /// The longest interval.
    pub(super) step: Duration,
}
