//! The HTTP client for what the front itself asks: stores, and lists of ranges. HTTP/1.1, no
//! redirects, no retries, no credentials; deadlines are the callers'.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Empty;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore};

/// A client with its pool of connections; clones share it.
pub(crate) type Outbound = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// How we call ourselves.
pub(crate) const USER_AGENT: &str = concat!("portolan/", env!("CARGO_PKG_VERSION"));

/// Idle connections kept per host: what a burst of questions to one store used.
const MAX_IDLE: usize = 128;
/// Shorter than the keep-alive of the stores, so that a question seldom meets a closed connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Whether TLS can be verified on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authorities {
    Found,
    /// Every https question will fail.
    None,
}

impl Authorities {
    /// What to do about none.
    pub(crate) const MISSING: &str = "no certificate authorities on this machine: install `ca-certificates`, or set SSL_CERT_FILE";
}

/// A client that trusts the certificate authorities of this machine.
pub(crate) fn client() -> (Outbound, Authorities) {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let authorities = if roots.is_empty() { Authorities::None } else { Authorities::Found };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    #[expect(clippy::expect_used, reason = "ring has the cipher suites of the default versions")]
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE)
        .build(connector.wrap_connector(http));
    (client, authorities)
}
