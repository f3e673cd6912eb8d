//! The pool of connections: HTTP/1.1 and HTTP/2, plain and over TLS.
//!
//! Not here: when plain HTTP is allowed, which the client decides.

use std::{collections::HashSet, sync::Arc, time::Duration};

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        self,
        connect::{HttpConnector, dns::GaiResolver},
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;
use tower_service::Service;
use url::Url;

use crate::{
    content::OutgoingBody,
    guard::{Guard, NotPublic, PublicResolver, check_literal},
    handshake::{BoundedHandshake, NotifyingTcp},
    tls::TlsSettings,
};

/// Connections kept for later, for each host: as many as transfers run side by side.
const IDLE_CONNECTIONS: usize = 32;
/// How long they are kept: less than the usual balancer does (60 s and more).
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(50);
/// How often a connection that is in use is asked whether the other side is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// What is read at a time at most, in bytes: more makes nothing faster, and every piece that waits on its
/// way somewhere has this size.
const READ_BUFFER: usize = 128 << 10;
/// What one HTTP/2 stream may send ahead of its reader: the bandwidth of 80 Mbit/s at 100 ms.
const STREAM_WINDOW: u32 = 1 << 20;
/// What all streams of a connection together may: enough that readers which pause (because a
/// destination is slow) do not hold up the others.
const CONNECTION_WINDOW: u32 = 32 << 20;

/// Connections by one way of finding addresses.
pub(crate) type Connections<R> = legacy::Client<Connector<R>, OutgoingBody>;
/// Makes a connection: TCP, and TLS where the URL says so.
type Connector<R> = BoundedHandshake<HttpsConnector<NotifyingTcp<HttpConnector<R>>>>;

/// Connections to registries, kept for the next request.
pub(crate) struct Pool {
    open: Connections<GaiResolver>,
    /// For hosts that a public one named.
    public_only: Connections<PublicResolver>,
    /// Hosts that may be dialled although they are not public.
    allowed: Arc<HashSet<String>>,
    /// Whether TLS can succeed at all.
    pub(crate) has_roots: bool,
}

impl Pool {
    pub(crate) fn new(
        tls: TlsSettings,
        connect_timeout: Duration,
        allowed: HashSet<String>,
    ) -> Self {
        Self::with(&settings(), tls, connect_timeout, allowed)
    }

    fn with(
        settings: &legacy::Builder,
        tls: TlsSettings,
        connect_timeout: Duration,
        allowed: HashSet<String>,
    ) -> Self {
        let has_roots = tls.has_roots();
        let tls = tls.client_config();
        let allowed = Arc::new(allowed);
        let public = PublicResolver::new(Arc::clone(&allowed));
        let open = connector(HttpConnector::new(), tls.clone(), connect_timeout);
        let public_only = connector(HttpConnector::new_with_resolver(public), tls, connect_timeout);
        let (open, public_only) = (settings.build(open), settings.build(public_only));
        Self { open, public_only, allowed, has_roots }
    }

    /// Sends a request by the way that its target needs.
    pub(crate) fn request(
        &self,
        guard: Guard,
        request: http::Request<OutgoingBody>,
    ) -> legacy::ResponseFuture {
        match guard {
            Guard::Open => self.open.request(request),
            Guard::PublicOnly => self.public_only.request(request),
        }
    }

    /// Refuses a target that is not public, as far as its URL says so.
    pub(crate) fn check(&self, guard: Guard, url: &Url) -> Result<(), NotPublic> {
        match guard {
            Guard::Open => Ok(()),
            Guard::PublicOnly => check_literal(url, &self.allowed),
        }
    }
}

fn connector<R>(
    mut tcp: HttpConnector<R>,
    tls: ClientConfig,
    connect_timeout: Duration,
) -> Connector<R>
where
    HttpConnector<R>: Service<Uri>,
{
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEP_ALIVE));
    tcp.set_connect_timeout(Some(connect_timeout));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(NotifyingTcp(tcp));
    BoundedHandshake::new(connector, connect_timeout)
}

fn settings() -> legacy::Builder {
    let mut settings = legacy::Client::builder(TokioExecutor::new());
    settings
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .http1_max_buf_size(READ_BUFFER)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW);
    settings
}

#[cfg(test)]
mod tests {
    use std::io;

    use bytes::Bytes;
    use futures_util::{StreamExt as _, future::join_all, stream};
    use http::{Method, Request, Response, StatusCode, header::LOCATION};
    use http_body_util::{BodyExt as _, Full};
    use hyper::{body::Incoming, service::service_fn};
    use hyper_util::{rt::TokioIo, server::conn::auto};
    use oci::{Digest, Host};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        sync::mpsc,
    };

    use super::*;
    use crate::{Client, Fault, RepositoryClient, Retries};

    #[tokio::test]
    async fn without_root_certificates_only_https_fails() {
        let pool = Pool::new(TlsSettings::none(), Duration::from_secs(1), HashSet::new());
        let client = Client::builder().build_over(pool);
        let host = "registry.example".parse().expect("a host");
        let error = client.ping(&host).await.expect_err("no roots");
        assert!(matches!(error.fault(), Fault::NoRootCertificates));
        assert!(error.is_unreachable() && !error.is_transient());
        let start = "GET https://registry.example/v2/: TLS is impossible, since this machine";
        assert!(error.to_string().starts_with(start), "{error}");
    }

    /// What befell each PUT: its length, or none when it broke off.
    type Puts = mpsc::UnboundedReceiver<Option<usize>>;

    /// A registry that speaks HTTP/2 without TLS, a client that does too, and the PUTs.
    async fn http2(blob: Bytes) -> (RepositoryClient, Puts) {
        let (log, puts) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let host: Host =
            listener.local_addr().expect("its address").to_string().parse().expect("a host");
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            let service = service_fn(move |request: Request<Incoming>| {
                let (blob, log) = (blob.clone(), log.clone());
                async move {
                    let (method, path) =
                        (request.method().clone(), request.uri().path().to_owned());
                    let body = request.into_body().collect().await;
                    if method == Method::PUT {
                        let length = body.ok().map(|body| body.to_bytes().len());
                        log.send(length).expect("the test waits");
                    }
                    if path.ends_with("/hang") {
                        std::future::pending::<()>().await;
                    }
                    let mut answer = Response::new(Full::new(blob));
                    if method == Method::PUT {
                        *answer.status_mut() = StatusCode::CREATED;
                    }
                    if method == Method::POST {
                        *answer.status_mut() = StatusCode::ACCEPTED;
                        answer.headers_mut().insert(LOCATION, "/up".parse().expect("a path"));
                    }
                    Ok::<_, io::Error>(answer)
                }
            });
            let connection = auto::Builder::new(TokioExecutor::new()).http2_only();
            let _ended = connection.serve_connection(TokioIo::new(stream), service).await;
        });
        let mut settings = settings();
        settings.http2_only(true);
        let second = Duration::from_secs(1);
        let pool = Pool::with(&settings, TlsSettings::none(), second, HashSet::new());
        let client = Client::builder()
            .request_timeout(Duration::from_secs(1))
            .plain_http(host.clone())
            .build_over(pool);
        (client.repository(&host, &"a".parse().expect("a name")), puts)
    }

    #[tokio::test]
    async fn blobs_pass_over_http2_whole_or_not_at_all() {
        let blob = Bytes::from(vec![7; 5 << 20]);
        let (repository, mut puts) = http2(blob.clone()).await;
        // A reader that pauses within its window holds nobody up.
        let mut paused = repository.blob(&Digest::sha256(&blob)).await.expect("a blob");
        let first = paused.next().await.expect("a piece").expect("a piece");
        let mut size = first.len();
        let pieces = |last: Result<Bytes, &'static str>| {
            stream::iter([Ok(blob.clone()), last]).map(|piece| piece.map_err(io::Error::other))
        };
        let digest = Digest::sha256(&blob);
        let length = blob.len() as u64 + 1;
        let upload = repository.start_upload().await.expect("a session");
        let put = upload.put(&digest, length, pieces(Ok(Bytes::from_static(b"!")))).await;
        put.expect("it is taken");
        let upload = repository.start_upload().await.expect("a session");
        let put = upload.put(&digest, length, pieces(Err("the source is gone"))).await;
        let error = put.expect_err("it broke off");
        assert!(error.to_string().ends_with("bytes: the source is gone"), "{error}");
        assert_eq!(puts.recv().await, Some(Some(blob.len() + 1)));
        assert_eq!(puts.recv().await, Some(None));
        while let Some(piece) = paused.next().await.expect("a piece") {
            size += piece.len();
        }
        assert_eq!(size, blob.len());
    }

    /// A frame of HTTP/2.
    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("a short payload");
        [&[0, 0, length, kind, flags][..], &stream.to_be_bytes(), payload].concat()
    }

    /// Serves three requests of a connection with an empty 200, and then names them the last by GOAWAY; or refuses
    /// the first ones by `REFUSED_STREAM`, and serves the others.
    async fn serve_some(mut tcp: TcpStream, refused: u32) -> io::Result<()> {
        let mut preface = [0; 24];
        tcp.read_exact(&mut preface).await?;
        tcp.write_all(&frame(4, 0, 0, &[])).await?;
        let (mut requests, mut last) = (0, 0_u32);
        loop {
            let mut head = [0; 9];
            tcp.read_exact(&mut head).await?;
            let length = usize::from(u16::from_be_bytes([head[1], head[2]]));
            tcp.read_exact(&mut vec![0; length]).await?;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            requests += u32::from(head[3] == 1);
            let reply = match (head[3], head[4]) {
                (4, 0) => frame(4, 1, 0, &[]),
                (1, _) if refused == 0 && requests > 3 => {
                    frame(7, 0, 0, &[last.to_be_bytes(), [0; 4]].concat())
                }
                (1, _) if requests <= refused => frame(3, 0, stream, &[0, 0, 0, 7]),
                (1, _) => {
                    last = stream;
                    frame(1, 5, stream, &[0x88])
                }
                _ => continue,
            };
            tcp.write_all(&reply).await?;
        }
    }

    #[tokio::test]
    async fn requests_that_http2_did_not_process_are_sent_again_and_are_no_tries() {
        for refused in [0, 30] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("its address").to_string();
            let host: Host = address.parse().expect("a host");
            tokio::spawn(async move {
                while let Ok((tcp, _)) = listener.accept().await {
                    tokio::spawn(serve_some(tcp, refused));
                }
            });
            let mut settings = settings();
            settings.http2_only(true);
            let second = Duration::from_secs(1);
            let pool = Pool::with(&settings, TlsSettings::none(), second, HashSet::new());
            // One retry of each, and of all as many as are allowed at first, which are fewer.
            let retries = Retries::default().tries(2).base(Duration::from_millis(1));
            let client = Client::builder().retries(retries).plain_http(host.clone());
            let client = client.build_over(pool);
            for pinged in join_all((0..40).map(|_| client.ping(&host))).await {
                pinged.unwrap_or_else(|error| panic!("{refused}: {error}"));
            }
        }
    }

    #[tokio::test]
    async fn silence_over_http2_ends_at_the_deadline() {
        let (repository, _) = http2(Bytes::new()).await;
        let hanging = "hang".parse::<oci::Tag>().expect("a tag").into();
        let error = repository.manifest(&hanging).await.expect_err("it says nothing");
        assert!(error.to_string().ends_with(": no answer within 1s"), "{error}");
    }
}
