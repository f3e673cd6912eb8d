//! From a request to its response: the flow of the front, one line a step. Everything is decided at
//! once and without waiting, unless a store must be probed.

use std::{mem, net::IpAddr, sync::Arc};

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either};
use http::{HeaderMap, Request, Response, header};
use http_body_util::Full;
use http_server::{AccessRecord, AccessResponse, Malformed, ResponseOrFuture};

use crate::{
    client::Client,
    front::Front,
    metrics::RedirectTarget,
    plan::{Candidates, Plan, StoreCandidate, decide},
    presence::{Presence, PresenceKey},
    response::{FrontResponse, ResponseKind, respond},
    route::{RequestError, RequestedBlob, Route, route},
    snapshot::Snapshot,
    store::Store,
};

impl Front {
    /// Responds to one request that came from `peer`: what [`serve`](crate::serve) does for each, without
    /// the network. It needs a tokio runtime, since a store may have to be probed.
    pub async fn respond<B>(
        self: &Arc<Self>,
        peer: IpAddr,
        request: Request<B>,
    ) -> Response<Full<Bytes>> {
        self.clock.advance();
        respond_to(self, &self.snapshot(), peer, request).response().await
    }
}

/// Responds to a request that came from `peer`.
pub(crate) fn respond_to<B>(
    front: &Arc<Front>,
    snapshot: &Snapshot,
    peer: IpAddr,
    mut request: Request<B>,
) -> ResponseOrFuture<Full<Bytes>> {
    let client = Client::resolve(snapshot, peer, request.headers());
    let uri = request.uri();
    let record = || AccessRecord::begin(Some(peer), client.address.ok(), request.method(), uri);
    let record = snapshot.config.access_log.then(record);
    let route = route(request.method(), uri.path(), uri.query());
    front.metrics.requests(&route).inc();
    let plan = decide(snapshot, &client, route);
    let response = match execute(front, &client, plan) {
        Either::Left(kind) => {
            ResponseOrFuture::Response(respond(kind, mem::take(request.headers_mut())))
        }
        Either::Right(kind) => {
            ResponseOrFuture::Future(Box::pin(async { respond(kind.await, HeaderMap::new()) }))
        }
    };
    match record {
        None => response,
        Some(record) => ResponseOrFuture::Future(Box::pin(logged(record, response.response()))),
    }
}

/// The response, which is logged once it is there.
async fn logged(
    record: AccessRecord,
    response: impl Future<Output = FrontResponse>,
) -> FrontResponse {
    let response = response.await;
    let location = response.headers().get(header::LOCATION).and_then(|url| url.to_str().ok());
    let status = response.status();
    record.log(&AccessResponse { status, location, user: None, sent: None });
    response
}

/// Rejects a request that HTTP itself rejects.
pub(crate) fn refuse(front: &Front, malformed: Malformed) -> FrontResponse {
    let route = Route::Rejected(RequestError::Malformed(malformed));
    front.metrics.requests(&route).inc();
    respond(ResponseKind::Error(RequestError::Malformed(malformed)), HeaderMap::new())
}

/// Only a blob whose presence is not cached has to wait.
fn execute(
    front: &Arc<Front>,
    client: &Client,
    plan: Plan<'_, '_>,
) -> Either<ResponseKind, BoxFuture<'static, ResponseKind>> {
    Either::Left(match plan {
        Plan::ApiVersion => ResponseKind::ApiVersion,
        Plan::Reject(error) => ResponseKind::Error(error),
        Plan::Page { target, location } => {
            front.metrics.redirects(target).inc();
            ResponseKind::Redirect { location: location.clone(), digest: None }
        }
        Plan::Redirect(candidates) => {
            count_unknown(front, client, &candidates);
            return first_with_content(front, &candidates);
        }
    })
}

/// A client without an address is counted where its location would have decided.
fn count_unknown(front: &Front, client: &Client, candidates: &Candidates<'_, '_>) {
    if let Err(reason) = client.address
        && candidates.reason.is_by_location()
    {
        front.metrics.unknown_clients(reason).inc();
    }
}

/// A redirect to the first candidate that has the content.
fn first_with_content(
    front: &Arc<Front>,
    candidates: &Candidates<'_, '_>,
) -> Either<ResponseKind, BoxFuture<'static, ResponseKind>> {
    if let StoreCandidate::Blob(blob, store) = candidates.store {
        let key = PresenceKey::new(store.id(), *blob.digest());
        match front.presence.cached(&key, front.clock.now()) {
            Some(Presence::Present) => return Either::Left(to_store(store, &blob)),
            Some(Presence::Absent) => {}
            None => {
                let probed = probe(Arc::clone(front), Arc::clone(store), blob, candidates);
                return Either::Right(Box::pin(probed));
            }
        }
    }
    let url = candidates.upstream.url(candidates.tail);
    Either::Left(to_upstream(front, candidates.target, url, candidates.digest))
}

/// Probes the store, and decides when it has responded or its time is over.
fn probe(
    front: Arc<Front>,
    store: Arc<Store>,
    blob: RequestedBlob<'_>,
    candidates: &Candidates<'_, '_>,
) -> impl Future<Output = ResponseKind> + Send + use<> {
    let near = store.base().url(&blob);
    let far = candidates.upstream.url(candidates.tail);
    let target = candidates.target;
    let (key, digest) = (*blob.digest(), blob.text().to_owned());
    async move {
        match front.presence.check(&store, key, &near).await {
            Some(Presence::Present) => {
                store.redirects.inc();
                ResponseKind::redirect(near, Some(&digest))
            }
            Some(Presence::Absent) | None => to_upstream(&front, target, far, Some(&digest)),
        }
    }
}

fn to_store(store: &Store, blob: &RequestedBlob<'_>) -> ResponseKind {
    store.redirects.inc();
    ResponseKind::redirect(store.base().url(blob), Some(blob.text()))
}

fn to_upstream(
    front: &Front,
    target: RedirectTarget,
    url: String,
    digest: Option<&str>,
) -> ResponseKind {
    front.metrics.redirects(target).inc();
    ResponseKind::redirect(url, digest)
}
