//! The requests of an interval and their responses: the input of each decision on a rate.
//!
//! Not here: when an interval ends, and what follows (`adaptive`).

use std::time::Duration;

use tokio::time::Instant;

use super::trial::Tally;

/// The shortest interval: several round trips within a region.
pub(super) const SHORTEST: Duration = Duration::from_millis(100);

/// The requests sent since `begin`, and their results.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    pub(super) begin: Instant,
    pub(super) last: Instant,
    pub(super) sent: u32,
    pub(super) accepted: u32,
    pub(super) throttled: u32,
    /// The number of throttled requests when the last pause began.
    pub(super) before_pause: u32,
    /// Throttled requests that do not count, since another one of the same pause does.
    pub(super) repeated: u32,
    /// The largest remaining share of the rate, if this interval lowers it.
    pub(super) most_kept: f64,
}

impl Interval {
    pub(super) const fn new(begin: Instant) -> Self {
        let (before_pause, repeated, most_kept) = (0, 0, 1.0);
        Self {
            begin,
            last: begin,
            sent: 0,
            accepted: 0,
            throttled: 0,
            before_pause,
            repeated,
            most_kept,
        }
    }

    pub(super) const fn responses(&self) -> u32 {
        self.accepted + self.throttled
    }

    /// The responses, and the throttled ones among them.
    pub(super) const fn tally(&self) -> Tally {
        Tally { responses: self.responses(), throttled: self.throttled }
    }

    /// The same, where the throttled requests of one pause count once.
    pub(super) const fn tally_of_causes(&self) -> Tally {
        Tally { responses: self.responses(), throttled: self.throttled - self.repeated }
    }

    /// Shifts the interval by the length of a pause, in which nothing was sent.
    pub(super) fn skip(&mut self, pause: Duration) {
        self.begin += pause;
        self.last += pause;
    }

    /// The share of throttled requests.
    pub(super) fn share(&self) -> f64 {
        self.tally().share()
    }

    /// The accepted share of the sent requests, as if all in flight were throttled.
    pub(super) fn accepted_of_sent(&self) -> f64 {
        f64::from(self.accepted) / f64::from(self.sent.max(self.responses()))
    }

    /// Requests a second, over the time in which there were any.
    pub(super) fn sent_rate(&self) -> f64 {
        let elapsed = self.last.saturating_duration_since(self.begin).max(SHORTEST);
        f64::from(self.sent) / elapsed.as_secs_f64()
    }
}
