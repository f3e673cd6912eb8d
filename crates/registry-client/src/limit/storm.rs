//! Simulations: many tasks, and a server that accepts only so many requests a second, or rejects some at random.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use http_client::{Chance, FailureClass, Next, Replay, Retries, SoFar};
use tokio::time::{Instant, sleep, timeout};

use super::{Quota, RateLimiter, RateSignal, RequestKind};

const TASKS: usize = 200;
/// One after the other, by each task.
const REQUESTS: usize = 10;
const CAPACITY: f64 = 50.0;
const LATENCY: Duration = Duration::from_millis(30);
/// Of a promotion.
const IMAGES: usize = 60;
const HOST: &str = "h";

/// What a server refuses.
#[derive(Clone, Copy, Debug)]
enum Refuses {
    /// What its bucket of a second's requests has no token for.
    Excess { retry_after: Option<Duration> },
    /// So many of a hundred, by 429 or by 503.
    AtRandom { percent: u32, with: FailureClass },
}

struct SimulatedServer {
    tokens: Mutex<(f64, Instant)>,
    refuses: Refuses,
    latency: Duration,
    chance: Chance,
    begin: Instant,
    /// When it took requests, and when it refused them.
    taken: Mutex<Vec<f64>>,
    refused: Mutex<Vec<f64>>,
    /// The pauses that it demanded, overlapping ones as one: their number, and the end of the last one.
    pauses: Mutex<(u32, Instant)>,
}

impl SimulatedServer {
    fn new(refuses: Refuses, latency: Duration, seed: u64) -> Self {
        let begin = Instant::now();
        let (taken, refused) = (Mutex::default(), Mutex::default());
        let tokens = Mutex::new((CAPACITY, begin));
        let (chance, pauses) = (Chance::seeded(seed), Mutex::new((0, begin)));
        Self { tokens, refuses, latency, chance, begin, taken, refused, pauses }
    }

    /// Whether the bucket has a token, which is taken.
    fn has_token(&self, now: Instant) -> bool {
        let mut tokens = self.tokens.lock().expect("a lock");
        let gained = now.duration_since(tokens.1).as_secs_f64() * CAPACITY;
        let filled = (tokens.0 + gained).min(CAPACITY);
        let has_token = filled >= 1.0;
        *tokens = (if has_token { filled - 1.0 } else { filled }, now);
        has_token
    }

    fn note_pause(&self, now: Instant, pause: Duration) {
        let mut pauses = self.pauses.lock().expect("a lock");
        *pauses = (pauses.0 + u32::from(pauses.1 < now), now + pause);
    }

    async fn ask(&self) -> Option<FailureClass> {
        sleep(self.latency / 2).await;
        let now = Instant::now();
        let refused = match self.refuses {
            Refuses::Excess { retry_after } => {
                (!self.has_token(now)).then_some(FailureClass::Throttled { retry_after })
            }
            Refuses::AtRandom { percent, with } => {
                (self.chance.next() * 100.0 < f64::from(percent)).then_some(with)
            }
        };
        let list = if refused.is_none() { &self.taken } else { &self.refused };
        list.lock().expect("a lock").push(now.duration_since(self.begin).as_secs_f64());
        if let Some(FailureClass::Throttled { retry_after: Some(pause) }) = refused {
            self.note_pause(now, pause);
        }
        sleep(self.latency / 2).await;
        refused
    }
}

/// One request, as the client makes it.
async fn request(
    limiter: &RateLimiter,
    server: &SimulatedServer,
    chance: &Chance,
    kind: RequestKind,
) {
    let retries = Retries::default();
    let mut so_far = SoFar::default();
    let mut throttled_since = None;
    limiter.count_request(HOST);
    loop {
        let permit = limiter.permit(HOST).await;
        let sent = limiter.turn(HOST, kind).await;
        let class = server.ask().await;
        drop(permit);
        let said = match class {
            Some(FailureClass::Throttled { retry_after }) => {
                RateSignal::Throttled { retry_after: retries.obeyed(retry_after) }
            }
            _ => RateSignal::Accepted,
        };
        limiter.received(HOST, kind, sent, said);
        let Some(class) = class else { return };
        so_far.throttled_for = throttled_since.get_or_insert_with(Instant::now).elapsed();
        let next = retries.next(class, Replay::Always, so_far, chance.next());
        let wait = match next {
            Next::Throttled { wait } => wait,
            Next::Again { wait } if limiter.may_retry(HOST) => wait,
            next => panic!("it gave up: {next:?} after {so_far:?}"),
        };
        so_far.count(next);
        sleep(wait).await;
    }
}

/// What a storm came to, in seconds.
#[derive(Debug)]
struct Storm {
    in_all: f64,
    /// The share that was refused, in all and after the first five seconds.
    refused: f64,
    refused_later: f64,
    /// When half of the tasks had ended.
    median: f64,
    /// How long one request took.
    longest_request: f64,
    /// The number of pauses that the server demanded.
    pauses: f64,
}

async fn storm(quota: Quota, refuses: Refuses, kinds: &[RequestKind]) -> Storm {
    let limiter = RateLimiter::new(move |_| quota.clone(), HashMap::new());
    let (server, chance) = (SimulatedServer::new(refuses, LATENCY, 7), Chance::seeded(1));
    let longest = AtomicU64::new(0);
    let tasks = (0..TASKS).map(|_| async {
        for &kind in kinds.iter().cycle().take(REQUESTS) {
            let begin = Instant::now();
            request(&limiter, &server, &chance, kind).await;
            let took = u64::try_from(begin.elapsed().as_millis()).expect("a short time");
            longest.fetch_max(took, Ordering::Relaxed);
        }
        server.begin.elapsed().as_secs_f64()
    });
    let mut ends = timeout(Duration::from_secs(3600), join_all(tasks)).await.expect("an end");
    ends.sort_by(f64::total_cmp);
    let after = |list: &Mutex<Vec<f64>>, from: f64| {
        list.lock().expect("a lock").iter().filter(|&&at| at >= from).count() as f64
    };
    let share = |from| {
        let (refused, taken) = (after(&server.refused, from), after(&server.taken, from));
        refused / (refused + taken).max(1.0)
    };
    Storm {
        in_all: ends[TASKS - 1],
        refused: share(0.0),
        refused_later: share(5.0),
        median: ends[TASKS / 2],
        longest_request: Duration::from_millis(longest.into_inner()).as_secs_f64(),
        pauses: f64::from(server.pauses.into_inner().expect("a lock").0),
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_is_weathered() {
    for quota in [
        Quota::default(),
        Quota { requests_at_once: 200, ..Quota::default() },
        Quota { requests_at_once: 4, ..Quota::default() },
        Quota { requests_per_second: Some(80.0), ..Quota::default() },
        Quota { reads_per_second: Some(1000.0), ..Quota::default() },
    ] {
        for retry_after in [None, Some(Duration::from_secs(1)), Some(Duration::from_secs(5))] {
            let storm =
                storm(quota.clone(), Refuses::Excess { retry_after }, &[RequestKind::Read]).await;
            let case = format!("{quota:?}, {retry_after:?}: {storm:?}");
            // 2,000 requests at 50 a second take 40 s; and each halving may cost a `Retry-After`.
            let back_offs = 8.0 * retry_after.unwrap_or_default().as_secs_f64();
            assert!(storm.in_all < 50.0 + back_offs, "{case}");
            assert!(storm.refused < 0.15, "{case}");
            assert!(storm.refused_later < 0.03, "{case}");
            assert!(storm.in_all / storm.median < 1.2, "one task as good as the other: {case}");
            assert!(storm.longest_request < 10.0 + back_offs, "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn random_throttling_does_not_collapse_the_rate() {
    let run = |percent, with| {
        storm(Quota::default(), Refuses::AtRandom { percent, with }, &[RequestKind::Read])
    };
    let throttled = FailureClass::Throttled { retry_after: None };
    let unavailable = FailureClass::Failure { retry_after: None };
    let undisturbed = run(0, throttled).await.in_all;
    for with in [throttled, unavailable] {
        for percent in [1, 3, 10] {
            let storm = run(percent, with).await;
            assert!(
                storm.in_all <= 3.0 * undisturbed + 2.0,
                "{percent} % {with:?}: {storm:?}, undisturbed {undisturbed} s"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn random_throttling_with_a_retry_after_costs_no_more_than_its_pauses() {
    for (requests_at_once, kinds) in [
        (64, &[RequestKind::Read][..]),
        (64, &RequestKind::ALL),
        (200, &[RequestKind::Write, RequestKind::Write, RequestKind::Read]),
        (8, &RequestKind::ALL),
        (2, &RequestKind::ALL),
    ] {
        let quota = Quota { requests_at_once, ..Quota::default() };
        let run = |percent, seconds| {
            let with = FailureClass::Throttled { retry_after: Some(Duration::from_secs(seconds)) };
            storm(quota.clone(), Refuses::AtRandom { percent, with }, kinds)
        };
        let undisturbed = run(0, 1).await.in_all;
        for (percent, seconds) in [(1, 1), (3, 1), (5, 1), (10, 1), (1, 5), (5, 5)] {
            let storm = run(percent, seconds).await;
            let pauses = storm.pauses * seconds as f64;
            let case =
                format!("{requests_at_once} at once, {kinds:?}, {percent} % for {seconds} s");
            assert!(
                storm.in_all <= pauses + 3.0 * undisturbed + 2.0,
                "{case}: {storm:?}, undisturbed {undisturbed} s"
            );
        }
    }
}

/// Requests as a promotion makes them: one of each repository, and one of each digest; then those of each image, in
/// their order; at last, one of each tag. Returns the time, and the number of pauses that the server demanded.
async fn promotion(
    refuses: Refuses,
    (requests_at_once, latency): (usize, Duration),
    seed: u64,
) -> (f64, f64) {
    let quota = Quota { requests_at_once, ..Quota::default() };
    let limiter = RateLimiter::new(move |_| quota.clone(), HashMap::new());
    let (server, chance) = (SimulatedServer::new(refuses, latency, seed), Chance::seeded(seed));
    let (limiter, server, chance) = (&limiter, &server, &chance);
    let of_each = |requests: &'static [RequestKind]| async move {
        for &kind in requests {
            request(limiter, server, chance, kind).await;
        }
    };
    let image = || async move {
        const BLOB: &[RequestKind] = &[RequestKind::Write, RequestKind::Write];
        join_all((0..3).map(|_| of_each(BLOB))).await;
        of_each(&[RequestKind::Write, RequestKind::Read, RequestKind::Write, RequestKind::Read])
            .await;
    };
    let all = || join_all((0..IMAGES).map(|_| of_each(&[RequestKind::Read])));
    all().await;
    all().await;
    join_all((0..IMAGES).map(|_| image())).await;
    all().await;
    let pauses = f64::from(server.pauses.lock().expect("a lock").0);
    (server.begin.elapsed().as_secs_f64(), pauses)
}

#[tokio::test(start_paused = true)]
async fn no_promotion_behind_random_throttling_takes_longer_than_the_mark() {
    let throttled = |seconds: u32| FailureClass::Throttled {
        retry_after: (seconds > 0).then(|| Duration::from_secs(seconds.into())),
    };
    let unavailable = FailureClass::Failure { retry_after: None };
    // With few requests at once, nothing but later pauses shows that the first one had nothing to do with the rate.
    for (link, at_a_pause) in [((64, LATENCY), 1.0), ((3, LATENCY / 15), 1.5)] {
        let run = |percent, with, seed| promotion(Refuses::AtRandom { percent, with }, link, seed);
        let undisturbed = run(0, throttled(0), 0).await.0;
        for with in [throttled(0), throttled(1), unavailable] {
            let rows = [1, 3, 10].into_iter().flat_map(|it| (0..20).map(move |seed| (it, seed)));
            for (percent, seed) in rows {
                let (in_all, pauses) = run(percent, with, seed).await;
                assert!(
                    in_all <= at_a_pause * pauses + 3.0 * undisturbed + 2.0,
                    "{percent} % {with:?}, {link:?}, seed {seed}: {in_all} s, {pauses} pauses of a second, \
                     undisturbed {undisturbed} s"
                );
            }
        }
    }
}
