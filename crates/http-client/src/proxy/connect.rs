//! TCP connections to a target: direct, or by a proxy. For TLS a proxy opens a tunnel; plain HTTP requests are sent to
//! the proxy itself, in absolute-form.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{Connected, Connection, HttpConnector},
    rt::TokioIo,
};
use tokio::{net::TcpStream, time::timeout};
use tower_service::Service;

use super::{
    Proxies, Proxy,
    error::{ProxyError, ProxyFault},
    tunnel,
};
use crate::{
    causes::BoxError,
    handshake::{BoundedHandshake, NotifyingTcp},
    resolver::Resolver,
};

/// Makes connections to proxies, with TLS where the URL of the proxy says so.
pub(crate) type ToProxy = BoundedHandshake<HttpsConnector<NotifyingTcp<HttpConnector<Resolver>>>>;

/// Makes TCP connections, by a proxy where one is set for the target.
#[derive(Clone)]
pub(crate) struct ProxyConnector {
    direct: HttpConnector<Resolver>,
    /// The proxy is named by the user: its address may be any.
    to_proxy: ToProxy,
    proxies: Arc<Proxies>,
    /// How long the response to CONNECT may take.
    limit: Duration,
}

impl ProxyConnector {
    pub(crate) const fn new(
        direct: HttpConnector<Resolver>,
        to_proxy: ToProxy,
        proxies: Arc<Proxies>,
        limit: Duration,
    ) -> Self {
        Self { direct, to_proxy, proxies, limit }
    }
}

/// Is among the extensions of a response that came by a proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proxied;

/// How a connection leads to its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionKind {
    Direct,
    Tunnel,
    /// The proxy reads the requests.
    Forward,
}

/// A connection, and how it leads to its target.
pub(crate) struct ProxyStream {
    io: ProxyIo,
    kind: ConnectionKind,
}

enum ProxyIo {
    Tcp(TokioIo<TcpStream>),
    /// TLS to the proxy. Boxed: its state is ten times as large as all else here.
    Tls(Box<MaybeHttpsStream<TokioIo<TcpStream>>>),
}

trait ReadWrite: Read + Write + Unpin {}

impl<T: Read + Write + Unpin> ReadWrite for T {}

impl ProxyStream {
    fn io(self: Pin<&mut Self>) -> Pin<&mut dyn ReadWrite> {
        match &mut self.get_mut().io {
            ProxyIo::Tcp(tcp) => Pin::new(tcp),
            ProxyIo::Tls(tls) => Pin::new(&mut **tls),
        }
    }
}

impl Service<Uri> for ProxyConnector {
    type Response = ProxyStream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<ProxyStream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.direct.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.of(&target).cloned() else {
            let connecting = self.direct.call(target);
            return Box::pin(async move {
                let tcp = connecting.await?;
                Ok(ProxyStream { io: ProxyIo::Tcp(tcp), kind: ConnectionKind::Direct })
            });
        };
        let (connector, limit) = (self.to_proxy.clone(), self.limit);
        Box::pin(async move { Ok(by_proxy(connector, &proxy, &target, limit).await?) })
    }
}

async fn by_proxy(
    mut connector: ToProxy,
    proxy: &Proxy,
    target: &Uri,
    limit: Duration,
) -> Result<ProxyStream, ProxyError> {
    let no_connection = |cause| ProxyError::no_connection(proxy, cause);
    let uri = format!("{}://{}/", proxy.scheme, proxy.authority).parse::<Uri>();
    let uri = uri.map_err(|cause| no_connection(cause.into()))?;
    let io = match connector.call(uri).await.map_err(no_connection)? {
        MaybeHttpsStream::Http(tcp) => ProxyIo::Tcp(tcp),
        tls @ MaybeHttpsStream::Https(_) => ProxyIo::Tls(tls.into()),
    };
    if target.scheme_str() != Some("https") {
        return Ok(ProxyStream { io, kind: ConnectionKind::Forward });
    }
    let mut stream = TokioIo::new(ProxyStream { io, kind: ConnectionKind::Tunnel });
    let opened = timeout(limit, tunnel::open(&mut stream, proxy, target)).await;
    opened.unwrap_or_else(|_| Err(ProxyError::new(proxy, ProxyFault::TimedOut(limit))))?;
    Ok(stream.into_inner())
}

impl Connection for ProxyStream {
    fn connected(&self) -> Connected {
        match (self.kind, &self.io) {
            (ConnectionKind::Direct, ProxyIo::Tcp(tcp)) => tcp.connected(),
            // The peer's address is the proxy's, and says nothing of the target.
            (ConnectionKind::Forward, _) => Connected::new().proxy(true).extra(Proxied),
            (ConnectionKind::Tunnel | ConnectionKind::Direct, _) => Connected::new().extra(Proxied),
        }
    }
}

impl Read for ProxyStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.io().poll_read(cx, buffer)
    }
}

impl Write for ProxyStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            ProxyIo::Tcp(tcp) => tcp.is_write_vectored(),
            ProxyIo::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write_vectored(cx, buffers)
    }
}
