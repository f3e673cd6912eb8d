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
use hyper_util::{
    client::legacy::connect::{Connected, Connection, HttpConnector, dns::GaiResolver},
    rt::TokioIo,
};
use tokio::{net::TcpStream, time::timeout};
use tower_service::Service;

use super::{
    Proxies, Proxy,
    error::{ProxyError, ProxyFault},
    tunnel,
};
use crate::causes::BoxError;

/// Makes TCP connections, by a proxy where one is set for the target.
#[derive(Clone)]
pub(crate) struct ProxyConnector<R> {
    direct: HttpConnector<R>,
    /// The proxy is named by the user: its address may be any.
    to_proxy: HttpConnector<GaiResolver>,
    proxies: Arc<Proxies>,
    /// How long the response to CONNECT may take.
    limit: Duration,
}

impl<R> ProxyConnector<R> {
    pub(crate) const fn new(
        direct: HttpConnector<R>,
        to_proxy: HttpConnector<GaiResolver>,
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

/// A TCP connection, and how it leads to its target.
pub(crate) struct ProxyStream {
    tcp: TokioIo<TcpStream>,
    kind: ConnectionKind,
}

impl<R> Service<Uri> for ProxyConnector<R>
where
    HttpConnector<R>: Service<Uri, Response = TokioIo<TcpStream>>,
    <HttpConnector<R> as Service<Uri>>::Future: Send + 'static,
    <HttpConnector<R> as Service<Uri>>::Error: Into<BoxError>,
{
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
                let tcp = connecting.await.map_err(Into::into)?;
                Ok(ProxyStream { tcp, kind: ConnectionKind::Direct })
            });
        };
        let (connector, limit) = (self.to_proxy.clone(), self.limit);
        Box::pin(async move { Ok(by_proxy(connector, &proxy, &target, limit).await?) })
    }
}

async fn by_proxy(
    mut connector: HttpConnector<GaiResolver>,
    proxy: &Proxy,
    target: &Uri,
    limit: Duration,
) -> Result<ProxyStream, ProxyError> {
    let connect = |cause: BoxError| ProxyError::new(proxy, ProxyFault::Connect { cause });
    let uri = format!("http://{}/", proxy.authority).parse::<Uri>();
    let uri = uri.map_err(|cause| connect(cause.into()))?;
    let tcp = connector.call(uri).await.map_err(|cause| connect(cause.into()))?;
    if target.scheme_str() != Some("https") {
        return Ok(ProxyStream { tcp, kind: ConnectionKind::Forward });
    }
    let mut stream = tcp.into_inner();
    let opened = timeout(limit, tunnel::open(&mut stream, proxy, target)).await;
    opened.unwrap_or_else(|_| Err(ProxyError::new(proxy, ProxyFault::TimedOut(limit))))?;
    Ok(ProxyStream { tcp: TokioIo::new(stream), kind: ConnectionKind::Tunnel })
}

impl Connection for ProxyStream {
    fn connected(&self) -> Connected {
        match self.kind {
            ConnectionKind::Direct => self.tcp.connected(),
            // The peer's address is the proxy's, and says nothing of the target.
            ConnectionKind::Tunnel => Connected::new().extra(Proxied),
            ConnectionKind::Forward => Connected::new().proxy(true).extra(Proxied),
        }
    }
}

impl Read for ProxyStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl Write for ProxyStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, buffers)
    }
}
