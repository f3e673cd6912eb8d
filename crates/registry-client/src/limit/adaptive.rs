//! The rate of requests, adapted to a registry's 429 responses. Pure: times and responses are passed in.
//!
//! Requests are counted in intervals. If requests of an interval are throttled, the rate is lowered once, to the accepted
//! rate. If just as many are throttled afterwards, throttling does not depend on the rate: a proxy or a balancer
//! throttles requests at random. The rate is then restored, and that share of throttled requests is tolerated. A lowered
//! rate doubles with each interval up to half of the rate before ("slow start" of RFC 5681 §3.1), and then grows faster
//! the longer nothing is throttled (as in RFC 9438).
//!
//! The time of a pause (`Retry-After`) does not count. The cause of a pause decides how it ends: if throttling is random,
//! nothing changes; otherwise the rate restarts at the rate accepted up to the end of the pause, or is lowered.
//!
//! Not here: when the next request is due by the rate (`pace`); the reason of a pause (`pause`); what an interval counts (`interval`); whether a decrease
//! helped (`trial`).

use std::{ops::Range, time::Duration};

use tokio::time::Instant;

use super::{
    interval::{Interval, SHORTEST},
    lowered::Lowered,
    pause::PauseCause,
    rate_signal::RateSignal,
    trial::{MOST_TOLERATED, Tally, Trial, TrialResult},
};

/// The longest interval: older responses say nothing about the present rate.
const LONGEST: Duration = Duration::from_secs(1);
/// The number of responses that an interval needs before it ends early, or sets a rate where there was none. With fewer,
/// the share of throttled requests is not known well enough.
const SAMPLE: u32 = 20;
/// How many responses the usual share of throttled requests is computed from: some intervals at a high rate, and a minute
/// at a low one.
const MEMORY: u32 = 4000;
/// How far the throttled requests of an interval may exceed the tolerated share, in standard deviations.
const DEVIATIONS: f64 = 3.0;
/// The lowered rate as a share of the accepted rate: it leaves room for the retries that are due.
const MARGIN: f64 = 0.95;
/// How many times throttling at an unlimited rate is suspected to be random, so that the decrease soon ends by itself.
const MOST_SUSPECTED: u32 = 3;
/// After this time without a decrease the count of suspicions is reset.
const SUSPECTED_FOR: Duration = Duration::from_secs(60);
/// The smallest share of the rate that remains after an interval with few responses or with throttled requests only; and
/// the largest after a pause that has shown that there were too many requests.
const LARGEST_STEP: f64 = 0.5;
/// The largest share of the rate that remains after an interval that a `Retry-After` interrupted: the share of throttled
/// requests by then is smaller than the excess.
const STEP_AT_PAUSE: f64 = 0.75;
/// The lowest rate that 429s lead to, in requests a second. At a lower one it would take too long until the next response
/// shows whether the host works again. A lower configured rate stays.
const LEAST_RATE: f64 = 1.0;
/// After a pause, the rate doubles once in this fraction of the pause's length: the longer the pauses of a host, the
/// slower its rate grows.
const STEPS: u32 = 5;
/// The first rate after a `Retry-After`, if no better one is known, in requests a second.
const FIRST_RATE: f64 = 10.0;
/// At this multiple of the measured rate the limit ends.
const FREE_AGAIN: f64 = 2.0;
/// No limit ends below this rate, in requests a second: every host accepts it.
const LEAST_LIMIT: f64 = 100.0;
/// The growth of a rate in a second, as a share of it, for each second since it was lowered: by a tenth in eight seconds,
/// twofold in 21, tenfold in 39.
const GROWTH: f64 = 0.003;

/// The rate of one kind of requests at a host.
#[derive(Debug)]
pub(super) struct AdaptiveRate {
    configured: Option<f64>,
    lowered: Option<Lowered>,
    /// The share of throttled requests that does not depend on the rate.
    tolerated: f64,
    /// The usual share of throttled requests, since the last decrease that helped.
    usual: Tally,
    /// The last decrease, until it is known whether it helped.
    trial: Option<Trial>,
    /// Requests a second in the interval before, if there were enough of them.
    measured: Option<f64>,
    /// Whether the last response took longer than the longest interval.
    is_slow: bool,
    /// When the rate was lowered last.
    decreased: Option<Instant>,
    /// When a lowered rate was last restored.
    restored: Option<Instant>,
    /// How many times throttling was suspected to be random.
    suspected: u32,
    /// Whether requests pause for a `Retry-After`. That time does not count.
    is_paused: bool,
    interval: Interval,
}

impl AdaptiveRate {
    /// Begins with the configured rate, or without a limit.
    pub(super) const fn new(configured: Option<f64>, now: Instant) -> Self {
        let interval = Interval::new(now);
        Self {
            configured,
            lowered: None,
            tolerated: 0.0,
            usual: Tally { responses: 0, throttled: 0 },
            trial: None,
            measured: None,
            is_slow: false,
            decreased: None,
            restored: None,
            suspected: 0,
            is_paused: false,
            interval,
        }
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

    /// Counts the response to a request that was sent at `sent`. Of requests from earlier intervals only slow ones count,
    /// since a host may be slower than an interval. Requests from before the last decrease never count: that decrease is
    /// for all that were in flight.
    pub(super) fn received(&mut self, sent: Instant, response: RateSignal, now: Instant) {
        self.advance(now);
        self.is_slow = now.saturating_duration_since(sent) >= LONGEST;
        let is_counted_already = self.decreased.is_some_and(|decreased| sent < decreased);
        if sent < self.interval.begin && (is_counted_already || !self.is_slow) {
            return;
        }
        match response {
            RateSignal::Accepted => self.interval.accepted += 1,
            RateSignal::Throttled { .. } => self.interval.throttled += 1,
        }
    }

    /// Begins a pause, until `resume`. Responses to requests in flight still count.
    pub(super) fn pause(&mut self, now: Instant) {
        self.advance(now);
        self.is_paused = true;
        self.interval.before_pause = self.interval.throttled;
    }

    /// The accepted requests a second, up to `end`, the end of a pause.
    pub(super) fn accepted(&self, end: Instant) -> f64 {
        let elapsed = end.saturating_duration_since(self.interval.begin).max(SHORTEST);
        f64::from(self.interval.accepted) / elapsed.as_secs_f64()
    }

    /// Ends a pause. The host has accepted `accepted` requests a second, of both kinds.
    pub(super) fn resume(&mut self, pause: Range<Instant>, reason: PauseCause, accepted: f64) {
        self.is_paused = false;
        let (end, paused) = (pause.end, pause.end.saturating_duration_since(pause.start));
        let throttled = self.interval.throttled - self.interval.before_pause;
        let is_restart = self.lowered.is_some_and(|lowered| lowered.is_restart);
        match (reason, self.lowered) {
            (PauseCause::Random, Some(_)) if is_restart => {
                self.lowered = None;
                self.trial = None;
            }
            (PauseCause::Random, _) => self.delay_growth(paused),
            (PauseCause::Unknown, None) if self.tolerated > 0.0 => {}
            (PauseCause::Exceeded, None) => return self.restart(end, accepted, LONGEST),
            (PauseCause::Exceeded, Some(_)) if throttled > 0 => {
                let mut interval = std::mem::replace(&mut self.interval, Interval::new(end));
                interval.most_kept = LARGEST_STEP;
                return self.lower(&interval, end);
            }
            (_, lowered) => {
                self.interval.repeated += throttled.saturating_sub(1);
                if lowered.is_none() || (is_restart && !self.is_mostly_throttled()) {
                    let step = (paused / STEPS).clamp(SHORTEST, LONGEST);
                    return self.restart(end, accepted, step);
                }
                self.delay_growth(paused);
                if throttled > 0 {
                    self.interval.most_kept = STEP_AT_PAUSE;
                }
            }
        }
        self.interval.skip(paused);
    }

    /// The time of a pause does not count.
    fn delay_growth(&mut self, paused: Duration) {
        if let Some(lowered) = &mut self.lowered {
            lowered.since += paused;
        }
    }

    /// Restarts at the accepted rate after a pause, so that the waiting requests are not sent all at once.
    fn restart(&mut self, end: Instant, accepted: f64, step: Duration) {
        let interval = std::mem::replace(&mut self.interval, Interval::new(end));
        let is_sampled = interval.responses() >= SAMPLE;
        let measured = is_sampled.then(|| interval.sent_rate()).or(self.measured);
        if let Some(trial) = &mut self.trial {
            trial.since = trial.since.with(interval.tally_of_causes());
            if self.judge(end) == TrialResult::Same {
                return;
            }
        } else if interval.share() <= MOST_TOLERATED {
            self.usual = self.usual.with(interval.tally()).bounded(MEMORY);
            let before_share = self.usual.share();
            let trial = Trial { before_share, before: None, since: Tally::default() };
            self.trial = Some(trial).filter(|_| before_share > 0.0);
        }
        let limit = self.limit(measured.unwrap_or_default());
        let rate = accepted.max(FIRST_RATE).min(limit);
        let known = measured.filter(|_| step == LONGEST);
        let threshold = known.map_or(limit, |measured| measured / 2.0);
        self.decreased = Some(end);
        self.lowered = Some(Lowered { rate, threshold, limit, since: end, is_restart: true, step });
    }

    /// Whether more requests were throttled since the decrease than the largest tolerated share and one more.
    fn is_mostly_throttled(&self) -> bool {
        let since = self.trial.map_or_else(Tally::default, |trial| trial.since);
        let tally = since.with(self.interval.tally_of_causes());
        f64::from(tally.throttled) > 1.0 + MOST_TOLERATED * f64::from(tally.responses)
    }

    /// Whether recent throttling is known to be random.
    pub(super) fn tolerates(&self) -> bool {
        self.tolerated > 0.0 && !self.is_too_much(&self.interval)
    }

    /// Ends the interval, if it is over.
    pub(super) fn advance(&mut self, now: Instant) {
        while self.interval.begin < now && !self.is_paused {
            let age = now.saturating_duration_since(self.interval.begin);
            let is_sampled = self.interval.responses() >= SAMPLE;
            let longest = self.lowered.map_or(LONGEST, |lowered| lowered.step);
            let is_over =
                age >= longest || (is_sampled && (age >= SHORTEST || self.is_exhausted_by_burst()));
            if !is_over {
                return;
            }
            // A growing rate grows in idle time too, interval by interval.
            let is_growing = self.lowered.is_some() && self.interval.throttled == 0;
            let end = if is_growing { self.interval.begin + age.min(longest) } else { now };
            self.end_interval(end);
        }
    }

    /// Whether an unlimited burst was too large. The rate must be lowered before its retries are sent.
    fn is_exhausted_by_burst(&self) -> bool {
        let is_burst = self.rate().is_none() && self.interval.accepted >= SAMPLE;
        is_burst && self.interval.share() > MOST_TOLERATED
    }

    fn end_interval(&mut self, end: Instant) {
        let interval = std::mem::replace(&mut self.interval, Interval::new(end));
        // The rate of a short interval may be too low, since requests had only begun.
        let is_short = end.saturating_duration_since(interval.begin) < SHORTEST;
        let former = self.measured.filter(|_| is_short).unwrap_or_default();
        let is_sampled = interval.responses() >= SAMPLE;
        self.measured = is_sampled.then(|| interval.sent_rate().max(former));
        // A slow host that has not responded yet says nothing about the rate.
        let is_lowered_by_throttling = self.lowered.is_some_and(|lowered| !lowered.is_restart);
        if self.is_slow
            && interval.responses() == 0
            && interval.sent > 0
            && is_lowered_by_throttling
        {
            return;
        }
        if interval.share() > MOST_TOLERATED || interval.responses() == 0 {
            self.trial = None;
        } else if let Some(trial) = &mut self.trial {
            trial.since = trial.since.with(interval.tally_of_causes());
            let is_restart = self.lowered.is_some_and(|lowered| lowered.is_restart);
            let grows = is_restart && interval.throttled == 0;
            match self.judge(end) {
                TrialResult::Helped => {}
                TrialResult::Open if grows => {}
                TrialResult::Open | TrialResult::Same => return,
            }
        } else {
            self.usual = self.usual.with(interval.tally()).bounded(MEMORY);
        }
        if self.is_too_much(&interval) {
            self.lower(&interval, end);
        } else {
            self.grow(end.saturating_duration_since(interval.begin), end);
        }
    }

    /// Whether a decrease helped. If it did not, the rate is restored, and doubles until there is no limit.
    fn judge(&mut self, now: Instant) -> TrialResult {
        let Some(trial) = self.trial else { return TrialResult::Open };
        let result = trial.result();
        match result {
            // A decrease from an unlimited rate must not last.
            TrialResult::Open if self.is_passing(&trial, now) => {
                self.trial = None;
                return TrialResult::Helped;
            }
            TrialResult::Open => return result,
            TrialResult::Helped => {
                self.usual = Tally::default();
                self.tolerated = self.tolerated.min(trial.since.share());
            }
            TrialResult::Same => {
                self.suspected = 0;
                self.usual = self.usual.with(trial.since).bounded(MEMORY);
                self.tolerated = self.usual.share().min(MOST_TOLERATED);
                let restored =
                    |lowered: Lowered| Lowered { threshold: lowered.limit, since: now, ..lowered };
                self.lowered = trial.before.map(restored);
            }
        }
        self.trial = None;
        result
    }

    /// Whether a decrease from an unlimited rate is over.
    fn is_passing(&self, trial: &Trial, now: Instant) -> bool {
        let is_old = |lowered: Lowered| now.saturating_duration_since(lowered.since) >= LONGEST;
        let is_passing = |lowered: Lowered| !lowered.is_restart && is_old(lowered);
        let was_free = trial.before.is_none() && self.configured.is_none();
        was_free && self.lowered.is_some_and(is_passing)
    }

    fn is_too_much(&self, interval: &Interval) -> bool {
        let (responses, share) = (f64::from(interval.responses()), self.tolerated);
        let deviation = (responses * share * (1.0 - share)).sqrt();
        let is_known = self.rate().is_some() || interval.responses() >= SAMPLE;
        is_known && f64::from(interval.throttled) > responses * share + DEVIATIONS * deviation
    }

    fn lower(&mut self, interval: &Interval, now: Instant) {
        let share = interval.share();
        let base = self.rate().or(self.measured).unwrap_or_else(|| interval.sent_rate());
        let limit = self.limit(base);
        let is_rough = interval.responses() < SAMPLE || interval.accepted == 0;
        let is_burst = self.rate().is_none() && share > MOST_TOLERATED;
        let accepted = if is_rough {
            (1.0 - share).max(LARGEST_STEP)
        } else if is_burst {
            interval.accepted_of_sent()
        } else {
            1.0 - share
        };
        let rate = (base * accepted.min(interval.most_kept) * MARGIN).max(LEAST_RATE.min(limit));
        // If all requests are throttled, the host is out of order: that says nothing about the rate that it accepts.
        let former = self.lowered.filter(|_| interval.accepted == 0);
        let own = if self.is_suspected_random(share, now) { limit } else { base / 2.0 };
        let threshold = former.map_or(own, |lowered| lowered.threshold);
        let before = self.lowered;
        let is_known = self.usual.throttled > 0 && share <= MOST_TOLERATED;
        let before_share = if is_known { self.usual.share() } else { share };
        self.trial = Some(Trial { before_share, before, since: Tally::default() });
        self.decreased = Some(now);
        self.lowered =
            Some(Lowered { rate, threshold, limit, since: now, is_restart: false, step: LONGEST });
    }

    /// Whether a few throttled requests, after a long time without any, may be random. Then the rate soon recovers. This is
    /// assumed a few times only.
    fn is_suspected_random(&mut self, share: f64, now: Instant) -> bool {
        let is_old = |at| now.saturating_duration_since(at) >= SUSPECTED_FOR;
        if self.restored.is_some_and(is_old) {
            self.suspected = 0;
        }
        let is_suspected_random =
            share <= MOST_TOLERATED && self.lowered.is_none() && self.suspected < MOST_SUSPECTED;
        self.suspected += u32::from(is_suspected_random);
        is_suspected_random
    }

    /// The rate at which a lowered rate ends.
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
            self.restored = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    /// Simulated requests at the adaptive rate, and at `offered` at most.
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

        /// Simulates this many seconds. `is_throttled` decides each request by its number and time.
        fn run(&mut self, seconds: f64, mut is_throttled: impl FnMut(u32, Instant) -> bool) -> f64 {
            let end = self.now + Duration::from_secs_f64(seconds);
            let (mut sent, mut throttled) = (0, 0);
            while self.now < end {
                let rate = self.rate.rate().unwrap_or(f64::MAX).min(self.offered);
                self.now += Duration::from_secs_f64(1.0 / rate);
                self.rate.sent(self.now);
                self.sent += 1;
                sent += 1;
                let is_throttled = is_throttled(self.sent, self.now);
                throttled += u32::from(is_throttled);
                let throttled = RateSignal::Throttled { retry_after: None };
                let response = if is_throttled { throttled } else { RateSignal::Accepted };
                self.rate.received(self.now, response, self.now);
            }
            f64::from(throttled) / f64::from(sent)
        }
    }

    /// A server that accepts this many requests a second, and bursts of as many.
    fn bucket(capacity: f64) -> impl FnMut(u32, Instant) -> bool {
        let mut state: Option<(f64, Instant)> = None;
        move |_, now| {
            let (tokens, last) = state.unwrap_or((capacity, now));
            let tokens = (tokens + (now - last).as_secs_f64() * capacity).min(capacity);
            state = Some((if tokens >= 1.0 { tokens - 1.0 } else { tokens }, now));
            tokens < 1.0
        }
    }

    fn at_random(percent: u32, seed: u64) -> impl FnMut(u32, Instant) -> bool {
        let mut chance = fastrand::Rng::with_seed(seed);
        move |_, _| chance.u32(0..100) < percent
    }

    #[test]
    fn a_limit_is_found_and_kept_to() {
        for capacity in [5.0, 50.0, 500.0] {
            for configured in [None, Some(2.0 * capacity)] {
                let mut simulation = Simulation::new(configured, 40.0 * capacity);
                let mut server = bucket(capacity);
                simulation.run(5.0, &mut server);
                let (before, throttled) = (simulation.sent, simulation.run(60.0, &mut server));
                let rate = f64::from(simulation.sent - before) / 60.0;
                let case = format!("{capacity} of {configured:?}: {rate}, {throttled} throttled");
                assert!((0.85..=1.05).contains(&(rate / capacity)), "{case}");
                assert!(throttled < 0.04, "{case}");
            }
        }
    }

    #[test]
    fn random_throttling_leaves_the_rate_unchanged() {
        for (percent, seed) in
            [1, 3, 10].into_iter().flat_map(|it| (0..20).map(move |seed| (it, seed)))
        {
            for (configured, offered) in [(None, 1000.0), (None, 100.0), (Some(300.0), 1000.0)] {
                let mut simulation = Simulation::new(configured, offered);
                let mut server = at_random(percent, seed);
                // A second in which there is little to send comes first.
                simulation.offered = offered / 5.0;
                simulation.run(1.0, &mut server);
                simulation.offered = offered;
                let before = simulation.sent;
                simulation.run(10.0, &mut server);
                let rate = f64::from(simulation.sent - before) / 10.0;
                let usual = configured.unwrap_or(offered);
                let case = format!("{percent} % of {configured:?}, {offered}, seed {seed}");
                // Half a second may be lost for each decrease until throttling is known to be random.
                assert!(rate > usual / 2.0, "{case}: {rate} a second");
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
        let throttled = |number, _| number == 50;
        simulation.run(0.12, throttled);
        let rate = simulation.rate.rate().expect("a rate");
        assert!((1700.0..2000.0).contains(&rate), "{rate} a second after a tenth of one");
    }

    #[test]
    fn late_throttling_lowers_the_rate() {
        let begin = Instant::now();
        let (step, latency) = (Duration::from_millis(10), Duration::from_secs(2));
        let mut adaptive = AdaptiveRate::new(Some(100.0), begin);
        for number in 0..1500 {
            let now = begin + step * number;
            adaptive.sent(now);
            if let Some(sent) = now.checked_sub(latency).filter(|sent| *sent >= begin) {
                adaptive.received(sent, RateSignal::Throttled { retry_after: None }, now);
            }
        }
        let rate = adaptive.rate().expect("a rate");
        assert!(rate < 5.0, "{rate} a second after 15 s");
    }

    #[test]
    fn responses_to_what_was_under_way_count_once() {
        let mut simulation = Simulation::new(Some(200.0), 200.0);
        let begin = simulation.now;
        simulation.run(0.12, |_, _| true);
        let rate = simulation.rate.rate().expect("a rate");
        let throttled = RateSignal::Throttled { retry_after: None };
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
                adaptive.received(begin, RateSignal::Accepted, begin);
            }
            adaptive.pause(begin);
            adaptive.advance(begin + PAUSE);
            let accepted = adaptive.accepted(begin + PAUSE);
            adaptive.resume(begin..begin + PAUSE, PauseCause::Unknown, accepted);
            adaptive.advance(begin + PAUSE);
            assert_eq!(adaptive.rate(), Some(rate), "{case}: nothing comes back in the pause");
            adaptive.advance(begin + PAUSE + 2 * LONGEST);
            assert_eq!(adaptive.rate(), Some(4.0 * rate), "{case}");
        }
    }
}
