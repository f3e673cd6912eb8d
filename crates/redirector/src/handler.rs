//! From a request to its response: the flow of the front, one line a step. Everything is decided at
//! once and without waiting, unless a store has to be asked.

use std::{
    mem,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use http_server::{Malformed, UnknownClient};

use crate::{
    access_log::{AccessRecord, logged},
    choose::Nearest,
    front::Front,
    metrics::Target,
    presence::{Presence, PresenceKey},
    response::{FrontResponse, ResponseKind, respond},
    route::{Blob, Reference, RequestError, Route, Tail, route},
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl Front {
    /// Answers one request that came from `peer`: what [`serve`](crate::serve) does for each, without
    /// the network. It needs a tokio runtime, since a store may have to be asked.
    pub async fn respond<B>(
        self: &Arc<Self>,
        peer: IpAddr,
        request: Request<B>,
    ) -> Response<Full<Bytes>> {
        self.clock.advance();
        respond_to(self, peer, request).await
    }
}

/// The response, now or later.
pub(crate) enum ResponseFuture {
    Now(Option<FrontResponse>),
    Later(BoxFuture<'static, FrontResponse>),
}

impl Future for ResponseFuture {
    type Output = FrontResponse;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Now(response) => response.take().map_or(Poll::Pending, Poll::Ready),
            Self::Later(response) => response.as_mut().poll(context),
        }
    }
}

/// Answers a request that came from `peer`.
pub(crate) fn respond_to<B>(
    front: &Arc<Front>,
    peer: IpAddr,
    mut request: Request<B>,
) -> ResponseFuture {
    let log = front.config.access_log.then(|| AccessRecord {
        peer,
        client: find_client(front, peer, request.headers()).ok(),
        method: request.method().clone(),
        uri: request.uri().clone(),
    });
    let response = match decide(front, peer, &request) {
        Either::Left(decision) => {
            ResponseFuture::Now(Some(respond(decision, mem::take(request.headers_mut()))))
        }
        Either::Right(asking) => {
            ResponseFuture::Later(Box::pin(async { respond(asking.await, HeaderMap::new()) }))
        }
    };
    match log {
        None => response,
        Some(asked) => ResponseFuture::Later(Box::pin(logged(asked, response))),
    }
}

/// Refuses a request that HTTP itself refuses.
pub(crate) fn refuse(front: &Front, malformed: Malformed) -> FrontResponse {
    let route = Route::Rejected(RequestError::Malformed(malformed));
    front.metrics.requests(&route).inc();
    respond(ResponseKind::Error(RequestError::Malformed(malformed)), HeaderMap::new())
}

/// Everything but a blob of which nothing is remembered is decided at once.
fn decide<B>(
    front: &Arc<Front>,
    peer: IpAddr,
    request: &Request<B>,
) -> Either<ResponseKind, BoxFuture<'static, ResponseKind>> {
    let uri = request.uri();
    let route = route(request.method(), uri.path(), uri.query());
    front.metrics.requests(&route).inc();
    Either::Left(match route {
        Route::Info => page(front, Target::Info, front.info.as_ref()),
        Route::Privacy => page(front, Target::Privacy, front.privacy.as_ref()),
        Route::Ping => ResponseKind::ApiVersion,
        Route::Manifest(tail, Reference::Digest(digest)) => upstream(front, tail, Some(digest)),
        Route::Manifest(tail, Reference::Tag) | Route::Tags(tail) => upstream(front, tail, None),
        Route::Manifest(tail, Reference::AttachmentTag) | Route::Referrers(tail) => {
            front.send(Target::CanonicalUpstream, front.canonical.url(tail), None)
        }
        Route::Blob(tail, blob) => return nearest(front, peer, request.headers(), tail, blob),
        Route::Rejected(refusal) => ResponseKind::Error(refusal),
    })
}

/// The nearest place that has the blob.
fn nearest(
    front: &Arc<Front>,
    peer: IpAddr,
    headers: &HeaderMap,
    tail: Tail<'_>,
    blob: Blob<'_>,
) -> Either<ResponseKind, BoxFuture<'static, ResponseKind>> {
    let location =
        counted_client(front, peer, headers).and_then(|client| front.ranges.lookup(client));
    let Nearest::Store(store) = front.choices.nearest(location) else {
        return Either::Left(upstream(front, tail, Some(blob.text())));
    };
    let key = PresenceKey::new(store, *blob.digest());
    match front.presence.cached(&key, front.clock.now()) {
        Some(Presence::Present) => {
            let url = front.store(store).url(&blob);
            Either::Left(front.send(Target::Store(store), url, Some(blob.text())))
        }
        Some(Presence::Absent) => Either::Left(upstream(front, tail, Some(blob.text()))),
        None => Either::Right(Box::pin(ask(Arc::clone(front), key, tail, blob))),
    }
}

/// Asks the store, and decides when it has answered or its time is over.
fn ask(
    front: Arc<Front>,
    key: PresenceKey,
    tail: Tail<'_>,
    blob: Blob<'_>,
) -> impl Future<Output = ResponseKind> + Send + use<> {
    let near = front.store(key.store()).url(&blob);
    let far = front.upstream.url(tail);
    let digest = blob.text().to_owned();
    async move {
        match front.presence.check(key, &near).await {
            Some(Presence::Present) => front.send(Target::Store(key.store()), near, Some(&digest)),
            Some(Presence::Absent) | None => front.send(Target::Upstream, far, Some(&digest)),
        }
    }
}

/// The client's address; a client whose address is unknown is counted.
fn counted_client(front: &Front, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
    let unknown = |reason| front.metrics.unknown_clients(reason).inc();
    find_client(front, peer, headers).map_err(unknown).ok()
}

fn find_client(front: &Front, peer: IpAddr, headers: &HeaderMap) -> Result<IpAddr, UnknownClient> {
    front.client_ip.find(peer, headers.get_all(FORWARDED_FOR).iter())
}

fn upstream(front: &Front, tail: Tail<'_>, digest: Option<&str>) -> ResponseKind {
    front.send(Target::Upstream, front.upstream.url(tail), digest)
}

fn page(front: &Front, target: Target, url: Option<&HeaderValue>) -> ResponseKind {
    let Some(url) = url else { return ResponseKind::Error(RequestError::Outside) };
    front.metrics.redirects(target).inc();
    ResponseKind::Redirect { location: url.clone(), digest: None }
}
