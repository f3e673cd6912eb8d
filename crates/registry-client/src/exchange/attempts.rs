//! The tries of one request, or of one transfer that breaks: counts them, takes retries from the host's budget, and
//! waits.

use tokio::time::{Instant, sleep};

use crate::{Client, Error, Fault};
use http_client::{FailureClass, Next, Replay, SoFar};

/// What was tried so far.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    so_far: SoFar,
    /// When the first response said that there were too many requests.
    throttled_since: Option<Instant>,
}

impl Attempts {
    /// Waits as long as it takes until another try makes sense; false, at once, where none does.
    pub(crate) async fn again(&mut self, client: &Client, error: &Error, replay: Replay) -> bool {
        self.after(client, error, error.fault().failure_class(), replay).await
    }

    /// The same for an error that is a response by itself, but not to the whole of what is wanted.
    pub(crate) async fn anew(&mut self, client: &Client, error: &Error) -> bool {
        let class = match error.fault().failure_class() {
            FailureClass::Settled => FailureClass::Failure { retry_after: None },
            other => other,
        };
        self.after(client, error, class, Replay::Always).await
    }

    /// What follows is counted from here on: something has moved.
    pub(crate) fn moved(&mut self) {
        *self = Self::default();
    }

    async fn after(
        &mut self,
        client: &Client,
        error: &Error,
        class: FailureClass,
        replay: Replay,
    ) -> bool {
        if class != FailureClass::Settled {
            client.shared.limiter.failed(error.url().authority(), with_wait(error));
        }
        if let FailureClass::Throttled { retry_after } = class {
            if let (Some(status), Some(wait)) =
                (error.status(), client.shared.retries.obeyed(retry_after))
            {
                client.shared.limiter.must_wait(error.url().authority(), status, wait);
            }
            let first = self.throttled_since.get_or_insert_with(Instant::now);
            self.so_far.throttled_for = first.elapsed();
        }
        let next =
            client.shared.retries.next(class, replay, self.so_far, client.shared.chance.next());
        let wait = match next {
            Next::GiveUp => return false,
            Next::Again { wait } => {
                if !client.shared.limiter.may_retry(error.url().authority()) {
                    tracing::debug!("{error}; not again: too much of this host fails");
                    return false;
                }
                wait
            }
            Next::Throttled { wait } | Next::Resend { wait } => wait,
        };
        self.so_far.count(next);
        client.shared.limiter.retried(error.url().authority());
        tracing::debug!("{error}; again in {wait:?}");
        sleep(wait).await;
        true
    }
}

/// The error, and how long its response asks to wait.
fn with_wait(error: &Error) -> String {
    match error.fault() {
        Fault::Status { retry_after: Some(after), .. } => {
            format!("{error}; it asks to wait {} s", after.as_secs())
        }
        _ => error.to_string(),
    }
}
