//! Whether a lower rate helped: compares the share of throttled requests after a decrease with that before.
//!
//! Not here: what follows from it (`adaptive`).

use super::lowered::Lowered;

/// The largest share of throttled requests that may be tolerated as random.
pub(super) const MOST_TOLERATED: f64 = 0.25;

/// A decision needs enough responses that, at the share before, this many would be throttled.
const EXPECTED_THROTTLED: f64 = 5.0;
/// Above this part of the share before, the lower rate did not help: at a rate that is low enough hardly any request is
/// throttled.
const SAME_SHARE: f64 = 0.25;
/// How many throttled requests that takes: a single one may belong to the rate before.
const SAME_THROTTLED: u32 = 2;

/// Responses, and how many of them were throttled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) responses: u32,
    pub(super) throttled: u32,
}

impl Tally {
    pub(super) const fn with(self, more: Self) -> Self {
        Self {
            responses: self.responses + more.responses,
            throttled: self.throttled + more.throttled,
        }
    }

    /// The same share with half of the responses, if they are more than `most`.
    pub(super) const fn bounded(self, most: u32) -> Self {
        if self.responses < most {
            return self;
        }
        Self { responses: self.responses / 2, throttled: self.throttled.div_ceil(2) }
    }

    pub(super) fn share(self) -> f64 {
        f64::from(self.throttled) / f64::from(self.responses.max(1))
    }
}

/// A decrease, and the responses since then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    /// The share of throttled requests before it.
    pub(super) before_share: f64,
    /// The rate before.
    pub(super) before: Option<Lowered>,
    pub(super) since: Tally,
}

/// What a trial has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TrialResult {
    /// Hardly any request is throttled.
    Helped,
    /// As many are throttled as before.
    Same,
    /// There were too few responses to decide.
    Open,
}

impl Trial {
    pub(super) fn result(&self) -> TrialResult {
        let expected = f64::from(self.since.responses) * self.before_share;
        let is_same = self.since.share() > self.before_share * SAME_SHARE;
        if is_same && self.since.throttled >= SAME_THROTTLED {
            TrialResult::Same
        } else if expected >= EXPECTED_THROTTLED {
            TrialResult::Helped
        } else {
            TrialResult::Open
        }
    }
}
