//! Responses: headers, and the body as a stream or as a whole.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;
use http_client::{Guard, TransportError};
use hyper::body::{Body as _, Incoming};
use oci::Digest;
use tokio::time::{Instant, timeout};

use crate::{
    Error, RegistryClient,
    error::fault::RequestFault,
    exchange::{
        headers::{content_length, digest_in, media_type_in},
        request::RequestTarget,
        substitute::Substitute,
    },
    limit::{Direction, Permit},
};

/// The longest time for a body that is held in memory: 16 MiB at one megabit a second. It bounds servers that send a
/// byte now and then.
const COLLECT_TIMEOUT: Duration = Duration::from_secs(130);

/// The headers of a response, and data of its request.
pub(crate) struct RawResponse {
    pub(crate) response: Response<Incoming>,
    /// When the rate limiter released the request.
    pub(crate) sent: Instant,
    /// The `Authorization` that was sent.
    pub(crate) authorization: Option<HeaderValue>,
    /// The permit; released after the body was read.
    pub(crate) permit: Option<Permit>,
}

/// A successful response (2xx).
pub(crate) struct SuccessResponse {
    pub(crate) target: RequestTarget,
    /// The referrer of the hosts that it points to.
    pub(crate) targets: Guard,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: ResponseBody,
}

impl SuccessResponse {
    pub(crate) fn new(client: &RegistryClient, target: RequestTarget, reply: RawResponse) -> Self {
        let targets = client.guard_of_targets(&target, &reply);
        let (parts, inner) = reply.response.into_parts();
        let has_more = !inner.is_end_stream();
        let body = ResponseBody {
            inner,
            client: client.clone(),
            authority: target.url.authority().into(),
            expected: content_length(&parts.headers),
            received: 0,
            returned: Bytes::new(),
            // The body is complete: the caller may send other requests now, so the permit is released.
            permit: reply.permit.filter(|_| has_more),
        };
        Self { target, targets, status: parts.status, headers: parts.headers, body }
    }

    /// The digest header, if it is valid.
    pub(crate) fn digest(&self) -> Option<Digest> {
        digest_in(&self.headers)
    }

    /// The media type, without parameters; empty when there is none.
    pub(crate) fn media_type(&self) -> String {
        media_type_in(&self.headers)
    }

    /// The substitute for the content of digest `expected`, as far as the headers show one.
    pub(crate) fn substitute(&self, expected: Option<Digest>) -> Option<Substitute> {
        Substitute::of_headers(self.status, &self.headers, expected)
    }

    /// The announced length of the body, or for HEAD that of the body of GET.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.body.expected
    }

    /// The whole body.
    pub(crate) async fn whole(self, limit: usize) -> Result<FullResponse, Error> {
        let Self { target, headers, body, .. } = self;
        match body.collect(limit).await {
            Ok(bytes) => Ok(FullResponse { target, headers, bytes }),
            Err(fault) => Err(target.fails(fault)),
        }
    }
}

/// A successful response with all of its body.
pub(crate) struct FullResponse {
    pub(crate) target: RequestTarget,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl FullResponse {
    /// As [`SuccessResponse::digest`].
    pub(crate) fn digest(&self) -> Option<Digest> {
        digest_in(&self.headers)
    }

    /// The media type, without parameters; empty when there is none.
    pub(crate) fn media_type(&self) -> String {
        media_type_in(&self.headers)
    }

    /// What it holds in place of the content, if it is not that.
    pub(crate) fn substitute(&self) -> Option<Substitute> {
        Substitute::of_whole(&self.headers, &self.bytes)
    }
}

/// Whether the connection was closed cleanly, but too early.
fn is_end(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    source
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
}

/// The body of a response, as it is received.
pub(crate) struct ResponseBody {
    inner: Incoming,
    client: RegistryClient,
    authority: Box<str>,
    expected: Option<u64>,
    received: u64,
    /// A piece that was read and put back.
    returned: Bytes,
    /// Held until the body ends.
    permit: Option<Permit>,
}

impl ResponseBody {
    /// Releases the permit: nothing more is read, and another request may continue.
    pub(crate) fn give_up(&mut self) {
        self.permit = None;
    }

    /// Puts a piece back, to be returned next.
    pub(crate) fn give_back(&mut self, piece: Bytes) {
        self.returned = piece;
    }

    /// The next piece that is not empty; none at the end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, RequestFault> {
        let next = self.unpaid_piece().await;
        if let Ok(Some(piece)) = &next {
            self.pay(piece.len()).await;
        }
        next
    }

    /// Waits as the host's quota of bytes demands after a piece of this length.
    pub(crate) async fn pay(&self, bytes: usize) {
        let limiter = &self.client.shared.limiter;
        limiter.bytes(&self.authority, Direction::Received, bytes as u64).await;
    }

    /// The next piece, before the wait for the quota, so that this wait does not count as time of the server.
    pub(crate) async fn unpaid_piece(&mut self) -> Result<Option<Bytes>, RequestFault> {
        if !self.returned.is_empty() {
            return Ok(Some(std::mem::take(&mut self.returned)));
        }
        let next = self.next_piece().await;
        if !matches!(next, Ok(Some(_))) {
            self.permit = None;
        }
        next
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>, RequestFault> {
        loop {
            let idle = self.client.shared.timeouts.piece;
            let Ok(frame) = timeout(idle, self.inner.frame()).await else {
                let received = self.received;
                return Err(TransportError::Silent { after: idle, received }.into());
            };
            let Some(frame) = frame else { return self.end() };
            let piece = frame.map_err(|error| self.broken(error))?.into_data().unwrap_or_default();
            if !piece.is_empty() {
                self.received += piece.len() as u64;
                return Ok(Some(piece));
            }
        }
    }

    fn end(&self) -> Result<Option<Bytes>, RequestFault> {
        let received = self.received;
        match self.expected {
            Some(expected) if expected != received => {
                Err(TransportError::Truncated { expected, received }.into())
            }
            _ => Ok(None),
        }
    }

    fn broken(&self, error: hyper::Error) -> RequestFault {
        let received = self.received;
        match self.expected {
            Some(expected) if is_end(&error) => {
                TransportError::Truncated { expected, received }.into()
            }
            _ => TransportError::Lost { received, cause: error.into() }.into(),
        }
    }

    /// All of it, if it is no longer than `limit` bytes.
    pub(crate) async fn collect(mut self, limit: usize) -> Result<Bytes, RequestFault> {
        let received = async {
            let mut all = BytesMut::new();
            while let Some(piece) = self.piece().await? {
                if all.len() + piece.len() > limit {
                    return Err(TransportError::TooLarge { limit }.into());
                }
                all.extend_from_slice(&piece);
            }
            Ok(all.freeze())
        };
        match timeout(COLLECT_TIMEOUT, received).await {
            Ok(received) => received,
            Err(_) => {
                let (after, received) = (COLLECT_TIMEOUT, self.received);
                Err(TransportError::TooSlow { after, received }.into())
            }
        }
    }
}
