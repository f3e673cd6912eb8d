//! The one function through which every request passes, and the answers that it gives.
//!
//! Deadlines, redirects and the reading of refusals are here, and nowhere else; credentials,
//! retries and quotas will stand here too.
//!
//! Source: RFC 9110 §15.4 (redirects); distribution-spec 1.1, "Error Codes".

use std::{io, pin::pin, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use oci::{Digest, ErrorBody, media_type};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use url::Url;

use crate::{
    Client, Error, RedactedUrl,
    content::{Content, Progress},
    error::{Fault, Pointer, Refusal, is_out_of_descriptors},
    url::strip_user,
};

/// How many redirects in a row are followed: a front, its upstream and that one's storage make
/// three; browsers stop at 20, where the reason is always a mistake.
const MAX_REDIRECTS: usize = 5;
/// How much of a refusal is read, in bytes: the error JSON of the specification is far shorter, and
/// what is longer is a web page.
const MAX_REFUSAL_BYTES: usize = 64 << 10;
/// How long a body that is held in memory may take in all, however steadily it comes: 16 MiB at
/// one megabit a second. It bounds servers that send a byte now and then.
const COLLECT_TIMEOUT: Duration = Duration::from_secs(130);

/// The header that names the digest of a manifest or blob.
pub(crate) const DOCKER_CONTENT_DIGEST: HeaderName =
    HeaderName::from_static("docker-content-digest");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What is asked.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
    /// Whether a redirect has led to another host than the one that was asked.
    elsewhere: bool,
}

impl Request {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        let (headers, content) = (HeaderMap::new(), Content::NONE);
        Self { method, url, headers, content, elsewhere: false }
    }

    /// An error of this request.
    pub(crate) fn fails(&self, fault: Fault) -> Error {
        let error = Error::new(self.method.clone(), RedactedUrl::new(&self.url), fault);
        if self.elsewhere { error.elsewhere() } else { error }
    }
}

/// A successful answer (2xx).
pub(crate) struct Answer {
    /// The request as it was answered: after redirects, the last one.
    pub(crate) request: Request,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: AnswerBody,
}

impl Client {
    /// Sends a request, follows redirects, and gives back a successful answer; any other one is an
    /// error. Every request of this crate passes here.
    pub(crate) async fn send(&self, mut request: Request) -> Result<Answer, Error> {
        let asked = request.url.clone();
        let mut been = vec![asked.clone()];
        loop {
            let answer = match self.exchange(&mut request).await {
                Ok(answer) => answer,
                Err(fault) => return Err(request.fails(fault)),
            };
            tracing::debug!(
                method = %request.method, url = %RedactedUrl::new(&request.url),
                status = answer.status().as_u16(), "asked"
            );
            if answer.status().is_success() {
                return Ok(Answer::new(request, answer, self.0.patience.piece));
            }
            if !is_redirect(answer.status()) {
                return Err(self.refusal(request, answer).await);
            }
            request.url = match self.redirected(&request, answer.headers(), &been) {
                Ok(next) => next,
                Err(fault) => return Err(request.fails(fault)),
            };
            request.elsewhere = request.url.origin() != asked.origin();
            been.push(request.url.clone());
        }
    }

    /// One request and the headers of its answer, without redirects.
    async fn exchange(&self, request: &mut Request) -> Result<Response<Incoming>, Fault> {
        if request.url.scheme() == "https" && !self.0.pool.has_roots {
            return Err(Fault::NoRootCertificates);
        }
        let uri: Uri = request.url.as_str().parse().map_err(|cause| Fault::BadUrl { cause })?;
        let length = request.content.len();
        let (body, progress) = request.content.start(self.0.patience);
        let mut outgoing = http::Request::new(body);
        *outgoing.method_mut() = request.method.clone();
        *outgoing.uri_mut() = uri;
        *outgoing.headers_mut() = request.headers.clone();
        let headers = outgoing.headers_mut();
        headers.insert(header::USER_AGENT, self.0.user_agent.clone());
        // Bytes with a digest must come as they are.
        headers.insert(header::ACCEPT_ENCODING, header::HeaderValue::from_static("identity"));
        if !matches!(request.method, Method::GET | Method::HEAD | Method::DELETE) {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        // What is meant for the host that was asked does not follow a redirect to another one.
        if !request.elsewhere
            && let Some(address) = &self.0.forwarded_for
        {
            headers.insert(X_FORWARDED_FOR, address.clone());
        }
        headers_of(self.0.pool.http.request(outgoing), progress).await
    }

    /// Where a redirect leads, if it may be followed.
    fn redirected(
        &self,
        request: &Request,
        headers: &HeaderMap,
        been: &[Url],
    ) -> Result<Url, Fault> {
        let pointer = Pointer::Redirect;
        let to = location(&request.url, headers, pointer)?;
        let reason = if !matches!(request.method, Method::GET | Method::HEAD) {
            Refusal::Method
        } else if to.scheme() == "http" && !self.allows_plain(&request.url, &to) {
            Refusal::PlainHttp
        } else if been.contains(&to) {
            Refusal::Loop
        } else if been.len() > MAX_REDIRECTS {
            Refusal::TooMany { limit: MAX_REDIRECTS, of: "redirects in a row" }
        } else {
            return Ok(to);
        };
        Err(Fault::NotFollowed { pointer, to: Some(RedactedUrl::new(&to)), reason })
    }

    /// The error that an unsuccessful answer is, with the registry's reasons if they can be read.
    async fn refusal(&self, request: Request, answer: Response<Incoming>) -> Error {
        let status = answer.status();
        let answer = Answer::new(request, answer, self.0.patience.piece);
        let read = answer.body.collect(MAX_REFUSAL_BYTES);
        let body = match timeout(self.0.patience.answer, read).await {
            Ok(Ok(bytes)) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Ok(Err(_)) | Err(_) => ErrorBody::default(),
        };
        answer.request.fails(Fault::Status { status, body })
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 307 | 308)
}

/// Waits for the headers of an answer, as long as the content makes progress.
async fn headers_of(
    answer: legacy::ResponseFuture,
    mut progress: watch::Receiver<Progress>,
) -> Result<Response<Incoming>, Fault> {
    let mut answer = pin!(answer);
    loop {
        let deadline = progress.borrow_and_update().deadline;
        tokio::select! {
            answer = &mut answer => {
                let failure = progress.borrow().failure();
                return match (failure, answer) {
                    (Some(fault), _) => Err(fault),
                    (None, Ok(answer)) => Ok(answer),
                    (None, Err(error)) => Err(broken(error)),
                };
            }
            () = passed(deadline) => return Err(progress.borrow().late()),
            Ok(()) = progress.changed() => {}
        }
    }
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// What a failure before the headers of the answer was.
fn broken(error: legacy::Error) -> Fault {
    let source = std::error::Error::source(&error);
    // The TCP connector has an error type of its own; what is plain I/O comes from the handshake.
    let in_handshake = source.is_some_and(|source| source.is::<io::Error>());
    if error.is_connect() && is_out_of_descriptors(&error) {
        return Fault::NoDescriptors { cause: error.into() };
    }
    match (error.is_connect(), in_handshake) {
        (true, true) => Fault::Tls { cause: error.into() },
        (true, false) => Fault::Connect { cause: error.into() },
        (false, _) => Fault::Lost { received: 0, cause: error.into() },
    }
}

/// The URL of a `Location` header, made absolute.
pub(crate) fn location(base: &Url, headers: &HeaderMap, pointer: Pointer) -> Result<Url, Fault> {
    let refused = |reason| Fault::NotFollowed { pointer, to: None, reason };
    let value = headers.get(header::LOCATION).ok_or_else(|| refused(Refusal::Missing))?;
    let url = value.to_str().ok().and_then(|value| resolve(base, value));
    url.ok_or_else(|| refused(Refusal::NotHttp))
}

/// The http(s) URL that `target` is, seen from `base`.
pub(crate) fn resolve(base: &Url, target: &str) -> Option<Url> {
    let mut url = base.join(target).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    strip_user(&mut url);
    Some(url)
}

impl Answer {
    fn new(request: Request, answer: Response<Incoming>, idle: Duration) -> Self {
        let (parts, inner) = answer.into_parts();
        let expected = content_length(&parts.headers);
        let body = AnswerBody { inner, idle, expected, received: 0 };
        Self { request, status: parts.status, headers: parts.headers, body }
    }

    /// The digest that the registry names, if it does so in a form that can be read.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.headers.get(DOCKER_CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
    }

    /// The media type, without parameters; empty when there is none.
    pub(crate) fn media_type(&self) -> String {
        let value = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        media_type::essence(value.unwrap_or_default()).to_owned()
    }

    /// The announced length of the body, or of what GET would send.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.body.expected
    }

    /// The whole body.
    pub(crate) async fn bytes(self, limit: usize) -> Result<(Request, Bytes), Error> {
        match self.body.collect(limit).await {
            Ok(bytes) => Ok((self.request, bytes)),
            Err(fault) => Err(self.request.fails(fault)),
        }
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the connection ended in order, only too early.
fn is_end(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    source
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
}

/// The body of an answer, while it comes.
pub(crate) struct AnswerBody {
    inner: Incoming,
    idle: Duration,
    expected: Option<u64>,
    received: u64,
}

impl AnswerBody {
    /// The next piece that is not empty; none at the end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let Ok(frame) = timeout(self.idle, self.inner.frame()).await else {
                return Err(Fault::Silent { after: self.idle, received: self.received });
            };
            let Some(frame) = frame else { return self.end() };
            let piece = frame.map_err(|error| self.broken(error))?.into_data().unwrap_or_default();
            if !piece.is_empty() {
                self.received += piece.len() as u64;
                return Ok(Some(piece));
            }
        }
    }

    fn end(&self) -> Result<Option<Bytes>, Fault> {
        let received = self.received;
        match self.expected {
            Some(expected) if expected != received => Err(Fault::Truncated { expected, received }),
            _ => Ok(None),
        }
    }

    fn broken(&self, error: hyper::Error) -> Fault {
        let received = self.received;
        match self.expected {
            Some(expected) if is_end(&error) => Fault::Truncated { expected, received },
            _ => Fault::Lost { received, cause: error.into() },
        }
    }

    /// All of it, if it is no longer than `limit` bytes.
    async fn collect(mut self, limit: usize) -> Result<Bytes, Fault> {
        let received = async {
            let mut all = BytesMut::new();
            while let Some(piece) = self.piece().await? {
                if all.len() + piece.len() > limit {
                    return Err(Fault::TooLarge { limit });
                }
                all.extend_from_slice(&piece);
            }
            Ok(all.freeze())
        };
        match timeout(COLLECT_TIMEOUT, received).await {
            Ok(received) => received,
            Err(_) => Err(Fault::TooSlow { after: COLLECT_TIMEOUT, received: self.received }),
        }
    }
}
