//! When the next request may go to a host: its rates, what a 429 makes of them, and its back-off. A
//! function of the times that it is told.
//!
//! A rate is kept as the time at which the next request is due (the "generic cell rate algorithm" of
//! ITU-T I.371): a rate that changes then takes effect with the next request.
//!
//! Not here: the waiting (`turns`).

use std::time::Duration;

use tokio::time::Instant;

use super::{BURST, LONGEST_WAIT, Quota, Verb, seconds, usable};

/// What 429s lower a rate to at the least: below one a second the next answer, which shows whether
/// the host works again, is too far away. A lower configured rate stays.
const LEAST_RATE: f64 = 1.0;
/// The part of a rate that comes back with each second without a 429.
const GIVEN_BACK: f64 = 1.0 / 20.0;
/// How often a rate that was measured must be reached again for there to be none, as before.
const FREE_AGAIN: f64 = 2.0;
const SECOND: Duration = Duration::from_secs(1);

/// The pace of a host.
#[derive(Debug)]
pub(super) struct Pace {
    /// The rate of all requests, as configured.
    rate: Option<f64>,
    /// When the next request of all is due by that rate.
    due: Instant,
    /// Until when the host is not asked at all.
    back_off: Instant,
    lanes: [Lane; 2],
}

/// The pace of one verb at a host.
#[derive(Debug)]
struct Lane {
    configured: Option<f64>,
    lowered: Option<Lowered>,
    /// When the next request is due by the present rate.
    due: Instant,
    /// When the rate was halved last.
    halved: Option<Instant>,
}

/// A rate that a 429 lowered.
#[derive(Clone, Copy, Debug)]
struct Lowered {
    rate: f64,
    /// Where it ends: the configured rate, or that much above the measured one.
    limit: f64,
    /// What comes back with each second, at the least: its part of the rate before the last halving.
    step: f64,
    /// Up to when it was given back.
    since: Instant,
}

impl Pace {
    pub(super) fn new(quota: &Quota, now: Instant) -> Self {
        let lane = |verb| Lane {
            configured: usable(quota.of_verb(verb)),
            lowered: None,
            due: now,
            halved: None,
        };
        let rate = usable(quota.requests_per_second);
        Self { rate, due: now, back_off: now, lanes: Verb::ALL.map(lane) }
    }

    /// Whether nothing holds requests up.
    pub(super) fn is_free(&mut self, now: Instant) -> bool {
        let no_rate = self.rate.is_none()
            && Verb::ALL.iter().all(|&verb| self.lane(verb, now).rate().is_none());
        no_rate && self.back_off <= now
    }

    /// When the verb's rate allows the next request.
    pub(super) fn verb_allows(&mut self, verb: Verb, now: Instant) -> Instant {
        let lane = self.lane(verb, now);
        allowed(lane.due, lane.rate(), now)
    }

    /// When the host as a whole allows the next request.
    pub(super) fn host_allows(&self, now: Instant) -> Instant {
        allowed(self.due, self.rate, now).max(self.back_off)
    }

    /// Takes a turn, if there is one now. The verb allowed it from `ready` on: what the host was waited
    /// for since then is not lost to the verb's rate.
    pub(super) fn take(&mut self, verb: Verb, ready: Instant, now: Instant) -> bool {
        if self.verb_allows(verb, now).max(self.host_allows(now)) > now {
            return false;
        }
        let lane = self.lane(verb, now);
        lane.due = after(lane.due, lane.rate(), ready);
        self.due = after(self.due, self.rate, now);
        true
    }

    /// A request of `asked` was refused. `measured` are the requests a second that there were of late.
    pub(super) fn refuse(
        &mut self,
        refused: Verb,
        asked: Instant,
        retry_after: Option<Duration>,
        measured: [f64; 2],
        now: Instant,
    ) {
        self.lane(refused, now).refuse(asked, measured[refused.index()], now);
        if let Some(wait) = retry_after {
            self.back_off = self.back_off.max(now + wait.min(seconds(LONGEST_WAIT)));
            self.slow_all(self.lanes[refused.index()].rate(), measured);
        }
        for verb in Verb::ALL {
            // While nobody asks, no second is one without a 429.
            let now = if verb == refused { now } else { self.back_off };
            self.lanes[verb.index()].hold(self.back_off.max(now));
        }
        self.due = nothing_saved(self.due, self.rate, self.back_off);
    }

    /// Whoever waits for the end of the back-off must not come all at once then: the other verb has
    /// a rate too, for a while.
    fn slow_all(&mut self, refused: Option<f64>, measured: [f64; 2]) {
        let from = self.back_off;
        for (lane, measured) in self.lanes.iter_mut().zip(measured) {
            if lane.rate().is_none() {
                let rate = refused.unwrap_or(LEAST_RATE).max(measured);
                lane.lower(rate, rate, rate * FREE_AGAIN, from);
            }
        }
    }

    /// Requests a second of a verb, as far as there is a rate.
    pub(super) fn rate(&mut self, verb: Verb, now: Instant) -> Option<f64> {
        let (host, verb) = (self.rate, self.lane(verb, now).rate());
        host.into_iter().chain(verb).min_by(f64::total_cmp)
    }

    /// Until when nobody asks.
    pub(super) fn back_off(&self) -> Instant {
        self.back_off
    }

    fn lane(&mut self, verb: Verb, now: Instant) -> &mut Lane {
        let lane = &mut self.lanes[verb.index()];
        lane.give_back(now);
        lane
    }
}

impl Lane {
    fn rate(&self) -> Option<f64> {
        self.lowered.map(|lowered| lowered.rate).or(self.configured)
    }

    fn refuse(&mut self, asked: Instant, measured: f64, now: Instant) {
        // All that were under way when the rate was halved were too many for the same reason.
        if self.halved.is_some_and(|halved| asked <= halved) {
            return;
        }
        self.halved = Some(now);
        let before = self.rate().unwrap_or(measured.max(LEAST_RATE));
        let limit = self.lowered.map(|lowered| lowered.limit).or(self.configured);
        let limit = limit.unwrap_or(before * FREE_AGAIN);
        self.lower((before / 2.0).max(LEAST_RATE.min(limit)), before, limit, now);
    }

    /// Begins anew at `from`, with nothing saved up and nothing given back.
    fn hold(&mut self, from: Instant) {
        if let Some(lowered) = &mut self.lowered {
            lowered.since = lowered.since.max(from);
        }
        self.due = nothing_saved(self.due, self.rate(), from);
    }

    fn lower(&mut self, rate: f64, before: f64, limit: f64, since: Instant) {
        let step = before * GIVEN_BACK;
        self.lowered = Some(Lowered { rate, limit, step, since });
    }

    /// What comes back with each whole second. It is a part of the rate before the halving, so that the
    /// half is back after ten seconds; or of the present rate, where that is more, so that one that was
    /// halved often is back in minutes and not in hours.
    fn give_back(&mut self, now: Instant) {
        let Some(lowered) = &mut self.lowered else { return };
        while lowered.rate < lowered.limit && lowered.since + SECOND <= now {
            lowered.rate += lowered.step.max(lowered.rate * GIVEN_BACK);
            lowered.since += SECOND;
        }
        if lowered.rate >= lowered.limit {
            self.lowered = None;
        }
    }
}

/// How much earlier than due a request may come, so that there is a burst.
fn leeway(rate: f64) -> Duration {
    seconds((BURST - 1.0 / rate).max(0.0))
}

/// When the next request may come that is due then. A rate that rose meanwhile makes it due earlier.
fn allowed(due: Instant, rate: Option<f64>, now: Instant) -> Instant {
    let Some(rate) = rate else { return now };
    due.checked_sub(leeway(rate)).unwrap_or(due)
}

/// When the one after a request that might come `now` is due.
fn after(due: Instant, rate: Option<f64>, now: Instant) -> Instant {
    rate.map_or(now, |rate| due.max(now) + seconds(1.0 / rate))
}

/// When the next is due so that it may come at `from`, and no burst with it.
fn nothing_saved(due: Instant, rate: Option<f64>, from: Instant) -> Instant {
    rate.map_or(due, |rate| due.max(from + leeway(rate)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(begin: Instant, seconds: f64) -> Instant {
        begin + Duration::from_secs_f64(seconds)
    }

    fn quota(reads: Option<f64>) -> Quota {
        Quota { reads_per_second: reads, ..Quota::default() }
    }

    #[track_caller]
    fn check(pace: &mut Pace, now: Instant, expected: Option<f64>) {
        let found = pace.rate(Verb::Read, now);
        let is_equal = match (found, expected) {
            (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
            (found, expected) => found.is_none() && expected.is_none(),
        };
        assert!(is_equal, "{found:?}, not {expected:?}");
    }

    #[test]
    fn a_rate_is_halved_once_for_all_that_were_under_way() {
        let begin = Instant::now();
        let mut pace = Pace::new(&quota(Some(80.0)), begin);
        let mut refuse = |asked, now, rate| {
            pace.refuse(Verb::Read, at(begin, asked), None, [0.0; 2], at(begin, now));
            check(&mut pace, at(begin, now), Some(rate));
        };
        refuse(0.0, 0.1, 40.0);
        refuse(0.05, 0.2, 40.0);
        refuse(0.1, 0.2, 40.0);
        refuse(0.15, 0.3, 20.0);
        refuse(0.2, 0.4, 20.0);
    }

    #[test]
    fn a_twentieth_comes_back_each_second_up_to_what_is_configured() {
        let begin = Instant::now();
        let mut pace = Pace::new(&quota(Some(80.0)), begin);
        pace.refuse(Verb::Read, begin, None, [0.0; 2], begin);
        for (seconds, rate) in [(0.9, 40.0), (1.0, 44.0), (5.5, 60.0), (9.9, 76.0), (10.0, 80.0)] {
            check(&mut pace, at(begin, seconds), Some(rate));
        }
        check(&mut pace, at(begin, 1e6), Some(80.0));
        assert!(!pace.is_free(at(begin, 1e6)), "it has the configured rate");
        check(&mut Pace::new(&quota(Some(0.5)), begin), begin, Some(0.5));
    }

    #[test]
    fn without_a_configured_rate_the_measured_one_is_the_start_and_twice_that_the_end() {
        let begin = Instant::now();
        let mut pace = Pace::new(&quota(None), begin);
        assert!(pace.is_free(begin));
        pace.refuse(Verb::Read, begin, None, [100.0, 7.0], begin);
        for (seconds, rate) in [(0.0, 50.0), (1.0, 55.0), (10.0, 100.0), (11.0, 105.0)] {
            check(&mut pace, at(begin, seconds), Some(rate));
        }
        assert!(!pace.is_free(at(begin, 20.0)));
        check(&mut pace, at(begin, 25.0), None);
        assert!(pace.is_free(at(begin, 25.0)));
        assert_eq!(pace.rate(Verb::Write, begin), None, "the other verb was not refused");

        let mut idle = Pace::new(&quota(None), begin);
        idle.refuse(Verb::Read, begin, None, [0.0; 2], begin);
        check(&mut idle, begin, Some(LEAST_RATE));
    }

    #[test]
    fn a_rate_at_the_least_is_back_within_minutes() {
        let begin = Instant::now();
        let mut pace = Pace::new(&quota(Some(200.0)), begin);
        for second in 0..20 {
            let now = at(begin, f64::from(second) / 10.0);
            pace.refuse(Verb::Read, now, None, [0.0; 2], now);
        }
        check(&mut pace, at(begin, 2.0), Some(LEAST_RATE));
        check(&mut pace, at(begin, 120.0), Some(200.0));
    }

    #[test]
    fn a_back_off_is_never_shortened_and_nothing_comes_back_in_it() {
        let begin = Instant::now();
        let mut pace = Pace::new(&quota(None), begin);
        let mut refuse = |wait: u32| {
            pace.refuse(Verb::Read, begin, Some(wait * SECOND), [100.0, 0.0], begin);
        };
        refuse(60);
        refuse(10);
        assert_eq!(pace.host_allows(begin), at(begin, 60.0));
        check(&mut pace, at(begin, 60.0), Some(50.0));
        assert!(pace.rate(Verb::Write, at(begin, 60.0)).is_some(), "writes come at a rate too");
        assert!(!pace.take(Verb::Read, begin, at(begin, 59.9)));
        let mut taken = |ms: u32| {
            let now = at(begin, 60.0 + f64::from(ms) / 1000.0);
            pace.take(Verb::Read, now, now)
        };
        assert_eq!((0..1000).filter(|&ms| taken(ms)).count(), 50, "they come at the rate");
        check(&mut pace, at(begin, 61.0), Some(55.0));
        assert!(pace.is_free(at(begin, 90.0)));

        let mut pace = Pace::new(&quota(None), begin);
        pace.refuse(Verb::Read, begin, Some(Duration::MAX), [0.0; 2], begin);
        assert_eq!(pace.host_allows(begin), at(begin, LONGEST_WAIT));
    }
}
