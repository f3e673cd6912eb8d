//! The front as a server: HTTP/1.1 and cleartext HTTP/2 on one port. TLS is the balancer's business. Responses
//! are decided in `handler.rs`; connections and the admin address are `http-server`'s, and the limits
//! are in `docs/reference/front.md`, "Limits".

use std::{
    cell::RefCell,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::Request;
use http_body_util::Full;
use http_server::{
    Admin, Bodies, ClientConnection, Malformed, Respond, ResponseOrFuture, Server, ServerSettings,
};
use hyper::body::Incoming;
use tokio::{net::TcpListener, time::interval};

use crate::{
    clock,
    front::{Front, SnapshotCache},
    handler,
    response::FrontResponse,
    store::MAX_PROBES,
};

/// At about 16 KiB of buffers each, what 1 GiB holds.
const MAX_CONNECTIONS: usize = 65_536;
/// Cloud Run grants ten seconds between SIGTERM and SIGKILL; this leaves some to end in.
const DRAIN_TIME: Duration = Duration::from_secs(8);

/// Serves the front on `listener`, and metrics and health on `admin`, until `shutdown`; then
/// finishes what is under way, within nine seconds.
///
/// # Errors
/// None today: failing accepts are counted and tried again.
pub async fn serve(
    front: Arc<Front>,
    listener: TcpListener,
    admin: Option<TcpListener>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let admin = admin.map(|listener| {
        let front = Arc::clone(&front);
        Admin::start(listener, move || front.metrics_text())
    });
    let metrics = front.metrics.connections.clone();
    let server = Server { listener, tls: None, settings: settings(&front), metrics };
    server.announce();
    let shutdown = shutdown.map(|()| admin.iter().for_each(Admin::drain));
    let service = |connection: &ClientConnection| FrontConnection::new(&front, connection.peer);
    tokio::select! {
        () = server.run(service, shutdown) => {}
        () = tick(&front) => {}
    }
    if let Some(admin) = admin {
        admin.end().await;
    }
    Ok(())
}

fn settings(front: &Front) -> ServerSettings {
    let snapshot = front.snapshot();
    let trusted_peers = snapshot.client_ip.trusted_peers().clone();
    let settings = ServerSettings::new("front", MAX_CONNECTIONS, Bodies::Small, DRAIN_TIME);
    // Each store may be sent as many requests at once.
    let wanted = MAX_PROBES * snapshot.stores().len();
    drop(snapshot);
    let (settings, probes) = settings.within_descriptors(wanted);
    if probes < wanted {
        front.limit_probes(probes);
    }
    ServerSettings { trusted_peers, ..settings }
}

/// Advances the clock for ever.
async fn tick(front: &Front) {
    let mut interval = interval(clock::RESOLUTION);
    loop {
        interval.tick().await;
        front.clock.advance();
    }
}

/// The front, for one connection.
struct FrontConnection {
    front: Arc<Front>,
    peer: IpAddr,
    /// The state that the last request saw. It is replaced at the first request after an update.
    snapshot: RefCell<SnapshotCache>,
}

impl FrontConnection {
    fn new(front: &Arc<Front>, peer: SocketAddr) -> Self {
        let snapshot = RefCell::new(front.snapshot_cache());
        Self { front: Arc::clone(front), peer: peer.ip(), snapshot }
    }
}

impl Respond for FrontConnection {
    type Body = Full<Bytes>;

    fn respond(&self, request: Request<Incoming>) -> ResponseOrFuture<Full<Bytes>> {
        let mut snapshot = self.snapshot.borrow_mut();
        handler::respond_to(&self.front, snapshot.load(), self.peer, request)
    }

    fn refuse(&self, _request: &Request<Incoming>, malformed: Malformed) -> FrontResponse {
        handler::refuse(&self.front, malformed)
    }
}
