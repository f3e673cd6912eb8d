//! The pool of connections: HTTP/1.1 and HTTP/2, plain and over TLS.
//!
//! Not here: when plain HTTP is allowed, which the client decides.

use std::{
    collections::HashSet,
    fmt,
    pin::pin,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use http::{Response, StatusCode, Uri, header, uri::Authority};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        self,
        connect::{HttpConnector, HttpInfo},
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use url::{Host, Url};

use crate::{
    TransportError, Unprocessed,
    content::{OutgoingBody, SendProgress},
    guard::{Guard, NotPublic, check_literal, is_public, is_public_name},
    handshake::{BoundedHandshake, NotifyingTcp},
    proxy::{Proxied, Proxies, Proxy, ProxyConnector, ProxyError, ToProxy},
    resolver::Resolver,
    tls::TlsSettings,
    trusted_roots::TrustedRoots,
};

/// Time for a connection to be made: five retransmissions of its first packet. A TLS handshake has as much: it is two
/// round trips, and six tries of a port that stays silent end within about a minute.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections kept for later, for each host: as many as transfers run side by side.
const IDLE_CONNECTIONS: usize = 32;
/// How long they are kept: less than the usual balancer does (60 s and more).
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(50);
/// How often the peer of a connection in use is probed (keep-alive).
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// What is read at a time at most, in bytes: more makes nothing faster, and every piece that waits on its
/// way somewhere has this size.
const READ_BUFFER: usize = 128 << 10;
/// How many header lines a response may have: far more than any registry sends, and each costs 64 bytes while the head of
/// a response is read.
const MAX_HEADERS: usize = 256;
/// How many hosts that require HTTP/1.1 are cached: more than a run speaks to. Beyond it all are removed.
const MAX_HTTP1_HOSTS: usize = 1024;
/// What one HTTP/2 stream may send ahead of its reader: the bandwidth of 80 Mbit/s at 100 ms.
const STREAM_WINDOW: u32 = 1 << 20;
/// What all streams of a connection together may: enough that readers which pause (because a
/// destination is slow) do not hold up the others.
const CONNECTION_WINDOW: u32 = 32 << 20;

/// Connections by one way of finding addresses.
type PooledConnections = legacy::Client<Connector, OutgoingBody>;
/// Makes a connection: TCP, and TLS where the URL says so.
type Connector = BoundedHandshake<HttpsConnector<NotifyingTcp<ProxyConnector>>>;

/// The versions of HTTP that a pool speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// HTTP/1.1, and HTTP/2 where the TLS handshake offers it.
    #[default]
    Negotiated,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone, without TLS too (prior knowledge, RFC 9113 §3.3).
    Http2,
}

/// The settings of a [`Pool`].
#[derive(Debug)]
pub struct PoolSettings {
    /// What TLS trusts and shows.
    pub tls: TlsSettings,
    /// How long a connection may take to be made, and as long its TLS handshake. Default: 10 s.
    pub connect_timeout: Duration,
    /// Hosts, without ports, that may be dialled although they are not public.
    pub allowed: HashSet<String>,
    /// The proxies. Default: none.
    pub proxies: Proxies,
    /// The versions of HTTP. Default: negotiated.
    pub versions: Versions,
    /// Idle connections kept for each host. Default: 32.
    pub idle_connections: usize,
    /// How long they are kept. Default: 50 s.
    pub idle_timeout: Duration,
}

impl PoolSettings {
    /// The default settings with this TLS.
    #[must_use]
    pub fn new(tls: TlsSettings) -> Self {
        Self {
            tls,
            connect_timeout: CONNECT_TIMEOUT,
            allowed: HashSet::new(),
            proxies: Proxies::default(),
            versions: Versions::default(),
            idle_connections: IDLE_CONNECTIONS,
            idle_timeout: IDLE_CONNECTION_TIMEOUT,
        }
    }
}

/// Connections that speak the same versions of HTTP.
struct ConnectionSet {
    open: PooledConnections,
    /// For hosts that a public one named.
    public_only: PooledConnections,
    /// Never by a proxy.
    direct: PooledConnections,
}

/// Connections to servers, kept for the next request.
pub struct Pool {
    /// Those of the versions that the settings name.
    connections: ConnectionSet,
    /// Those of the hosts that require HTTP/1.1.
    http1: ConnectionSet,
    /// These hosts, with their ports.
    http1_hosts: RwLock<HashSet<Box<str>>>,
    proxies: Arc<Proxies>,
    /// Hosts that may be dialled although they are not public.
    allowed: Arc<HashSet<String>>,
    roots: Arc<TrustedRoots>,
}

impl Pool {
    /// A pool without connections yet.
    #[must_use]
    pub fn new(settings: PoolSettings) -> Self {
        let mut builder = builder(&settings);
        let PoolSettings { tls, connect_timeout, allowed, versions, proxies, .. } = settings;
        let (tls, roots) = tls.client_config();
        let (allowed, proxies) = (Arc::new(allowed), Arc::new(proxies));
        let mut connect = Connect { tls, timeout: connect_timeout, versions };
        let connections = connect.connections(&builder, &allowed, &proxies);
        connect.versions = Versions::Http1;
        let http1 = connect.connections(builder.http2_only(false), &allowed, &proxies);
        let http1_hosts = RwLock::default();
        Self { connections, http1, http1_hosts, proxies, allowed, roots }
    }

    /// Whether TLS can succeed at all: there are root certificates.
    #[must_use]
    pub fn has_roots(&self) -> bool {
        !self.roots.all().is_empty()
    }

    /// The URL as a request has it.
    ///
    /// # Errors
    /// When no request can be sent there: TLS without root certificates, an address that is not public where it has
    /// to be, or a URL that HTTP cannot carry.
    pub fn target(&self, guard: Guard, url: &Url) -> Result<Uri, TransportError> {
        if url.scheme() == "https" && !self.has_roots() {
            return Err(TransportError::NoRootCertificates);
        }
        let uri: Uri = url.as_str().parse().map_err(|cause| TransportError::BadUrl { cause })?;
        if guard == Guard::PublicOnly {
            check_literal(url, &self.allowed)
                .map_err(|NotPublic(address)| TransportError::NotPublic { address })?;
            let name = url.host_str().unwrap_or_default();
            // The address is the proxy's to find, so the name is all that can be looked at.
            if self.proxies.of(&uri).is_some()
                && !is_public_name(name)
                && !self.allowed.contains(name)
            {
                return Err(TransportError::NotPublicName { name: name.into() });
            }
        }
        Ok(uri)
    }

    /// Sends a request by the way that its target needs, and waits for the headers of the response, without a limit.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn send(
        &self,
        guard: Guard,
        request: http::Request<OutgoingBody>,
    ) -> Result<Response<Incoming>, TransportError> {
        let (proxy, target) = (self.forwards(request.uri()), request.uri().clone());
        let response = self.request(guard, request).await;
        let response = response.map_err(TransportError::before_headers);
        accepted_by_proxy(proxy, self.noted(&target, response)?)
    }

    /// The same without any proxy: for a service of this machine's own network.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn send_direct(
        &self,
        request: http::Request<OutgoingBody>,
    ) -> Result<Response<Incoming>, TransportError> {
        let target = request.uri().clone();
        let response = self.to(&target).direct.request(request).await;
        self.noted(&target, response.map_err(TransportError::before_headers))
    }

    /// The same, as long as the content makes progress.
    ///
    /// # Errors
    /// When there is no response in time, or the content broke off.
    pub async fn send_watched(
        &self,
        guard: Guard,
        request: http::Request<OutgoingBody>,
        progress: watch::Receiver<SendProgress>,
    ) -> Result<Response<Incoming>, TransportError> {
        let (proxy, target) = (self.forwards(request.uri()), request.uri().clone());
        let response = headers_of(self.request(guard, request), progress).await;
        accepted_by_proxy(proxy, self.noted(&target, response)?)
    }

    /// The proxy that reads requests to `target` itself: those without TLS.
    fn forwards(&self, target: &Uri) -> Option<&Proxy> {
        self.proxies.of(target).filter(|_| target.scheme_str() == Some("http"))
    }

    fn request(
        &self,
        guard: Guard,
        mut request: http::Request<OutgoingBody>,
    ) -> legacy::ResponseFuture {
        let authorization = self.forwards(request.uri()).and_then(|it| it.authorization.clone());
        if let Some(value) = authorization {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, value);
        }
        let connections = self.to(request.uri());
        match guard {
            Guard::Open => connections.open.request(request),
            Guard::PublicOnly => connections.public_only.request(request),
        }
    }

    /// The connections for the host of a URL.
    fn to(&self, target: &Uri) -> &ConnectionSet {
        let hosts = self.http1_hosts.read().unwrap_or_else(PoisonError::into_inner);
        let host = target.authority().map(Authority::as_str).filter(|_| !hosts.is_empty());
        match host.is_some_and(|host| hosts.contains(host)) {
            true => &self.http1,
            false => &self.connections,
        }
    }

    /// The same response. A host that requires HTTP/1.1 gets the next request so (RFC 9113 §7).
    fn noted<T>(
        &self,
        target: &Uri,
        response: Result<T, TransportError>,
    ) -> Result<T, TransportError> {
        if let Err(TransportError::NotProcessed { reason: Unprocessed::Http1Required }) = &response
            && let Some(host) = target.authority()
        {
            let mut hosts = self.http1_hosts.write().unwrap_or_else(PoisonError::into_inner);
            if hosts.len() >= MAX_HTTP1_HOSTS {
                hosts.clear();
            }
            hosts.insert(host.as_str().into());
        }
        response
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

/// How connections are made.
struct Connect {
    tls: ClientConfig,
    timeout: Duration,
    versions: Versions,
}

impl Connect {
    fn connections(
        &self,
        builder: &legacy::Builder,
        allowed: &Arc<HashSet<String>>,
        proxies: &Arc<Proxies>,
    ) -> ConnectionSet {
        let public = Resolver::only_public(Arc::clone(allowed));
        ConnectionSet {
            open: builder.build(self.connector(Resolver::open(), proxies)),
            public_only: builder.build(self.connector(public, proxies)),
            direct: builder.build(self.connector(Resolver::open(), &Arc::default())),
        }
    }

    fn connector(&self, resolver: Resolver, proxies: &Arc<Proxies>) -> Connector {
        let proxies = Arc::clone(proxies);
        let tcp = ProxyConnector::new(self.tcp(resolver), self.to_proxy(), proxies, self.timeout);
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(self.tls.clone()).https_or_http();
        let connector = match self.versions {
            Versions::Negotiated => {
                connector.enable_all_versions().wrap_connector(NotifyingTcp(tcp))
            }
            Versions::Http1 => connector.enable_http1().wrap_connector(NotifyingTcp(tcp)),
            Versions::Http2 => connector.enable_http2().wrap_connector(NotifyingTcp(tcp)),
        };
        BoundedHandshake::new(connector, self.timeout)
    }

    fn to_proxy(&self) -> ToProxy {
        let tls = HttpsConnectorBuilder::new().with_tls_config(self.tls.clone()).https_or_http();
        let tcp = NotifyingTcp(self.tcp(Resolver::open()));
        BoundedHandshake::new(tls.enable_http1().wrap_connector(tcp), self.timeout)
    }

    fn tcp(&self, resolver: Resolver) -> HttpConnector<Resolver> {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_connect_timeout(Some(self.timeout));
        tcp
    }
}

/// The response, unless it is a proxy's refusal of the user.
fn accepted_by_proxy(
    proxy: Option<&Proxy>,
    response: Response<Incoming>,
) -> Result<Response<Incoming>, TransportError> {
    match proxy {
        Some(proxy) if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            Err(TransportError::Proxy { cause: ProxyError::unauthenticated(proxy).into() })
        }
        _ => Ok(response),
    }
}

/// Whether a response from `url` came from a public host. Behind a proxy that is decided by the URL alone.
#[must_use]
pub fn is_public_peer<B>(url: &Url, response: &Response<B>) -> bool {
    if response.extensions().get::<Proxied>().is_none() {
        let peer = response.extensions().get::<HttpInfo>();
        return peer.is_some_and(|peer| is_public(peer.remote_addr().ip()));
    }
    match url.host() {
        Some(Host::Ipv4(address)) => is_public(address.into()),
        Some(Host::Ipv6(address)) => is_public(address.into()),
        Some(Host::Domain(name)) => is_public_name(name),
        None => false,
    }
}

fn builder(settings: &PoolSettings) -> legacy::Builder {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(settings.idle_timeout)
        .pool_max_idle_per_host(settings.idle_connections)
        .http1_max_buf_size(READ_BUFFER)
        .http1_max_headers(MAX_HEADERS)
        // Folded lines are obsolete, and recipients of a response have to read them (RFC 9112 §5.2).
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http2_only(settings.versions == Versions::Http2)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

/// Waits for the headers of a response, as long as the content makes progress.
async fn headers_of(
    response: legacy::ResponseFuture,
    mut progress: watch::Receiver<SendProgress>,
) -> Result<Response<Incoming>, TransportError> {
    let mut response = pin!(response);
    loop {
        let deadline = progress.borrow_and_update().deadline;
        tokio::select! {
            response = &mut response => {
                let failure = progress.borrow().failure();
                return match (failure, response) {
                    (Some(failure), _) => Err(failure),
                    (None, Ok(response)) => Ok(response),
                    (None, Err(error)) => Err(TransportError::before_headers(error)),
                };
            }
            () = passed(deadline) => return Err(progress.borrow().late()),
            Ok(()) = progress.changed() => {}
        }
    }
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
