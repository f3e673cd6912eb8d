//! A pause that a host demands by `Retry-After`, and what the other responses show about its reason.
//!
//! A host whose limit is exceeded refuses nearly all that was sent after the first refused request. Where refusals are
//! random, most of that is accepted.
//!
//! Not here: the time until which nothing is sent (`pace`); the rate afterwards (`adaptive`).

use tokio::time::Instant;

use super::{
    RateSignal, RequestKind,
    trial::{MOST_TOLERATED, Tally},
};

/// How many responses to later requests show that there were too many: with one in ten refused at random, more than a
/// quarter of eight are one time in 25.
const SAMPLE: u32 = 8;
/// How many show that there were not: to be wrong costs no more than one pause.
const LEAST_ACCEPTED: u32 = 2;
/// How many such responses of earlier pauses are kept.
const MEMORY: u32 = 64;

/// Why a host demanded a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PauseCause {
    /// There were too many requests.
    Exceeded,
    /// It refuses some at random, whatever their rate; or this pause has been counted.
    Random,
    /// There were too few responses to decide.
    Unknown,
}

/// The last pause that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Former {
    end: Instant,
    /// The responses that show the reasons of all pauses so far.
    following: Tally,
}

impl Former {
    /// There was none up to now.
    pub(super) fn none(now: Instant) -> Self {
        Self { end: now, following: Tally::default() }
    }
}

/// A pause. Those that overlap are one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    pub(super) begin: Instant,
    /// What kind of request was refused first.
    pub(super) kind: RequestKind,
    /// When that was sent.
    sent: Instant,
    /// The responses to what was sent after it.
    following: Tally,
    /// Those of the pauses before.
    earlier: Tally,
    /// The end of the pause before. What was sent until then was refused for the same reason.
    former: Instant,
}

impl Pause {
    /// A pause from `begin` on, since a request that was sent at `sent` was refused.
    pub(super) fn new(kind: RequestKind, sent: Instant, begin: Instant, former: Former) -> Self {
        let (following, earlier) = (Tally::default(), former.following.bounded(MEMORY));
        Self { begin, kind, sent, following, earlier, former: former.end }
    }

    /// The data of this pause, which ended at `end`, for the next one.
    pub(super) const fn former(&self, end: Instant) -> Former {
        Former { end, following: self.following.with(self.earlier) }
    }

    /// Counts a response of the host.
    pub(super) fn received(&mut self, sent: Instant, response: RateSignal) {
        if sent >= self.sent {
            self.following.responses += 1;
            self.following.refused += u32::from(response != RateSignal::Accepted);
        }
    }

    /// What the responses show; where they are too few, together with those of the pauses before.
    pub(super) fn reason(&self) -> PauseCause {
        if self.sent < self.former {
            return PauseCause::Random;
        }
        if self.following.responses >= SAMPLE && !is_mostly_accepted(self.following) {
            return PauseCause::Exceeded;
        }
        let all = self.following.with(self.earlier);
        if is_mostly_accepted(self.following) || is_mostly_accepted(all) {
            PauseCause::Random
        } else {
            PauseCause::Unknown
        }
    }
}

fn is_mostly_accepted(following: Tally) -> bool {
    following.responses >= LEAST_ACCEPTED && following.share() <= MOST_TOLERATED
}
