//! The little HTTP that giving out tokens needs: one answer of bounded size, in bounded time, without
//! redirects, and asked for again where that may help.
//!
//! Not here: requests to registries, which are the crate `registry-client`'s.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use http_client::{
    FailureClass, ForeignText, Guard, Pool, PoolSettings, RedactedUrl, TlsSettings, TransportError,
    native_roots,
};
use serde_json::Value;
use tokio::time::{sleep, timeout};
use url::{Url, form_urlencoded};

use crate::{Secret, hide, secrets_in};

/// Time for a whole answer: these services answer in a second, and the work of all waits for it.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long an answer may be, in bytes: tokens have a few KiB.
const MAX_ANSWER: usize = 1 << 20;
/// Pauses before the second and the third try: enough for a hiccup. Whoever wants credentials waits.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];

/// Connections to the services that give out tokens: those of a client, or else own ones, made when the first is
/// wanted, since that reads the machine's root certificates.
#[derive(Default)]
pub(crate) struct Http {
    pool: OnceLock<Arc<Pool>>,
}

/// A request to a service that gives out tokens that did not end as it should. `Display` includes the cause.
#[derive(Debug)]
pub struct ServiceError {
    method: Method,
    url: RedactedUrl,
    fault: ServiceFault,
}

/// What was wrong with a request to a service that gives out tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceFault {
    /// There was no response, or not all of it.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The status means failure.
    #[error("{status}{}", Shown(reason.as_ref()))]
    Status {
        /// The status.
        status: StatusCode,
        /// What the body gives as the reason.
        reason: Option<Reason>,
    },
}

/// The reason in the body of a refusal.
#[derive(Debug)]
pub struct Reason {
    code: String,
    message: String,
}

/// A reason as it follows a status.
struct Shown<'a>(Option<&'a Reason>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Reason { code, message }) = self.0 else { return Ok(()) };
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
            ServiceFault::Transport(_) => None,
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
        let class = match &self.fault {
            ServiceFault::Status { status, .. } => FailureClass::of_status(*status, None),
            ServiceFault::Transport(cause) => FailureClass::of_transport(cause),
        };
        class != FailureClass::Settled
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.method, self.url, self.fault)
    }
}

impl std::error::Error for ServiceError {}

/// How a request may reach its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Any,
    /// Without a proxy: the server is on this machine's own network.
    Direct,
}

/// What is asked.
pub(crate) struct Call {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    route: Route,
    /// What was sent, and is taken out of anything that comes back to be shown.
    secrets: Vec<Secret>,
}

/// An answer.
pub(crate) struct ServiceResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn get(url: Url) -> Self {
        let (headers, body, secrets) = (HeaderMap::new(), Bytes::new(), Vec::new());
        let route = Route::Any;
        Self { method: Method::GET, url, headers, body, route, secrets }
    }

    /// Without any proxy.
    pub(crate) fn direct(mut self) -> Self {
        self.route = Route::Direct;
        self
    }

    /// A POST of a form. The fields' values count as secrets.
    pub(crate) fn form(url: Url, fields: &[(&str, &str)]) -> Self {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let mut call = Self::post(url, "application/x-www-form-urlencoded", form);
        call.secrets = fields.iter().map(|(_, value)| Secret::from(*value)).collect();
        call
    }

    /// A POST of JSON.
    pub(crate) fn json(url: Url, body: &Value) -> Self {
        Self::post(url, "application/json", body.to_string())
    }

    fn post(url: Url, content_type: &'static str, body: String) -> Self {
        let call = Self { method: Method::POST, body: body.into(), ..Self::get(url) };
        call.header(header::CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// With a token. One that cannot stand in a header is not sent, and is refused then.
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

    fn fails(&self, fault: ServiceFault) -> ServiceError {
        ServiceError { method: self.method.clone(), url: self.shown_url(), fault }
    }

    fn request(&self, uri: Uri) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        let agent = concat!("portolan/", env!("CARGO_PKG_VERSION"));
        let agent = HeaderValue::from_static(agent);
        request.headers_mut().insert(header::USER_AGENT, agent);
        request
    }

    /// A successful answer (2xx); any other one is an error.
    pub(crate) fn succeeds(&self, reply: ServiceResponse) -> Result<ServiceResponse, ServiceError> {
        match reply.status.is_success() {
            true => Ok(reply),
            false => Err(self.fails(self.refusal(reply.status, &reply.body))),
        }
    }

    /// What a refusal says, without what was sent.
    fn refusal(&self, status: StatusCode, body: &[u8]) -> ServiceFault {
        let mut secrets = self.secrets.clone();
        secrets.extend(self.headers.get(header::AUTHORIZATION).into_iter().flat_map(secrets_in));
        let reason = reason(body).map(|(code, message)| Reason {
            code: hide(&code, &secrets),
            message: hide(&message, &secrets),
        });
        ServiceFault::Status { status, reason }
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
    /// Uses the connections of `pool`, unless there are other ones already.
    pub(crate) fn connect_by(&self, pool: &Arc<Pool>) {
        let _ = self.pool.set(Arc::clone(pool));
    }

    /// Asks until there is a successful answer, as often as that may help.
    pub(crate) async fn ask(&self, call: &Call) -> Result<ServiceResponse, ServiceError> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let answer = self.ask_once(call, DEADLINE).await;
            match answer.and_then(|reply| call.succeeds(reply)) {
                Err(error) if error.is_transient() => match pauses.next() {
                    Some(pause) => sleep(pause).await,
                    None => return Err(error),
                },
                answer => return answer,
            }
        }
    }

    /// Asks once, and has the whole answer by the deadline, whatever it is.
    pub(crate) async fn ask_once(
        &self,
        call: &Call,
        deadline: Duration,
    ) -> Result<ServiceResponse, ServiceError> {
        // On the heap, since hyper's futures are large and this one is within many others.
        let answer = timeout(deadline, Box::pin(self.answer(call))).await;
        let answer = answer.unwrap_or(Err(TransportError::NoResponse { after: deadline }));
        answer.map_err(|cause| call.fails(cause.into()))
    }

    async fn answer(&self, call: &Call) -> Result<ServiceResponse, TransportError> {
        let pool = self.pool.get_or_init(|| {
            let mut tls = TlsSettings::none();
            tls.trust(native_roots());
            Arc::new(Pool::new(PoolSettings::new(tls)))
        });
        let target = pool.target(Guard::Open, &call.url)?;
        let request =
            call.request(target).map(|body| body.map_err(|never| match never {}).boxed_unsync());
        let response = match call.route {
            Route::Any => pool.send(Guard::Open, request).await?,
            Route::Direct => pool.send_direct(request).await?,
        };
        let (parts, body) = response.into_parts();
        let body = match Limited::new(body, MAX_ANSWER).collect().await {
            Ok(body) => body.to_bytes(),
            Err(cause) if cause.is::<LengthLimitError>() => {
                return Err(TransportError::TooLarge { limit: MAX_ANSWER });
            }
            Err(cause) => return Err(TransportError::Lost { received: 0, cause }),
        };
        Ok(ServiceResponse { status: parts.status, headers: parts.headers, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_oauth_and_of_google() {
        let url: Url = "https://h.example/t?q=1".parse().expect("a URL");
        let call = Call::form(url, &[("assertion", "hunter2")]).bearer("t0ken".into());
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
            let error = call.fails(call.refusal(StatusCode::BAD_REQUEST, body.as_bytes()));
            assert_eq!(error.to_string(), format!("POST https://h.example/t: {text}"));
        }
    }
}
