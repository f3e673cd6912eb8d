//! The metadata server of Google's machines: whether there is one, and the token of the machine's service account.
//!
//! A machine that is Google's has the server, but it may be late: in a pod of GKE it responds some seconds after the start.
//! It is waited for once in a process. Elsewhere one short probe finds out that there is none, and is repeated from
//! time to time, since it may have been wrong.
//!
//! Source: <https://cloud.google.com/compute/docs/metadata/querying-metadata>;
//! <https://cloud.google.com/kubernetes-engine/docs/how-to/workload-identity> ("Limitations").

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use http_client::TransportError;
use oci::Host;
use tokio::time::{Instant, sleep};
use url::Url;

use super::{
    Google,
    services::{Grant, failed, grant},
};
use crate::{
    CredentialError, ServiceError, ServiceFault,
    http::{Http, ServiceRequest, ServiceResponse},
};

const METADATA: &str = "metadata.google.internal";
/// What both sides of the protocol send.
const METADATA_FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const GOOGLE: HeaderValue = HeaderValue::from_static("Google");
/// The deadline of a probe: the server is on the machine itself, or does not exist.
const PROBE_DEADLINE: Duration = Duration::from_secs(1);
/// The deadline of a request to a server that should exist: a late one has more to do than to respond.
const RESPONSE_DEADLINE: Duration = Duration::from_secs(5);
/// How long a server that should exist is waited for: GKE's needs some seconds after the start of a pod.
pub(super) const WAIT: Duration = Duration::from_secs(12);
/// The pause after the first request without success; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long "no credentials from there" counts. Then there is another request, of at most a second.
pub(super) const ABSENT_FOR: Duration = Duration::from_secs(60);

const FAILURE: &str = "no access token for the service account of this machine";

/// The metadata server.
pub(super) struct MetadataServer {
    http: Arc<Http>,
    host: Host,
    /// Whether the user named the host.
    is_named: bool,
    /// Whether this machine is one of Google's, by what it says of itself.
    is_on_google: bool,
    wait: Duration,
    state: Mutex<MetadataServerState>,
}

/// What is known of the server.
#[derive(Debug, Default)]
struct MetadataServerState {
    /// Whether it has responded as Google's does.
    is_googles: bool,
    /// Whether it was waited for.
    was_awaited: bool,
    /// When it is worth another request, after one without success.
    next: Option<Instant>,
    /// Why it gave no credentials.
    failure: Option<Arc<str>>,
}

impl MetadataServer {
    #[expect(clippy::expect_used, reason = "the default is well-formed, as every test shows")]
    pub(super) fn new(settings: &Google, http: Arc<Http>) -> Self {
        let host = settings.metadata.clone();
        Self {
            http,
            is_named: host.is_some(),
            host: host.unwrap_or_else(|| METADATA.parse().expect("a host")),
            is_on_google: settings.is_on_google,
            wait: settings.metadata_wait,
            state: Mutex::default(),
        }
    }

    /// Why there are no credentials from there, as far as it was requested.
    pub(super) fn failure(&self) -> Option<Arc<str>> {
        self.state().failure.clone()
    }

    /// The token of the machine's own service account; none if it is not a machine of Google's, or has
    /// no account.
    pub(super) async fn token(&self) -> Result<Option<Grant>, CredentialError> {
        if self.state().next.is_some_and(|next| Instant::now() < next) {
            return Ok(None);
        }
        let request = self.request()?;
        let start = Instant::now();
        match self.response(&request).await {
            Ok(response) => {
                *self.state() =
                    MetadataServerState { is_googles: true, ..MetadataServerState::default() };
                grant(FAILURE, &request, &response, start).map(Some)
            }
            Err(error) if error.is_not_found() || self.is_absent(&error) => {
                self.note_absent(&error);
                Ok(None)
            }
            Err(error) => Err(failed(FAILURE, error)),
        }
    }

    fn request(&self) -> Result<ServiceRequest, CredentialError> {
        let path = "computeMetadata/v1/instance/service-accounts/default/token";
        let url: Result<Url, _> = format!("http://{}/{path}", self.host).parse();
        let url = url.map_err(|cause| {
            let text =
                format!("the metadata server's host `{}` cannot be used: {cause}", self.host);
            CredentialError::Setting(text.into())
        })?;
        Ok(ServiceRequest::get(url).direct().header(METADATA_FLAVOR, GOOGLE))
    }

    /// The response with a token. A server that should exist is waited for, but only once before its first response.
    async fn response(&self, request: &ServiceRequest) -> Result<ServiceResponse, ServiceError> {
        let (is_googles, is_first) = {
            let mut state = self.state();
            (state.is_googles, !std::mem::replace(&mut state.was_awaited, true))
        };
        let should_wait = is_googles || (is_first && (self.is_named || self.is_on_google));
        let response = match should_wait {
            // GKE's has no account at the start, until it knows that of the pod.
            true if is_first && self.is_named => {
                self.awaited(request, |error| error.is_transient() || error.is_not_found()).await
            }
            true => self.awaited(request, ServiceError::is_transient).await,
            false => self.once(request, PROBE_DEADLINE).await,
        };
        let exists = self.state().is_googles;
        match response {
            // It names a longer wait, or failed for a moment.
            Err(error)
                if exists && (error.is_throttled() || !should_wait && error.is_transient()) =>
            {
                self.http.send(request).await
            }
            response => response,
        }
    }

    /// Requests it until it responds with a token, or it makes no sense to wait longer.
    async fn awaited(
        &self,
        request: &ServiceRequest,
        may_pass: impl Fn(&ServiceError) -> bool,
    ) -> Result<ServiceResponse, ServiceError> {
        let end = Instant::now() + self.wait;
        let mut pause = FIRST_PAUSE;
        loop {
            let left = end.saturating_duration_since(Instant::now()).max(PROBE_DEADLINE);
            let error = match self.once(request, RESPONSE_DEADLINE.min(left)).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if !may_pass(&error) || error.is_throttled() || Instant::now() + pause >= end {
                return Err(error);
            }
            tracing::debug!("the metadata server is not ready: {error}; again in {pause:?}");
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn once(
        &self,
        request: &ServiceRequest,
        deadline: Duration,
    ) -> Result<ServiceResponse, ServiceError> {
        let response = self.http.send_once(request, deadline).await?;
        if response.headers.get(METADATA_FLAVOR) == Some(&GOOGLE) {
            self.state().is_googles = true;
        }
        let is_googles = self.state().is_googles;
        let response = request.succeeds(response);
        // Some networks respond for every name.
        let is_strange = !is_googles && !response.as_ref().is_err_and(ServiceError::is_transient);
        if is_strange { Err(request.fails(ServiceFault::NotMetadata)) } else { response }
    }

    /// Whether a failure means that there is no metadata server.
    fn is_absent(&self, error: &ServiceError) -> bool {
        let is_no_server = match error.fault() {
            ServiceFault::Transport(cause) => matches!(
                cause,
                TransportError::Connect { .. }
                    | TransportError::NoResponse { .. }
                    | TransportError::TooSlow { .. }
                    | TransportError::Lost { .. }
                    | TransportError::Malformed { .. }
            ),
            ServiceFault::Status { .. } | ServiceFault::NotMetadata => true,
        };
        is_no_server && !self.state().is_googles
    }

    fn note_absent(&self, error: &ServiceError) {
        match error.fault() {
            ServiceFault::NotMetadata => tracing::warn!("{error}"),
            _ => tracing::debug!("no credentials of the metadata server: {error}"),
        }
        let mut state = self.state();
        state.next = Some(Instant::now() + ABSENT_FOR);
        state.failure = Some(error.to_string().into());
    }

    fn state(&self) -> MutexGuard<'_, MetadataServerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
