//! Which protocol a host speaks: TLS, unless it is named for plain HTTP. A host on loopback is
//! probed, by a TLS handshake that is not completed; no other host ever falls back to plain HTTP.
//!
//! Silence, or a closed connection, is no proof of plain HTTP: a TLS server may be slow, or behind a tunnel
//! whose other end is down. Then an anonymous HTTP request has to get an HTTP response, before anything that
//! may carry credentials is sent without TLS.
//!
//! Source: RFC 8446 §5.1 (a TLS server responds by a record: a handshake message or an alert); RFC 9112 §4
//! (an HTTP response begins with its version and status).

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use http::StatusCode;
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::OnceCell,
    time::{Instant, timeout},
};

use crate::Authority;

/// How long a probe takes at most. It stays on this machine; a plain server may wait for the end of a line.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the response to an HTTP request is waited for, where a TLS `ClientHello` got none. Registries take
/// well under a second for `/v2/`.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a host that responded to neither counts as one of TLS: one that was about to start is found soon,
/// and not every request waits for a probe.
const ASSUMED_FOR: Duration = Duration::from_secs(30);
/// How much of an HTTP response is read: `HTTP/1.1 200`.
const STATUS_BYTES: usize = 12;
/// How many probed hosts are cached: more ports of this machine than a run uses. Beyond it all are removed.
const MAX_PROBED: usize = 1024;
/// The port of a host that names none, with TLS.
const HTTPS_PORT: u16 = 443;
/// The types of the records by which a TLS server responds to a `ClientHello`.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// What a host speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostProtocol {
    /// HTTP over TLS.
    Tls,
    /// HTTP without TLS.
    Plain,
}

impl HostProtocol {
    /// The scheme of its URLs.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Tls => "https",
            Self::Plain => "http",
        }
    }
}

/// What a probe found.
#[derive(Clone, Copy, Debug)]
enum Finding {
    /// The host responded as this protocol requires.
    Certain(HostProtocol),
    /// It responded as neither, and counts as one of TLS until then.
    Assumed { until: Instant },
}

impl Finding {
    const fn protocol(self) -> HostProtocol {
        match self {
            Self::Certain(protocol) => protocol,
            Self::Assumed { .. } => HostProtocol::Tls,
        }
    }

    fn is_over(self) -> bool {
        matches!(self, Self::Assumed { until } if Instant::now() >= until)
    }
}

/// The protocols of hosts.
#[derive(Debug)]
pub struct Protocols {
    plain: HashSet<Authority>,
    tls: HashSet<Authority>,
    /// What is requested of a host that shows nothing by its response to a TLS handshake.
    path: &'static str,
    probed: Mutex<HashMap<Authority, Arc<OnceCell<Finding>>>>,
    /// What every probe sends first. Keys of its own for each would cost more than the rest of a probe, and protect
    /// nothing: no handshake is completed.
    client_hello: OnceLock<Option<Vec<u8>>>,
}

impl Protocols {
    /// `plain` hosts get no TLS, and `tls` hosts nothing else. A probe by HTTP requests `path`, which
    /// begins with a slash.
    #[must_use]
    pub fn new(plain: HashSet<Authority>, tls: HashSet<Authority>, path: &'static str) -> Self {
        Self { plain, tls, path, probed: Mutex::default(), client_hello: OnceLock::new() }
    }

    /// The scheme of a host; none where a probe decides.
    pub fn known(&self, host: &Authority) -> Option<HostProtocol> {
        if self.tls.contains(host) {
            Some(HostProtocol::Tls)
        } else if self.is_named_plain(host) {
            Some(HostProtocol::Plain)
        } else if host.is_loopback() {
            self.cell(host).get().map(|finding| finding.protocol())
        } else {
            Some(HostProtocol::Tls)
        }
    }

    /// Whether the host was named for plain HTTP.
    pub fn is_named_plain(&self, host: &Authority) -> bool {
        self.plain.contains(host)
    }

    /// Whether the host was named for TLS.
    pub fn is_named_tls(&self, host: &Authority) -> bool {
        self.tls.contains(host)
    }

    /// What a host on this machine speaks, by one probe for all that want to know; nothing where there is no
    /// connection.
    pub async fn probed(&self, host: &Authority) -> Option<HostProtocol> {
        let cell = self.cell(host);
        let found = cell.get_or_try_init(|| async { self.probe(host).await.ok_or(()) }).await;
        found.ok().map(|finding| finding.protocol())
    }

    async fn probe(&self, host: &Authority) -> Option<Finding> {
        let client_hello = self.client_hello.get_or_init(client_hello);
        match hello(host, client_hello.as_deref()?).await? {
            ProbeResponse::Of(protocol) => Some(Finding::Certain(protocol)),
            // Plain HTTP is what it gets in any case: nothing depends on a wrong guess.
            ProbeResponse::Other if self.is_named_plain(host) => {
                Some(Finding::Certain(HostProtocol::Plain))
            }
            ProbeResponse::Other => Some(match request(host, self.path).await {
                Some(ProbeResponse::Of(protocol)) => Finding::Certain(protocol),
                Some(ProbeResponse::Other) | None => {
                    Finding::Assumed { until: Instant::now() + ASSUMED_FOR }
                }
            }),
        }
    }

    fn cell(&self, host: &Authority) -> Arc<OnceCell<Finding>> {
        let mut probed = self.probed.lock().unwrap_or_else(PoisonError::into_inner);
        if probed.len() >= MAX_PROBED && !probed.contains_key(host) {
            probed.clear();
        }
        if probed.get(host).and_then(|cell| cell.get()).is_some_and(|found| found.is_over()) {
            probed.remove(host);
        }
        Arc::clone(probed.entry(host.clone()).or_default())
    }
}

/// What the response to a probe shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProbeResponse {
    /// That the host speaks this protocol.
    Of(HostProtocol),
    /// Nothing: there was none, or one that servers of both protocols send.
    Other,
}

/// Begins a TLS handshake, and looks at the first byte of the response. Nothing where there is no connection.
async fn hello(host: &Authority, client_hello: &[u8]) -> Option<ProbeResponse> {
    let received = sent(host, client_hello, 1, PROBE_TIMEOUT).await?;
    Some(match received.first() {
        Some(&(ALERT | HANDSHAKE)) => ProbeResponse::Of(HostProtocol::Tls),
        Some(_) => ProbeResponse::Of(HostProtocol::Plain),
        None => ProbeResponse::Other,
    })
}

/// Sends an anonymous HTTP request, and looks at the beginning of the response.
async fn request(host: &Authority, path: &str) -> Option<ProbeResponse> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let received = sent(host, request.as_bytes(), STATUS_BYTES, CONFIRM_TIMEOUT).await?;
    Some(response_to_request(&received))
}

/// What the first bytes of the response to a correct HTTP request show. TLS servers respond by an alert; or in
/// plain HTTP, that this is a bad request (Go's, nginx, Apache), or where to find HTTPS.
fn response_to_request(received: &[u8]) -> ProbeResponse {
    if let Some(&(ALERT | HANDSHAKE)) = received.first() {
        return ProbeResponse::Of(HostProtocol::Tls);
    }
    let status = match received {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', status @ ..] => {
            StatusCode::from_bytes(status).ok()
        }
        _ => None,
    };
    let is_of_both = |status: StatusCode| {
        let is_refusal = [StatusCode::BAD_REQUEST, StatusCode::UPGRADE_REQUIRED].contains(&status);
        is_refusal || status.is_redirection() || status.is_informational()
    };
    match status {
        Some(status) if !is_of_both(status) => ProbeResponse::Of(HostProtocol::Plain),
        Some(_) | None => ProbeResponse::Other,
    }
}

/// Sends these bytes over a connection of its own, and reads so many at most. Nothing where there is no
/// connection; no bytes where there is no response in time.
async fn sent(host: &Authority, bytes: &[u8], most: usize, limit: Duration) -> Option<Vec<u8>> {
    let address = (host.name(), host.port().unwrap_or(HTTPS_PORT));
    let mut stream = timeout(PROBE_TIMEOUT, TcpStream::connect(address)).await.ok()?.ok()?;
    let mut received = Vec::with_capacity(most);
    let response = async {
        stream.write_all(bytes).await?;
        (&mut stream).take(most as u64).read_to_end(&mut received).await
    };
    // Where it breaks or takes too long, what came before counts.
    let _ = timeout(limit, response).await;
    Some(received)
}

/// The first message of a TLS client to a host on loopback. Nothing is trusted, since nothing follows.
fn client_hello() -> Option<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).ok()?;
    Some(hello)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_http_response_that_no_tls_server_sends_is_proof_of_plain_http() {
        let (plain, tls) =
            (ProbeResponse::Of(HostProtocol::Plain), ProbeResponse::Of(HostProtocol::Tls));
        for (received, shown) in [
            (&b"HTTP/1.1 200"[..], plain),
            (b"HTTP/1.0 401", plain),
            (b"HTTP/1.1 404", plain),
            (b"HTTP/1.1 503", plain),
            (b"HTTP/1.0 400", ProbeResponse::Other),
            (b"HTTP/1.1 308", ProbeResponse::Other),
            (b"HTTP/1.1 426", ProbeResponse::Other),
            (b"HTTP/1.1 20", ProbeResponse::Other),
            (b"SSH-2.0-Open", ProbeResponse::Other),
            (b"", ProbeResponse::Other),
            (b"\x15\x03\x01\x00\x02\x02\x16", tls),
        ] {
            assert_eq!(response_to_request(received), shown, "{received:?}");
        }
    }
}
