//! Which protocol a registry host speaks: TLS, unless it is named for plain HTTP. A host on loopback is
//! probed once, by a TLS handshake that is not completed; no other host ever falls back to plain HTTP.
//!
//! Source: RFC 8446 §5.1 (a TLS server responds by a record: a handshake message or an alert).

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use oci::Host;
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::OnceCell,
    time::timeout,
};

/// How long a probe takes at most. It stays on this machine; a plain server may wait for the end of a line.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How many probed hosts are remembered: more ports of this machine than a run uses. Beyond, all are forgotten.
const MAX_PROBED: usize = 1024;
/// The port of a host that names none, with TLS.
const HTTPS_PORT: u16 = 443;
/// The types of the records by which a TLS server responds to a `ClientHello`.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// What a host speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP over TLS.
    Tls,
    /// HTTP without TLS.
    Plain,
}

impl Protocol {
    /// The scheme of its URLs.
    pub(crate) const fn scheme(self) -> &'static str {
        match self {
            Self::Tls => "https",
            Self::Plain => "http",
        }
    }
}

/// The protocols of hosts.
#[derive(Debug, Default)]
pub(crate) struct Protocols {
    plain: HashSet<Host>,
    tls: HashSet<Host>,
    probed: Mutex<HashMap<Host, Arc<OnceCell<Protocol>>>>,
}

impl Protocols {
    /// `plain` hosts are not asked for TLS, and `tls` ones for nothing else.
    pub(crate) fn new(plain: HashSet<Host>, tls: HashSet<Host>) -> Self {
        Self { plain, tls, probed: Mutex::default() }
    }

    /// What a host speaks; nothing where a probe has to tell.
    pub(crate) fn known(&self, host: &Host) -> Option<Protocol> {
        if self.tls.contains(host) {
            Some(Protocol::Tls)
        } else if self.is_named_plain(host) {
            Some(Protocol::Plain)
        } else if host.is_loopback() {
            self.cell(host).get().copied()
        } else {
            Some(Protocol::Tls)
        }
    }

    /// Whether the host was named for plain HTTP.
    pub(crate) fn is_named_plain(&self, host: &Host) -> bool {
        self.plain.contains(host)
    }

    /// What a host on this machine speaks, by one probe for all that want to know; nothing where there is no
    /// connection.
    pub(crate) async fn probed(&self, host: &Host) -> Option<Protocol> {
        let cell = self.cell(host);
        let found = cell.get_or_try_init(|| async { probe(host).await.ok_or(()) }).await;
        found.ok().copied()
    }

    fn cell(&self, host: &Host) -> Arc<OnceCell<Protocol>> {
        let mut probed = self.probed.lock().unwrap_or_else(PoisonError::into_inner);
        if probed.len() >= MAX_PROBED && !probed.contains_key(host) {
            probed.clear();
        }
        Arc::clone(probed.entry(host.clone()).or_default())
    }
}

/// Begins a TLS handshake, and looks at the first byte of the response.
async fn probe(host: &Host) -> Option<Protocol> {
    let hello = client_hello(host)?;
    let address = (host.name(), host.port().unwrap_or(HTTPS_PORT));
    let mut stream = timeout(PROBE_TIMEOUT, TcpStream::connect(address)).await.ok()?.ok()?;
    let response = async {
        stream.write_all(&hello).await?;
        stream.read_u8().await
    };
    let first = timeout(PROBE_TIMEOUT, response).await;
    let is_tls = matches!(first, Ok(Ok(ALERT | HANDSHAKE)));
    Some(if is_tls { Protocol::Tls } else { Protocol::Plain })
}

/// The first message of a TLS client to the host. Nothing is trusted, since nothing follows.
fn client_hello(host: &Host) -> Option<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(host.name().to_owned()).ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).ok()?;
    Some(hello)
}
