//! The HTTP client of the front itself, for stores and lists of ranges. HTTP/1.1, no redirects, no retries, no
//! credentials; deadlines are the callers'.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use http_client::{Guard, Pool, PoolSettings, Proxies, TlsSettings, TransportError, Versions};
use hyper::body::Incoming;

/// How we call ourselves.
pub(crate) const USER_AGENT: &str = concat!("portolan/", env!("CARGO_PKG_VERSION"));

/// Idle connections kept per host: what a burst of probes to one store used.
const MAX_IDLE: usize = 128;
/// Shorter than the keep-alive of the stores, so that a probe seldom meets a closed connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// What to do about a machine without certificate authorities.
pub(crate) const NO_AUTHORITIES: &str =
    "no certificate authorities on this machine: install `ca-certificates`, or set SSL_CERT_FILE";

/// A client with its pool of connections; clones share it.
#[derive(Clone, Debug)]
pub struct Outbound(Arc<Pool>);

impl Outbound {
    /// A client with these settings of TLS, which trusts the certificate authorities of this machine besides, and uses these
    /// proxies.
    #[must_use]
    pub fn new(mut tls: TlsSettings, proxies: Proxies) -> Self {
        tls.trust_system();
        Self(Arc::new(Pool::new(PoolSettings {
            versions: Versions::Http1,
            idle_connections: MAX_IDLE,
            idle_timeout: IDLE_TIMEOUT,
            proxies,
            ..PoolSettings::new(tls)
        })))
    }

    /// Whether TLS can be verified on this machine. If not, every https request fails.
    pub(crate) fn has_authorities(&self) -> bool {
        self.0.has_roots()
    }

    /// Sends a request, and waits for the headers of the response.
    pub(crate) async fn request(
        &self,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, TransportError> {
        // A body without state: boxing it allocates nothing.
        let request = request.map(|body| body.map_err(|never| match never {}).boxed_unsync());
        self.0.send(Guard::Open, request).await
    }
}
