//! An answer that many want: one of them asks, the others wait for it, and it is kept for a while.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

use crate::CredentialError;

/// How long a failure is kept: those that wanted the same at about the same time need not fail one
/// after the other, each after a deadline of its own; and what was mended is seen soon.
const FAILURE_KEPT: Duration = Duration::from_secs(10);

/// An answer, and for how long it may be kept: none is for ever.
pub(crate) type Lasting<T> = (T, Option<Duration>);

/// The answer of one source.
pub(crate) struct Kept<T> {
    /// The lock is held while it is asked for. Whoever gives up leaves it to the next.
    held: Mutex<Option<CachedResult<T>>>,
    /// How often it was forgotten.
    age: AtomicU64,
}

struct CachedResult<T> {
    answer: Result<T, CredentialError>,
    /// The age at which it was asked for.
    age: u64,
    until: Option<Instant>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { held: Mutex::new(None), age: AtomicU64::new(0) }
    }
}

impl<T: Clone> Kept<T> {
    /// The kept answer, or else a new one.
    pub(crate) async fn get<F>(&self, ask: impl FnOnce() -> F) -> Result<T, CredentialError>
    where
        F: Future<Output = Result<Lasting<T>, CredentialError>>,
    {
        let mut held = self.held.lock().await;
        let (age, now) = (self.age.load(Ordering::Acquire), Instant::now());
        if let Some(held) = &*held
            && held.age == age
            && held.until.is_none_or(|until| now < until)
        {
            return held.answer.clone();
        }
        let (answer, lasts) = match ask().await {
            Ok((answer, lasts)) => (Ok(answer), lasts),
            Err(error) => (Err(error), Some(FAILURE_KEPT)),
        };
        // What lasts is counted from before it was asked for; a failure may have taken its time.
        let from = if answer.is_ok() { now } else { Instant::now() };
        let until = lasts.map(|lasts| from + lasts);
        *held = Some(CachedResult { answer: answer.clone(), age, until });
        answer
    }

    /// The next one who wants it asks; also when somebody is just asking.
    pub(crate) fn forget(&self) {
        self.age.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use futures_util::future::join_all;

    use super::*;

    #[derive(Default)]
    struct Source {
        asked: AtomicU32,
        kept: Kept<u32>,
    }

    impl Source {
        async fn want(&self, lasts: Option<Duration>) -> u32 {
            let ask = || async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok((self.asked.fetch_add(1, Ordering::Relaxed) + 1, lasts))
            };
            self.kept.get(ask).await.expect("an answer")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_ask_once_and_again_when_it_has_passed_or_is_forgotten() {
        let source = Source::default();
        let minute = Some(Duration::from_secs(60));
        assert_eq!(join_all((0..20).map(|_| source.want(minute))).await, [1; 20]);
        // Since the answer took a second.
        tokio::time::advance(Duration::from_millis(58_900)).await;
        assert_eq!(source.want(minute).await, 1);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(source.want(None).await, 2);
        tokio::time::advance(Duration::from_secs(1 << 30)).await;
        assert_eq!(source.want(minute).await, 2);
        source.kept.forget();
        assert_eq!(source.want(minute).await, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_forgotten_while_it_is_asked_for_is_asked_again() {
        let source = Source::default();
        let forget = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            source.kept.forget();
        };
        let (first, ()) = tokio::join!(source.want(None), forget);
        assert_eq!((first, source.want(None).await), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_leaves_the_question_to_the_next() {
        let source = Source::default();
        let given_up = tokio::time::timeout(Duration::from_millis(500), source.want(None));
        let (given_up, next) = tokio::join!(given_up, source.want(None));
        assert!(given_up.is_err());
        assert_eq!(next, 1);
    }
}
