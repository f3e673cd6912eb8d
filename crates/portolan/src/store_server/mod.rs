//! A blob store's directory as a server: listening and connections are `http-server`'s.

mod files;
mod metrics;
mod served;
#[cfg(test)]
mod tests;

use std::{path::Path, time::Duration};

use futures_util::FutureExt as _;
use http_server::{
    AccessRecord, AccessResponse, Admin, Bodies, ClientConnection, Server, ServerSettings, handler,
};
use tokio::net::TcpListener;

use files::FileBudget;
use metrics::StoreMetrics;
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

/// Where a store is served.
#[derive(Debug)]
pub(crate) struct StoreListeners {
    /// The store itself.
    pub(crate) store: TcpListener,
    /// Metrics and health.
    pub(crate) admin: Option<TcpListener>,
}

/// Serves the store in directory `dir` until `shutdown`, and then for at most [`DRAIN`] more. The admin address ends
/// last.
pub(crate) async fn serve(
    dir: &Path,
    StoreListeners { store: listener, admin }: StoreListeners,
    log: AccessLog,
    shutdown: impl Future<Output = ()>,
) {
    let settings = ServerSettings::new("blob store", MAX_CONNECTIONS, Bodies::Streamed, DRAIN);
    // Each response may have its file open.
    let (settings, files) = settings.within_descriptors(MAX_CONNECTIONS);
    let metrics = StoreMetrics::new();
    let admin = admin.map(|listener| {
        let metrics = metrics.clone();
        Admin::start(listener, move || metrics.text())
    });
    let server = Server { listener, tls: None, settings, metrics: metrics.connections.clone() };
    server.announce();
    let served = Served::new(dir, FileBudget::new(files));
    let service = |connection: &ClientConnection| {
        let (served, metrics) = (served.clone(), metrics.clone());
        let connection = connection.clone();
        handler(move |request| {
            let (served, metrics) = (served.clone(), metrics.clone());
            let connection = connection.clone();
            let peer = Some(connection.peer.ip());
            let record = (log == AccessLog::On)
                .then(|| AccessRecord::begin(peer, peer, request.method(), request.uri()));
            async move {
                let response = served.respond(request, connection).await;
                metrics.count(response.status());
                if let Some(record) = record {
                    let status = response.status();
                    record.log(&AccessResponse { status, user: None, location: None, sent: None });
                }
                response
            }
        })
    };
    let shutdown = shutdown.map(|()| admin.iter().for_each(Admin::drain));
    server.run(service, shutdown).await;
    if let Some(admin) = admin {
        admin.end().await;
    }
}
