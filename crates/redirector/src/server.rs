//! The HTTP server: HTTP/1.1 and cleartext HTTP/2 on one port, bounded connections, and a graceful
//! end. TLS is the balancer's business. What is answered is decided in `handler.rs` and `admin.rs`;
//! the limits are in `docs/front.md`, "Limits".

use std::{
    convert::Infallible,
    io,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::Map};
use http::Request;
use hyper::{body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    admin,
    front::Front,
    handler::{self, Answering},
    response::Answer,
};

/// A pull's request is below 2 KiB; this leaves room for what proxies add.
const MAX_REQUEST_BYTES: usize = 64 * 1024;
/// The same for HTTP/2.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// As many layers of an image at once.
const MAX_STREAMS: u32 = 200;
/// At about 16 KiB of buffers each, what 1 GiB holds. More wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 65_536;
/// A connection that has asked for nothing by then is given up.
const FIRST_REQUEST_TIME: Duration = Duration::from_secs(30);
/// Google's balancers keep idle connections for 600 s: they must close first, or a request meets a
/// closing connection.
const IDLE_TIME: Duration = Duration::from_secs(620);
/// The pause after a failed accept, doubled up to the longest: without descriptors, accept fails
/// until a connection ends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// What Cloud Run grants between SIGTERM and SIGKILL.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Serves the front on `listener`, and metrics and health on `admin`, until `shutdown`; then
/// finishes what is under way, within ten seconds.
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
        let run = run(listener, errors, move |_peer| pages.clone(), admin_ends.map(drop));
        tokio::spawn(run)
    });
    let errors = front.metrics.accept_errors.clone();
    let shutdown = shutdown.map(|()| front.drain());
    run(listener, errors, |peer| Connection::new(&front, peer), shutdown).await;
    drop(end_admin);
    if let Some(admin) = admin {
        // It was told to end, and nothing else can end it.
        let _ = admin.await;
    }
    Ok(())
}

/// Accepts connections until `shutdown`, and drains them.
async fn run<S>(
    listener: TcpListener,
    errors: Counter,
    service: impl Fn(IpAddr) -> S,
    shutdown: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Answer, Error = Infallible> + Send + 'static,
    S::Future: Send,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(MAX_REQUEST_BYTES);
    builder.http2().max_header_list_size(MAX_HEADER_LIST_BYTES).max_concurrent_streams(MAX_STREAMS);
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_ended) = connections.join_next() => continue,
            accepted = accept(&listener, &permits, &errors) => accepted,
        };
        let requests = Arc::new(AtomicU64::new(0));
        let service = Counted { service: service(accepted.peer), requests: Arc::clone(&requests) };
        let io = TokioIo::new(accepted.stream);
        let connection = builder.serve_connection(io, service).into_owned();
        let connection = watch_idle(graceful.watch(connection), requests);
        connections.spawn(connection.map(|()| drop(accepted.permit)));
    }
    drop(listener);
    if timeout(DRAIN_TIME, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still under way after {DRAIN_TIME:?}; they are cut");
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

/// Runs a connection to its end, or until it has been idle for too long. One timer a connection:
/// hyper's own timeout for headers would set one for every request.
async fn watch_idle<T>(connection: impl Future<Output = T>, requests: Arc<AtomicU64>) {
    let mut connection = pin!(connection);
    let (mut seen, mut limit) = (0, FIRST_REQUEST_TIME);
    // How a connection ends is the client's affair.
    while timeout(limit, connection.as_mut()).await.is_err() {
        let begun = requests.load(Ordering::Relaxed);
        if begun == seen {
            return;
        }
        (seen, limit) = (begun, IDLE_TIME);
    }
}

/// A service that counts its requests.
struct Counted<S> {
    service: S,
    requests: Arc<AtomicU64>,
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> S::Future {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.service.call(request)
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
    type Future = Map<Answering, fn(Answer) -> Result<Answer, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        handler::answer(&self.front, self.peer, &request).map(Ok)
    }
}
