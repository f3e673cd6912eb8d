//! Faults of requests, as a script: which requests, how many of them, and what happens.

use std::{future::Future, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH},
};

use crate::{RecordedRequest, cut::Cut, fixture::TestImage, rewrite, shape::Shape};

/// A fault: `Fault::on(Method::GET, "/blobs/").times(2).status(503)`. Without an action the response is
/// 500.
#[derive(Clone, Debug)]
pub struct Fault {
    method: Option<Method>,
    path_contains: String,
    only_at_end: bool,
    left: usize,
    spares_authorized: bool,
    spares_unconditional: bool,
    /// Until there was a request of this kind, the fault applies to none.
    waits_for: Option<(Method, String)>,
    action: FaultAction,
}

#[derive(Clone, Debug)]
pub(crate) enum FaultAction {
    Respond(StatusCode, HeaderMap, Bytes),
    Hang,
    Reset,
    ResetAfterRequest(usize),
    LoseResponse,
    WithholdResponse,
    RefuseMount,
    IgnoreConditions,
    ThenPut(Overwrite),
    WrongDigest,
    TruncateListing(usize),
    Body(Shape),
}

/// A manifest that another client puts.
#[derive(Clone, Debug)]
pub(crate) struct Overwrite {
    path: String,
    media_type: String,
    bytes: Bytes,
}

impl Overwrite {
    fn request(self) -> Request<Body> {
        let request = Request::put(self.path).header(CONTENT_TYPE, self.media_type);
        request.body(self.bytes.into()).expect("a request")
    }
}

impl Fault {
    /// For requests of this method whose path and query contain this text; `""` is in all of them.
    #[must_use]
    pub fn on(method: Method, path_contains: &str) -> Self {
        Self { method: Some(method), ..Self::everywhere(path_contains) }
    }

    /// For requests of any method whose path and query contain this text.
    #[must_use]
    pub fn everywhere(path_contains: &str) -> Self {
        Self {
            method: None,
            path_contains: path_contains.to_owned(),
            only_at_end: false,
            left: usize::MAX,
            spares_authorized: false,
            spares_unconditional: false,
            waits_for: None,
            action: FaultAction::Respond(
                StatusCode::INTERNAL_SERVER_ERROR,
                HeaderMap::new(),
                Bytes::new(),
            ),
        }
    }

    /// Befalls only those whose path and query end with the text.
    #[must_use]
    pub const fn ending(mut self) -> Self {
        self.only_at_end = true;
        self
    }

    /// Befalls only the next `count` of them.
    #[must_use]
    pub const fn times(mut self, count: usize) -> Self {
        self.left = count;
        self
    }

    /// A response with this status and an empty body; the request is not carried out.
    #[must_use]
    pub fn status(self, code: u16) -> Self {
        let status = StatusCode::from_u16(code).expect("a status code");
        self.with(FaultAction::Respond(status, HeaderMap::new(), Bytes::new()))
    }

    /// Befalls only those that do not say who they are.
    #[must_use]
    pub const fn unless_authorized(mut self) -> Self {
        self.spares_authorized = true;
        self
    }

    /// Befalls only those with `If-Match` or `If-None-Match`.
    #[must_use]
    pub const fn if_conditional(mut self) -> Self {
        self.spares_unconditional = true;
        self
    }

    /// Only requests after the first one with this method, whose path and query contain `path_contains`. Of several
    /// faults it must be the first one.
    #[must_use]
    pub fn once_there_was(mut self, method: Method, path_contains: &str) -> Self {
        self.waits_for = Some((method, path_contains.to_owned()));
        self
    }

    /// After [`Fault::status`]: with this header, such as `Retry-After` or `Location`.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let FaultAction::Respond(_, headers, _) = &mut self.action else {
            panic!("a header needs a status before it");
        };
        let value = HeaderValue::from_str(value).expect("a header value");
        headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// After [`Fault::status`]: with this body.
    #[must_use]
    pub fn body(mut self, text: &str) -> Self {
        let FaultAction::Respond(_, _, body) = &mut self.action else {
            panic!("a body needs a status before it");
        };
        *body = Bytes::copy_from_slice(text.as_bytes());
        self
    }

    /// No response; the connection stays open.
    #[must_use]
    pub fn hang(self) -> Self {
        self.with(FaultAction::Hang)
    }

    /// The connection is reset without a response: a TCP RST, not an orderly end. The request is not
    /// carried out.
    #[must_use]
    pub fn reset(self) -> Self {
        self.with(FaultAction::Reset)
    }

    /// As [`Fault::reset`], once this much of the request's body was read.
    #[must_use]
    pub fn reset_after_request(self, bytes: usize) -> Self {
        self.with(FaultAction::ResetAfterRequest(bytes))
    }

    /// The request is carried out, and then the connection is closed without a response: an orderly
    /// end.
    #[must_use]
    pub fn lose_response(self) -> Self {
        self.with(FaultAction::LoseResponse)
    }

    /// The request is carried out, and there is no response; the connection stays open.
    #[must_use]
    pub fn withhold_response(self) -> Self {
        self.with(FaultAction::WithholdResponse)
    }

    /// A POST that requests a mount is carried out as if its query had neither `mount` nor `from`: the
    /// registry begins an upload. Other requests are carried out as they are.
    #[must_use]
    pub fn refuse_mount(self) -> Self {
        self.with(FaultAction::RefuseMount)
    }

    /// The request is carried out as if it had no `If-Match` and no `If-None-Match`, as by registries that do not
    /// know conditions.
    #[must_use]
    pub fn ignore_conditions(self) -> Self {
        self.with(FaultAction::IgnoreConditions)
    }

    /// The request is carried out, and right after it, before the response, another client puts `manifest` at this
    /// path, without conditions. Its blobs must be there.
    #[must_use]
    pub fn then_put(self, path: &str, manifest: &TestImage) -> Self {
        let media_type = manifest.descriptor.media_type.clone();
        let (path, bytes) = (path.to_owned(), manifest.bytes.clone());
        self.with(FaultAction::ThenPut(Overwrite { path, media_type, bytes }))
    }

    /// The response names another, well-formed digest in `Docker-Content-Digest` and, if there is one, in
    /// `ETag`. Its body is the right one.
    #[must_use]
    pub fn wrong_digest(self) -> Self {
        self.with(FaultAction::WrongDigest)
    }

    /// A listing in JSON has only the first so many `tags`, `repositories` and members of Google's
    /// `manifest` (in ASCII order), a `Content-Length` that agrees, and no `Link` to more. Other responses
    /// are as they are.
    #[must_use]
    pub fn truncate_listing(self, entries: usize) -> Self {
        self.with(FaultAction::TruncateListing(entries))
    }

    /// The connection is closed, in order, after this much of the response's body, or less: its
    /// `Content-Length` announces more than comes.
    #[must_use]
    pub fn truncate_after(self, bytes: usize) -> Self {
        self.with(FaultAction::Body(Shape::TruncateAfter(bytes)))
    }

    /// As [`Fault::truncate_after`], but the connection is reset, as by [`Fault::reset`].
    #[must_use]
    pub fn reset_after(self, bytes: usize) -> Self {
        self.with(FaultAction::Body(Shape::ResetAfter(bytes)))
    }

    /// Nothing more comes after this much of the response's body; the connection stays open.
    #[must_use]
    pub fn stall_after(self, bytes: usize) -> Self {
        self.with(FaultAction::Body(Shape::StallAfter(bytes)))
    }

    /// One byte of the response's body is another.
    #[must_use]
    pub fn corrupt(self) -> Self {
        self.with(FaultAction::Body(Shape::Corrupt))
    }

    /// The response's body lacks its last byte, and its `Content-Length` agrees: wrong of the
    /// content, right for what is sent. Only a client that knows the length or the digest can detect it.
    #[must_use]
    pub fn wrong_length(self) -> Self {
        self.with(FaultAction::Body(Shape::WrongLength))
    }

    /// The response's body comes in pieces of this many bytes, with this time between them.
    #[must_use]
    pub fn drip(self, piece: usize, interval: Duration) -> Self {
        self.with(FaultAction::Body(Shape::Drip { piece, interval }))
    }

    fn with(mut self, action: FaultAction) -> Self {
        self.action = action;
        self
    }

    /// What happens to `request`, if it is one of those that this is for.
    pub(crate) fn action_for(&mut self, request: &RecordedRequest) -> Option<FaultAction> {
        if let Some((method, path)) = &self.waits_for {
            if *method == request.method && request.path_and_query.contains(path) {
                self.waits_for = None;
            }
            return None;
        }
        let method = self.method.as_ref().is_none_or(|method| *method == request.method);
        if self.spares_authorized && request.headers.contains_key(http::header::AUTHORIZATION) {
            return None;
        }
        let is_conditional =
            [IF_MATCH, IF_NONE_MATCH].iter().any(|name| request.headers.contains_key(name));
        if self.spares_unconditional && !is_conditional {
            return None;
        }
        let (path, text) = (&request.path_and_query, &self.path_contains);
        let is_for_path = if self.only_at_end { path.ends_with(text) } else { path.contains(text) };
        if !method || !is_for_path || self.left == 0 {
            return None;
        }
        self.left -= 1;
        Some(self.action.clone())
    }
}

impl FaultAction {
    pub(crate) async fn run<F>(
        self,
        request: Request<Body>,
        handler: impl Fn(Request<Body>) -> F,
    ) -> Result<Response<Body>, Cut>
    where
        F: Future<Output = Response<Body>>,
    {
        match self {
            Self::Respond(status, headers, body) => {
                let mut response = Response::new(Body::from(body));
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                Ok(response)
            }
            Self::Hang => std::future::pending().await,
            Self::Reset => Err(Cut::Reset),
            Self::ResetAfterRequest(bytes) => {
                read(request.into_body(), bytes).await;
                Err(Cut::Reset)
            }
            Self::LoseResponse => {
                let response = handler(request).await;
                read(response.into_body(), usize::MAX).await;
                Err(Cut::Closed)
            }
            Self::WithholdResponse => {
                let response = handler(request).await;
                read(response.into_body(), usize::MAX).await;
                std::future::pending().await
            }
            Self::RefuseMount => Ok(handler(rewrite::without_mount(request)).await),
            Self::IgnoreConditions => Ok(handler(rewrite::without_conditions(request)).await),
            Self::ThenPut(overwrite) => {
                let response = handler(request).await;
                let put = handler(overwrite.request()).await;
                assert_eq!(put.status(), StatusCode::CREATED, "another client's PUT");
                Ok(response)
            }
            Self::WrongDigest => Ok(rewrite::with_wrong_digest(handler(request).await)),
            Self::TruncateListing(entries) => {
                Ok(rewrite::with_truncated_listing(handler(request).await, entries).await)
            }
            Self::Body(shape) => Ok(shape.apply(handler(request).await)),
        }
    }
}

async fn read(body: Body, bytes: usize) {
    let mut pieces = body.into_data_stream();
    let mut read = 0;
    while read < bytes
        && let Some(Ok(piece)) = pieces.next().await
    {
        read += piece.len();
    }
}
