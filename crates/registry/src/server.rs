//! The registry as a server: HTTP/1.1 and HTTP/2 on one port, in clear or under TLS. What is answered is
//! decided in `lib.rs` and `admin.rs`; connections are `http-server`'s.

use std::{
    future::{Ready, ready},
    io,
    net::SocketAddr,
    time::Duration,
};

use axum::{body::Body, response::Response};
use futures_util::{FutureExt as _, future::BoxFuture};
use http::Request;
use http_server::{
    Bodies, ConnectionMetrics, Malformed, Respond, Server, Settings, Tls, TrustedPeers,
};
use hyper::body::Incoming;
use tokio::{net::TcpListener, sync::oneshot, time::interval};

use crate::{
    Peer, Registry, admin,
    limits::{DRAIN, MAX_CONNECTIONS, SWEEP_INTERVAL},
    refusal::Refusal,
};

/// How many files a request holds at most: what it reads or writes, and what it links to.
const FILES_OF_A_REQUEST: usize = 2;

/// The admin address ends after the registry: its answers are short.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);

/// Where a registry is served, and to whom in particular.
#[derive(Debug)]
pub struct Listeners {
    /// The registry itself.
    pub registry: TcpListener,
    /// With which it is under TLS.
    pub tls: Option<Tls>,
    /// Metrics and health, in clear.
    pub admin: Option<TcpListener>,
    /// The balancers: the share of one address does not apply to them.
    pub trusted_peers: TrustedPeers,
}

impl From<TcpListener> for Listeners {
    fn from(registry: TcpListener) -> Self {
        Self { registry, tls: None, admin: None, trusted_peers: TrustedPeers::none() }
    }
}

/// Serves `registry` until `shutdown` is done; then takes no more connections, and ends when the
/// requests under way have, or after [`DRAIN`].
///
/// # Errors
/// None today: failing accepts are counted and tried again.
pub async fn serve(
    registry: Registry,
    listeners: impl Into<Listeners>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let Listeners { registry: listener, tls, admin, trusted_peers } = listeners.into();
    let (end_admin, admin_ends) = oneshot::channel::<()>();
    let admin = admin.map(|listener| {
        let settings = Settings::admin(ADMIN_DRAIN);
        let metrics = ConnectionMetrics::default();
        let server = Server { listener, tls: None, settings, metrics };
        let (registry, ends) = (registry.clone(), admin_ends.map(drop));
        tokio::spawn(async move { server.run(move |_peer| Pages(registry.clone()), ends).await })
    });
    let settings = Settings { trusted_peers, ..settings(&registry) };
    let metrics = registry.0.metrics.connections.clone();
    let server = Server { listener, tls, settings, metrics };
    server.announce();
    let service = |peer| Connection { registry: registry.clone(), peer };
    tokio::select! {
        () = server.run(service, shutdown) => {}
        () = sweep(&registry) => {}
    }
    drop(end_admin);
    if let Some(admin) = admin {
        // It was told to end, and nothing else can end it.
        let _ = admin.await;
    }
    Ok(())
}

fn settings(registry: &Registry) -> Settings {
    // Those that read and those that write have a budget each.
    let reserved = FILES_OF_A_REQUEST * 2 * registry.0.settings.limits.max_requests;
    Settings::new("registry", MAX_CONNECTIONS, Bodies::Streamed, DRAIN).within_descriptors(reserved)
}

/// Drops idle sessions, for ever.
async fn sweep(registry: &Registry) {
    let mut interval = interval(SWEEP_INTERVAL);
    loop {
        interval.tick().await;
        registry.sweep().await;
    }
}

/// The registry, for one connection.
struct Connection {
    registry: Registry,
    peer: SocketAddr,
}

impl Respond for Connection {
    type Body = Body;
    type Future = BoxFuture<'static, Response>;

    fn respond(&self, request: Request<Incoming>) -> Self::Future {
        let registry = self.registry.clone();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(self.peer));
        Box::pin(async move { registry.respond(request).await })
    }

    fn refuse(&self, _request: &Request<Incoming>, malformed: Malformed) -> Response {
        self.registry.refuse(Refusal::Malformed(malformed))
    }
}

/// The pages of the admin address.
struct Pages(Registry);

impl Respond for Pages {
    type Body = Body;
    type Future = Ready<Response>;

    fn respond(&self, request: Request<Incoming>) -> Self::Future {
        ready(admin::page(&self.0, request.uri().path()))
    }

    fn refuse(&self, _request: &Request<Incoming>, malformed: Malformed) -> Response {
        admin::refusal(&malformed.to_string())
    }
}
