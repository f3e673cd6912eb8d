//! A blob store's directory as a server: listening and connections are `http-server`'s.

mod served;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, path::Path, time::Duration};

use http_server::{
    AccessRecord, AccessResponse, Bodies, ConnectionMetrics, Server, Settings, handler,
};
use tokio::net::TcpListener;

use served::Served;

/// Open connections. Each may read a file, and costs some buffers: 128 MiB together while they are idle.
const MAX_CONNECTIONS: usize = 8_192;

/// How long responses under way may go on after the shutdown: a stopped server must stop, even if a client
/// reads slowly.
const DRAIN: Duration = Duration::from_secs(10);

/// Whether there is a log event for each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccessLog {
    On,
    Off,
}

/// Serves the store in directory `dir` until `shutdown`, and then for at most [`DRAIN`] more.
pub(crate) async fn serve(
    dir: &Path,
    listener: TcpListener,
    log: AccessLog,
    shutdown: impl Future<Output = ()>,
) {
    let settings = Settings::new("blob store", MAX_CONNECTIONS, Bodies::Streamed, DRAIN);
    // Each response may have its file open.
    let settings = settings.within_descriptors(MAX_CONNECTIONS);
    let metrics = ConnectionMetrics::default();
    let server = Server { listener, tls: None, settings, metrics };
    server.announce();
    let served = Served::new(dir);
    let service = |peer: SocketAddr| {
        let served = served.clone();
        handler(move |request| {
            let (served, peer) = (served.clone(), Some(peer.ip()));
            let record = (log == AccessLog::On)
                .then(|| AccessRecord::begin(peer, peer, request.method(), request.uri()));
            async move {
                let response = served.respond(request).await;
                if let Some(record) = record {
                    let status = response.status();
                    record.log(&AccessResponse { status, user: None, location: None, sent: None });
                }
                response
            }
        })
    };
    server.run(service, shutdown).await;
}
