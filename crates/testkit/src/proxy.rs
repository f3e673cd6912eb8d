//! An HTTP proxy on a free port of 127.0.0.1, with or without a password, that is the only one to know where the
//! hosts are. It records its requests.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::tls::self_signed;

/// A proxy. Accepts no more connections once it is dropped.
pub struct TestProxy {
    address: SocketAddr,
    shared: Arc<ProxyState>,
    accepting: JoinHandle<()>,
}

struct ProxyState {
    /// By `host:port`, in any order.
    hosts: HashMap<String, SocketAddr>,
    /// What `Proxy-Authorization` has to be.
    authorization: Option<String>,
    requests: Mutex<Vec<ProxyRequest>>,
}

/// A request to a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyRequest {
    /// The method and the target, such as `CONNECT registry.example:443`.
    pub line: String,
    /// The value of `Proxy-Authorization`, if there was one.
    pub authorization: Option<String>,
}

impl TestProxy {
    /// Starts a proxy to `hosts` (`host:port` and where that is), which wants this `Proxy-Authorization`.
    pub async fn start(hosts: &[(&str, SocketAddr)], authorization: Option<&str>) -> Self {
        Self::start_with(hosts, authorization, None).await
    }

    /// The same proxy, which speaks TLS; and its certificate for 127.0.0.1, in PEM.
    pub async fn start_with_tls(
        hosts: &[(&str, SocketAddr)],
        authorization: Option<&str>,
    ) -> (Self, String) {
        let (acceptor, certificate) = self_signed("127.0.0.1");
        (Self::start_with(hosts, authorization, Some(acceptor)).await, certificate)
    }

    async fn start_with(
        hosts: &[(&str, SocketAddr)],
        authorization: Option<&str>,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let hosts = hosts.iter().map(|(host, at)| ((*host).to_owned(), *at)).collect();
        let (authorization, requests) = (authorization.map(str::to_owned), Mutex::default());
        let shared = Arc::new(ProxyState { hosts, authorization, requests });
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tls) = (Arc::clone(&serving), tls.clone());
                // A connection that breaks is seen by the client.
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => serve(tls.accept(stream).await?, &shared).await,
                        None => serve(stream, &shared).await,
                    }
                });
            }
        });
        Self { address, shared, accepting }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<ProxyRequest> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TestProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    shared: &ProxyState,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let line = head.lines().next().unwrap_or_default();
    let line = line.strip_suffix(" HTTP/1.1").unwrap_or(line).to_owned();
    let is_own = |line: &&str| line.to_ascii_lowercase().starts_with("proxy-authorization:");
    let authorization = head.lines().find(is_own).and_then(|it| it.split_once(": "));
    let authorization = authorization.map(|(_, value)| value.to_owned());
    let refused = shared.authorization.is_some() && shared.authorization != authorization;
    let request = ProxyRequest { line: line.clone(), authorization };
    shared.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    if refused {
        return refuse(client, "407 Proxy Authentication Required").await;
    }
    let (method, target) = line.split_once(' ').unwrap_or_default();
    let plain = target.strip_prefix("http://").map(|rest| {
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        (host, path)
    });
    let host = plain.as_ref().map_or_else(|| target.to_owned(), |(host, _)| host.clone());
    let Some(address) = shared.hosts.get(&host) else {
        return refuse(client, "503 Service Unavailable").await;
    };
    let mut server = TcpStream::connect(address).await?;
    match plain {
        None => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?,
        Some((_, path)) => {
            // Each request has a connection of its own, so that all are seen here.
            let others = head.lines().skip(1).filter(|line| !line.is_empty() && !is_own(line));
            let others: String = others.map(|line| format!("{line}\r\n")).collect();
            let request = format!("{method} /{path} HTTP/1.1\r\n{others}Connection: close\r\n\r\n");
            server.write_all(request.as_bytes()).await?;
        }
    }
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

async fn refuse(mut client: impl AsyncWrite + Unpin, status: &str) -> io::Result<()> {
    let response = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client.write_all(response.as_bytes()).await
}
