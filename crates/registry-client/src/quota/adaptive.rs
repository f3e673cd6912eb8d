//! The rate that a registry's 429 responses lead to: a function of the times and responses that it is given.
//!
//! Requests are counted by interval. An interval with refusals lowers the rate to what was accepted of it, once.
//! If the next interval has as many refusals all the same, they do not depend on the rate: a proxy or a
//! balancer refuses some requests at random. The rate is then restored, and that share of refusals
//! is tolerated. A lowered rate doubles with each interval up to half of the rate before ("slow start" of RFC
//! 5681 §3.1), and then grows faster the longer it is held without refusals (as in RFC 9438).
//!
//! Not here: when the next request is due by the rate (`pace`).

use std::time::Duration;

use tokio::time::Instant;

/// The shortest interval: several round trips within a region.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest interval: what is older says nothing of the present rate.
const LONGEST: Duration = Duration::from_secs(1);
/// Responses that an interval needs before it ends early, or sets a rate where there was none: fewer
/// say little of the share that is refused.
const SAMPLE: u32 = 20;
/// How many refusals the share before leads one to expect when it can be told whether a lower rate helped.
const EXPECTED_REFUSALS: f64 = 3.0;
/// The part of the share before that still means as many refusals: a rate that is low enough has next to none.
const SAME_SHARE: f64 = 0.25;
/// The largest share of refusals that may be tolerated as random.
const MOST_TOLERATED: f64 = 0.25;
/// How fast a tolerated share follows a smaller one.
const TOLERANCE_STEP: f64 = 1.0 / 16.0;
/// How far the refusals of an interval may lie above the tolerated share, in standard deviations.
const DEVIATIONS: f64 = 2.0;
/// What a rate is lowered to, as a share of what was accepted: so that the backlog of retries fits in.
const MARGIN: f64 = 0.95;
/// What is lowered at most by an interval with few responses, or by one of refusals only.
const LARGEST_STEP: f64 = 0.5;
/// What is lowered at least where a `Retry-After` ended the interval: the share that was refused by then is
/// smaller than the excess was.
const STEP_AT_PAUSE: f64 = 0.75;
/// What 429s lower a rate to at the least, requests a second: below, the next response, which shows whether the
/// host works again, is too far away. A lower configured rate stays.
const LEAST_RATE: f64 = 1.0;
/// The first rate after a `Retry-After`, where nothing better is known, requests a second.
const FIRST_RATE: f64 = 10.0;
/// How often a measured rate must be reached again for there to be none, as before.
const FREE_AGAIN: f64 = 2.0;
/// A rate that any host takes: at this one there is none, as before.
const LEAST_LIMIT: f64 = 100.0;
/// How much a rate grows with each second for each second since it was lowered, as a share of it: a tenth in eight
/// seconds, twofold in 21, tenfold in 39.
const GROWTH: f64 = 0.003;

/// What a host said to a request, as far as its rate depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    /// Anything but 429.
    Accepted,
    /// 429.
    Throttled {
        /// How long the host wants no requests, if it says so.
        retry_after: Option<Duration>,
    },
}

/// The rate of one kind of requests at a host.
#[derive(Debug)]
pub(super) struct AdaptiveRate {
    configured: Option<f64>,
    lowered: Option<Lowered>,
    /// The share of refusals that does not depend on the rate.
    tolerated: f64,
    /// The last decrease, until it is known whether it helped.
    trial: Option<Trial>,
    /// Requests a second in the interval before, if there were enough of them.
    measured: Option<f64>,
    interval: Interval,
}

/// A rate below the configured one, or where none is configured.
#[derive(Clone, Copy, Debug)]
struct Lowered {
    rate: f64,
    /// Up to here it doubles with each interval.
    threshold: f64,
    /// The rate before it was lowered for the first time.
    peak: f64,
    /// Where it ends.
    limit: f64,
    /// Since when it grows.
    since: Instant,
}

/// A decrease, and the responses since then.
#[derive(Clone, Copy, Debug)]
struct Trial {
    /// The share of refusals that led to it.
    before_share: f64,
    /// The rate before.
    before: Option<Lowered>,
    responses: u32,
    refused: u32,
}

impl Trial {
    const fn with(self, interval: &Interval) -> Self {
        Self {
            responses: self.responses + interval.responses(),
            refused: self.refused + interval.refused,
            ..self
        }
    }

    /// Whether there were enough responses to tell whether it helped.
    fn is_complete(&self) -> bool {
        f64::from(self.responses) * self.before_share >= EXPECTED_REFUSALS
    }

    fn share(&self) -> f64 {
        f64::from(self.refused) / f64::from(self.responses.max(1))
    }
}

/// What was sent from `begin` on, and what became of it.
#[derive(Clone, Copy, Debug)]
struct Interval {
    begin: Instant,
    last: Instant,
    sent: u32,
    accepted: u32,
    refused: u32,
    is_paused: bool,
}

impl Interval {
    const fn new(begin: Instant) -> Self {
        Self { begin, last: begin, sent: 0, accepted: 0, refused: 0, is_paused: false }
    }

    const fn responses(&self) -> u32 {
        self.accepted + self.refused
    }

    /// The share that was refused.
    fn share(&self) -> f64 {
        f64::from(self.refused) / f64::from(self.responses().max(1))
    }

    /// Requests a second, over the time in which there were any.
    fn sent_rate(&self) -> f64 {
        let elapsed = self.last.saturating_duration_since(self.begin).max(SHORTEST);
        f64::from(self.sent) / elapsed.as_secs_f64()
    }
}

impl AdaptiveRate {
    /// A rate that is the configured one, or none.
    pub(super) const fn new(configured: Option<f64>, now: Instant) -> Self {
        let interval = Interval::new(now);
        Self { configured, lowered: None, tolerated: 0.0, trial: None, measured: None, interval }
    }

    /// Requests a second, if there is a limit.
    pub(super) fn rate(&self) -> Option<f64> {
        self.lowered.map(|lowered| lowered.rate).or(self.configured)
    }

    /// Counts a request.
    pub(super) fn sent(&mut self, now: Instant) {
        self.advance(now);
        self.interval.sent = self.interval.sent.saturating_add(1);
        self.interval.last = self.interval.last.max(now);
    }

    /// Counts the response to a request that was sent at `sent`. Those of earlier intervals are not counted
    /// again: all that were under way when a rate was lowered were too many for the same reason.
    pub(super) fn received(&mut self, sent: Instant, response: Response, now: Instant) {
        self.advance(now);
        if sent < self.interval.begin {
            return;
        }
        match response {
            Response::Accepted => self.interval.accepted += 1,
            Response::Throttled { .. } => self.interval.refused += 1,
        }
    }

    /// Nothing is sent before `until`; and then not all at once that waits for it.
    pub(super) fn pause(&mut self, until: Instant, now: Instant) {
        self.advance(now);
        if let Some(lowered) = &mut self.lowered {
            lowered.since = lowered.since.max(until);
            self.interval.is_paused = true;
            return;
        }
        let interval = std::mem::replace(&mut self.interval, Interval::new(until));
        let is_sampled = interval.responses() >= SAMPLE;
        let measured = is_sampled.then(|| interval.sent_rate()).or(self.measured);
        let limit = self.limit(measured.unwrap_or_default());
        let elapsed = until.saturating_duration_since(interval.begin).max(SHORTEST);
        let accepted = f64::from(interval.accepted) / elapsed.as_secs_f64();
        let rate = accepted.max(FIRST_RATE).min(limit);
        let threshold = measured.map_or(limit, |measured| measured / 2.0);
        self.lowered = Some(Lowered { rate, threshold, peak: threshold, limit, since: until });
    }

    /// Ends the interval, if it is over.
    pub(super) fn advance(&mut self, now: Instant) {
        while self.interval.begin < now {
            let age = now.saturating_duration_since(self.interval.begin);
            let is_sampled = self.interval.responses() >= SAMPLE;
            let is_over = age >= LONGEST || (age >= SHORTEST && is_sampled);
            if !is_over {
                return;
            }
            // Idle time counts second by second, as long as there is a rate that grows.
            let is_growing = self.lowered.is_some() && self.interval.refused == 0;
            let end = if is_growing { self.interval.begin + age.min(LONGEST) } else { now };
            self.end_interval(end);
        }
    }

    fn end_interval(&mut self, end: Instant) {
        let interval = std::mem::replace(&mut self.interval, Interval::new(end));
        self.measured = (interval.responses() >= SAMPLE).then(|| interval.sent_rate());
        let trial = self.trial.take().filter(|_| interval.responses() > 0);
        if let Some(trial) = trial.filter(|_| interval.share() <= MOST_TOLERATED) {
            let trial = trial.with(&interval);
            if !trial.is_complete() {
                self.trial = Some(trial);
                return;
            }
            if self.judge(trial, end) {
                return;
            }
        }
        if self.is_too_much(&interval) {
            self.lower(&interval, end);
        } else {
            self.tolerated += (interval.share() - self.tolerated).min(0.0) * TOLERANCE_STEP;
            self.grow(end.saturating_duration_since(interval.begin), end);
        }
    }

    /// Whether a decrease did not help. Then the rate is as it was before, and soon what it was before all
    /// decreases.
    fn judge(&mut self, trial: Trial, now: Instant) -> bool {
        let share = trial.share();
        let is_same = share > trial.before_share * SAME_SHARE && share <= MOST_TOLERATED;
        if is_same {
            self.tolerated = f64::midpoint(share, trial.before_share);
            let restored =
                |lowered: Lowered| Lowered { threshold: lowered.peak, since: now, ..lowered };
            self.lowered = trial.before.map(restored);
        } else {
            self.tolerated = self.tolerated.min(share);
        }
        is_same
    }

    fn is_too_much(&self, interval: &Interval) -> bool {
        let (responses, share) = (f64::from(interval.responses()), self.tolerated);
        let deviation = (responses * share * (1.0 - share)).sqrt();
        let is_known = self.rate().is_some() || interval.responses() >= SAMPLE;
        is_known && f64::from(interval.refused) > responses * share + DEVIATIONS * deviation
    }

    fn lower(&mut self, interval: &Interval, now: Instant) {
        let share = interval.share();
        let base = self.rate().unwrap_or_else(|| interval.sent_rate());
        let limit = self.limit(base);
        let is_rough = interval.responses() < SAMPLE || interval.accepted == 0;
        let accepted = if is_rough { (1.0 - share).max(LARGEST_STEP) } else { 1.0 - share };
        let kept = if interval.is_paused { accepted.min(STEP_AT_PAUSE) } else { accepted };
        let rate = (base * kept * MARGIN).max(LEAST_RATE.min(limit));
        // Refusals without exception say that the host is out of order, and nothing of the rate that it takes.
        let former = self.lowered.filter(|_| interval.accepted == 0);
        let threshold = former.map_or(base / 2.0, |lowered| lowered.threshold);
        let peak = self.lowered.map_or(base, |lowered| lowered.peak);
        let before = self.lowered;
        self.trial = Some(Trial { before_share: share, before, responses: 0, refused: 0 });
        self.lowered = Some(Lowered { rate, threshold, peak, limit, since: now });
    }

    /// Where a lowered rate ends.
    fn limit(&self, measured: f64) -> f64 {
        let limit = self.lowered.map(|lowered| lowered.limit).or(self.configured);
        limit.unwrap_or_else(|| (measured * FREE_AGAIN).max(LEAST_LIMIT))
    }

    fn grow(&mut self, elapsed: Duration, now: Instant) {
        let Some(lowered) = &mut self.lowered else { return };
        if lowered.rate < lowered.threshold {
            lowered.rate = (lowered.rate * 2.0).min(lowered.threshold);
        } else {
            let held = now.saturating_duration_since(lowered.since).as_secs_f64();
            lowered.rate *= 1.0 + GROWTH * held * elapsed.as_secs_f64();
        }
        if lowered.rate >= lowered.limit {
            self.lowered = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    /// Seconds of simulated requests at a rate, or at `offered` where there is none.
    struct Simulation {
        rate: AdaptiveRate,
        now: Instant,
        offered: f64,
        sent: u32,
    }

    impl Simulation {
        fn new(configured: Option<f64>, offered: f64) -> Self {
            let now = Instant::now();
            Self { rate: AdaptiveRate::new(configured, now), now, offered, sent: 0 }
        }

        /// Requests for so long, each refused if `is_refused` says so of its number and time.
        fn run(&mut self, seconds: f64, mut is_refused: impl FnMut(u32, Instant) -> bool) -> f64 {
            let end = self.now + Duration::from_secs_f64(seconds);
            let (mut sent, mut refused) = (0, 0);
            while self.now < end {
                let rate = self.rate.rate().unwrap_or(f64::MAX).min(self.offered);
                self.now += Duration::from_secs_f64(1.0 / rate);
                self.rate.sent(self.now);
                self.sent += 1;
                sent += 1;
                let is_refused = is_refused(self.sent, self.now);
                refused += u32::from(is_refused);
                let throttled = Response::Throttled { retry_after: None };
                let response = if is_refused { throttled } else { Response::Accepted };
                self.rate.received(self.now, response, self.now);
            }
            f64::from(refused) / f64::from(sent)
        }
    }

    /// A server that takes so many requests a second, and no more than that in one go.
    fn bucket(capacity: f64) -> impl FnMut(u32, Instant) -> bool {
        let mut state: Option<(f64, Instant)> = None;
        move |_, now| {
            let (tokens, last) = state.unwrap_or((capacity, now));
            let tokens = (tokens + (now - last).as_secs_f64() * capacity).min(capacity);
            state = Some((if tokens >= 1.0 { tokens - 1.0 } else { tokens }, now));
            tokens < 1.0
        }
    }

    fn at_random(percent: u32) -> impl FnMut(u32, Instant) -> bool {
        let mut chance = fastrand::Rng::with_seed(1);
        move |_, _| chance.u32(0..100) < percent
    }

    #[test]
    fn a_limit_is_found_and_kept_to() {
        for capacity in [5.0, 50.0, 500.0] {
            for configured in [None, Some(2.0 * capacity)] {
                let mut simulation = Simulation::new(configured, 40.0 * capacity);
                let mut server = bucket(capacity);
                simulation.run(5.0, &mut server);
                let (before, refused) = (simulation.sent, simulation.run(60.0, &mut server));
                let rate = f64::from(simulation.sent - before) / 60.0;
                let case = format!("{capacity} of {configured:?}: {rate}, {refused} refused");
                assert!((0.85..=1.05).contains(&(rate / capacity)), "{case}");
                assert!(refused < 0.04, "{case}");
            }
        }
    }

    #[test]
    fn random_refusals_leave_the_rate_where_it_was() {
        for percent in [1, 3, 10, 20] {
            for configured in [None, Some(300.0)] {
                let mut simulation = Simulation::new(configured, 1000.0);
                let mut server = at_random(percent);
                simulation.run(5.0, &mut server);
                let before = simulation.sent;
                simulation.run(20.0, &mut server);
                let rate = f64::from(simulation.sent - before) / 20.0;
                let usual = configured.unwrap_or(1000.0);
                assert!(rate > 0.6 * usual, "{percent} % of {configured:?}: {rate} a second");
            }
        }
    }

    #[test]
    fn after_an_outage_the_rate_is_back_within_seconds() {
        let mut simulation = Simulation::new(None, 1000.0);
        simulation.run(5.0, |_, _| false);
        simulation.run(2.0, |_, _| true);
        simulation.run(10.0, |_, _| false);
        let rate = simulation.rate.rate().unwrap_or(1000.0);
        assert!(rate >= 500.0, "{rate} a second");
        simulation.run(30.0, |_, _| false);
        assert_eq!(simulation.rate.rate(), None);
    }

    #[test]
    fn the_first_rate_is_that_of_the_time_really_elapsed() {
        let mut simulation = Simulation::new(None, 2000.0);
        let refused = |number, _| number == 50;
        simulation.run(0.12, refused);
        let rate = simulation.rate.rate().expect("a rate");
        assert!((1700.0..2000.0).contains(&rate), "{rate} a second after a tenth of one");
    }

    #[test]
    fn responses_to_what_was_under_way_count_once() {
        let mut simulation = Simulation::new(Some(200.0), 200.0);
        let begin = simulation.now;
        simulation.run(0.12, |_, _| true);
        let rate = simulation.rate.rate().expect("a rate");
        let throttled = Response::Throttled { retry_after: None };
        for _ in 0..100 {
            simulation.rate.received(begin, throttled, simulation.now);
        }
        simulation.rate.advance(simulation.now + SHORTEST);
        assert_eq!(simulation.rate.rate(), Some(rate));
    }

    #[test]
    fn after_a_pause_requests_come_slowly_and_soon_at_the_rate_before() {
        let begin = Instant::now();
        for (case, accepted, rate) in
            [("nothing was known", 0, 10.0), ("a burst was accepted", 300, 60.0)]
        {
            let mut adaptive = AdaptiveRate::new(None, begin);
            for _ in 0..accepted {
                adaptive.sent(begin);
                adaptive.received(begin, Response::Accepted, begin);
            }
            adaptive.pause(begin + PAUSE, begin);
            assert_eq!(adaptive.rate(), Some(rate), "{case}");
            adaptive.advance(begin + PAUSE);
            assert_eq!(adaptive.rate(), Some(rate), "{case}: nothing comes back in the pause");
            adaptive.advance(begin + PAUSE + 2 * LONGEST);
            assert_eq!(adaptive.rate(), Some(4.0 * rate), "{case}");
        }
    }
}
