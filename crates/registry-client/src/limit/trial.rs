//! Whether a decrease of a rate helped: what the refusals are afterwards, and how many they were before.
//!
//! Not here: what follows from it (`adaptive`).

use super::lowered::Lowered;

/// The largest share of refusals that may be tolerated as random.
pub(super) const MOST_TOLERATED: f64 = 0.25;

/// How many refusals the share before leads one to expect when it can be told whether a lower rate helped.
const EXPECTED_REFUSALS: f64 = 5.0;
/// The part of the share before that still means as many refusals: a rate that is low enough has next to none.
const SAME_SHARE: f64 = 0.25;
/// How many refusals it takes for that: a single one may be the last of those before.
const SAME_REFUSALS: u32 = 2;
/// Responses, and how many of them were refusals.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) responses: u32,
    pub(super) refused: u32,
}

impl Tally {
    pub(super) const fn with(self, more: Self) -> Self {
        Self { responses: self.responses + more.responses, refused: self.refused + more.refused }
    }

    /// The same share of fewer responses, where they are many.
    pub(super) const fn bounded(self, most: u32) -> Self {
        if self.responses < most {
            return self;
        }
        Self { responses: self.responses / 2, refused: self.refused.div_ceil(2) }
    }

    pub(super) fn share(self) -> f64 {
        f64::from(self.refused) / f64::from(self.responses.max(1))
    }
}

/// A decrease, and the responses since then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    /// The share of refusals before it.
    pub(super) before_share: f64,
    /// The rate before.
    pub(super) before: Option<Lowered>,
    pub(super) since: Tally,
}

/// What a trial has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TrialResult {
    /// There are hardly any refusals.
    Helped,
    /// There are as many as before.
    Same,
    /// There were too few responses to decide.
    Open,
}

impl Trial {
    pub(super) fn verdict(&self) -> TrialResult {
        let expected = f64::from(self.since.responses) * self.before_share;
        let is_same = self.since.share() > self.before_share * SAME_SHARE;
        if is_same && self.since.refused >= SAME_REFUSALS {
            TrialResult::Same
        } else if expected >= EXPECTED_REFUSALS {
            TrialResult::Helped
        } else {
            TrialResult::Open
        }
    }
}
