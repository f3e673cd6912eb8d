//! The arguments of `portolan store serve` and `portolan registry serve`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::examples;
use crate::quantity;

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Serve a file:// blob store over HTTP: GET, HEAD, Range
    Serve(StoreServe),
}

#[derive(Debug, Args)]
#[command(after_help = examples::STORE_SERVE)]
pub(crate) struct StoreServe {
    /// The store's directory, as a path or as `file:///directory`
    pub dir: PathBuf,

    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8082", value_parser = http_server::parse_address)]
    pub listen: SocketAddr,

    /// Serve /metrics, /healthz and /readyz here
    #[arg(long, value_name = "ADDR", value_parser = http_server::parse_address)]
    pub admin: Option<SocketAddr>,

    /// Log an event for each request
    #[arg(long)]
    pub access_log: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Registry {
    Serve(RegistryServe),
}

/// Serve an OCI registry: push, pull, mount, list, refer, delete.
///
/// In memory for tests, or durably in a directory. Without --htpasswd anyone who can connect can push
/// and delete, so it listens on loopback unless told otherwise. SIGTERM drains: requests in flight are
/// finished, and upload sessions on a directory go on after the next start.
#[derive(Debug, Args)]
#[command(after_help = examples::REGISTRY_SERVE)]
pub(crate) struct RegistryServe {
    /// Where content is kept: `memory` or `file:///directory` (a space is `%20`), which must be absent, empty or a registry's
    #[arg(long, value_name = "URL", default_value = "memory")]
    pub storage: String,

    /// Where to listen; port 0 takes a free one, which the log names
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5000", value_parser = http_server::parse_address)]
    pub listen: SocketAddr,

    /// Serve /metrics, /healthz and /readyz here
    #[arg(long, value_name = "ADDR", value_parser = http_server::parse_address)]
    pub admin: Option<SocketAddr>,

    /// Log an event for each request
    #[arg(long)]
    pub access_log: bool,

    #[command(flatten)]
    pub rules: RegistryRules,

    #[command(flatten)]
    pub entrance: RegistryEntrance,

    #[command(flatten)]
    pub limits: RegistryLimits,
}

/// What a registry takes and tells.
#[derive(Debug, Args)]
#[command(next_help_heading = "Content")]
pub(crate) struct RegistryRules {
    /// Take only GET and HEAD, and change nothing in the directory
    #[arg(long)]
    pub read_only: bool,

    /// Neither move nor delete a tag, nor delete the manifest that it is on
    #[arg(long)]
    pub immutable_tags: bool,

    /// Accept manifests although their blobs or children are missing, such as sparse indexes
    #[arg(long)]
    pub allow_missing_references: bool,

    /// Answer tags/list as Google's registries do: with all manifests, and the repositories below
    #[arg(long)]
    pub google_listing: bool,
}

/// Who may come in, and how.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct RegistryEntrance {
    /// Users and their passwords, made by `htpasswd -B`; without it anyone who can connect can do everything
    #[arg(long, value_name = "FILE")]
    pub htpasswd: Option<PathBuf>,

    /// Who may pull from and push to which repositories (YAML); without it every user may do everything
    #[arg(long, value_name = "FILE", requires = "htpasswd")]
    pub rights: Option<PathBuf>,

    /// Speak TLS with this chain of certificates (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The private key of the first certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Balancers, as networks or addresses: they have no share of their own, and their X-Forwarded-For names the client
    #[arg(long, value_name = "CIDR,…", value_delimiter = ',', value_parser = http_server::parse_network)]
    pub trusted_peers: Vec<ipnet::IpNet>,
}

/// The bounds of a registry. A SIZE is a number of bytes, KiB, MiB, GiB or TiB.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct RegistryLimits {
    /// The longest manifest, at most 64MiB
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = manifest_size)]
    pub max_manifest_size: u64,

    /// The longest blob [default: 64GiB, and in memory 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = quantity::size)]
    pub max_blob_size: Option<u64>,

    /// How many uploads may be under way, open sessions among them
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = quantity::count)]
    pub max_uploads: usize,

    /// How long an upload session may be idle, such as 90s, 15m or 1h
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = quantity::time)]
    pub upload_life: Duration,

    /// How many requests that read may be in flight, and as many that write
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = quantity::count)]
    pub max_requests: usize,
}

fn manifest_size(text: &str) -> Result<u64, String> {
    let max = registry::limits::MAX_STORED_MANIFEST_BYTES;
    match quantity::size(text)? {
        size if size > max => Err(format!("a manifest may have at most {} MiB", max >> 20)),
        size => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_longer_manifest_is_allowed_than_can_be_stored() {
        assert_eq!(manifest_size("64MiB"), Ok(64 << 20));
        for bad in ["65MiB", "1GiB"] {
            let message = "a manifest may have at most 64 MiB".to_owned();
            assert_eq!(manifest_size(bad), Err(message), "{bad}");
        }
    }
}
