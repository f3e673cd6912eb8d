//! The settings of a client.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use credentials::Credentials;
use http::HeaderValue;
use http_client::{
    Chance, CommitTimeout, LEAST_RATE, LeastRate, Pool, PoolSettings, Protocols, Proxies,
    RATE_WINDOW, RequestTimeouts, Retries, TlsSettings,
};
use oci::Host;

use crate::{
    RegistryClient,
    api::{conditions::ConditionMemory, head_memory::HeadMemory, referrers_memory::ApiMemory},
    auth::Authorizer,
    blobs::{commits::CommitMemory, mounts::MountMemory},
    client::{ClientState, WallClock, authority_of},
    limit::{Quota, RateLimiter},
};

/// Time to the headers of a response. Registries respond in well under a second; their balancers
/// give up after 30 or 60.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two pieces of a body: longer than a lost packet's retransmissions, or than a
/// short stall of a storage.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time to connect: five retransmissions of the first packet. A TLS handshake has as much: it is two
/// round trips, and six tries of a port that stays silent end within about a minute.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How many request timeouts a registry has to respond to a small blob after its last byte.
const LEAST_COMMIT_FACTOR: u32 = 2;
/// The same for any blob: the registry may have to hash a large one, or copy all of it within its storage first.
const COMMIT_FACTOR: u32 = 10;

/// The path of the anonymous request that shows whether a host speaks plain HTTP.
const PROBED_PATH: &str = "/v2/";

/// The settings of a [`RegistryClient`].
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
    clock: WallClock,
    public: HashSet<Host>,
    allowed: HashSet<String>,
    tls: TlsSettings,
    proxies: Proxies,
}

impl ClientBuilder {
    /// Where credentials come from. Default: none, so that every request is anonymous.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// How often and how long to retry. Default: [`Retries::default`].
    pub fn retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }

    /// The quota of `host`. Default: [`Quota::of`] it. May be given for several hosts.
    pub fn quota(mut self, host: Host, quota: Quota) -> Self {
        self.quotas.insert(host, quota);
        self
    }

    /// The random source for waits. Default: the system's.
    pub fn chance(mut self, chance: Chance) -> Self {
        self.chance = chance;
        self
    }

    /// The wall clock, for a `Retry-After` that is a date. Default: the system's.
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Box::new(now);
        self
    }

    /// Counts `host` as public although its address is not, so that other hosts that it points to must be public. May
    /// be given for several hosts.
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

    /// Sends requests by these proxies. Default: by none.
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Trusts and presents these certificates; the system's are trusted besides.
    pub fn tls_settings(mut self, tls: TlsSettings) -> Self {
        self.tls = tls;
        self
    }

    /// Speaks TLS to `host` and nothing else. May be given for several hosts; only loopback hosts need it: to others
    /// the client always speaks TLS.
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

    /// How long to wait for the headers of a response, the connection included. Default: 30 s.
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

    /// The least rate of a blob, either way, over each `window` of waiting for the other side.
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

    /// Sends `X-Forwarded-For` to registries (not to the hosts that they redirect to):
    /// to see what a front would do for the client at this address.
    pub fn forwarded_for(mut self, address: IpAddr) -> Self {
        self.forwarded_for = Some(address);
        self
    }

    /// The client. Reads this machine's root certificates; where there are none, only https fails.
    #[must_use]
    pub fn build(mut self) -> RegistryClient {
        self.tls.trust_system();
        let tls = std::mem::replace(&mut self.tls, TlsSettings::none());
        let allowed = std::mem::take(&mut self.allowed);
        let connect_timeout = self.connect_timeout;
        let proxies = std::mem::take(&mut self.proxies);
        let pool =
            Pool::new(PoolSettings { connect_timeout, allowed, proxies, ..PoolSettings::new(tls) });
        self.build_over(pool)
    }

    pub(crate) fn build_over(self, pool: Pool) -> RegistryClient {
        let pool = Arc::new(pool);
        self.credentials.connect_by(&pool);
        let timeouts = RequestTimeouts {
            response: self.request_timeout,
            piece: self.idle_timeout,
            commit: CommitTimeout {
                least: self.request_timeout * LEAST_COMMIT_FACTOR,
                most: self.request_timeout * COMMIT_FACTOR,
            },
            rate: self.rate,
        };
        let forwarded_for = self.forwarded_for.map(|address| address.to_string());
        let authorizer = Arc::new(Authorizer::new(self.credentials));
        let shared = Arc::new(ClientState {
            pool,
            timeouts,
            user_agent: visible(&self.user_agent),
            forwarded_for: forwarded_for.as_deref().map(visible),
            retries: self.retries,
            limiter: RateLimiter::new(Quota::of, self.quotas),
            chance: self.chance,
            clock: self.clock,
            public: self.public,
            referrers_api: ApiMemory::default(),
            heads: HeadMemory::default(),
            conditions: ConditionMemory::default(),
            mounts: MountMemory::default(),
            commits: CommitMemory::default(),
            protocols: Protocols::new(
                self.plain.iter().map(authority_of).collect(),
                self.tls_hosts.iter().map(authority_of).collect(),
                PROBED_PATH,
            ),
        });
        RegistryClient { shared, authorizer }
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientBuilder")
    }
}

/// A header value from valid characters.
fn visible(text: &str) -> HeaderValue {
    let visible: String = text.chars().filter(|c| matches!(c, ' '..='~')).collect();
    HeaderValue::from_str(&visible).unwrap_or(HeaderValue::from_static(""))
}

impl RegistryClient {
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
            proxies: Proxies::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_stand_in_a_header_is_left_out() {
        assert_eq!(visible("me/1\r\nX: y é"), "me/1X: y ");
    }
}
