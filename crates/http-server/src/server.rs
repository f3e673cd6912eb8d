//! The server: one loop that accepts connections, closes expired ones, evicts idle and stalled ones for
//! new ones, and drains them all at the end. What a connection may do when: `watch`.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use rustix::io::Errno;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, interval, sleep, timeout},
};

use crate::{
    Bodies, ClientConnection, Respond, ServerSettings, Tls,
    connection::Connection,
    connections::{ConnectionSlot, Connections},
    watch::Order,
};

/// The resolution of the age of connections.
pub(crate) const RESOLUTION: Duration = Duration::from_millis(100);

/// The pause after a failed accept: without descriptors, accept fails until a connection has ended.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often each kind of trouble with connections is logged.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// How much of what a client has yet to take may lie in a socket before it can be sent, in bytes. More
/// would be sent bit by bit as the client acknowledges, in its time and out of a cold cache, where
/// this much goes out as it is written; and less may run dry on a fast link.
#[cfg(target_os = "linux")]
const NOTSENT_LOWAT_BYTES: u32 = 128 << 10;

/// What a server counts of its connections. Clones share the counters.
#[derive(Clone, Debug, Default)]
pub struct ConnectionMetrics {
    /// Open connections.
    pub open: Gauge,
    /// Failed accepts.
    pub accept_errors: Counter,
    /// Idle or stalled connections closed for others.
    pub evicted: Counter,
    /// Connections refused because their address had its share, with requests under way on all.
    pub refused: Counter,
    /// Failed TLS handshakes.
    pub tls_handshake_errors: Counter,
}

impl ConnectionMetrics {
    /// New counters, all zero, registered under the names of `docs/internals/http-server.md`, "Metrics".
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("open_connections", "open client connections", metrics.open.clone());
        for (name, help, counter) in [
            ("accept_errors", "failed accepts", &metrics.accept_errors),
            (
                "connections_evicted",
                "idle or stalled connections closed for others",
                &metrics.evicted,
            ),
            (
                "connections_refused",
                "connections refused because their address had its share and all were busy",
                &metrics.refused,
            ),
            ("tls_handshake_errors", "failed TLS handshakes", &metrics.tls_handshake_errors),
        ] {
            registry.register(name, help, counter.clone());
        }
        metrics
    }
}

/// A server, ready to run.
#[derive(Debug)]
pub struct Server {
    /// Where it listens: [`listen`](crate::listen).
    pub listener: TcpListener,
    /// Its certificate and key; without them it speaks plain HTTP.
    pub tls: Option<Tls>,
    /// Its limits.
    pub settings: ServerSettings,
    /// What it counts.
    pub metrics: ConnectionMetrics,
}

impl Server {
    /// Logs where it listens, and its limits.
    pub fn announce(&self) {
        let address =
            self.listener.local_addr().map_or_else(|_| String::new(), |at| at.to_string());
        let ServerSettings { name, max_connections, max_connections_per_address, .. } =
            self.settings;
        tracing::info!(
            address,
            server = name,
            tls = self.tls.is_some(),
            max_connections,
            max_connections_per_address,
            "serving"
        );
    }

    /// Serves connections, each by the service that `service` makes for it, until `shutdown`; then takes
    /// no more, and ends with the requests under way, or after the drain time.
    ///
    /// Peers have IPv4 addresses where they have connected by IPv4.
    pub async fn run<S: Respond>(
        self,
        service: impl Fn(&ClientConnection) -> S,
        shutdown: impl Future<Output = ()>,
    ) {
        let Self { listener, tls, settings, metrics } = self;
        let running = RunningServer {
            permits: Arc::new(Semaphore::new(settings.max_connections)),
            connections: Arc::new(Connections::new(settings.clone(), metrics.evicted.clone())),
            warnings: Warnings::default(),
            start: Instant::now(),
            tls,
            settings,
            metrics,
        };
        running.run(listener, service, shutdown).await;
    }
}

struct RunningServer {
    tls: Option<Tls>,
    settings: ServerSettings,
    metrics: ConnectionMetrics,
    permits: Arc<Semaphore>,
    connections: Arc<Connections>,
    start: Instant,
    warnings: Warnings,
}

/// When each kind of trouble was logged last, so that none hides another.
#[derive(Default)]
struct Warnings {
    accept_failed: Option<Instant>,
    no_room: Option<Instant>,
    no_descriptors: Option<Instant>,
    refused: Option<Instant>,
}

/// Whether a warning that was logged last at `logged` is due. Then it counts as logged.
fn is_due(logged: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let is_due = logged.is_none_or(|logged| now.duration_since(logged) >= WARN_INTERVAL);
    if is_due {
        *logged = Some(now);
    }
    is_due
}

/// A connection that has been accepted.
type Accepted = (TcpStream, SocketAddr);

impl RunningServer {
    async fn run<S: Respond>(
        mut self,
        listener: TcpListener,
        service: impl Fn(&ClientConnection) -> S,
        shutdown: impl Future<Output = ()>,
    ) {
        let mut tick = interval(RESOLUTION);
        let mut checked = Instant::now();
        let mut shutdown = pin!(shutdown);
        let mut waiting = None;
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                now = tick.tick() => {
                    self.advance(now);
                    if now.duration_since(checked) >= self.settings.timeouts.check_interval {
                        checked = now;
                        self.connections.close_expired();
                    }
                }
                (accepted, permit) = self.next(&listener, &mut waiting) => {
                    self.serve(accepted, permit, &service).await;
                }
            }
        }
        // Connections that the kernel has accepted already are served too.
        while let Some((accepted, permit)) = self.next(&listener, &mut waiting).now_or_never() {
            self.serve(accepted, permit, &service).await;
        }
        drop(listener);
        self.drain().await;
    }

    fn advance(&self, now: Instant) {
        let elapsed = now.duration_since(self.start).as_millis();
        self.connections.state.set(u64::try_from(elapsed).unwrap_or(u64::MAX));
    }

    /// The next connection, once the limit allows it. It waits in `waiting`, so that this future may be
    /// dropped and begun again.
    async fn next(
        &mut self,
        listener: &TcpListener,
        waiting: &mut Option<Accepted>,
    ) -> (Accepted, OwnedSemaphorePermit) {
        loop {
            let accepted = match waiting.take() {
                Some(accepted) => accepted,
                None => self.accept(listener).await,
            };
            if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
                return (accepted, permit);
            }
            *waiting = Some(accepted);
            self.make_room();
            // The semaphore is never closed; if it were, waiting would be right too.
            let permit = Arc::clone(&self.permits).acquire_owned().await;
            if let (Ok(permit), Some(accepted)) = (permit, waiting.take()) {
                return (accepted, permit);
            }
        }
    }

    async fn accept(&mut self, listener: &TcpListener) -> Accepted {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    return (stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()));
                }
                Err(error) => {
                    self.metrics.accept_errors.inc();
                    if is_out_of_descriptors(&error) {
                        self.make_descriptor();
                    } else if is_due(&mut self.warnings.accept_failed) {
                        let server = self.settings.name;
                        tracing::warn!(server, %error, "accept failed; further failures are counted only");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn make_room(&mut self) {
        let closed = self.connections.evict();
        if is_due(&mut self.warnings.no_room) {
            let ServerSettings { name, max_connections, .. } = self.settings;
            tracing::warn!(
                server = name,
                max_connections,
                closed,
                "all connections are in use: those idle longest are closed, then those stalled longest; if there are none, new ones wait"
            );
        }
    }

    fn make_descriptor(&mut self) {
        let closed = self.connections.evict();
        if is_due(&mut self.warnings.no_descriptors) {
            let server = self.settings.name;
            tracing::warn!(
                server,
                closed,
                "no file descriptor is left: connections idle longest are closed, then those stalled longest; if there are none, new ones wait"
            );
        }
    }

    async fn serve<S: Respond>(
        &mut self,
        (stream, peer): Accepted,
        permit: OwnedSemaphorePermit,
        service: &impl Fn(&ClientConnection) -> S,
    ) {
        let Some(slot) = self.connections.admit(peer.ip()).await else {
            self.metrics.refused.inc();
            if is_due(&mut self.warnings.refused) {
                let ServerSettings { name, max_connections_per_address, .. } = self.settings;
                tracing::warn!(
                    server = name,
                    peer = %peer.ip(),
                    max_connections_per_address,
                    "connection refused: its address has its share, with requests under way on all"
                );
            }
            return;
        };
        tune(&stream, self.settings.bodies);
        let tls = self.tls.as_ref().map(Tls::acceptor);
        let service = service(&ClientConnection::new(peer, &self.connections, &slot.watch));
        let connection = Connection::new(stream, tls, service, &slot.watch, self.settings.bodies);
        let open = OpenConnection::new(&self.metrics.open, slot, permit);
        let failed = self.metrics.tls_handshake_errors.clone();
        let server = self.settings.name;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                failed.inc();
                tracing::debug!(server, peer = %peer.ip(), %error, "TLS handshake failed");
            }
            drop(open);
        });
    }

    async fn drain(self) {
        let ServerSettings { name, timeouts, max_connections, .. } = &self.settings;
        let open = self.connections.order(Order::Drain);
        tracing::info!(server = name, open, "shutting down: no more connections are accepted");
        // All permits are back when all connections have ended.
        let all = u32::try_from(*max_connections).unwrap_or(u32::MAX);
        if timeout(timeouts.drain, self.permits.acquire_many(all)).await.is_ok() {
            tracing::info!(server = name, "shut down: every request was responded to");
        } else {
            let cut = self.connections.order(Order::Close);
            tracing::warn!(
                server = name,
                cut,
                "shut down: connections with requests under way after {:?} were cut",
                timeouts.drain
            );
        }
    }
}

/// What an open connection takes, until its end.
struct OpenConnection {
    gauge: Gauge,
    _slot: ConnectionSlot,
    _permit: OwnedSemaphorePermit,
}

impl OpenConnection {
    fn new(gauge: &Gauge, slot: ConnectionSlot, permit: OwnedSemaphorePermit) -> Self {
        gauge.inc();
        Self { gauge: gauge.clone(), _slot: slot, _permit: permit }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| code == Some(errno.raw_os_error()))
}

/// Only a matter of speed, so a failure is none.
fn tune(stream: &TcpStream, bodies: Bodies) {
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    if bodies == Bodies::Streamed {
        let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOTSENT_LOWAT_BYTES);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = bodies;
}
