//! The one function through which every request passes.
//!
//! Deadlines are applied, and error responses are read, only here.
//!
//! Not here: which redirects are followed (`redirect`).
//!
//! Source: distribution-spec 1.1, "Error Codes".

pub(crate) mod attempts;
pub(crate) mod headers;
#[cfg(test)]
mod over_http2;
pub(crate) mod pointer;
pub(crate) mod redirect;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod substitute;

use std::{sync::Arc, time::Duration};

use credentials::secrets_in;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use http_client::{
    Authority, Guard, RedactedUrl, RequestContent, TransportError, is_public_peer, is_throttled,
    retry_after,
};
use hyper::body::Incoming;
use oci::ErrorBody;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::{
    Error, RegistryClient,
    auth::{Authorization, Named},
    error::{
        fault::RequestFault,
        login::Login,
        reasons::{read_reasons, tells_throttled},
    },
    exchange::{
        attempts::Attempts,
        headers::unsatisfied_length,
        redirect::{Redirect, is_redirect},
        request::{Request, RequestTarget},
        response::{FullResponse, RawResponse, SuccessResponse},
    },
    limit::{Direction, RateSignal, RequestKind},
};

/// The most bytes of an error response that are read: the error JSON of the specification is far shorter, and a
/// longer body is a web page.
const MAX_REFUSAL_BYTES: usize = 64 << 10;
/// How long an unwanted body is read before its connection is dropped: a new connection takes no longer.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// The most challenges in a row for one request: the first one, and one for a rejected token that had expired.
const MAX_CHALLENGES: usize = 2;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl RegistryClient {
    /// Sends a request, follows redirects, retries, and returns a successful response. Any other response is an error
    /// after the last retry. Every request of this crate passes through this function.
    pub(crate) async fn send(&self, mut request: Request) -> Result<SuccessResponse, Error> {
        self.begin(&mut request).await;
        let mut attempts = Attempts::default();
        loop {
            // Boxed, so that the callers' futures stay small.
            match Box::pin(self.follow(&mut request)).await {
                Err(error) if attempts.again(self, &error, request.replay()).await => {}
                done => {
                    return self.with_login((&request.url, request.access.as_ref()), done).await;
                }
            }
        }
    }

    /// The same with the whole body, if it has at most `limit` bytes. If the body breaks off, the request is retried
    /// too.
    pub(crate) async fn fetch(
        &self,
        mut request: Request,
        limit: usize,
    ) -> Result<FullResponse, Error> {
        self.begin(&mut request).await;
        let mut attempts = Attempts::default();
        loop {
            let done = match Box::pin(self.follow(&mut request)).await {
                Ok(response) => response.whole(limit).await,
                Err(error) => Err(error),
            };
            match done {
                Err(error) if attempts.again(self, &error, request.replay()).await => {}
                done => {
                    return self.with_login((&request.url, request.access.as_ref()), done).await;
                }
            }
        }
    }

    /// The preparation before the first try. The URL of a realm has its scheme already.
    async fn begin(&self, request: &mut Request) {
        if request.access.is_some() {
            self.settle_scheme(&mut request.url).await;
        }
        self.shared.limiter.count_request(request.url.authority());
    }

    /// The response at the end of all redirects.
    async fn follow(&self, request: &mut Request) -> Result<SuccessResponse, Error> {
        let mut target = request.target();
        let mut been = vec![target.url.clone()];
        loop {
            let reply = self.authorized(request, &target).await;
            let reply = reply.map_err(|fault| target.fails(fault))?;
            tracing::debug!(
                method = %target.method, url = %RedactedUrl::new(&target.url),
                status = reply.response.status().as_u16(), "response"
            );
            if reply.response.status().is_success() {
                return Ok(SuccessResponse::new(self, target, reply));
            }
            if reply.response.status() == StatusCode::NOT_FOUND && been.len() > 1 {
                let to = RedactedUrl::new(&target.url);
                return Err(request.target().fails(RequestFault::RedirectedNotFound { to }));
            }
            if !is_redirect(reply.response.status()) {
                return Err(self.refusal(target, reply).await);
            }
            let redirect = Redirect { target: &target, has_content: request.content.length() > 0 };
            let next = self.redirected(&redirect, &reply.response, &been);
            let next = next.map_err(|fault| target.fails(fault))?;
            if next.host() != target.url.host() {
                target.guard = self.guard_of_targets(&target, &reply);
            }
            self.drain(reply).await;
            target.elsewhere = request.elsewhere || next.origin() != request.url.origin();
            target.url = next.clone();
            been.push(next);
        }
    }

    /// One request and the headers of its response, with its authorization.
    async fn authorized(
        &self,
        request: &mut Request,
        target: &RequestTarget,
    ) -> Result<RawResponse, RequestFault> {
        // Credentials are not sent to another host after a redirect.
        let is_own = target.url.origin() == request.url.origin();
        let mut sent = match request.access.as_ref().filter(|_| is_own) {
            Some(access) => self.authorization(&target.url, access).await?,
            None => None,
        };
        for _ in 0..MAX_CHALLENGES {
            let mut reply = self.exchange(request, target, sent.as_ref()).await?;
            let retry_after = self.retry_after(reply.response.headers());
            let rejection = Rejection::of(&reply.response, retry_after).filter(|_| is_own);
            let (Some(access), Some(rejection)) = (request.access.as_mut(), rejection) else {
                return Ok(reply);
            };
            // The realm may be slow, and this request is not in flight meanwhile.
            reply.permit = None;
            let named = Named { own: target.guard, other: self.guard_of_targets(target, &reply) };
            let headers = reply.response.headers();
            let is_worth_another = match rejection {
                Rejection::Challenge => {
                    self.challenged(&target.url, access, sent.as_ref(), headers, named).await?
                }
                Rejection::Bare => self.has_expired(sent.as_ref()).await,
            };
            if !is_worth_another || request.content.is_spent() {
                return Ok(reply);
            }
            let next = self.authorization(&target.url, access).await?;
            let is_new = next.as_ref().map(Authorization::header)
                != sent.as_ref().map(Authorization::header);
            if !is_new {
                return Ok(reply);
            }
            sent = next;
            self.drain(reply).await;
        }
        self.exchange(request, target, sent.as_ref()).await
    }

    /// One request and the headers of its response, without redirects.
    async fn exchange(
        &self,
        request: &mut Request,
        target: &RequestTarget,
        authorization: Option<&Authorization>,
    ) -> Result<RawResponse, RequestFault> {
        let pool = &self.shared.pool;
        let uri = pool.target(target.guard, &target.url)?;
        let (limiter, authority) = (&self.shared.limiter, target.url.authority());
        // A request that holds a permit must not wait for a second one, wherever a redirect leads: that could deadlock.
        // A token is requested without a permit, since the request for it may hold one.
        let shared = request.permit.as_ref();
        let is_covered =
            shared.is_some_and(|permit| target.elsewhere || permit.covers(&target.url));
        let needs_permit = request.access.is_some() && !is_covered;
        let permit = if needs_permit { Some(limiter.permit(authority).await) } else { None };
        let turn = limiter.turn(authority, RequestKind::of(&target.method)).await;
        let length = request.content.length();
        self.pace(&mut request.content, authority).await;
        let timeouts = request.timeouts(self.shared.timeouts);
        let (body, progress) = request.content.start(timeouts);
        let mut outgoing = http::Request::new(body);
        *outgoing.method_mut() = target.method.clone();
        *outgoing.uri_mut() = uri;
        *outgoing.headers_mut() = request.headers.clone();
        let headers = outgoing.headers_mut();
        headers.insert(header::USER_AGENT, self.shared.user_agent.clone());
        // Content with a digest must not be compressed.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if !matches!(target.method, Method::GET | Method::HEAD | Method::DELETE) {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        // This header is for the registry only, and is not sent to another host after a redirect.
        if target.elsewhere {
            headers.remove(header::AUTHORIZATION);
        } else if let Some(address) = &self.shared.forwarded_for {
            headers.insert(X_FORWARDED_FOR, address.clone());
        }
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, authorization.header().clone());
        }
        let response = match pool.send_watched(target.guard, outgoing, progress).await {
            Ok(response) => response,
            Err(TransportError::NoResponse { after }) if request.commits.is_some() => {
                return Err(TransportError::NoResponseToContent { after }.into());
            }
            Err(cause) => return Err(self.wrong_protocol(&target.url, cause).await.into()),
        };
        let (status, headers) = (response.status(), response.headers());
        let retry_after = self.retry_after(headers);
        self.take_note(target, turn, is_throttled(status, retry_after).then_some(retry_after));
        let authorization = authorization.map(|it| it.header().clone());
        Ok(RawResponse { response, sent: turn, authorization, permit })
    }

    /// The same error, or a clearer one if the cause is the wrong protocol.
    async fn wrong_protocol(&self, url: &Url, cause: TransportError) -> TransportError {
        let host = url.authority().into();
        match cause {
            cause if cause.is_not_tls() => {
                if self.shared.protocols.is_named_tls(&Authority::new(url.authority())) {
                    TransportError::NamedForTls { host }
                } else {
                    TransportError::SpeaksPlain { host }
                }
            }
            TransportError::Lost { .. } | TransportError::Malformed { .. }
                if self.speaks_tls(url).await =>
            {
                TransportError::SpeaksTls { host }
            }
            cause => cause,
        }
    }

    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        retry_after(headers, (self.shared.clock)())
    }

    /// Reports the response to the rate limiter, with `Retry-After` if the request was throttled. A 503 does not concern
    /// the rate: it means that the server is unavailable (RFC 9110 §15.6.4), and its `Retry-After` applies to this
    /// request.
    fn take_note(
        &self,
        target: &RequestTarget,
        sent: Instant,
        throttled: Option<Option<Duration>>,
    ) {
        let said = throttled.map_or(RateSignal::Accepted, |retry_after| {
            let retry_after = self.shared.retries.obeyed(retry_after);
            RateSignal::Throttled { retry_after }
        });
        let kind = RequestKind::of(&target.method);
        self.shared.limiter.received(target.url.authority(), kind, sent, said);
    }

    /// Counts the sent bytes, and limits them to the host's quota.
    async fn pace(&self, content: &mut RequestContent, authority: &str) {
        if let RequestContent::Bytes(bytes) = content {
            return self.shared.limiter.bytes(authority, Direction::Sent, bytes.len() as u64).await;
        }
        let (client, authority) = (self.clone(), Arc::<str>::from(authority));
        content.paced(move |bytes| {
            let (client, authority) = (client.clone(), Arc::clone(&authority));
            async move { client.shared.limiter.bytes(&authority, Direction::Sent, bytes).await }
        });
    }

    /// The referrer of the hosts that a response of `from` points to.
    pub(crate) fn guard_of_targets(&self, target: &RequestTarget, reply: &RawResponse) -> Guard {
        let is_public = is_public_peer(&target.url, &reply.response);
        let is_named_so =
            target.url.authority().parse().is_ok_and(|host| self.shared.public.contains(&host));
        if is_public || is_named_so { Guard::PublicOnly } else { target.guard }
    }

    /// The error that an unsuccessful response is, with the registry's reasons if they can be read.
    async fn refusal(&self, target: RequestTarget, reply: RawResponse) -> Error {
        let (status, sent) = (reply.response.status(), reply.sent);
        let retry_after = self.retry_after(reply.response.headers());
        // What Go's servers, nginx and Apache respond with.
        if status == StatusCode::BAD_REQUEST && self.speaks_tls(&target.url).await {
            let host = target.url.authority().into();
            return target.fails(TransportError::SpeaksTls { host }.into());
        }
        let is_authorized = reply.authorization.is_some();
        let secrets = reply.authorization.as_ref().map(secrets_in).unwrap_or_default();
        let response = SuccessResponse::new(self, target, reply);
        let length = unsatisfied_length(&response.headers);
        let schemes = (status == StatusCode::UNAUTHORIZED)
            .then(|| Self::unsupported_schemes(&response.headers))
            .flatten();
        let read = response.body.collect(MAX_REFUSAL_BYTES);
        let body = match timeout(self.shared.timeouts.response, read).await {
            Ok(Ok(bytes)) => read_reasons(&bytes, &secrets),
            Ok(Err(_)) | Err(_) => ErrorBody::default(),
        };
        // Only the body shows that the request was throttled, so it was counted as accepted before.
        if tells_throttled(status, &body) && !is_throttled(status, retry_after) {
            self.take_note(&response.target, sent, Some(retry_after));
        }
        let error =
            response.target.fails(RequestFault::Status { status, retry_after, length, body });
        let error = error.with_login(schemes.map(|it| Login::Unsupported { schemes: it.into() }));
        if is_authorized { error.authorized() } else { error }
    }

    /// Reads an unneeded body, if it is short and arrives soon, so that the connection can be reused.
    async fn drain(&self, reply: RawResponse) {
        let body = Limited::new(reply.response.into_body(), MAX_REFUSAL_BYTES);
        // Otherwise the connection is closed, which costs only time.
        let _ = timeout(DRAIN_TIMEOUT, body.collect()).await;
    }
}

/// A response whose cause may be the authorization of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rejection {
    /// A 401, with a challenge.
    Challenge,
    /// A 400 or 403 without a challenge.
    Bare,
}

impl Rejection {
    fn of(response: &Response<Incoming>, retry_after: Option<Duration>) -> Option<Self> {
        let has_challenge = response.headers().contains_key(header::WWW_AUTHENTICATE);
        match response.status() {
            status if is_throttled(status, retry_after) => None,
            StatusCode::UNAUTHORIZED => Some(Self::Challenge),
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN if !has_challenge => Some(Self::Bare),
            _ => None,
        }
    }
}
