//! The registry as a server: HTTP/1.1 and HTTP/2 on one port, with or without TLS. `lib.rs` makes the responses;
//! `http-server` handles connections and the admin address.

use std::{io, net::IpAddr, sync::Arc};

use axum::{body::Body, response::Response};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, Request};
use http_server::{
    Admin, Bodies, ClientConnection, ClientIp, ClientIpPolicy, DefaultTrust, Malformed, Respond,
    ResponseOrFuture, Server, ServerSettings, Tls,
};
use hyper::body::Incoming;
use tokio::{net::TcpListener, time::interval};

use crate::{
    PeerAddress, Registry,
    limits::{DRAIN, MAX_CONNECTIONS, SWEEP_INTERVAL},
    refusal::Refusal,
    shares::ClientAddress,
};

/// The most files that a reading request holds open.
const FILES_OF_A_READ: usize = 1;
/// The same of a writing one: the file that it writes, and the one that it links to.
const FILES_OF_A_WRITE: usize = 2;

/// The header in which balancers name the client.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The listeners of a registry.
#[derive(Debug)]
pub struct Listeners {
    /// The registry itself.
    pub registry: TcpListener,
    /// The TLS settings of the registry, if it uses TLS.
    pub tls: Option<Tls>,
    /// Metrics and health, without TLS.
    pub admin: Option<TcpListener>,
    /// How the client of a request is found. Trusted peers have no share of connections.
    pub client_ip: ClientIp,
}

impl From<TcpListener> for Listeners {
    fn from(registry: TcpListener) -> Self {
        let client_ip = ClientIp::new(ClientIpPolicy::default(), DefaultTrust::None);
        Self { registry, tls: None, admin: None, client_ip }
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
    let Listeners { registry: listener, tls, admin, client_ip } = listeners.into();
    let admin = admin.map(|listener| {
        let registry = registry.clone();
        Admin::start(listener, move || registry.metrics_text())
    });
    let shutdown = shutdown.map(|()| admin.iter().for_each(Admin::drain));
    let trusted_peers = client_ip.trusted_peers().clone();
    let (settings, files) = settings(&registry);
    let settings = ServerSettings { trusted_peers, ..settings };
    let metrics = registry.0.metrics.connections.clone();
    let server = Server { listener, tls, settings, metrics };
    server.announce();
    // Reads and writes have a half each.
    let (reads, writes) = (files / 2 / FILES_OF_A_READ, files / 2 / FILES_OF_A_WRITE);
    registry.fit_requests(server.settings.max_connections, (reads, writes));
    let client_ip = Arc::new(client_ip);
    let service = |connection: &ClientConnection| {
        let (registry, client_ip) = (registry.clone(), Arc::clone(&client_ip));
        RegistryConnection { registry, connection: connection.clone(), client_ip }
    };
    tokio::select! {
        () = server.run(service, shutdown) => {}
        () = sweep(&registry) => {}
    }
    if let Some(admin) = admin {
        admin.end().await;
    }
    Ok(())
}

/// The settings, and how many files requests may have open.
fn settings(registry: &Registry) -> (ServerSettings, usize) {
    // Reads and writes have a budget each, and so a half each: that of writes, which is the larger one, twice.
    let files = 2 * FILES_OF_A_WRITE * registry.0.settings.limits.max_requests;
    ServerSettings::new("registry", MAX_CONNECTIONS, Bodies::Streamed, DRAIN)
        .within_descriptors(files)
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
struct RegistryConnection {
    registry: Registry,
    connection: ClientConnection,
    client_ip: Arc<ClientIp>,
}

impl Respond for RegistryConnection {
    type Body = Body;

    fn respond(&self, request: Request<Incoming>) -> ResponseOrFuture<Body> {
        let registry = self.registry.clone();
        let mut request = request.map(Body::new);
        let peer = self.connection.peer;
        let client = client_address(&self.client_ip, peer.ip(), request.headers());
        request.extensions_mut().insert(PeerAddress(peer));
        request.extensions_mut().insert(self.connection.clone());
        request.extensions_mut().insert(client);
        ResponseOrFuture::Future(Box::pin(async move { registry.respond(request).await }))
    }

    fn refuse(&self, _request: &Request<Incoming>, malformed: Malformed) -> Response {
        self.registry.refuse(Refusal::Malformed(malformed))
    }
}

/// The client whose share a request counts for. A trusted peer whose header names no address counts as a client
/// itself.
fn client_address(client_ip: &ClientIp, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
    match client_ip.find(peer, headers.get_all(X_FORWARDED_FOR).iter()) {
        // A request of the balancer's own, or from behind another one.
        Ok(address) if client_ip.trusted_peers().contain(address) => ClientAddress(None),
        Ok(address) => ClientAddress(Some(address)),
        Err(_) => ClientAddress(Some(peer)),
    }
}
