//! Whether a request is sent again, and after how long: a function of values alone.
//!
//! Not here: the retries that are left for a host (`budget`); the waiting (`tries`, and the callers); rate limits of hosts.
//!
//! Source: RFC 9110 §9.2.2 (what may be repeated), §10.2.3 (`Retry-After`), §5.6.7 (dates); RFC 6585
//! §4 (429). The table is "Retries" of `docs/internals/http-client.md`.

mod budget;
mod tries;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

pub use self::{
    budget::RetryBudget,
    tries::{Retrier, Tries},
};
use crate::FailureClass;

/// Tries of one request: with the waits below four seconds on the average, and eight at most, which
/// outlasts a balancer that changes over.
const TRIES: u32 = 8;
/// What the longest wait after the first try is; it doubles with each. So short that a run in which one request in ten
/// fails at random is not held up by the few that fail four times in a row: these wait for a second at most.
const BASE: Duration = Duration::from_millis(60);
/// How often a request that the server has not processed is sent again. A server that closes each connection after one
/// request lets one of the 64 pass that are under way at a time, so that the last has its turn with some luck.
const MAX_RESENDS: u32 = 200;
/// The longest wait that doubling leads to: after a longer one an error is of more use.
const CAP: Duration = Duration::from_secs(30);
/// The longest `Retry-After` that is obeyed: a date years ahead is a mistake.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);
/// How long one request may be throttled: to give up earlier loses the work that is done.
const LONGEST_THROTTLING: Duration = Duration::from_secs(15 * 60);
/// The least wait after a second response that throttles, as a part of the base.
const FIRST_PART: u32 = 2;
/// What chance adds to a `Retry-After` at most, as a share of it: all that were refused hold the same
/// one.
const RETRY_AFTER_SPREAD: f64 = 0.1;

/// How often and how long a client retries.
#[derive(Clone, Debug)]
#[must_use = "they do nothing until they are given to a client"]
pub struct Retries {
    tries: u32,
    base: Duration,
    cap: Duration,
    longest_retry_after: Duration,
    longest_throttling: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            tries: TRIES,
            base: BASE,
            cap: CAP,
            longest_retry_after: LONGEST_RETRY_AFTER,
            longest_throttling: LONGEST_THROTTLING,
        }
    }
}

impl Retries {
    /// None: each request is sent once, whatever the response.
    pub fn none() -> Self {
        Self { tries: 1, longest_throttling: Duration::ZERO, ..Self::default() }
    }

    /// How often a request is sent, the first time included. Default: 8.
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    /// The longest wait after the first try, which doubles with each; half of it is the shortest after a
    /// second response that throttles. Default: 60 ms.
    pub fn base(mut self, base: Duration) -> Self {
        self.base = base;
        self
    }

    /// The longest wait of our own choosing. Default: 30 s.
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// The longest `Retry-After` that is obeyed; of longer ones, so much. Default: 5 min.
    pub fn longest_retry_after(mut self, longest: Duration) -> Self {
        self.longest_retry_after = longest;
        self
    }

    /// How long one request may be throttled (429, or 403 or 503 with `Retry-After`), all waits included.
    /// Default: 15 min.
    pub fn longest_throttling(mut self, in_all: Duration) -> Self {
        self.longest_throttling = in_all;
        self
    }

    /// What is to be done after a failure of this `class`; `chance` is a number from 0 to 1.
    pub fn next(&self, class: FailureClass, replay: Replay, so_far: SoFar, chance: f64) -> Next {
        let again = match class {
            FailureClass::Settled => false,
            FailureClass::NotProcessed => replay != Replay::Never && so_far.resends < MAX_RESENDS,
            FailureClass::Throttled { .. } | FailureClass::NoConnection => {
                !matches!(replay, Replay::Once | Replay::Never)
            }
            FailureClass::Malformed => {
                let is_first = so_far.tries == 0;
                is_first && matches!(replay, Replay::Always | Replay::UnlessResponse)
            }
            FailureClass::Broken => matches!(replay, Replay::Always | Replay::UnlessResponse),
            FailureClass::Failure { .. } => matches!(replay, Replay::Always | Replay::UnlessDone),
        };
        match class {
            FailureClass::Throttled { retry_after } if again => {
                let wait = self.throttled_wait(retry_after, so_far.throttled, chance);
                let ends = so_far.throttled_for.saturating_add(wait);
                // Not `>`: without any time for it even a wait of nothing is too long.
                if ends >= self.longest_throttling {
                    Next::GiveUp
                } else {
                    Next::Throttled { wait }
                }
            }
            // Without any retries each request is sent once.
            FailureClass::NotProcessed if again && self.tries > 1 => {
                let wait = if so_far.resends == 0 { Duration::ZERO } else { self.base };
                Next::Resend { wait: wait.mul_f64(chance) }
            }
            _ if !again || so_far.tries.saturating_add(1) >= self.tries => Next::GiveUp,
            FailureClass::Failure { retry_after } => {
                let required = self.obeyed(retry_after).map(|after| spread(after, chance));
                let own = self.doubled(so_far.tries).mul_f64(chance);
                Next::Again { wait: required.map_or(own, |required| own.max(required)) }
            }
            _ => Next::Again { wait: self.doubled(so_far.tries).mul_f64(chance) },
        }
    }

    /// As much of a `Retry-After` as is obeyed.
    pub fn obeyed(&self, retry_after: Option<Duration>) -> Option<Duration> {
        retry_after.map(|after| after.min(self.longest_retry_after))
    }

    /// A `Retry-After` is never less than the base: a date may be a few milliseconds ahead. Without one, a random wait up
    /// to the base doubled by each throttled try; from the second on at least a part of the base, since a request that
    /// was throttled once may be one of a few.
    fn throttled_wait(&self, retry_after: Option<Duration>, before: u32, chance: f64) -> Duration {
        match self.obeyed(retry_after) {
            Some(after) => spread(after.max(self.base), chance),
            None => {
                let least = if before == 0 { Duration::ZERO } else { self.base / FIRST_PART };
                least + self.doubled(before).mul_f64(chance)
            }
        }
    }

    /// The longest wait after so many that came before.
    fn doubled(&self, before: u32) -> Duration {
        self.base.saturating_mul(2_u32.saturating_pow(before)).min(self.cap)
    }
}

fn spread(wait: Duration, chance: f64) -> Duration {
    wait.mul_f64(1.0 + RETRY_AFTER_SPREAD * chance)
}

/// Whether a request may be sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// It may: GET, HEAD, PUT, DELETE, and a POST that begins an upload.
    Always,
    /// Not if it may have been done: a conditional PUT would then refuse itself.
    UnlessDone,
    /// Not if it may have reached the registry, unless it was throttled: what it relies on is read again first.
    UnlessSent,
    /// Not after a response, whatever it says: another request follows then (HEAD that GET confirms).
    UnlessResponse,
    /// Only if it was not processed: the caller does something else if it fails.
    Once,
    /// It cannot be: its content is a stream that has been begun.
    Never,
}

/// What came before the failure that is decided on.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoFar {
    /// How many tries had failed; throttled ones do not count.
    pub tries: u32,
    /// How many tries were throttled.
    pub throttled: u32,
    /// How often it was not processed.
    pub resends: u32,
    /// How long ago the first throttled try was.
    pub throttled_for: Duration,
}

impl SoFar {
    /// Counts what was decided on.
    pub fn count(&mut self, next: Next) {
        match next {
            Next::GiveUp => {}
            Next::Again { .. } => self.tries += 1,
            Next::Throttled { .. } => self.throttled += 1,
            Next::Resend { .. } => self.resends += 1,
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// No other try: what happened is the result.
    GiveUp,
    /// Retry after `wait`, if the host's [`RetryBudget`] allows it.
    Again {
        /// How long to wait.
        wait: Duration,
    },
    /// Retry after `wait`, since it was not processed; this takes nothing from the budget.
    Resend {
        /// How long to wait.
        wait: Duration,
    },
    /// Retry after `wait`, since there were too many requests; this takes nothing from the budget.
    Throttled {
        /// How long to wait.
        wait: Duration,
    },
}

/// What `Retry-After` says, from `now` on: seconds or a date. Zero and a date that has passed name no wait, so the
/// response is as one without; what cannot be read is nothing.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than the type holds is still a number: longer than is ever obeyed.
        return some_wait(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    some_wait(date.duration_since(now).unwrap_or_default())
}

fn some_wait(wait: Duration) -> Option<Duration> {
    Some(wait).filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests;
