//! Values that many tasks want, such as tokens: one task fetches the value, the others wait for it, and it is used until
//! shortly before it expires.
//!
//! Not here: how a value is fetched.
//!
//! Source: RFC 6749 §5.1 (`expires_in`); Docker's token authentication specification ("Token Response Fields").

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Mutex as AsyncMutex, time::Instant};

/// How long a token is valid that does not say so, as Docker's specification has it.
const DEFAULT_LIFE: Duration = Duration::from_secs(60);
/// No token is used for longer, whatever it says: the clock of its server or ours may be wrong.
const LONGEST_LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// A token is renewed when less than this part of its life is left …
const RENEWED_AT: u32 = 10;
/// … or this much, whichever is less: a long request must not outlive it.
const LONGEST_MARGIN: Duration = Duration::from_secs(60);
/// How long a failure is cached: tasks that wait for the same value need not fail one after the other, each after a
/// deadline of its own, and a repaired server is noticed soon.
const FAILURE_LIFE: Duration = Duration::from_secs(10);
/// How many entries a cache has: as many repositories as a large promotion touches, at some 2 KiB each.
const MAX_ENTRIES: usize = 4096;

/// How long a value is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// None: until it is forgotten.
    renew_at: Option<Instant>,
    /// When half of it is over.
    half_at: Option<Instant>,
}

impl Lifetime {
    /// Until the value is forgotten.
    pub const UNLIMITED: Self = Self { renew_at: None, half_at: None };

    /// That of a token which is valid for `stated`, or for 60 s, from `start` on: it is renewed before it expires.
    #[must_use]
    pub fn of_token(start: Instant, stated: Option<Duration>) -> Self {
        let life = stated.unwrap_or(DEFAULT_LIFE).min(LONGEST_LIFE);
        let margin = (life / RENEWED_AT).min(LONGEST_MARGIN);
        Self { renew_at: Some(start + life - margin), half_at: Some(start + life / 2) }
    }

    /// So long from now on.
    pub(crate) fn exactly(life: Duration) -> Self {
        let until = Instant::now() + life;
        Self { renew_at: Some(until), half_at: Some(until) }
    }

    /// Whether the value has to be fetched again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.renew_at.is_some_and(|until| until <= Instant::now())
    }

    fn is_half_over(&self) -> bool {
        self.half_at.is_some_and(|until| until <= Instant::now())
    }
}

/// An error of a fetch.
pub trait FetchError: Sized {
    /// A copy for the tasks that want the value within the next 10 s; none if the next one fetches again.
    fn to_cached(&self) -> Option<Self>;
}

/// A value from a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FromCache<T> {
    /// The value.
    pub value: T,
    /// Whether it was fetched before.
    pub is_cached: bool,
}

/// One value, and how long it is used.
pub struct CacheEntry<T, E> {
    /// The lock is held during a fetch. If its task is cancelled, the next one fetches.
    state: AsyncMutex<CacheState<T, E>>,
    /// How often the value was forgotten.
    generation: AtomicU64,
}

struct CacheState<T, E> {
    cached: Option<CachedResult<T, E>>,
    /// Whether a value was forgotten because it may have expired early.
    was_suspected: bool,
}

struct CachedResult<T, E> {
    result: Result<T, E>,
    lifetime: Lifetime,
    /// The generation at which the fetch began.
    generation: u64,
}

impl<T, E> Default for CacheEntry<T, E> {
    fn default() -> Self {
        let state = CacheState { cached: None, was_suspected: false };
        Self { state: AsyncMutex::new(state), generation: AtomicU64::new(0) }
    }
}

impl<T, E> fmt::Debug for CacheEntry<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheEntry")
    }
}

impl<T: Clone, E: FetchError> CacheEntry<T, E> {
    /// The cached value, or the one that `fetch` returns with its lifetime. Tasks that want it meanwhile wait for it.
    ///
    /// # Errors
    /// That of `fetch`, which is cached for 10 s where [`FetchError::to_cached`] gives a copy.
    pub async fn get<F>(&self, fetch: impl FnOnce() -> F) -> Result<FromCache<T>, E>
    where
        F: Future<Output = Result<(T, Lifetime), E>>,
    {
        let mut state = self.state.lock().await;
        let generation = self.generation.load(Ordering::Acquire);
        let fresh = state
            .cached
            .take()
            .filter(|cached| cached.generation == generation && !cached.lifetime.is_over());
        if let Some(cached) = fresh {
            let result = match &cached.result {
                Ok(value) => Some(Ok(FromCache { value: value.clone(), is_cached: true })),
                Err(error) => error.to_cached().map(Err),
            };
            if let Some(result) = result {
                state.cached = Some(cached);
                return result;
            }
        }
        let (result, lifetime) = match fetch().await {
            Ok((value, lifetime)) => (Ok(value), lifetime),
            Err(error) => (Err(error), Lifetime::exactly(FAILURE_LIFE)),
        };
        let copy = match &result {
            Ok(value) => Some(Ok(value.clone())),
            Err(error) => error.to_cached().map(Err),
        };
        state.cached = copy.map(|result| CachedResult { result, lifetime, generation });
        result.map(|value| FromCache { value, is_cached: false })
    }

    /// Forgets the value, and one that is being fetched: the next task fetches it again.
    pub fn forget(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets the value if it is this one. Another task may have renewed it meanwhile.
    pub async fn forget_value(&self, is_it: impl FnOnce(&T) -> bool) {
        let mut state = self.state.lock().await;
        if matches!(&state.cached, Some(CachedResult { result: Ok(value), .. }) if is_it(value)) {
            state.cached = None;
        }
    }

    /// Forgets a value that may have expired early: the first one at any age, since servers change their keys; later
    /// ones when half of their life is over, so that repeated refusals cost one fetch in that time. Returns whether
    /// another value may be fetched, or was fetched meanwhile.
    pub async fn suspect(&self, is_it: impl FnOnce(&T) -> bool) -> bool {
        let mut state = self.state.lock().await;
        match &state.cached {
            Some(CachedResult { result: Ok(value), .. }) if !is_it(value) => return true,
            Some(CachedResult { result: Ok(_), lifetime, .. })
                if state.was_suspected && !lifetime.is_half_over() =>
            {
                return false;
            }
            Some(CachedResult { result: Ok(_), .. }) => state.cached = None,
            Some(CachedResult { result: Err(_), .. }) | None => {}
        }
        state.was_suspected = true;
        true
    }

    /// Whether a value is cached, or a task is just fetching one.
    fn is_in_use(&self) -> bool {
        let Ok(state) = self.state.try_lock() else { return true };
        let generation = self.generation.load(Ordering::Acquire);
        state.cached.as_ref().is_some_and(|cached| {
            cached.result.is_ok() && cached.generation == generation && !cached.lifetime.is_over()
        })
    }
}

/// The cached values of many keys.
pub struct TokenCache<K, T, E>(Mutex<HashMap<K, Arc<CacheEntry<T, E>>>>);

impl<K, T, E> Default for TokenCache<K, T, E> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K, T, E> fmt::Debug for TokenCache<K, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenCache")
    }
}

impl<K: Eq + Hash, T: Clone, E: FetchError> TokenCache<K, T, E> {
    /// The entry of `key`. Where there are too many, those that no task uses and whose values have expired are removed;
    /// if none has, all are.
    pub fn entry(&self, key: K) -> Arc<CacheEntry<T, E>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX_ENTRIES && !entries.contains_key(&key) {
            entries.retain(|_, entry| Arc::strong_count(entry) > 1 || entry.is_in_use());
            if entries.len() >= MAX_ENTRIES {
                entries.clear();
            }
        }
        Arc::clone(entries.entry(key).or_default())
    }

    /// Forgets the values of these keys.
    pub fn forget(&self, is_it: impl Fn(&K) -> bool) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|key, _| !is_it(key));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use futures_util::future::join_all;

    use super::*;

    const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum TestError {
        Cached,
        NotCached,
    }

    impl FetchError for TestError {
        fn to_cached(&self) -> Option<Self> {
            Some(*self).filter(|failed| *failed == Self::Cached)
        }
    }

    /// A server whose responses are numbered, and take a second.
    #[derive(Default)]
    struct TestService {
        requests: AtomicU32,
        entry: CacheEntry<u32, TestError>,
    }

    impl TestService {
        async fn want(&self, life: Option<Duration>) -> u32 {
            let start = Instant::now();
            let lifetime =
                life.map_or(Lifetime::UNLIMITED, |life| Lifetime::of_token(start, Some(life)));
            self.fetch(Ok(lifetime)).await.expect("a value").value
        }

        async fn fetch(
            &self,
            result: Result<Lifetime, TestError>,
        ) -> Result<FromCache<u32>, TestError> {
            let fetch = || async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
                Ok((number, result?))
            };
            self.entry.get(fetch).await
        }

        fn requests(&self) -> u32 {
            self.requests.load(Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_fetched_again_shortly_before_it_expires() {
        let server = TestService::default();
        assert_eq!(server.want(MINUTE).await, 1);
        // The fetch took a second, and the last tenth of a minute is 6 s.
        tokio::time::advance(Duration::from_millis(52_900)).await;
        assert_eq!(server.want(MINUTE).await, 1);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(server.want(None).await, 2);
        tokio::time::advance(Duration::from_secs(1 << 30)).await;
        assert_eq!(server.want(MINUTE).await, 2);
        server.entry.forget();
        assert_eq!(server.want(MINUTE).await, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_wait_for_the_same_value_share_one_fetch() {
        let server = TestService::default();
        assert_eq!(join_all((0..20).map(|_| server.want(MINUTE))).await, [1; 20]);
        let got = server.fetch(Err(TestError::Cached)).await.expect("a value");
        assert_eq!((got.value, got.is_cached), (1, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_fetch_is_cached_for_ten_seconds() {
        let server = TestService::default();
        let failed = join_all((0..20).map(|_| server.fetch(Err(TestError::Cached)))).await;
        assert!(failed.iter().all(|result| *result == Err(TestError::Cached)));
        assert_eq!(server.requests(), 1);
        tokio::time::advance(Duration::from_millis(9_900)).await;
        assert!(server.fetch(Err(TestError::Cached)).await.is_err());
        assert_eq!(server.requests(), 1);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(server.want(MINUTE).await, 2);
        server.entry.forget();
        for requests in [3, 4] {
            assert_eq!(server.fetch(Err(TestError::NotCached)).await, Err(TestError::NotCached));
            assert_eq!(server.requests(), requests);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_that_is_forgotten_during_its_fetch_is_fetched_again() {
        let server = TestService::default();
        let forget = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            server.entry.forget();
        };
        let (first, ()) = tokio::join!(server.want(None), forget);
        assert_eq!((first, server.want(None).await), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_fetch_is_left_to_the_next_task() {
        let server = TestService::default();
        let cancelled = tokio::time::timeout(Duration::from_millis(500), server.want(None));
        let (cancelled, next) = tokio::join!(cancelled, server.want(None));
        assert!(cancelled.is_err());
        assert_eq!(next, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspected_value_is_fetched_again_once_in_half_of_its_life() {
        let server = TestService::default();
        let first = server.want(MINUTE).await;
        assert!(server.entry.suspect(|value| *value == first).await);
        let second = server.want(MINUTE).await;
        assert_eq!((first, second), (1, 2));
        assert!(server.entry.suspect(|value| *value == first).await, "it is renewed already");
        assert!(!server.entry.suspect(|value| *value == second).await);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(server.entry.suspect(|value| *value == second).await);
        assert_eq!(server.want(MINUTE).await, 3);
        server.entry.forget_value(|value| *value == second).await;
        assert_eq!(server.want(MINUTE).await, 3);
        server.entry.forget_value(|value| *value == 3).await;
        assert_eq!(server.want(MINUTE).await, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cache_has_no_more_entries_than_the_bound() {
        let cache = TokenCache::<usize, (), TestError>::default();
        let used = cache.entry(0);
        for key in 0..2 * MAX_ENTRIES {
            let lifetime = Lifetime::of_token(Instant::now(), None);
            let fetched = cache.entry(key).get(|| async { Ok(((), lifetime)) }).await;
            fetched.expect("a value");
        }
        let entries = cache.0.lock().expect("the cache").len();
        assert!((1..=MAX_ENTRIES).contains(&entries), "{entries}");
        drop(used);
    }
}
