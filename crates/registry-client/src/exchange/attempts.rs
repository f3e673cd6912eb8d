//! The tries of one request, or of one transfer that breaks: counts them, takes retries from the host's budget, and
//! waits.

use tokio::time::sleep;
use wording::Chain;

use crate::{Error, RegistryClient, blobs::commits::is_unanswered};
use http_client::{FailureClass, Replay, Tries};

/// The tries so far.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Tries);

impl Attempts {
    /// Waits until the next try. Returns false at once if there is none.
    pub(crate) async fn again(
        &mut self,
        client: &RegistryClient,
        error: &Error,
        replay: Replay,
    ) -> bool {
        // The caller looks for the blob before it is sent again.
        !is_unanswered(error)
            && self.after(client, error, error.fault().failure_class(), replay).await
    }

    /// The same for a failure after a successful response, such as a body that ended early.
    pub(crate) async fn anew(&mut self, client: &RegistryClient, error: &Error) -> bool {
        let class = match error.fault().failure_class() {
            FailureClass::Settled => FailureClass::Failure { retry_after: None },
            other => other,
        };
        self.after(client, error, class, Replay::Always).await
    }

    /// Resets the count of tries, since bytes have moved.
    pub(crate) fn moved(&mut self) {
        *self = Self::default();
    }

    async fn after(
        &mut self,
        client: &RegistryClient,
        error: &Error,
        class: FailureClass,
        replay: Replay,
    ) -> bool {
        if class != FailureClass::Settled {
            client.shared.limiter.failed(error.url().authority(), error.clone());
        }
        if let FailureClass::Throttled { retry_after } = class
            && let (Some(status), Some(wait)) =
                (error.status(), client.shared.retries.obeyed(retry_after))
        {
            client.shared.limiter.must_wait(error.url().authority(), status, wait);
        }
        let may_retry = || {
            let may = client.shared.limiter.may_retry(error.url().authority());
            if !may {
                tracing::debug!("{}; not again: too many requests to this host fail", Chain(error));
            }
            may
        };
        let (retries, chance) = ((&client.shared.retries, replay), client.shared.chance.next());
        let Some(wait) = self.0.next_wait(retries, class, chance, may_retry) else { return false };
        client.shared.limiter.retried(error.url().authority());
        tracing::debug!("{}; again in {wait:?}", Chain(error));
        sleep(wait).await;
        true
    }
}
