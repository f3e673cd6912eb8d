//! Requests to services that issue tokens: one response of bounded size, in bounded time, without redirects, and retried
//! as all requests of `http-client` are.
//!
//! Not here: requests to registries, which are the crate `registry-client`'s.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use http_client::{
    FailureClass, ForeignText, Guard, Pool, PoolSettings, RedactedUrl, Retrier, Retries,
    TlsSettings, TransportError, retry_after,
};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use url::{Url, form_urlencoded};

use crate::{Secret, hide, secrets_in};

/// Time for a whole response: these services respond in a second, and all requests with the token wait for it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// How long a response may be, in bytes: tokens have a few KiB.
const MAX_RESPONSE: usize = 1 << 20;
/// How often a request is sent: a service that does not respond costs 40 s.
const TRIES: u32 = 4;
/// The longest wait after the first try, which doubles with each: 1.4 s on the average in all, which outlasts a short
/// failure.
const FIRST_WAIT: Duration = Duration::from_millis(400);

/// Connections to the services that issue tokens: those of a client, or else own ones, made when the first is
/// needed, since that reads the machine's root certificates.
pub(crate) struct Http {
    pool: OnceLock<Arc<Pool>>,
    deadline: Duration,
    retrier: Retrier,
}

/// A failed request to a service that issues tokens. `Display` includes the cause.
#[derive(Debug)]
pub struct ServiceError {
    method: Method,
    url: RedactedUrl,
    fault: ServiceFault,
}

/// Why a request to a service that issues tokens failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceFault {
    /// There was no response, or not all of it.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// It responds, but not as a metadata server of Google's.
    #[error("not a metadata server: the response has no `Metadata-Flavor: Google`")]
    NotMetadata,
    /// The status means failure.
    #[error("{status}{}", Shown(reason.as_ref()))]
    Status {
        /// The status.
        status: StatusCode,
        /// How long to wait, by the response (`Retry-After`).
        retry_after: Option<Duration>,
        /// What the body gives as the reason.
        reason: Option<ErrorReason>,
    },
}

/// The reason in the body of a refusal.
#[derive(Debug)]
pub struct ErrorReason {
    code: String,
    message: String,
}

/// A reason as it follows a status.
struct Shown<'a>(Option<&'a ErrorReason>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(ErrorReason { code, message }) = self.0 else { return Ok(()) };
        let separator = if message.is_empty() { "" } else { ": " };
        write!(f, " ({}{separator}{})", ForeignText(code), ForeignText(message))
    }
}

impl ServiceError {
    /// What was wrong.
    #[must_use]
    pub const fn fault(&self) -> &ServiceFault {
        &self.fault
    }

    /// The status of the response, when that is what was wrong.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        match self.fault {
            ServiceFault::Status { status, .. } => Some(status),
            ServiceFault::Transport(_) | ServiceFault::NotMetadata => None,
        }
    }

    /// Whether what was requested does not exist (404).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Whether the same request may well succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.class() != FailureClass::Settled
    }

    /// Whether the service refuses an assertion for its times (RFC 7523 §3), as it does if the clock of this machine is
    /// wrong. Only Google's message shows that.
    #[must_use]
    pub(crate) fn is_about_time(&self) -> bool {
        let ServiceFault::Status { reason: Some(reason), .. } = &self.fault else { return false };
        let has = |word| reason.message.contains(word);
        reason.code == "invalid_grant" && has("JWT") && (has("iat") || has("timeframe"))
    }

    /// Whether the service says that there are too many requests.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        matches!(self.class(), FailureClass::Throttled { .. })
    }

    fn class(&self) -> FailureClass {
        match &self.fault {
            ServiceFault::NotMetadata => FailureClass::Settled,
            ServiceFault::Status { status, retry_after, .. } => {
                FailureClass::of_status(*status, *retry_after)
            }
            ServiceFault::Transport(cause) => FailureClass::of_transport(cause),
        }
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.method, self.url, self.fault)
    }
}

impl std::error::Error for ServiceError {}

/// Whether a request may go through a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProxyUse {
    /// The proxy that the settings name.
    Configured,
    /// No proxy: the server is on this machine's own network.
    Direct,
}

/// A request to a service.
pub(crate) struct ServiceRequest {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    proxy: ProxyUse,
    /// Secrets that were sent: a message that contains one is not shown.
    secrets: Vec<Secret>,
}

/// A response of a service.
pub(crate) struct ServiceResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl ServiceRequest {
    pub(crate) fn get(url: Url) -> Self {
        let (headers, body, secrets) = (HeaderMap::new(), Bytes::new(), Vec::new());
        let proxy = ProxyUse::Configured;
        Self { method: Method::GET, url, headers, body, proxy, secrets }
    }

    /// Without any proxy.
    pub(crate) fn direct(mut self) -> Self {
        self.proxy = ProxyUse::Direct;
        self
    }

    /// A POST of a form. The fields' values count as secrets.
    pub(crate) fn form(url: Url, fields: &[(&str, &str)]) -> Self {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut request = Self::post(url, "application/x-www-form-urlencoded", form);
        request.secrets = fields.iter().map(|(_, value)| Secret::from(*value)).collect();
        request
    }

    /// A POST of JSON.
    pub(crate) fn json(url: Url, body: &Value) -> Self {
        Self::post(url, "application/json", body.to_string())
    }

    fn post(url: Url, content_type: &'static str, body: String) -> Self {
        let request = Self { method: Method::POST, body: body.into(), ..Self::get(url) };
        request.header(header::CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// With a token. One that no header can carry is not sent; the service refuses the request then.
    pub(crate) fn bearer(mut self, token: Secret) -> Self {
        if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {}", token.expose())) {
            value.set_sensitive(true);
            self.headers.insert(header::AUTHORIZATION, value);
        }
        self.secrets.push(token);
        self
    }

    pub(crate) fn shown_url(&self) -> RedactedUrl {
        RedactedUrl::new(&self.url)
    }

    pub(crate) fn fails(&self, fault: ServiceFault) -> ServiceError {
        ServiceError { method: self.method.clone(), url: self.shown_url(), fault }
    }

    fn to_http(&self, uri: Uri) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        let agent = concat!("portolan/", env!("CARGO_PKG_VERSION"));
        let agent = HeaderValue::from_static(agent);
        request.headers_mut().insert(header::USER_AGENT, agent);
        request
    }

    /// A successful response (2xx); any other one is an error.
    pub(crate) fn succeeds(
        &self,
        response: ServiceResponse,
    ) -> Result<ServiceResponse, ServiceError> {
        match response.status.is_success() {
            true => Ok(response),
            false => Err(self.fails(self.refusal(&response))),
        }
    }

    /// The reason of a refusal, without secrets.
    fn refusal(&self, response: &ServiceResponse) -> ServiceFault {
        let mut secrets = self.secrets.clone();
        secrets.extend(self.headers.get(header::AUTHORIZATION).into_iter().flat_map(secrets_in));
        let reason = reason(&response.body).map(|(code, message)| ErrorReason {
            code: hide(&code, &secrets),
            message: hide(&message, &secrets),
        });
        let retry_after = retry_after(&response.headers, SystemTime::now());
        ServiceFault::Status { status: response.status, retry_after, reason }
    }
}

/// Code and message of a refusal: OAuth's `error` and `error_description` (RFC 6749 §5.2), or Google's
/// `error` with `status` and `message`.
fn reason(body: &[u8]) -> Option<(String, String)> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (code, message) = match &body["error"] {
        Value::Object(error) => {
            let member = |name: &str| error.get(name).map(text).unwrap_or_default();
            (member("status"), member("message"))
        }
        code => (text(code), text(&body["error_description"])),
    };
    match (code.is_empty(), message.is_empty()) {
        (true, true) => None,
        (true, false) => Some((message, String::new())),
        (false, _) => Some((code, message)),
    }
}

impl Http {
    /// With this much time for each response.
    pub(crate) fn new(deadline: Duration) -> Self {
        let retries = Retries::default().tries(TRIES).base(FIRST_WAIT);
        Self { pool: OnceLock::new(), deadline, retrier: Retrier::new(retries) }
    }

    /// Uses the connections of `pool`, unless there are other ones already.
    pub(crate) fn connect_by(&self, pool: &Arc<Pool>) {
        let _ = self.pool.set(Arc::clone(pool));
    }

    /// Sends the request until there is a successful response, as often as that may help.
    pub(crate) async fn send(
        &self,
        request: &ServiceRequest,
    ) -> Result<ServiceResponse, ServiceError> {
        let send = || async { request.succeeds(self.send_once(request, self.deadline).await?) };
        self.retrier.send(send, ServiceError::class).await
    }

    /// Sends the request once, and returns the whole response, whatever its status.
    pub(crate) async fn send_once(
        &self,
        request: &ServiceRequest,
        limit: Duration,
    ) -> Result<ServiceResponse, ServiceError> {
        let deadline = Deadline { at: Instant::now() + limit, limit };
        // On the heap, since hyper's futures are large and this one is within many others.
        let response = Box::pin(self.response(request, deadline)).await;
        response.map_err(|cause| request.fails(cause.into()))
    }

    async fn response(
        &self,
        request: &ServiceRequest,
        deadline: Deadline,
    ) -> Result<ServiceResponse, TransportError> {
        let pool = self.pool.get_or_init(|| {
            let mut tls = TlsSettings::none();
            tls.trust_system();
            Arc::new(Pool::new(PoolSettings::new(tls)))
        });
        let target = pool.target(Guard::Open, &request.url)?;
        let outgoing =
            request.to_http(target).map(|body| body.map_err(|never| match never {}).boxed_unsync());
        let sent = async {
            match request.proxy {
                ProxyUse::Configured => pool.send(Guard::Open, outgoing).await,
                ProxyUse::Direct => pool.send_direct(outgoing).await,
            }
        };
        let silent = |_| Err(TransportError::NoResponse { after: deadline.limit });
        let response = timeout_at(deadline.at, sent).await.unwrap_or_else(silent)?;
        let (parts, body) = response.into_parts();
        let body = read(body, deadline).await?;
        Ok(ServiceResponse { status: parts.status, headers: parts.headers, body })
    }
}

/// When a response has to be complete.
#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    /// How long that was from the start.
    limit: Duration,
}

/// A whole body.
async fn read(mut body: Incoming, deadline: Deadline) -> Result<Bytes, TransportError> {
    let mut bytes = Vec::new();
    loop {
        let received = bytes.len() as u64;
        let slow = |_| TransportError::TooSlow { after: deadline.limit, received };
        match timeout_at(deadline.at, body.frame()).await.map_err(slow)? {
            None => return Ok(bytes.into()),
            Some(Err(cause)) => return Err(TransportError::Lost { received, cause: cause.into() }),
            Some(Ok(frame)) => bytes.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
        }
        if bytes.len() > MAX_RESPONSE {
            return Err(TransportError::TooLarge { limit: MAX_RESPONSE });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_oauth_and_of_google() {
        let url: Url = "https://h.example/t?q=1".parse().expect("a URL");
        let request = ServiceRequest::form(url, &[("assertion", "hunter2")]).bearer("t0ken".into());
        for (body, text) in [
            ("", "400 Bad Request"),
            ("[]", "400 Bad Request"),
            (r#"{"error":5}"#, "400 Bad Request"),
            (r#"{"error":"invalid_grant"}"#, "400 Bad Request (invalid_grant)"),
            (
                r#"{"error":"invalid_grant","error_description":"hunter2\nis t0ken"}"#,
                "400 Bad Request (invalid_grant: [left out: the server's message held a secret])",
            ),
            (r#"{"error_description":"x"}"#, "400 Bad Request (x)"),
            (
                r#"{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no"}}"#,
                "400 Bad Request (PERMISSION_DENIED: no)",
            ),
        ] {
            let (status, headers) = (StatusCode::BAD_REQUEST, HeaderMap::new());
            let response = ServiceResponse { status, headers, body: body.into() };
            let error = request.fails(request.refusal(&response));
            assert_eq!(error.to_string(), format!("POST https://h.example/t: {text}"));
        }
    }
}
