//! A server under TLS with a self-signed certificate, which responds to every request alike.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// A server under TLS. Accepts no more connections once it is dropped.
pub struct TestTlsServer {
    address: SocketAddr,
    certificate: String,
    requests: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl TestTlsServer {
    /// Starts a server with a certificate for `name`, which responds with 200 and `body`.
    pub async fn start(name: &str, body: &'static str) -> Self {
        let (acceptor, certificate) = self_signed(name);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&requests);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, log) = (acceptor.clone(), Arc::clone(&log));
                // A connection that breaks is seen by the client.
                tokio::spawn(async move { drop(serve(&acceptor, stream, &log, body).await) });
            }
        });
        Self { address, certificate, requests, accepting }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its certificate, in PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The methods and targets of the requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TestTlsServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// TLS with a new certificate for `name`, a host name or an address; and that certificate, in PEM.
pub(crate) fn self_signed(name: &str) -> (TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider supports them")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
        .expect("a key of this certificate");
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

async fn serve(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    log: &Mutex<Vec<String>>,
    body: &str,
) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let line = read_request(&mut stream).await?;
    let sent = if line.starts_with("HEAD ") { "" } else { body };
    log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(format!("{head}{sent}").as_bytes()).await?;
    stream.shutdown().await
}

/// Reads a request, and returns its method and target.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    stream.read_exact(&mut vec![0; length.unwrap_or(0)]).await?;
    let line = head.lines().next().unwrap_or_default();
    let line = line.strip_suffix(" http/1.1").unwrap_or(line);
    let (method, target) = line.split_once(' ').unwrap_or((line, ""));
    Ok(format!("{} {target}", method.to_ascii_uppercase()))
}
