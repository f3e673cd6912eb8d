//! A pause that a host demands by `Retry-After`, and its cause as the other responses show it.
//!
//! A host whose limit is exceeded throttles nearly all requests after the first throttled one. A host that throttles at
//! random accepts most of them.
//!
//! Not here: the time until which nothing is sent (`pace`); the rate afterwards (`adaptive`).

use tokio::time::Instant;

use super::{
    RateSignal, RequestKind,
    trial::{MOST_TOLERATED, Tally},
};

/// How many responses to later requests can show that there were too many. If one request in ten is throttled at random,
/// more than a quarter of eight are throttled one time in 25.
const SAMPLE: u32 = 8;
/// How many accepted responses show that there were not. A wrong decision costs one pause.
const LEAST_ACCEPTED: u32 = 2;
/// How many such responses of earlier pauses are kept.
const MEMORY: u32 = 64;

/// Why a host demanded a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PauseCause {
    /// There were too many requests.
    Exceeded,
    /// It throttles some at random, whatever their rate; or this pause has been counted.
    Random,
    /// There were too few responses to decide.
    Unknown,
}

/// The last pause that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Former {
    end: Instant,
    /// The responses that show the causes of all pauses so far.
    following: Tally,
}

impl Former {
    /// No pause before `now`.
    pub(super) fn none(now: Instant) -> Self {
        Self { end: now, following: Tally::default() }
    }
}

/// A pause. Overlapping pauses are one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    pub(super) begin: Instant,
    /// The kind of the request that was throttled first.
    pub(super) kind: RequestKind,
    /// When that request was sent.
    sent: Instant,
    /// The responses to requests that were sent after it.
    following: Tally,
    /// The same of the pauses before.
    earlier: Tally,
    /// The end of the pause before. Requests that were sent before it were throttled for the same cause.
    former: Instant,
}

impl Pause {
    /// A pause from `begin` on, since a request that was sent at `sent` was throttled.
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
            self.following.throttled += u32::from(response != RateSignal::Accepted);
        }
    }

    /// The cause that the responses show. If they are too few, those of earlier pauses are added.
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
