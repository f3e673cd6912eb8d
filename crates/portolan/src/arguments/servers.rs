//! The arguments of `portolan store serve` and `portolan registry serve`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::examples;
use crate::quantity;

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
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
pub(crate) enum RegistryCommand {
    Serve(RegistryServe),
}

/// Serve an OCI registry: push, pull, mount, list, referrers, delete.
///
/// Content is kept in memory for tests, or durably in a directory. Without --htpasswd anyone who can connect can push
/// and delete, so the default address is loopback. On SIGTERM the registry finishes the requests in flight and exits;
/// upload sessions in a directory can be continued after the next start.
#[derive(Debug, Args)]
#[command(after_help = examples::REGISTRY_SERVE)]
pub(crate) struct RegistryServe {
    /// Where to keep content: `memory`, or `file:///directory` (absent, empty, or written by a registry; a space is `%20`)
    #[arg(long, value_name = "URL", default_value = "memory")]
    pub storage: String,

    /// Where to listen; with port 0, on a free port, which is logged
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
    pub security: RegistrySecurity,

    #[command(flatten)]
    pub limits: RegistryLimits,
}

/// What a registry accepts and returns.
#[derive(Debug, Args)]
#[command(next_help_heading = "Content")]
pub(crate) struct RegistryRules {
    /// Accept only GET and HEAD, and change nothing in the directory
    #[arg(long)]
    pub read_only: bool,

    /// Refuse to move or delete a tag, or to delete a tagged manifest
    #[arg(long)]
    pub immutable_tags: bool,

    /// Accept manifests with missing blobs or children, such as sparse indexes
    #[arg(long)]
    pub allow_missing_references: bool,

    /// Respond to tags/list as Google's registries do: with all manifests and the child repositories
    #[arg(long)]
    pub google_listing: bool,
}

/// Users, rights, TLS, and the peers in front of a registry.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct RegistrySecurity {
    /// File of users and passwords, as `htpasswd -B` writes it; without it anyone who can connect can do everything
    #[arg(long, value_name = "FILE")]
    pub htpasswd: Option<PathBuf>,

    /// File of rights: which users may pull from and push to which repositories (YAML); without it every user may do
    /// everything
    #[arg(long, value_name = "FILE", requires = "htpasswd")]
    pub rights: Option<PathBuf>,

    /// Serve TLS with this certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of the first certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Load balancers, as networks or addresses: limits per address apply to the client in their X-Forwarded-For instead
    #[arg(long, value_name = "CIDR,…", value_delimiter = ',', value_parser = http_server::parse_network)]
    pub trusted_peers: Vec<ipnet::IpNet>,
}

/// The bounds of a registry. A SIZE is a number of bytes, KiB, MiB, GiB or TiB.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct RegistryLimits {
    /// Largest manifest, at most 64MiB
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = manifest_size)]
    pub max_manifest_size: u64,

    /// Largest blob [default: 64GiB, in memory 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = quantity::size)]
    pub max_blob_size: Option<u64>,

    /// Most uploads in progress, open sessions included
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = quantity::count)]
    pub max_uploads: usize,

    /// Longest idle time of an upload session, such as 90s, 15m or 1h
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = quantity::time)]
    pub upload_life: Duration,

    /// Most read requests in flight; the same number of writes is allowed besides
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
