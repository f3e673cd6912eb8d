//! The configuration of the front, as typed values: parsed once from YAML, with
//! all problems reported at once with their positions. Fields, defaults and limits are those of
//! `docs/reference/configuration.md`. It reads no file and no environment itself.

mod document;
mod effective;
mod environment;
mod error;
mod field;
mod from_yaml;
mod positions;
mod read;
mod report;
mod rules;
mod schema;
mod values;

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use cloud_ranges::Format;
use http_server::{ClientIp, ClientIpPolicy, DefaultTrust};
use oci::Repository;
use serde::{Serialize, Serializer};
use url::Url;

use crate::base_url::BaseUrl;

pub use effective::effective_yaml;
pub use environment::EnvironmentOverrides;
pub use error::{ConfigError, ConfigProblem};
pub(crate) use positions::ConfigPosition;
pub use positions::ConfigPositions;
pub use schema::config_schema;

/// What `portolan serve` runs on without a configuration file; also an example to start from.
const BUILT_IN: &str = include_str!("../../../../examples/registry.k8s.io.yaml");

/// Everything that the front needs to know before it starts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Config {
    /// Where the front listens.
    pub listen: SocketAddr,
    /// Where metrics and health are served, if anywhere.
    pub admin: Option<SocketAddr>,
    /// Where the last good copy of fetched ranges is kept, if anywhere.
    pub cache_dir: Option<PathBuf>,
    /// Where `/` leads.
    #[serde(serialize_with = "print_url")]
    pub info_url: Option<Url>,
    /// Where `/privacy` leads.
    #[serde(serialize_with = "print_url")]
    pub privacy_url: Option<Url>,
    /// The registry to fall back to.
    pub upstream: Upstream,
    /// The registry of signatures, attestations and other referrers.
    pub canonical_upstream: Upstream,
    /// How the client's address is found.
    pub client_ip: ClientIpPolicy,
    /// Clouds whose blob requests stay on the upstream.
    pub keep_upstream: Vec<String>,
    /// Published address ranges.
    pub ranges: Vec<RangesSetting>,
    /// Blob stores, in order of preference.
    pub stores: Vec<StoreSetting>,
    /// Whether there is a log event for every request.
    pub access_log: bool,
    /// How the presence of blobs in stores is checked and cached.
    pub presence: PresenceSettings,
    /// Whether this is the built-in configuration: it runs behind a balancer, which `auto` believes.
    #[serde(skip)]
    pub(crate) built_in: bool,
}

/// A registry that clients are sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Upstream {
    /// Scheme, host and port.
    pub endpoint: BaseUrl,
    /// The prefix of its repositories.
    pub path: Option<Repository>,
}

/// Where the prefixes of one cloud are published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RangesSetting {
    /// The cloud that they belong to.
    pub cloud: String,
    /// How they are written.
    #[serde(serialize_with = "print_text")]
    pub format: Format,
    /// Where they are read.
    #[serde(serialize_with = "print_text")]
    pub from: RangesFrom,
}

/// Where published ranges are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangesFrom {
    /// A file.
    Path(PathBuf),
    /// An https URL, or an http one of a loopback host.
    Url(Url),
}

impl fmt::Display for RangesFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

/// A blob store that clients may be sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreSetting {
    /// For logs, metrics and `explain`; unique.
    pub name: String,
    /// Scheme, host, port and path of the bucket.
    pub url: BaseUrl,
    /// The part of the key before the digest: empty, or ending with `/`.
    pub blob_prefix: String,
    /// What the store publishes about what it holds.
    pub index: IndexKind,
    /// The clients that it serves.
    pub serves: Vec<Serves>,
}

/// What a store publishes about what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum IndexKind {
    /// No index: the front probes for each blob.
    #[default]
    None,
}

/// Clients that a store serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Serves {
    /// Their cloud, or [`Serves::ALL_CLIENTS`].
    pub cloud: String,
    /// Their regions; empty: all.
    #[serde(serialize_with = "print_regions")]
    pub regions: Vec<String>,
}

impl Serves {
    /// Matches every client, also one without a location.
    pub const ALL_CLIENTS: &str = "*";
}

/// How the presence of blobs is checked, and how long the results are cached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PresenceSettings {
    /// The longest wait for a store's response.
    #[serde(serialize_with = "print_duration")]
    pub timeout: Duration,
    /// How long "present" is cached.
    #[serde(serialize_with = "print_duration")]
    pub positive_ttl: Duration,
    /// How long "absent" is cached.
    #[serde(serialize_with = "print_duration")]
    pub negative_ttl: Duration,
    /// How many blobs are cached as present; an eighth of it as absent.
    pub capacity: usize,
}

/// All defaults. [`Config`] as a whole has none, since `upstream` is required.
pub(crate) mod default {
    use super::*;

    /// IPv6 and IPv4; IPv4 alone where there is no IPv6.
    pub(crate) const LISTEN: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8080);
    pub(crate) const ADMIN: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
    pub(crate) const CACHE_DIR: &str = "/var/cache/portolan";
    pub(crate) const TRUSTED_HOPS: usize = 1;
    pub(crate) const BLOB_PREFIX: &str = "containers/images/";
    pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);
    pub(crate) const POSITIVE_TTL: Duration = Duration::from_secs(24 * 60 * 60);
    pub(crate) const NEGATIVE_TTL: Duration = Duration::from_secs(60);
    pub(crate) const CAPACITY: usize = 1_000_000;
}

impl Config {
    /// What the built-in configuration is called where a file would be named.
    pub(crate) const BUILT_IN_NAME: &str = "built-in configuration";

    /// Reads a configuration file's `text`; `file` is its name, for errors.
    ///
    /// # Errors
    /// All problems, if there are any. A syntax error ends the search.
    pub fn from_yaml(file: &str, text: &str) -> Result<Self, ConfigError> {
        read::read(file, text)
    }

    /// The same with relative paths taken from `directory`, which is that of the file.
    #[must_use]
    pub fn with_paths_from(mut self, directory: &Path) -> Self {
        if let Some(cache_dir) = &mut self.cache_dir {
            *cache_dir = directory.join(&*cache_dir);
        }
        for setting in &mut self.ranges {
            if let RangesFrom::Path(path) = &mut setting.from {
                *path = directory.join(&*path);
            }
        }
        self
    }

    /// The configuration of registry.k8s.io.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the text is a constant, and a test reads it")]
    pub fn built_in() -> Self {
        let config = Self::from_yaml(Self::BUILT_IN_NAME, BUILT_IN)
            .expect("the built-in configuration is valid");
        Self { built_in: true, ..config }
    }

    /// How the client's address is found. The built-in configuration runs behind a balancer, which is every peer.
    pub(crate) fn client_ip(&self) -> ClientIp {
        let default = if self.built_in { DefaultTrust::AllPeers } else { DefaultTrust::Loopback };
        ClientIp::new(self.client_ip.clone(), default)
    }

    /// The configuration in effect, as YAML that [`Config::from_yaml`] reads.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        // Never folded: a URL is copied from what is printed.
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        serde_saphyr::to_string_with_options(self, options)
            .unwrap_or_else(|error| format!("# cannot be printed: {error}\n"))
    }
}

fn print_text<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn print_url<S: Serializer>(url: &Option<Url>, serializer: S) -> Result<S::Ok, S::Error> {
    url.as_ref().map(Url::as_str).serialize(serializer)
}

/// No regions are all: a list without entries is refused in a file.
fn print_regions<S: Serializer>(regions: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    (!regions.is_empty()).then_some(regions).serialize(serializer)
}

fn print_duration<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&wording::duration_text(*value))
}
