//! A small OCI registry for development, tests and staging: push, pull, mount, list, refer and delete,
//! in memory or durably in a directory, optionally with users and TLS.
//!
//! It has no tokens and no garbage collection. Its requests and responses: `docs/reference/registry.md`.
//!
//! The flow of a request: `access` authenticates the user, `operation` parses it, one function of
//! `manifests`, `referrers`, `blobs`, `push` or `listing` performs it on `storage`, and `refusal` makes the
//! response of a rejected request. `observe` counts and logs each request.
//!
//! Source: distribution-spec 1.1.

mod access;
mod blobs;
mod body;
mod conditions;
mod discard;
mod etag;
mod google;
pub mod limits;
mod listing;
mod manifests;
mod metrics;
mod observe;
mod operation;
mod progress;
mod push;
mod referrers;
mod refusal;
mod server;
mod shares;
mod storage;
mod upload_id;
mod uploads;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody as _},
    response::{IntoResponse as _, Response},
};
use http::{
    Extensions, HeaderName, HeaderValue, Method, Request, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, WWW_AUTHENTICATE},
    request::Parts,
};
use http_server::{ClientConnection, StalledBody};

pub use crate::{
    access::{Access, AccessError, AccessProblem, NamedText},
    limits::Limits,
    server::{Listeners, serve},
    storage::{Storage, StorageError},
};
use crate::{
    access::{Requester, User},
    body::Incoming,
    discard::{AfterDiscard, Discards},
    limits::{MAX_DISCARDED_BYTES, MAX_DISCARDED_BYTES_WITHOUT_LOGIN},
    metrics::RegistryMetrics,
    observe::Observation,
    operation::Operation,
    refusal::{CHALLENGE, Refusal},
    shares::{Budget, BudgetPermit, ClientAddress, Holder, LimitReached},
    uploads::Uploads,
};

/// A registry. Cheap to clone; the clones are one registry.
#[derive(Clone, Debug)]
pub struct Registry(Arc<RegistryState>);

#[derive(Debug)]
struct RegistryState {
    storage: Storage,
    settings: RegistrySettings,
    /// Replaced as a whole. A request uses the one that it began with.
    access: RwLock<Option<Arc<Access>>>,
    uploads: Uploads,
    reads: Budget,
    writes: Budget,
    discards: Discards,
    metrics: RegistryMetrics,
}

/// How a registry behaves. The defaults follow the specification and require no login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Its bounds.
    pub limits: Limits,
    /// Nothing is written.
    pub read_only: bool,
    /// A tag stays on its digest. Neither a tag nor a manifest that has a tag can be deleted.
    pub immutable_tags: bool,
    /// Manifests are accepted although their blobs or children are missing.
    pub allow_missing_references: bool,
    /// `tags/list` responds as Google's registries do.
    pub google_listing: bool,
    /// Each request is logged.
    pub access_log: bool,
}

impl Registry {
    /// A registry that keeps its content in `storage`, with the default settings.
    #[must_use]
    pub fn new(storage: Storage) -> Self {
        Self::with(storage, RegistrySettings::default(), None)
    }

    /// A registry with these settings. Without `access` no login is required. On a read-only storage the
    /// registry is read-only too.
    #[must_use]
    pub fn with(storage: Storage, mut settings: RegistrySettings, access: Option<Access>) -> Self {
        settings.read_only |= storage.is_read_only();
        let uploads = Uploads::new(storage.clone(), settings.limits);
        let [reads, writes] = [(); 2].map(|()| Budget::new(settings.limits.max_requests));
        let metrics = RegistryMetrics::new();
        let access = RwLock::new(access.map(Arc::new));
        let discards = Discards::new();
        let state =
            RegistryState { storage, settings, access, uploads, reads, writes, discards, metrics };
        Self(Arc::new(state))
    }

    /// Lowers the limits of requests in flight to what this number of connections, and the files that reads and
    /// writes may open, allow.
    pub(crate) fn fit_requests(&self, connections: usize, (reads, writes): (usize, usize)) {
        let max_requests = self.0.settings.limits.max_requests;
        let reads = self.0.reads.lower_to(connections.min(reads));
        let writes = self.0.writes.lower_to(writes.min(connections / limits::WRITE_DIVISOR));
        if reads < max_requests || writes < max_requests {
            tracing::warn!(
                connections,
                max_requests,
                reads,
                writes,
                "the limits of connections and open files allow fewer requests in flight"
            );
        }
    }

    /// Replaces users and rights for all later requests. Passwords are checked again.
    pub fn replace_access(&self, access: Access) {
        let access = Some(Arc::new(access));
        *self.0.access.write().unwrap_or_else(PoisonError::into_inner) = access;
    }

    fn access(&self) -> Option<Arc<Access>> {
        self.0.access.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The response to a request that is rejected before it is parsed.
    pub(crate) fn refuse(&self, refusal: Refusal) -> Response {
        let response = refusal.into_response();
        self.0.metrics.record("none", response.status(), Duration::ZERO);
        response
    }

    /// The response to one request. A [`PeerAddress`] in its extensions is logged and limited to its share.
    ///
    /// A request runs to its end and keeps its permit even if the client disconnects: nothing is left half
    /// done, and a client that disconnects cannot exceed the limits.
    pub async fn respond(&self, request: Request<Body>) -> Response {
        let registry = self.clone();
        let work = tokio::spawn(async move { registry.handle(request).await });
        work.await
            .unwrap_or_else(|error| Refusal::from(StorageError::Interrupted(error)).into_response())
    }

    async fn handle(&self, request: Request<Body>) -> Response {
        let RegistryState { settings, metrics, .. } = &*self.0;
        let (parts, body) = request.into_parts();
        let mut observation = Observation::begin(&parts, settings);
        let connection = parts.extensions.get().cloned();
        let mut body = Incoming::new(body, metrics.received_bytes.clone(), connection);
        let response = match self.decide(&parts, &mut body, &mut observation).await {
            Ok(response) => response,
            Err(refusal) => {
                observation.release_permit();
                let mut response = refusal.into_response();
                // HTTP/2 ends only this stream.
                let is_http1 = parts.version < Version::HTTP_2;
                let afterwards = self.discard(body, &parts, observation.user());
                if afterwards == AfterDiscard::Close && is_http1 {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                response
            }
        };
        let response = observation.end(metrics, response);
        if parts.method == Method::HEAD { head_only(response) } else { response }
    }

    /// Begins to discard what is left of a refused request's body; the response does not wait for it.
    fn discard(&self, body: Incoming, parts: &Parts, user: Option<&User>) -> AfterDiscard {
        // A client that sent `Expect: 100-continue` has not sent the body.
        if parts.headers.contains_key(EXPECT) {
            return AfterDiscard::KeepAlive;
        }
        let max = match user.is_none() && self.access().is_some() {
            true => MAX_DISCARDED_BYTES_WITHOUT_LOGIN,
            false => MAX_DISCARDED_BYTES,
        };
        let holder = Holder::of(user, client_address(&parts.extensions));
        self.0.discards.start(body, holder, max)
    }

    async fn decide(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        observation: &mut Observation,
    ) -> Result<Response, Refusal> {
        let settings = &self.0.settings;
        let client = client_address(&parts.extensions);
        let access = self.access();
        let user = match &access {
            Some(access) => access.authenticate(&parts.headers, client).await?,
            None => None,
        };
        observation.set_user(user.clone());
        let requester = Requester::new(access.clone(), user, client);
        if !requester.may_enter() {
            return Err(Refusal::LogIn);
        }
        // After authentication, so that a rejected client takes no permit.
        observation.set_permit(self.permit(requester.holder(), parts).await?);
        let operation = Operation::parse(&parts.method, parts.uri.path(), parts.uri.query())?;
        observation.set_operation(operation.operation());
        if let Some((right, name)) = operation.required_right()
            && !requester.may(right, name)
        {
            return Err(requester.refused(right, name));
        }
        if settings.read_only && !is_read(&parts.method) {
            return Err(Refusal::ReadOnly);
        }
        self.perform(operation, requester, parts, body).await
    }

    /// A permit for a request of this holder. For one, connections that are stalled, and so hold theirs for nothing, are
    /// closed.
    async fn permit(
        &self,
        holder: Option<Holder>,
        parts: &Parts,
    ) -> Result<BudgetPermit, LimitReached> {
        let RegistryState { reads, writes, .. } = &*self.0;
        let (budget, body) = match is_read(&parts.method) {
            true => (reads, StalledBody::Response),
            false => (writes, StalledBody::Request),
        };
        let Some(connection) = parts.extensions.get::<ClientConnection>() else {
            return budget.take(holder);
        };
        let take = || budget.take(holder.clone()).map_err(|limit| (limit, limit.stalled_of()));
        connection.take_or_evict(budget.max(), body, take).await
    }

    async fn perform(
        &self,
        operation: Operation,
        requester: Requester,
        parts: &Parts,
        body: &mut Incoming,
    ) -> Result<Response, Refusal> {
        let RegistryState { storage, settings, uploads, .. } = &*self.0;
        let headers = &parts.headers;
        match operation {
            Operation::Ping => Ok(ping(&requester)),
            Operation::Catalog(page) => listing::catalog(storage, requester, page).await,
            Operation::Tags(name, _) if settings.google_listing => {
                google::tags(storage, requester, name).await
            }
            Operation::Tags(name, page) => listing::tags(storage, name, page).await,
            Operation::ReadManifest(name, by) => manifests::read(storage, name, by, parts).await,
            Operation::WriteManifest(name, by, tags) => {
                manifests::write(storage, settings, (name, by, tags), headers, body).await
            }
            Operation::DeleteManifest(name, by) => {
                manifests::delete(storage, settings, (name, by), headers).await
            }
            Operation::Referrers(name, subject, which) => {
                referrers::list(storage, name, subject, which).await
            }
            Operation::ReadBlob(name, digest) => blobs::read(storage, name, digest, parts).await,
            Operation::DeleteBlob(name, digest) => blobs::delete(storage, name, digest).await,
            Operation::StartUpload(name, start) => {
                push::start(storage, uploads, &requester, name, start, body).await
            }
            Operation::UploadStatus(name, id) => push::status(uploads, &name, id).await,
            Operation::AppendUpload(name, id) => {
                push::append(uploads, &name, id, headers, body).await
            }
            Operation::FinishUpload(name, id, digest) => {
                push::finish(storage, uploads, name, (id, digest), headers, body).await
            }
            Operation::CancelUpload(name, id) => push::cancel(uploads, &name, id).await,
        }
    }

    /// Drops upload sessions that were idle for too long.
    async fn sweep(&self) {
        // The work ends early only with the process.
        let _ = self.0.uploads.sweep().await;
    }

    /// The metrics, in the text format of Prometheus.
    fn metrics_text(&self) -> String {
        let RegistryState { uploads, reads, writes, metrics, .. } = &*self.0;
        metrics.text(uploads.count(), reads.taken() + writes.taken())
    }
}

const fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The address from which a request came.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub std::net::SocketAddr);

/// The address that the server resolved, else that of the peer.
fn client_address(extensions: &Extensions) -> ClientAddress {
    let peer = || ClientAddress(extensions.get().map(|PeerAddress(address)| address.ip()));
    extensions.get().copied().unwrap_or_else(peer)
}

/// The header with the digest of the content.
const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// The header by which Docker recognizes a registry.
const DOCKER_API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// The response to HEAD: that to GET without its body (RFC 9110 §9.3.2). hyper removes it only for HTTP/1.
fn head_only(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let has_content = !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(length) = body.size_hint().exact().filter(|_| has_content) {
        head.headers.entry(CONTENT_LENGTH).or_insert(length.into());
    }
    Response::from_parts(head, Body::empty())
}

fn ping(requester: &Requester) -> Response {
    let mut response = (StatusCode::OK, [(DOCKER_API_VERSION, "registry/2.0")]).into_response();
    // A client that need not log in may still do so (RFC 9110 §11.6.1).
    let challenge = requester.could_log_in().then_some((WWW_AUTHENTICATE, CHALLENGE));
    response.headers_mut().extend(challenge);
    response
}
