//! The tries of one request: counts them, and says how long to wait before the next one.
//!
//! Not here: whether another try makes sense ([`Retries::next`]), and the waiting of registry requests, which also have
//! rate limits.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Next, Replay, Retries, RetryBudget, SoFar};
use crate::{Chance, FailureClass};

/// The failed tries of one request.
#[derive(Debug, Default)]
pub struct Tries {
    so_far: SoFar,
    /// When the first response said that there were too many requests.
    throttled_since: Option<Instant>,
}

impl Tries {
    /// Counts a failure of this `class`. Returns how long to wait before the next try; none if there is to be none.
    /// `may_retry` takes a retry from the budget of the host.
    pub fn next_wait(
        &mut self,
        (retries, replay): (&Retries, Replay),
        class: FailureClass,
        chance: f64,
        may_retry: impl FnOnce() -> bool,
    ) -> Option<Duration> {
        if let FailureClass::Throttled { .. } = class {
            let first = self.throttled_since.get_or_insert_with(Instant::now);
            self.so_far.throttled_for = first.elapsed();
        }
        let next = retries.next(class, replay, self.so_far, chance);
        let wait = match next {
            Next::GiveUp => return None,
            Next::Again { .. } if !may_retry() => return None,
            Next::Again { wait } | Next::Throttled { wait } | Next::Resend { wait } => wait,
        };
        self.so_far.count(next);
        Some(wait)
    }
}

/// Sends requests to one kind of service again where that may help.
#[derive(Debug)]
pub struct Retrier {
    retries: Retries,
    budget: RetryBudget,
    chance: Chance,
}

impl Retrier {
    /// With a full budget.
    pub fn new(retries: Retries) -> Self {
        Self { retries, budget: RetryBudget::default(), chance: Chance::default() }
    }

    /// Sends a request that may be repeated, until it succeeds or another try makes no sense. `class` says what a
    /// failure is.
    ///
    /// # Errors
    /// The error of the last try.
    pub async fn send<T, E, F>(
        &self,
        mut send: impl FnMut() -> F,
        class: impl Fn(&E) -> FailureClass,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut tries = Tries::default();
        self.budget.count_request();
        loop {
            let error = match send().await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let retries = (&self.retries, Replay::Always);
            let may_retry = || self.budget.may_retry();
            match tries.next_wait(retries, class(&error), self.chance.next(), may_retry) {
                Some(wait) => sleep(wait).await,
                None => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// How often a request is sent whose failures are all of this class.
    async fn sent(retrier: &Retrier, class: FailureClass) -> u32 {
        let sent = AtomicU32::new(0);
        let send = || async {
            sent.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(class)
        };
        assert_eq!(retrier.send(send, |class| *class).await, Err(class));
        sent.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_sent_again_until_its_tries_or_the_budget_are_spent() {
        let retrier = Retrier::new(Retries::default().tries(4));
        assert_eq!(sent(&retrier, FailureClass::Settled).await, 1);
        // The budget begins with 20 retries, and each request adds a fifth of one.
        for _ in 0..7 {
            assert_eq!(sent(&retrier, FailureClass::Failure { retry_after: None }).await, 4);
        }
        assert_eq!(sent(&retrier, FailureClass::NoConnection).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_as_long_as_the_response_demands() {
        let retrier = Retrier::new(Retries::default().tries(2));
        let (begun, minute) = (Instant::now(), Duration::from_secs(60));
        let class = FailureClass::Failure { retry_after: Some(minute) };
        assert_eq!(sent(&retrier, class).await, 2);
        assert!((minute..minute * 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }
}
