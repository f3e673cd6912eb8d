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
    pub(super) refused: u32,
    /// The number of refusals when the last pause began.
    pub(super) before_pause: u32,
    /// Refusals that do not count, since another one of their pause does.
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
            refused: 0,
            before_pause,
            repeated,
            most_kept,
        }
    }

    pub(super) const fn responses(&self) -> u32 {
        self.accepted + self.refused
    }

    /// The responses, and the refusals among them.
    pub(super) const fn tally(&self) -> Tally {
        Tally { responses: self.responses(), refused: self.refused }
    }

    /// The same, with the refusals that led to one pause as one.
    pub(super) const fn tally_of_causes(&self) -> Tally {
        Tally { responses: self.responses(), refused: self.refused - self.repeated }
    }

    /// Shifts the interval by the length of a pause, in which nothing was sent.
    pub(super) fn skip(&mut self, pause: Duration) {
        self.begin += pause;
        self.last += pause;
    }

    /// The share that was refused.
    pub(super) fn share(&self) -> f64 {
        self.tally().share()
    }

    /// The share of what was sent, as if all that is under way were refused.
    pub(super) fn accepted_of_sent(&self) -> f64 {
        f64::from(self.accepted) / f64::from(self.sent.max(self.responses()))
    }

    /// Requests a second, over the time in which there were any.
    pub(super) fn sent_rate(&self) -> f64 {
        let elapsed = self.last.saturating_duration_since(self.begin).max(SHORTEST);
        f64::from(self.sent) / elapsed.as_secs_f64()
    }
}
