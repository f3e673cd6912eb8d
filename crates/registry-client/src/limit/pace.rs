//! When the next request may be sent to a host, by its rates and its back-off. A function of the given times.
//!
//! A rate is kept as the time at which the next request is due (the "generic cell rate algorithm" of
//! ITU-T I.371): a rate that changes then takes effect with the next request.
//!
//! Not here: how 429s change a rate (`adaptive`); the waiting (`turns`).

use std::time::Duration;

use tokio::time::Instant;

use super::{
    BURST, LONGEST_WAIT, Quota, RequestKind,
    adaptive::AdaptiveRate,
    pause::{Former, Pause, PauseCause},
    rate_signal::RateSignal,
    seconds, usable,
};

/// The pace of a host.
#[derive(Debug)]
pub(super) struct Pace {
    /// The rate of all requests, as configured.
    rate: Option<f64>,
    /// When the next request is due by that rate.
    due: Instant,
    /// Until when no request is sent to the host.
    back_off: Instant,
    /// The present back-off, and its cause.
    pause: Option<Pause>,
    /// The one before.
    former: Former,
    lanes: [KindPace; 2],
}

/// The pace of one kind at a host.
#[derive(Debug)]
struct KindPace {
    rate: AdaptiveRate,
    /// When the next request is due by the present rate.
    due: Instant,
}

impl Pace {
    pub(super) fn new(quota: &Quota, now: Instant) -> Self {
        let lane = |kind| {
            let rate = AdaptiveRate::new(usable(quota.of_kind(kind)), now);
            KindPace { rate, due: now }
        };
        let rate = usable(quota.requests_per_second);
        let former = Former::none(now);
        Self {
            rate,
            due: now,
            back_off: now,
            pause: None,
            former,
            lanes: RequestKind::ALL.map(lane),
        }
    }

    /// Takes a turn, if there is neither a rate nor a back-off.
    pub(super) fn take_if_free(&mut self, kind: RequestKind, now: Instant) -> bool {
        let is_free =
            self.rate.is_none() && self.lane(kind, now).rate().is_none() && self.back_off <= now;
        is_free && self.take(kind, now, now)
    }

    /// When the kind's rate allows the next request.
    pub(super) fn kind_allows(&mut self, kind: RequestKind, now: Instant) -> Instant {
        let lane = self.lane(kind, now);
        allowed(lane.due, lane.rate(), now)
    }

    /// When the host as a whole allows the next request.
    pub(super) fn host_allows(&self, now: Instant) -> Instant {
        allowed(self.due, self.rate, now).max(self.back_off)
    }

    /// Takes a turn, if there is one now. The kind allowed it from `ready` on, so that a later wait for the host does not
    /// count against the kind's rate.
    pub(super) fn take(&mut self, kind: RequestKind, ready: Instant, now: Instant) -> bool {
        if self.kind_allows(kind, now).max(self.host_allows(now)) > now {
            return false;
        }
        let lane = self.lane(kind, now);
        lane.due = after(lane.due, lane.rate(), ready);
        lane.rate.sent(now);
        self.due = after(self.due, self.rate, now);
        true
    }

    /// A request that had its turn at `sent` got a response. Nothing is sent before the end of a `Retry-After`.
    pub(super) fn received(
        &mut self,
        kind: RequestKind,
        sent: Instant,
        response: RateSignal,
        now: Instant,
    ) {
        self.end_pause(now);
        if let Some(pause) = &mut self.pause {
            pause.received(sent, response);
        }
        if let RateSignal::Throttled { retry_after: Some(wait) } = response {
            if self.pause.is_none() {
                self.pause = Some(Pause::new(kind, sent, now, self.former));
                self.lanes.iter_mut().for_each(|lane| lane.rate.pause(now));
            }
            self.back_off = self.back_off.max(now + wait.min(seconds(LONGEST_WAIT)));
        }
        self.lanes[kind.index()].rate.received(sent, response, now);
    }

    /// Ends a pause that is over. The requests that waited for it must not be sent all at once, so the other kind gets a
    /// rate for a while too, unless throttling is random.
    fn end_pause(&mut self, now: Instant) {
        let end = self.back_off;
        let Some(pause) = self.pause.take_if(|_| end <= now) else { return };
        let is_tolerated = self.lanes[pause.kind.index()].rate.tolerates();
        self.former = pause.former(end);
        let reason = if is_tolerated { PauseCause::Random } else { pause.reason() };
        let accepted = self.lanes.iter().map(|lane| lane.rate.accepted(end)).sum();
        for lane in &mut self.lanes {
            lane.rate.resume(pause.begin..end, reason, accepted);
            lane.due = nothing_saved(lane.due, lane.rate(), end);
        }
        self.due = nothing_saved(self.due, self.rate, end);
    }

    /// The requests a second of a kind, if it has a rate.
    pub(super) fn rate(&mut self, kind: RequestKind, now: Instant) -> Option<f64> {
        let (host, kind) = (self.rate, self.lane(kind, now).rate());
        host.into_iter().chain(kind).min_by(f64::total_cmp)
    }

    /// Until when no request is sent.
    pub(super) fn back_off(&self) -> Instant {
        self.back_off
    }

    fn lane(&mut self, kind: RequestKind, now: Instant) -> &mut KindPace {
        self.end_pause(now);
        let lane = &mut self.lanes[kind.index()];
        lane.rate.advance(now);
        lane
    }
}

impl KindPace {
    fn rate(&self) -> Option<f64> {
        self.rate.rate()
    }
}

/// How much earlier than due a request may be sent: this allows bursts.
fn leeway(rate: f64) -> Duration {
    seconds((BURST - 1.0 / rate).max(0.0))
}

/// When a request that is due at `due` may be sent. A rate that has risen since makes it due earlier.
fn allowed(due: Instant, rate: Option<f64>, now: Instant) -> Instant {
    let Some(rate) = rate else { return now };
    due.checked_sub(leeway(rate)).unwrap_or(due)
}

/// When the request after one that may be sent `now` is due.
fn after(due: Instant, rate: Option<f64>, now: Instant) -> Instant {
    rate.map_or(now, |rate| due.max(now) + seconds(1.0 / rate))
}

/// The due time of a request that may be sent at `from`, without a burst.
fn nothing_saved(due: Instant, rate: Option<f64>, from: Instant) -> Instant {
    rate.map_or(due, |rate| due.max(from + leeway(rate)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(begin: Instant, seconds: f64) -> Instant {
        begin + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_back_off_is_never_shortened_and_holds_up_both_kinds() {
        let begin = Instant::now();
        let mut pace = Pace::new(&Quota::default(), begin);
        for _ in 0..600 {
            assert!(pace.take(RequestKind::Read, begin, begin));
            pace.received(RequestKind::Read, begin, RateSignal::Accepted, begin);
        }
        let mut throttle = |wait: u32| {
            let throttled = RateSignal::Throttled { retry_after: Some(wait * SECOND) };
            pace.received(RequestKind::Read, begin, throttled, begin);
        };
        throttle(60);
        throttle(10);
        assert_eq!(pace.host_allows(begin), at(begin, 60.0));
        assert!(!pace.take(RequestKind::Read, begin, at(begin, 59.9)));
        assert!(
            pace.rate(RequestKind::Write, at(begin, 60.0)).is_some(),
            "writes come at a rate too"
        );
        let mut taken = |ms: u32| {
            let now = at(begin, 60.0 + f64::from(ms) / 1000.0);
            pace.take(RequestKind::Read, now, now)
        };
        let taken = (0..1000).filter(|&ms| taken(ms)).count();
        assert_eq!(taken, 10, "as many a second as were accepted until then");

        let mut pace = Pace::new(&Quota::default(), begin);
        let throttled = RateSignal::Throttled { retry_after: Some(Duration::MAX) };
        pace.received(RequestKind::Read, begin, throttled, begin);
        assert_eq!(pace.host_allows(begin), at(begin, LONGEST_WAIT));
    }

    #[test]
    fn a_late_429_delays_the_host_and_does_not_lower_its_rate_again() {
        let begin = Instant::now();
        let mut pace = Pace::new(&Quota::default(), begin);
        let throttled = RateSignal::Throttled { retry_after: Some(SECOND) };
        (0..20).for_each(|_| assert!(pace.take(RequestKind::Read, begin, begin)));
        for _ in 0..18 {
            pace.received(RequestKind::Read, begin, RateSignal::Accepted, begin);
        }
        pace.received(RequestKind::Read, begin, throttled, begin);
        let rate = pace.rate(RequestKind::Read, at(begin, 1.0));
        assert!(rate.is_some(), "the reason of the pause is not known");
        pace.received(RequestKind::Read, begin, throttled, at(begin, 1.05));
        assert_eq!(pace.host_allows(begin), at(begin, 2.05));
        let later = pace.rate(RequestKind::Read, at(begin, 2.05));
        assert!(later.is_none() || later >= rate, "{later:?} instead of {rate:?}");
    }
}
