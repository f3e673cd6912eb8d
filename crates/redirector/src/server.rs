//! The HTTP server: HTTP/1.1 and cleartext HTTP/2 on one port, bounded connections, and a graceful
//! end. TLS is the balancer's business. What is answered is decided in `handler.rs` and `admin.rs`;
//! the limits are in `docs/front.md`, "Limits".

use std::{convert::Infallible, io, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use http::Request;
use hyper::{body::Incoming, service::Service};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{interval, sleep, timeout},
};

use crate::{
    admin, clock,
    connection::{Connections, Order, Respond},
    front::Front,
    handler::{self, Answering},
    response::Answer,
};

/// At about 16 KiB of buffers each, what 1 GiB holds. More wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 65_536;
/// How often idle connections are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// The pause after a failed accept, doubled up to the longest: without descriptors, accept fails
/// until a connection ends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// Cloud Run grants ten seconds between SIGTERM and SIGKILL; this leaves some to end in.
const DRAIN_TIME: Duration = Duration::from_secs(8);
/// The same for the admin address, which ends after the front: its answers are short.
const ADMIN_DRAIN_TIME: Duration = Duration::from_secs(1);

/// Serves the front on `listener`, and metrics and health on `admin`, until `shutdown`; then
/// finishes what is under way, within nine seconds.
///
/// # Errors
/// None today: failing accepts are counted and tried again.
pub async fn serve(
    front: Front,
    listener: TcpListener,
    admin: Option<TcpListener>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let front = Arc::new(front);
    let (end_admin, admin_ends) = oneshot::channel::<()>();
    let admin = admin.map(|listener| {
        let errors = front.metrics.accept_errors.clone();
        let pages = admin::Pages::new(Arc::clone(&front));
        let service = move |_peer| pages.clone();
        tokio::spawn(run(listener, errors, service, admin_ends.map(drop), ADMIN_DRAIN_TIME))
    });
    let errors = front.metrics.accept_errors.clone();
    let shutdown = shutdown.map(|()| front.drain());
    let service = |peer| Connection::new(&front, peer);
    tokio::select! {
        () = run(listener, errors, service, shutdown, DRAIN_TIME) => {}
        () = tick(&front) => {}
    }
    drop(end_admin);
    if let Some(admin) = admin {
        // It was told to end, and nothing else can end it.
        let _ = admin.await;
    }
    Ok(())
}

/// Advances the clock for ever.
async fn tick(front: &Front) {
    let mut interval = interval(clock::RESOLUTION);
    loop {
        interval.tick().await;
        front.clock.advance();
    }
}

/// Accepts connections until `shutdown`, and drains them for at most as long as `drain`.
async fn run<S: Respond>(
    listener: TcpListener,
    errors: Counter,
    service: impl Fn(IpAddr) -> S,
    shutdown: impl Future<Output = ()>,
    drain: Duration,
) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = Arc::<Connections>::default();
    let mut sweep = interval(SWEEP_INTERVAL);
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            now = sweep.tick() => connections.close_idle(now),
            accepted = accept(&listener, &permits, &errors) => {
                let Accepted { stream, peer, permit } = accepted;
                tokio::spawn(connections.serve(stream, service(peer), permit));
            }
        }
    }
    // Who is connected already, as far as the kernel knows, is answered too.
    while let Some(accepted) = accept(&listener, &permits, &errors).now_or_never() {
        let Accepted { stream, peer, permit } = accepted;
        tokio::spawn(connections.serve(stream, service(peer), permit));
    }
    drop(listener);
    connections.order(Order::Drain);
    // All permits are back when all connections have ended.
    let all = u32::try_from(MAX_CONNECTIONS).unwrap_or(u32::MAX);
    if timeout(drain, permits.acquire_many(all)).await.is_err() {
        tracing::warn!("requests were still under way after {drain:?}; they are cut");
        connections.order(Order::Close);
    }
}

struct Accepted {
    stream: TcpStream,
    peer: IpAddr,
    permit: OwnedSemaphorePermit,
}

/// The next connection, however long that takes.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>, errors: &Counter) -> Accepted {
    let mut pause = ACCEPT_PAUSE;
    loop {
        // The semaphore is never closed; if it were, waiting would be right too.
        let permit = Arc::clone(permits).acquire_owned();
        let Ok(permit) = permit.await else { return std::future::pending().await };
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Only a matter of latency, so a failure is none.
                let _ = stream.set_nodelay(true);
                return Accepted { stream, peer: peer.ip(), permit };
            }
            Err(error) => {
                errors.inc();
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_ACCEPT_PAUSE);
            }
        }
    }
}

/// The front, for one connection.
struct Connection {
    front: Arc<Front>,
    peer: IpAddr,
}

impl Connection {
    fn new(front: &Arc<Front>, peer: IpAddr) -> Self {
        front.metrics.open_connections.inc();
        Self { front: Arc::clone(front), peer }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.front.metrics.open_connections.dec();
    }
}

impl Service<Request<Incoming>> for Connection {
    type Response = Answer;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        handler::answer(&self.front, self.peer, request)
    }
}
