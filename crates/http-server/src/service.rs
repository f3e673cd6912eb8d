//! What responds to the requests of a connection, and how the server watches it: from a request's head to the
//! last byte of its response.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE},
};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, service::Service};

use crate::{
    host::{self, Malformed},
    watch::Watch,
};

/// What responds to the requests of one connection.
pub trait Respond: Send + 'static {
    /// The body of its responses.
    type Body: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;

    /// The response to a request.
    fn respond(&self, request: Request<Incoming>) -> ResponseOrFuture<Self::Body>;

    /// The response, 400, to a request that is refused before it is looked at.
    fn refuse(&self, request: &Request<Incoming>, malformed: Malformed) -> Response<Self::Body>;
}

/// A response, if it needs no waiting, or the future of one.
pub enum ResponseOrFuture<B> {
    /// It needs no waiting. If it has no body either, the server does least.
    Response(Response<B>),
    /// It is to be waited for.
    Future(BoxFuture<'static, Response<B>>),
}

impl<B> ResponseOrFuture<B> {
    /// The response, waited for if it must be.
    pub async fn response(self) -> Response<B> {
        match self {
            Self::Response(response) => response,
            Self::Future(future) => future.await,
        }
    }
}

impl<B> std::fmt::Debug for ResponseOrFuture<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Response(_) => "Response",
            Self::Future(_) => "Future",
        })
    }
}

/// A function from requests to responses, which refuses in plain text.
#[derive(Clone, Debug)]
pub struct Handler<F>(F);

/// The function `respond`, as what responds to the requests of any connection.
pub fn handler<F, R>(respond: F) -> Handler<F>
where
    F: Fn(Request<Incoming>) -> R,
{
    Handler(respond)
}

impl<F, R, B> Respond for Handler<F>
where
    F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static,
{
    type Body = Either<B, Full<Bytes>>;

    fn respond(&self, request: Request<Incoming>) -> ResponseOrFuture<Self::Body> {
        let response = (self.0)(request);
        ResponseOrFuture::Future(Box::pin(async { response.await.map(Either::Left) }))
    }

    fn refuse(&self, _request: &Request<Incoming>, malformed: Malformed) -> Response<Self::Body> {
        let text = Full::from(format!("{malformed}\n"));
        let mut response = Response::new(Either::Right(text));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, plain);
        response
    }
}

/// A service whose requests are watched.
pub(crate) struct Watched<S> {
    pub(crate) service: S,
    pub(crate) watch: Arc<Watch>,
    /// Why every request is refused, if it is.
    pub(crate) refusal: Option<Malformed>,
}

impl<S: Respond> Watched<S> {
    fn refused(&self, request: &Request<Incoming>, malformed: Malformed) -> Response<S::Body> {
        let mut response = self.service.refuse(request, malformed);
        if malformed == Malformed::NotTls {
            // Nothing that this client sends here can succeed.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl<S: Respond> Service<Request<Incoming>> for Watched<S> {
    type Response = Response<WatchedBody<S::Body>>;
    type Error = Infallible;
    type Future = WatchedResponse<S::Body>;

    fn call(&self, request: Request<Incoming>) -> WatchedResponse<S::Body> {
        let version = request.version();
        let checked = self.refusal.map_or_else(|| host::check(version, request.headers()), Err);
        let response = match checked {
            Ok(()) => self.service.respond(request),
            Err(malformed) => ResponseOrFuture::Response(self.refused(&request, malformed)),
        };
        match response {
            // Most requests: nothing is left to watch.
            ResponseOrFuture::Response(response) if response.body().is_end_stream() => {
                self.watch.begin_and_end(version);
                let response = response.map(|body| WatchedBody { body, sending: None });
                WatchedResponse::Now(Some(response))
            }
            ResponseOrFuture::Response(response) => {
                let request = UnderWay::begin(&self.watch, version);
                WatchedResponse::Now(Some(watched(response, Some(request))))
            }
            ResponseOrFuture::Future(future) => {
                let request = UnderWay::begin(&self.watch, version);
                WatchedResponse::Later(future, Some(request))
            }
        }
    }
}

/// The response to one request.
pub(crate) enum WatchedResponse<B> {
    /// None once it is taken.
    Now(Option<Response<WatchedBody<B>>>),
    /// None once there is a response.
    Later(BoxFuture<'static, Response<B>>, Option<UnderWay>),
}

/// Nothing in it is pinned.
impl<B> Unpin for WatchedResponse<B> {}

impl<B: Body> Future for WatchedResponse<B> {
    type Output = Result<Response<WatchedBody<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Now(response) => response.take().map_or(Poll::Pending, |it| Poll::Ready(Ok(it))),
            Self::Later(future, request) => {
                let response = ready!(future.as_mut().poll(context));
                Poll::Ready(Ok(watched(response, request.take())))
            }
        }
    }
}

/// The response to this request. Without a body it is complete.
fn watched<B: Body>(response: Response<B>, request: Option<UnderWay>) -> Response<WatchedBody<B>> {
    let request = request.filter(|_| !response.body().is_end_stream());
    response.map(|body| WatchedBody { body, sending: request.map(Sending::begin) })
}

/// A request under way. It ends when this is dropped.
pub(crate) struct UnderWay(Arc<Watch>);

impl UnderWay {
    fn begin(watch: &Arc<Watch>, version: http::Version) -> Self {
        watch.begin(version);
        Self(Arc::clone(watch))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A body that is being sent, until this is dropped.
struct Sending(UnderWay);

impl Sending {
    fn begin(request: UnderWay) -> Self {
        request.0.begin_sending();
        Self(request)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.0.end_sending();
    }
}

/// The body of a response; while it is there, the client is to read.
pub(crate) struct WatchedBody<B> {
    body: B,
    /// None if it is empty.
    sending: Option<Sending>,
}

impl<B: Body + Unpin> Body for WatchedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            self.sending.iter().for_each(|sending| sending.0.0.progress());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
