//! What responds to the requests of a connection, and how the server watches it: from a request's head to the
//! last byte of its response.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, service::Service};

use crate::{
    host::{self, Malformed},
    watch::Watch,
};

/// What responds to the requests of one connection.
pub trait Respond: Send + Sync + 'static {
    /// The body of its responses.
    type Body: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;
    /// A response under way.
    type Future: Future<Output = Response<Self::Body>> + Send + Unpin + 'static;

    /// The response to a request.
    fn respond(&self, request: Request<Incoming>) -> Self::Future;

    /// The response, 400, to a request that is refused before it is looked at.
    fn refuse(&self, request: &Request<Incoming>, malformed: Malformed) -> Response<Self::Body>;
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
    type Future = BoxFuture<'static, Response<Self::Body>>;

    fn respond(&self, request: Request<Incoming>) -> Self::Future {
        let response = (self.0)(request);
        Box::pin(async { response.await.map(Either::Left) })
    }

    fn refuse(&self, _request: &Request<Incoming>, malformed: Malformed) -> Response<Self::Body> {
        let text = Full::from(format!("{malformed}\n"));
        let mut response = Response::new(Either::Right(text));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, plain);
        response
    }
}

/// A service whose requests are watched.
pub(crate) struct Watched<S> {
    pub(crate) service: S,
    pub(crate) watch: Arc<Watch>,
}

impl<S: Respond> Service<Request<Incoming>> for Watched<S> {
    type Response = Response<WatchedBody<S::Body>>;
    type Error = Infallible;
    type Future = WatchedResponse<S>;

    fn call(&self, request: Request<Incoming>) -> WatchedResponse<S> {
        self.watch.begin(request.version());
        let state = match host::check(request.version(), request.headers()) {
            Ok(()) => State::Responding(self.service.respond(request)),
            Err(malformed) => State::Refused(self.service.refuse(&request, malformed)),
        };
        WatchedResponse { state, watch: Some(Arc::clone(&self.watch)) }
    }
}

/// The response to one request.
pub(crate) struct WatchedResponse<S: Respond> {
    state: State<S>,
    /// None once the response has it.
    watch: Option<Arc<Watch>>,
}

enum State<S: Respond> {
    Responding(S::Future),
    Refused(Response<S::Body>),
    Done,
}

impl<S: Respond> Unpin for WatchedResponse<S> {}

impl<S: Respond> Future for WatchedResponse<S> {
    type Output = Result<Response<WatchedBody<S::Body>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match &mut self.state {
            State::Responding(future) => std::task::ready!(Pin::new(future).poll(context)),
            State::Refused(_) | State::Done => {
                match std::mem::replace(&mut self.state, State::Done) {
                    State::Refused(response) => response,
                    State::Responding(_) | State::Done => return Poll::Pending,
                }
            }
        };
        // A response without a body is complete: nothing is left to watch.
        let watch = if response.body().is_end_stream() { None } else { self.watch.take() };
        watch.iter().for_each(|watch| watch.begin_sending());
        Poll::Ready(Ok(response.map(|body| WatchedBody { body, watch })))
    }
}

impl<S: Respond> Drop for WatchedResponse<S> {
    fn drop(&mut self) {
        self.watch.iter().for_each(|watch| watch.end());
    }
}

/// The body of a response; while it is there, the client is to read.
pub(crate) struct WatchedBody<B> {
    body: B,
    watch: Option<Arc<Watch>>,
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
            self.watch.iter().for_each(|watch| watch.progress());
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

impl<B> Drop for WatchedBody<B> {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.end_sending();
            watch.end();
        }
    }
}
