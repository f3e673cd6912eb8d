//! The client: its settings, and what is asked of a whole registry.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderValue, Method};
use oci::{Host, Repository};
use url::Url;

use crate::{
    Chance, Credentials, Error, Fault, PemError, RedactedUrl, RepositoryClient, Retries,
    auth::{Access, Authorizer},
    conditions::ConditionMemory,
    content::Patience,
    listing::{Listed, Member, NAMES, PAGE_SIZE, Pages},
    mounts::MountMemory,
    pool::Pool,
    presence::HeadMemory,
    quota::{Broker, HostWait, Quota, Spent, Verb},
    rate::{LEAST_RATE, LeastRate, RATE_WINDOW},
    referrers::ApiMemory,
    request::Request,
    scheme::{Protocol, Protocols},
    tls::{TlsSettings, native_roots},
};

/// Time to the headers of an answer. Registries answer in well under a second; their balancers
/// give up after 30 or 60.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two pieces of a body: longer than a lost packet's retransmissions, or than a
/// storage's hiccup.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a connection to be made: five retransmissions of its first packet. A TLS handshake has as much: it is two
/// round trips, and six tries of a port that stays silent end within about a minute.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How many request timeouts a registry has to answer a blob after its last byte: it may have
/// to copy all of it within its storage first.
const COMMIT_FACTOR: u32 = 10;

/// Tells wall time.
type Clock = Box<dyn Fn() -> SystemTime + Send + Sync>;

/// A client of registries: one pool of connections, shared by all its clones.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    pub(crate) authorizer: Arc<Authorizer>,
}

/// What clients share whoever they are.
pub(crate) struct Shared {
    pub(crate) pool: Pool,
    pub(crate) patience: Patience,
    pub(crate) user_agent: HeaderValue,
    pub(crate) forwarded_for: Option<HeaderValue>,
    pub(crate) retries: Retries,
    pub(crate) broker: Broker,
    pub(crate) chance: Chance,
    pub(crate) clock: Clock,
    /// Hosts that count as public whatever their address.
    pub(crate) public: HashSet<Host>,
    pub(crate) referrers_api: ApiMemory,
    pub(crate) heads: HeadMemory,
    pub(crate) conditions: ConditionMemory,
    pub(crate) mounts: MountMemory,
    pub(crate) protocols: Protocols,
}

/// The settings of a [`Client`].
#[must_use = "settings do nothing until `build`"]
pub struct ClientBuilder {
    plain: HashSet<Host>,
    tls_hosts: HashSet<Host>,
    request_timeout: Duration,
    idle_timeout: Duration,
    connect_timeout: Duration,
    rate: LeastRate,
    user_agent: String,
    forwarded_for: Option<IpAddr>,
    credentials: Credentials,
    retries: Retries,
    quotas: HashMap<Host, Quota>,
    chance: Chance,
    clock: Clock,
    public: HashSet<Host>,
    allowed: HashSet<String>,
    tls: TlsSettings,
}

impl ClientBuilder {
    /// Where credentials come from. Default: none, so that every registry is asked anonymously.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// How often and how long to ask again. Default: [`Retries::default`].
    pub fn retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }

    /// What `host` may be asked. Default: [`Quota::of`] it. May be given for several hosts.
    pub fn quota(mut self, host: Host, quota: Quota) -> Self {
        self.quotas.insert(host, quota);
        self
    }

    /// Where chance comes from, for waits. Default: the system's.
    pub fn chance(mut self, chance: Chance) -> Self {
        self.chance = chance;
        self
    }

    /// What wall time is, for a `Retry-After` that is a date. Default: the system's.
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Box::new(now);
        self
    }

    /// Counts `host` as public although its address is not, so that what it points to must be public,
    /// but for itself. May be given for several hosts.
    pub fn treat_as_public(mut self, host: Host) -> Self {
        self.public.insert(host);
        self
    }

    /// Lets public hosts point to `host`, a name or an address without a port, although its address
    /// is not public. May be given for several hosts.
    pub fn allow_private(mut self, host: &str) -> Self {
        self.allowed.insert(host.to_ascii_lowercase());
        self
    }

    /// Trusts these certificates (PEM) besides those of the system.
    ///
    /// # Errors
    /// When a certificate cannot be read, or there is none.
    pub fn ca_certificates(mut self, pem: &[u8]) -> Result<Self, PemError> {
        self.tls.trust_pem(pem)?;
        Ok(self)
    }

    /// Shows this certificate, with the chain that leads to it, and proves it by its key (all PEM) where
    /// a server asks for one.
    ///
    /// # Errors
    /// When either cannot be read, or they do not belong together.
    pub fn client_certificate(mut self, chain: &[u8], key: &[u8]) -> Result<Self, PemError> {
        self.tls.identify(chain, key)?;
        Ok(self)
    }

    /// Speaks TLS to `host` and nothing else. May be given for several hosts; only loopback hosts need it: to others
    /// TLS is spoken in any case.
    pub fn tls(mut self, host: Host) -> Self {
        self.tls_hosts.insert(host);
        self
    }

    /// Speaks plain HTTP to `host`. May be given for several hosts; loopback hosts need it only where a probe
    /// gets no response that shows the protocol.
    pub fn plain_http(mut self, host: Host) -> Self {
        self.plain.insert(host);
        self
    }

    /// How long to wait for the headers of an answer, the connection included. Default: 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long to wait between two pieces of a body, in either direction. Default: 30 s.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How long to wait for a connection to be made, and as long for its TLS handshake. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How fast a blob must move, either way, taken over each `window` of waiting for the other side.
    /// Default: 16 KiB a second over 60 s.
    pub fn least_rate(mut self, bytes_a_second: u64, window: Duration) -> Self {
        self.rate = LeastRate { bytes_a_second, window };
        self
    }

    /// What to send as `User-Agent`. Default: `portolan/` and the version.
    pub fn user_agent(mut self, name: String) -> Self {
        self.user_agent = name;
        self
    }

    /// Sends `X-Forwarded-For` to the hosts that are asked (not to those that they redirect to):
    /// to see what a front would do for the client at this address.
    pub fn forwarded_for(mut self, address: IpAddr) -> Self {
        self.forwarded_for = Some(address);
        self
    }

    /// The client. Reads this machine's root certificates; where there are none, only https fails.
    #[must_use]
    pub fn build(mut self) -> Client {
        self.tls.trust(native_roots());
        let tls = std::mem::replace(&mut self.tls, TlsSettings::none());
        let allowed = std::mem::take(&mut self.allowed);
        let pool = Pool::new(tls, self.connect_timeout, allowed);
        self.build_over(pool)
    }

    pub(crate) fn build_over(self, pool: Pool) -> Client {
        let patience = Patience {
            answer: self.request_timeout,
            piece: self.idle_timeout,
            commit: self.request_timeout * COMMIT_FACTOR,
            rate: self.rate,
        };
        let forwarded_for = self.forwarded_for.map(|address| address.to_string());
        let authorizer = Arc::new(Authorizer::new(self.credentials));
        let shared = Arc::new(Shared {
            pool,
            patience,
            user_agent: visible(&self.user_agent),
            forwarded_for: forwarded_for.as_deref().map(visible),
            retries: self.retries,
            broker: Broker::new(Quota::of, self.quotas),
            chance: self.chance,
            clock: self.clock,
            public: self.public,
            referrers_api: ApiMemory::default(),
            heads: HeadMemory::default(),
            conditions: ConditionMemory::default(),
            mounts: MountMemory::default(),
            protocols: Protocols::new(self.plain, self.tls_hosts),
        });
        Client { shared, authorizer }
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientBuilder")
    }
}

/// A header value of what can stand in one.
fn visible(text: &str) -> HeaderValue {
    let visible: String = text.chars().filter(|c| matches!(c, ' '..='~')).collect();
    HeaderValue::from_str(&visible).unwrap_or(HeaderValue::from_static(""))
}

impl Client {
    /// Settings to begin with.
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            plain: HashSet::new(),
            tls_hosts: HashSet::new(),
            request_timeout: REQUEST_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            rate: LeastRate { bytes_a_second: LEAST_RATE, window: RATE_WINDOW },
            user_agent: concat!("portolan/", env!("CARGO_PKG_VERSION")).to_owned(),
            forwarded_for: None,
            credentials: Credentials::none(),
            retries: Retries::default(),
            quotas: HashMap::new(),
            chance: Chance::default(),
            clock: Box::new(SystemTime::now),
            public: HashSet::new(),
            allowed: HashSet::new(),
            tls: TlsSettings::none(),
        }
    }

    /// The same client as somebody else: with these credentials and its own tokens, but with the connections,
    /// the quotas and the counters of this one.
    #[must_use]
    pub fn acting_as(&self, credentials: Credentials) -> Self {
        let shared = Arc::clone(&self.shared);
        Self { shared, authorizer: Arc::new(Authorizer::new(credentials)) }
    }

    /// Whether a registry answers: a refusal counts too, a server error (5xx) does not. So does one that wants
    /// a token which there is none for: a repository may have credentials of its own.
    ///
    /// # Errors
    /// When it cannot be reached or is out of order.
    pub async fn ping(&self, host: &Host) -> Result<(), Error> {
        let url = self.endpoint(host, &Method::GET, "")?;
        match self.send(Request::new(Method::GET, url, Access::registry())).await {
            Ok(_) => Ok(()),
            Err(error) => match error.fault() {
                Fault::Status { status, .. } if !status.is_server_error() => Ok(()),
                Fault::NotFollowed { .. }
                | Fault::RedirectedNotFound { .. }
                | Fault::Credentials { .. } => Ok(()),
                Fault::Token { cause } if !cause.is_unreachable() => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// The names of all repositories of a registry, in its order.
    ///
    /// # Errors
    /// Also when the registry does not offer this, as many public ones do not, or when there is no
    /// end of pages.
    pub async fn catalog(&self, host: &Host) -> Result<Listed<Repository>, Error> {
        let url = self.endpoint(host, &Method::GET, &format!("_catalog?n={PAGE_SIZE}"))?;
        let first = Request::new(Method::GET, url, Access::catalog());
        Pages::begin(self, first, NAMES).await?.names(Member::Repositories).await
    }

    /// A repository at a registry. Asks nothing yet.
    #[must_use]
    pub fn repository(&self, host: &Host, name: &Repository) -> RepositoryClient {
        RepositoryClient::new(self.clone(), host.clone(), host.repository(name))
    }

    /// What was asked of each host so far.
    #[must_use]
    pub fn spent(&self) -> Vec<Spent> {
        self.shared.broker.spent()
    }

    /// The last request to `host` that failed in a way that may pass (429, 5xx, a broken connection), in words.
    #[must_use]
    pub fn last_failure(&self, host: &Host) -> Option<Arc<str>> {
        self.shared.broker.last_failure(host.as_str())
    }

    /// The hosts that asked to wait, by `Retry-After`, and how long that goes on.
    #[must_use]
    pub fn waits(&self) -> Vec<HostWait> {
        self.shared.broker.waits()
    }

    /// How long so many more requests to `host` take at the present rate; nothing where there is no rate.
    #[must_use]
    pub fn estimate(&self, host: &Host, verb: Verb, requests: u64) -> Duration {
        let url = self.root(host).ok();
        let estimate = |url: Url| self.shared.broker.estimate(url.authority(), verb, requests);
        url.map(estimate).unwrap_or_default()
    }

    /// How long so many bytes to and from `host` take at least; nothing where there is no limit.
    #[must_use]
    pub fn estimate_bytes(&self, host: &Host, bytes: u64) -> Duration {
        let url = self.root(host).ok();
        let estimate = |url: Url| self.shared.broker.estimate_bytes(url.authority(), bytes);
        url.map(estimate).unwrap_or_default()
    }

    /// The URL of `path` below `/v2/`.
    pub(crate) fn endpoint(&self, host: &Host, method: &Method, path: &str) -> Result<Url, Error> {
        let mut url = self.root(host).map_err(|cause| {
            let text = format!("https://{host}/v2/{path}");
            Error::new(method.clone(), RedactedUrl::unusable(&text), Fault::BadHost { cause })
        })?;
        let (path, query) =
            path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(&format!("/v2/{path}"));
        url.set_query(query);
        Ok(url)
    }

    /// The URL of a host: with `http` where a probe has to tell, before it is sent.
    pub(crate) fn root(&self, host: &Host) -> Result<Url, url::ParseError> {
        let protocol = self.shared.protocols.known(host).unwrap_or(Protocol::Plain);
        format!("{}://{}/", protocol.scheme(), host.authority()).parse()
    }

    /// Makes a registry's URL one of the protocol that it speaks.
    pub(crate) async fn settle_scheme(&self, url: &mut Url) {
        let Ok(host) = url.authority().parse::<Host>() else { return };
        let protocols = &self.shared.protocols;
        let is_open = url.scheme() == "http" && host.is_loopback();
        if is_open
            && !protocols.is_named_plain(&host)
            && protocols.probed(&host).await == Some(Protocol::Tls)
        {
            // It never fails from http to https.
            let _ = url.set_scheme(Protocol::Tls.scheme());
        }
    }

    /// Whether a host that was named for plain HTTP speaks TLS, after something went wrong with it.
    pub(crate) async fn speaks_tls(&self, url: &Url) -> bool {
        let Ok(host) = url.authority().parse::<Host>() else { return false };
        let protocols = &self.shared.protocols;
        url.scheme() == "http"
            && protocols.is_named_plain(&host)
            && protocols.probed(&host).await == Some(Protocol::Tls)
    }

    /// Whether plain HTTP may be spoken to where `from` redirects: to hosts named for it; and from
    /// one loopback host to another, while nobody else may send us to services of this machine.
    pub(crate) fn allows_plain(&self, from: &Url, to: &Url) -> bool {
        let host = |url: &Url| url.authority().parse::<Host>();
        let (Ok(old), Ok(new)) = (host(from), host(to)) else { return false };
        from.origin() == to.origin()
            || self.shared.protocols.is_named_plain(&new)
            || (old.is_loopback() && new.is_loopback())
    }
}

impl fmt::Debug for Client {
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
        let client = Client::builder().plain_http(named).build();
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

    #[test]
    fn what_cannot_stand_in_a_header_is_left_out() {
        assert_eq!(visible("me/1\r\nX: y é"), "me/1X: y ");
    }
}
