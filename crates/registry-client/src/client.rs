//! The client: its shared state, and the URLs of requests.

use std::{
    collections::HashSet,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use credentials::Credentials;
use http::{HeaderValue, Method};
use http_client::{
    Authority, Chance, HostProtocol, Pool, Protocols, RedactedUrl, RequestTimeouts, Retries,
};
use oci::Host;
use url::Url;

use crate::{
    Error, RequestFault,
    api::{conditions::ConditionMemory, head_memory::HeadMemory, referrers_memory::ApiMemory},
    auth::Authorizer,
    blobs::{commits::CommitMemory, mounts::MountMemory},
    limit::{HostWait, RateLimiter, RequestKind, Usage},
};

/// A source of wall time.
pub(crate) type WallClock = Box<dyn Fn() -> SystemTime + Send + Sync>;

/// A client of registries: one pool of connections, shared by all its clones.
#[derive(Clone)]
pub struct RegistryClient {
    pub(crate) shared: Arc<ClientState>,
    pub(crate) authorizer: Arc<Authorizer>,
}

/// The state that clients with different credentials share.
pub(crate) struct ClientState {
    pub(crate) pool: Arc<Pool>,
    pub(crate) timeouts: RequestTimeouts,
    pub(crate) user_agent: HeaderValue,
    pub(crate) forwarded_for: Option<HeaderValue>,
    pub(crate) retries: Retries,
    pub(crate) limiter: RateLimiter,
    pub(crate) chance: Chance,
    pub(crate) clock: WallClock,
    /// Hosts that count as public, whatever their address.
    pub(crate) public: HashSet<Host>,
    pub(crate) referrers_api: ApiMemory,
    pub(crate) heads: HeadMemory,
    pub(crate) conditions: ConditionMemory,
    pub(crate) mounts: MountMemory,
    pub(crate) commits: CommitMemory,
    pub(crate) protocols: Protocols,
}

impl RegistryClient {
    /// The same client with other credentials and its own tokens. Connections, quotas and counters are shared.
    #[must_use]
    pub fn acting_as(&self, credentials: Credentials) -> Self {
        let shared = Arc::clone(&self.shared);
        credentials.connect_by(&shared.pool);
        Self { shared, authorizer: Arc::new(Authorizer::new(credentials)) }
    }

    /// A random time of at most `longest`, for the wait between two tries, so that clients do not retry at the same
    /// moment.
    #[must_use]
    pub fn jitter(&self, longest: Duration) -> Duration {
        longest.mul_f64(self.shared.chance.next())
    }

    /// Requests and bytes at each host so far.
    #[must_use]
    pub fn usage(&self) -> Vec<Usage> {
        self.shared.limiter.usage()
    }

    /// The last request to `host` whose failure may be temporary: 429, 5xx, or a broken connection.
    #[must_use]
    pub fn last_failure(&self, host: &Host) -> Option<Error> {
        self.shared.limiter.last_failure(host.as_str())
    }

    /// The hosts that sent `Retry-After`, and the remaining wait.
    #[must_use]
    pub fn waits(&self) -> Vec<HostWait> {
        self.shared.limiter.waits()
    }

    /// The time that so many more requests to `host` take at the present rate; zero without a rate.
    #[must_use]
    pub fn estimate(&self, host: &Host, kind: RequestKind, requests: u64) -> Duration {
        let url = self.root(host).ok();
        let estimate = |url: Url| self.shared.limiter.estimate(url.authority(), kind, requests);
        url.map(estimate).unwrap_or_default()
    }

    /// The least time that so many bytes to and from `host` take; zero without a limit.
    #[must_use]
    pub fn estimate_bytes(&self, host: &Host, bytes: u64) -> Duration {
        let url = self.root(host).ok();
        let estimate = |url: Url| self.shared.limiter.estimate_bytes(url.authority(), bytes);
        url.map(estimate).unwrap_or_default()
    }

    /// The URL of `path` below `/v2/`.
    pub(crate) fn endpoint(&self, host: &Host, method: &Method, path: &str) -> Result<Url, Error> {
        let mut url = self.root(host).map_err(|cause| {
            let text = format!("https://{host}/v2/{path}");
            Error::new(
                method.clone(),
                RedactedUrl::unusable(&text),
                RequestFault::BadHost { cause },
            )
        })?;
        let (path, query) =
            path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(&format!("/v2/{path}"));
        url.set_query(query);
        Ok(url)
    }

    /// The URL of a host. It has `http` if a probe will find out the protocol before the request is sent.
    pub(crate) fn root(&self, host: &Host) -> Result<Url, url::ParseError> {
        let protocol =
            self.shared.protocols.known(&authority_of(host)).unwrap_or(HostProtocol::Plain);
        format!("{}://{}/", protocol.scheme(), host.authority()).parse()
    }

    /// Sets the scheme of a registry's URL to the protocol that the registry speaks.
    pub(crate) async fn settle_scheme(&self, url: &mut Url) {
        let host = Authority::new(url.authority());
        let protocols = &self.shared.protocols;
        let is_open = url.scheme() == "http" && host.is_loopback();
        if is_open
            && !protocols.is_named_plain(&host)
            && protocols.probed(&host).await == Some(HostProtocol::Tls)
        {
            // A change from http to https cannot fail.
            let _ = url.set_scheme(HostProtocol::Tls.scheme());
        }
    }

    /// Whether a host that was named for plain HTTP speaks TLS, checked after a failure.
    pub(crate) async fn speaks_tls(&self, url: &Url) -> bool {
        let host = Authority::new(url.authority());
        let protocols = &self.shared.protocols;
        url.scheme() == "http"
            && protocols.is_named_plain(&host)
            && protocols.probed(&host).await == Some(HostProtocol::Tls)
    }

    /// Whether plain HTTP may be spoken to where `from` redirects: to hosts named for it; and from
    /// one loopback host to another. No other host may redirect to services of this machine.
    pub(crate) fn allows_plain(&self, from: &Url, to: &Url) -> bool {
        let host = |url: &Url| Authority::new(url.authority());
        let (old, new) = (host(from), host(to));
        from.origin() == to.origin()
            || self.shared.protocols.is_named_plain(&new)
            || (old.is_loopback() && new.is_loopback())
    }
}

/// Where a registry is reached.
pub(crate) fn authority_of(host: &Host) -> Authority {
    Authority::new(host.authority())
}

impl fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_hosts_and_those_named_for_it() {
        let named: Host = "named.example:5000".parse().expect("a host");
        let client = RegistryClient::builder().plain_http(named).build();
        for (host, scheme) in [
            ("127.0.0.1:5000", "http"),
            ("localhost", "http"),
            ("[::1]:5000", "http"),
            ("named.example:5000", "http"),
            ("named.example", "https"),
            ("10.0.0.1", "https"),
            ("registry.example", "https"),
        ] {
            let host = host.parse().expect(host);
            let url = client.endpoint(&host, &Method::GET, "").expect("a URL");
            assert_eq!(url.as_str(), format!("{scheme}://{host}/v2/"));
        }
        for hub in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
            let (host, name) = (hub.parse().expect(hub), "nginx".parse().expect("a name"));
            let url = client.endpoint(&host, &Method::GET, "").expect("a URL");
            assert_eq!(url.as_str(), "https://registry-1.docker.io/v2/", "{hub}");
            assert_eq!(client.repository(&host, &name).to_string(), "docker.io/library/nginx");
        }
        for (from, to, allowed) in [
            ("https://registry.example", "http://registry.example", false),
            ("https://registry.example", "http://127.0.0.1", false),
            ("https://registry.example", "http://named.example:5000", true),
            ("http://127.0.0.1:1", "http://[::1]:2", true),
            ("http://127.0.0.1:1", "http://10.0.0.1", false),
            ("http://named.example:5000", "http://127.0.0.1", false),
            ("http://named.example:5000", "http://named.example:5000/x", true),
            ("http://named.example:5000", "http://named.example", false),
        ] {
            let url = |text: &str| text.parse::<Url>().expect(text);
            assert_eq!(client.allows_plain(&url(from), &url(to)), allowed, "{from} → {to}");
        }
    }
}
