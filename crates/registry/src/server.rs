//! The HTTP server: HTTP/1.1 and HTTP/2 on one port, in clear or under TLS, bounded connections, and a
//! graceful end. What is answered is decided in `lib.rs` and `admin.rs`.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use http::Request;
use hyper::{
    body::Incoming,
    rt::{Read, Write},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{interval, sleep, timeout},
};

use crate::{
    Peer, Registry,
    activity::Activity,
    admin,
    limits::{DRAIN, HEADER_TIME, MAX_CONNECTIONS, MAX_STREAMS, SWEEP_INTERVAL},
    tls::Tls,
};

/// The pause after a failed accept: without descriptors, accept fails until a connection ends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a registry is served.
#[derive(Debug)]
pub struct Listeners {
    /// The registry itself.
    pub registry: TcpListener,
    /// With which it is under TLS.
    pub tls: Option<Tls>,
    /// Metrics and health, in clear.
    pub admin: Option<TcpListener>,
}

impl From<TcpListener> for Listeners {
    fn from(registry: TcpListener) -> Self {
        Self { registry, tls: None, admin: None }
    }
}

/// Serves `registry` until `shutdown` is done; then takes no more connections, and ends when the
/// requests under way have, or after [`DRAIN`].
///
/// # Errors
/// None today: failing accepts are logged and tried again.
pub async fn serve(
    registry: Registry,
    listeners: impl Into<Listeners>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let Listeners { registry: listener, tls, admin } = listeners.into();
    let (stop, stopped) = watch::channel(());
    let served = registry.clone();
    let answer = Answer::Registry(registry.clone());
    let public = tokio::spawn(run(listener, tls, answer, stopped.clone()));
    let admin =
        admin.map(|listener| tokio::spawn(run(listener, None, Answer::Admin(registry), stopped)));
    let mut sweep = interval(SWEEP_INTERVAL);
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            _ = sweep.tick() => served.sweep().await,
        }
    }
    drop(stop);
    // They end by themselves, and nothing else can end them.
    let _ = public.await;
    if let Some(admin) = admin {
        let _ = admin.await;
    }
    Ok(())
}

/// What answers at an address.
#[derive(Clone)]
enum Answer {
    Registry(Registry),
    Admin(Registry),
}

impl Answer {
    async fn respond(
        self,
        peer: SocketAddr,
        activity: Activity,
        request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        let _working = activity.works();
        Ok(match self {
            Self::Registry(registry) => {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(Peer(peer));
                request.extensions_mut().insert(activity);
                registry.respond(request).await
            }
            Self::Admin(registry) => admin::page(&registry, request.uri().path()),
        })
    }

    const fn registry(&self) -> &Registry {
        match self {
            Self::Registry(registry) | Self::Admin(registry) => registry,
        }
    }
}

/// Accepts connections until `stopped`, and drains them.
async fn run(
    listener: TcpListener,
    tls: Option<Tls>,
    answer: Answer,
    mut stopped: watch::Receiver<()>,
) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, peer, permit) = tokio::select! {
            // An error: the sender is gone.
            _ = stopped.changed() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        tune(&stream);
        let (tls, answer, watcher) = (tls.clone(), answer.clone(), graceful.watcher());
        tokio::spawn(async move {
            let open = &answer.registry().0.metrics.connections;
            open.inc();
            match tls {
                None => connection(TokioIo::new(stream), peer, answer.clone(), watcher).await,
                // Who does not finish the handshake is no client.
                Some(tls) => {
                    let shaken = timeout(HEADER_TIME, tls.acceptor().accept(stream)).await;
                    if let Ok(Ok(stream)) = shaken {
                        connection(TokioIo::new(stream), peer, answer.clone(), watcher).await;
                    }
                }
            }
            open.dec();
            drop(permit);
        });
    }
    drop(listener);
    if timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still under way after {DRAIN:?}; they are cut");
    }
}

/// Only a matter of speed, so a failure is none.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(stream).set_tcp_notsent_lowat(crate::limits::MAX_UNSENT_BYTES);
}

/// The next connection, however long that takes.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        // The semaphore is never closed; if it were, waiting would be right too.
        let permit = Arc::clone(permits).acquire_owned();
        let Ok(permit) = permit.await else { return std::future::pending().await };
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, permit),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a connection until its end, which is the client's affair, or until nothing moves on it.
async fn connection(
    stream: impl Read + Write + Unpin + Send + 'static,
    peer: SocketAddr,
    answer: Answer,
    watcher: Watcher,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(HEADER_TIME);
    let activity = Activity::new();
    let moves = activity.clone();
    let service = service_fn(move |request| answer.clone().respond(peer, moves.clone(), request));
    let connection = builder.serve_connection(stream, service).into_owned();
    tokio::select! {
        // First, so that the check itself moves nothing.
        biased;
        () = activity.stalls() => {}
        _ = watcher.watch(connection) => {}
    }
}
