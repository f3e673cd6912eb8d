//! The rate limits of all hosts, and what was sent to each: every request waits here for a permit and for its turn.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use http::StatusCode;
use http_client::RetryBudget;
use oci::Host;
use tokio::time::Instant;

use crate::Error;

use super::{
    Direction, HostWait, Permit, Quota, RateSignal, RequestKind, Usage,
    bytes::Bytes,
    semaphore::{HostIndex, Semaphore},
    turns::Turns,
    usage::UsageCounters,
    wait::Wait,
};

/// The quota of a host that was given none.
type QuotaOf = Box<dyn Fn(&Host) -> Quota + Send + Sync>;

/// The rate limits and the state of all hosts.
///
/// Hosts are distinguished by their authority as it is in the URL. A run uses few hosts,
/// so none is evicted.
pub(crate) struct RateLimiter {
    default: QuotaOf,
    given: HashMap<Host, Quota>,
    semaphore: Arc<Semaphore>,
    hosts: RwLock<HashMap<Box<str>, Arc<Account>>>,
}

/// All about one host.
struct Account {
    index: HostIndex,
    turns: Turns,
    bytes: Bytes,
    counters: UsageCounters,
    budget: RetryBudget,
    /// The last request whose failure may be temporary.
    last_failure: Mutex<Option<Error>>,
    wait: Wait,
}

impl RateLimiter {
    /// A limiter with the quotas of `given` hosts, and `default` for all others.
    pub(crate) fn new(
        default: impl Fn(&Host) -> Quota + Send + Sync + 'static,
        given: HashMap<Host, Quota>,
    ) -> Self {
        let (semaphore, hosts) = (Arc::default(), RwLock::default());
        Self { default: Box::new(default), given, semaphore, hosts }
    }

    /// Waits for a permit at a host.
    pub(crate) async fn permit(&self, host: &str) -> Permit {
        self.permit_at_all(&[host]).await
    }

    /// Waits for a permit at each of several hosts: all at once, or none. A task that has a permit must
    /// not wait for another one.
    pub(crate) async fn permit_at_all(&self, hosts: &[&str]) -> Permit {
        let indices = hosts.iter().map(|host| self.account(host).index).collect();
        self.semaphore.take(indices).await
    }

    /// Waits until the host's back-off is over and its rates allow one more request. Counts the request, and returns the
    /// time of its turn.
    pub(crate) async fn turn(&self, host: &str, kind: RequestKind) -> Instant {
        let account = self.account(host);
        let turn = account.turns.wait(kind).await;
        account.counters.sent_request(kind);
        turn
    }

    /// A request whose turn was at `sent` got a response. A 429 lowers the rate of its kind; and its
    /// `Retry-After` holds up all requests to the host.
    pub(crate) fn received(
        &self,
        host: &str,
        kind: RequestKind,
        sent: Instant,
        response: RateSignal,
    ) {
        let account = self.account(host);
        if matches!(response, RateSignal::Throttled { .. }) {
            account.counters.throttled();
        }
        account.turns.received(kind, sent, response);
    }

    /// Counts moved bytes of content, and waits if they exceed the limit.
    pub(crate) async fn bytes(&self, host: &str, direction: Direction, number: u64) {
        let account = self.account(host);
        account.counters.moved(direction, number);
        account.bytes.moved(number).await;
    }

    /// Counts a request that is no retry, which allows a share of a retry.
    pub(crate) fn count_request(&self, host: &str) {
        self.account(host).budget.count_request();
    }

    /// Whether one more request to the host may be retried after a failure. A throttled request does not
    /// need this.
    pub(crate) fn may_retry(&self, host: &str) -> bool {
        self.account(host).budget.may_retry()
    }

    /// The same for a retry by another request, such as the GET that confirms a HEAD.
    pub(crate) fn may_confirm(&self, host: &str) -> bool {
        self.account(host).budget.may_confirm()
    }

    /// Counts a retry, for whatever reason.
    pub(crate) fn retried(&self, host: &str) {
        self.account(host).counters.retried();
    }

    /// Keeps the last request of each host whose failure may be temporary.
    pub(crate) fn failed(&self, host: &str, failure: Error) {
        let account = self.account(host);
        let mut last = account.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(failure);
    }

    /// The last of those.
    pub(crate) fn last_failure(&self, host: &str) -> Option<Error> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        hosts.get(host)?.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that a host demanded a wait, by a response of that status. It is logged once, however many requests are
    /// throttled meanwhile.
    pub(crate) fn must_wait(&self, host: &str, status: StatusCode, wait: Duration) {
        let (account, now) = (self.account(host), Instant::now());
        if account.wait.begin(status, wait, now)
            && let Some(wait) = account.wait.remaining(host, now)
        {
            tracing::info!("{wait}");
        }
    }

    /// The hosts that demanded a wait, and the remaining time.
    pub(crate) fn waits(&self) -> Vec<HostWait> {
        let (hosts, now) =
            (self.hosts.read().unwrap_or_else(PoisonError::into_inner), Instant::now());
        let waits = hosts.iter().filter_map(|(host, account)| account.wait.remaining(host, now));
        let mut waits: Vec<_> = waits.collect();
        waits.sort_by(|one, other| one.host.cmp(&other.host));
        waits
    }

    /// The time that so many more requests take at the present rate, after the back-off; zero without a rate. Requests
    /// that wait already are not counted.
    pub(crate) fn estimate(&self, host: &str, kind: RequestKind, requests: u64) -> Duration {
        self.account(host).turns.estimate(kind, requests)
    }

    /// The least time that so many bytes take; zero without a limit.
    pub(crate) fn estimate_bytes(&self, host: &str, bytes: u64) -> Duration {
        self.account(host).bytes.estimate(bytes)
    }

    /// Requests and bytes, by host.
    pub(crate) fn usage(&self) -> Vec<Usage> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        let mut usage: Vec<_> =
            hosts.iter().map(|(host, account)| account.counters.read(host)).collect();
        usage.sort_by(|one, other| one.host.cmp(&other.host));
        usage
    }

    fn account(&self, host: &str) -> Arc<Account> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = hosts.get(host) {
            return Arc::clone(account);
        }
        drop(hosts);
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        // Another task may have added the host meanwhile.
        let account = hosts.entry(host.into()).or_insert_with(|| Arc::new(self.open(host)));
        Arc::clone(account)
    }

    fn open(&self, host: &str) -> Account {
        // A host that is not a valid registry host has no configured quota.
        let quota = host.parse().map_or_else(
            |_| Quota::default(),
            |host| self.given.get(&host).cloned().unwrap_or_else(|| (self.default)(&host)),
        );
        Account {
            index: self.semaphore.add(quota.requests_at_once),
            turns: Turns::new(&quota),
            bytes: Bytes::new(quota.bytes_per_second),
            counters: UsageCounters::default(),
            budget: RetryBudget::default(),
            last_failure: Mutex::default(),
            wait: Wait::default(),
        }
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RateLimiter")
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use futures_util::{FutureExt as _, future::join_all};
    use tokio::time::{sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limiter(quota: &Quota) -> RateLimiter {
        let quota = quota.clone();
        RateLimiter::new(move |_| quota.clone(), HashMap::new())
    }

    fn requests(per_second: f64) -> Quota {
        Quota { requests_per_second: Some(per_second), ..Quota::default() }
    }

    /// When, in seconds from now, each of `number` turns comes.
    async fn turns(limiter: &RateLimiter, kind: RequestKind, number: usize) -> Vec<f64> {
        let begin = Instant::now();
        join_all((0..number).map(|_| async move {
            limiter.turn("h", kind).await.duration_since(begin).as_secs_f64()
        }))
        .await
    }

    fn within(turns: &[f64], from: f64, until: f64) -> usize {
        turns.iter().filter(|&&at| from <= at && at < until).count()
    }

    fn elapsed(future: impl Future) -> impl Future<Output = f64> {
        let begin = Instant::now();
        future.map(move |_| begin.elapsed().as_secs_f64())
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_held() {
        for rate in [0.5, 1.0, 7.0, 10.0, 15.0, 80.0, 333.0, 900.0] {
            let expected = rate * 10.0;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let turns =
                turns(&limiter(&requests(rate)), RequestKind::Read, (rate * 25.0) as usize).await;
            let found = within(&turns, 5.0, 15.0) as f64;
            assert!((found - expected).abs() <= 1.0 + rate / 500.0, "{found} at {rate}/s");
            let burst = within(&turns, 0.0, 0.001) as f64;
            assert!(burst <= (rate / 10.0).max(1.0), "{burst} at once at {rate}/s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_no_request_waits() {
        let turns = turns(&limiter(&Quota::default()), RequestKind::Write, 10_000).await;
        assert_eq!(within(&turns, 0.0, 0.001), 10_000);
    }

    #[tokio::test(start_paused = true)]
    async fn both_rates_are_held_and_a_slow_kind_does_not_hold_up_the_other() {
        let limiter = &limiter(&Quota { writes_per_second: Some(2.0), ..requests(10.0) });
        let (reads, writes) = tokio::join!(
            turns(limiter, RequestKind::Read, 200),
            turns(limiter, RequestKind::Write, 50)
        );
        let (reads, writes) = (within(&reads, 1.0, 11.0), within(&writes, 1.0, 11.0));
        assert!((19..=21).contains(&writes), "{writes} writes in 10 s");
        assert!(
            (99..=101).contains(&(reads + writes)),
            "{reads} reads and {writes} writes in 10 s"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_come_has_the_first_turn_and_who_goes_takes_none() {
        let limiter = &limiter(&requests(5.0));
        let order = &Mutex::new(Vec::new());
        join_all((0..20_u64).map(|number| async move {
            let turn = limiter.turn("h", RequestKind::Read);
            // Every third one is gone before its turn.
            let patience = if number % 3 == 2 { SECOND / 100 } else { 100 * SECOND };
            if timeout(patience, turn).await.is_ok() {
                order.lock().expect("a lock").push(number);
            }
        }))
        .await;
        let stayed: Vec<_> = (0..20).filter(|number| number % 3 != 2).collect();
        assert_eq!(*order.lock().expect("a lock"), stayed);
        assert_eq!(limiter.usage()[0].reads, 14);
        assert!(
            elapsed(limiter.turn("h", RequestKind::Read)).await < 0.21,
            "the next has the next turn"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_holds_up_all_and_they_come_back_at_the_rate() {
        for quota in [Quota::default(), requests(1000.0)] {
            let limiter = &limiter(&quota);
            let waiting = async {
                // Some wait already, some come during the back-off, of both kinds.
                let (reads, later, writes) = tokio::join!(
                    turns(limiter, RequestKind::Read, 100),
                    async {
                        sleep(SECOND).await;
                        turns(limiter, RequestKind::Read, 100).await
                    },
                    turns(limiter, RequestKind::Write, 100),
                );
                (reads, later.into_iter().map(|at| at + 1.0).collect::<Vec<_>>(), writes)
            };
            let sent = join_all((0..100).map(|_| limiter.turn("h", RequestKind::Read))).await;
            for at in &sent[..98] {
                limiter.received("h", RequestKind::Read, *at, RateSignal::Accepted);
            }
            for wait in [5 * SECOND, SECOND] {
                let throttled = RateSignal::Throttled { retry_after: Some(wait) };
                limiter.received("h", RequestKind::Read, sent[99], throttled);
            }
            let (reads, later, writes) = waiting.await;
            for turns in [&reads, &later, &writes] {
                assert_eq!(within(turns, 0.0, 4.999), 0, "no request before");
            }
            // 98 in five seconds were accepted, so as many come, twice that in the next second, and so on.
            let reads = [reads, later].concat();
            let first = within(&reads, 0.0, 6.0);
            assert!((15..=45).contains(&first), "{first} reads in the first second");
            assert!(within(&writes, 0.0, 6.0) <= 45, "no burst of writes either");
            assert_eq!(within(&reads, 0.0, 9.0), 200);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_comes_back() {
        let limiter = limiter(&requests(100.0));
        for _ in 0..60 {
            let sent = limiter.turn("h", RequestKind::Read).await;
            limiter.received(
                "h",
                RequestKind::Read,
                sent,
                RateSignal::Throttled { retry_after: None },
            );
        }
        let slow = turns(&limiter, RequestKind::Read, 30).await;
        assert!(slow[29] > 0.5, "{slow:?}");
        sleep(60 * SECOND).await;
        let turns = turns(&limiter, RequestKind::Read, 1000).await;
        assert!((95..=105).contains(&within(&turns, 1.0, 2.0)));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_of_both_ways_together_are_held_to_their_rate() {
        let quota = Quota { bytes_per_second: Some(1 << 20), ..Quota::default() };
        let limiter = &limiter(&quota);
        let stream = |direction| async move {
            for _ in 0..100 {
                limiter.bytes("h", direction, 100 << 10).await;
            }
        };
        let took = elapsed(async {
            tokio::join!(stream(Direction::Received), stream(Direction::Sent));
        })
        .await;
        let expected = 200.0 * 100.0 / 1024.0;
        assert!((took - expected).abs() < 0.2, "{took} s, not {expected}");
        let usage = &limiter.usage()[0];
        assert_eq!((usage.bytes_received, usage.bytes_sent), (10_240_000, 10_240_000));

        let free = self::limiter(&Quota::default());
        assert!(elapsed(free.bytes("h", Direction::Sent, u64::MAX)).await < 0.001);
    }

    #[tokio::test(start_paused = true)]
    async fn an_estimate_knows_rates_and_back_off() {
        let limiter = limiter(&Quota { writes_per_second: Some(2.0), ..requests(10.0) });
        let estimate = |kind, number| limiter.estimate("h", kind, number).as_secs_f64();
        assert!((estimate(RequestKind::Read, 100) - 10.0).abs() < 1e-6);
        assert!((estimate(RequestKind::Write, 100) - 50.0).abs() < 1e-6);
        let throttled = RateSignal::Throttled { retry_after: Some(7 * SECOND) };
        limiter.received("h", RequestKind::Write, Instant::now(), throttled);
        assert!((estimate(RequestKind::Write, 100) - 57.0).abs() < 1e-6);
        assert_eq!(
            self::limiter(&Quota::default()).estimate("h", RequestKind::Read, 9),
            Duration::ZERO
        );
    }

    #[tokio::test(start_paused = true)]
    async fn accounts_are_by_host_and_quotas_of_named_ones_stand_first() {
        let one = Quota { requests_at_once: 1, ..Quota::default() };
        let given = HashMap::from([("b:5000".parse().expect("a host"), one)]);
        let limiter = RateLimiter::new(Quota::of, given);
        limiter.turn("b:5000", RequestKind::Read).await;
        limiter.turn("a", RequestKind::Write).await;
        limiter.turn("a", RequestKind::Read).await;
        limiter.retried("a");
        let throttled = RateSignal::Throttled { retry_after: None };
        limiter.received("b:5000", RequestKind::Read, Instant::now(), throttled);
        let empty = Usage {
            host: "a".to_owned(),
            reads: 1,
            writes: 1,
            bytes_received: 0,
            bytes_sent: 0,
            retries: 1,
            throttled: 0,
        };
        let other = Usage {
            host: "b:5000".to_owned(),
            writes: 0,
            retries: 0,
            throttled: 1,
            ..empty.clone()
        };
        assert_eq!(limiter.usage(), [empty, other]);

        let permit = limiter.permit("b:5000").await;
        assert!(limiter.permit("b:5000").now_or_never().is_none());
        assert!(limiter.permit("a").now_or_never().is_some());
        drop(permit);
        assert!(limiter.permit_at_all(&["a", "b:5000", "a"]).now_or_never().is_some());
        assert!(limiter.permit("not a host!").now_or_never().is_some());

        let spend = || (0..99).filter(|_| limiter.may_retry("a")).count();
        assert_eq!(spend(), 20);
        (0..10).for_each(|_| limiter.count_request("a"));
        assert_eq!(spend(), 2);
    }
}
