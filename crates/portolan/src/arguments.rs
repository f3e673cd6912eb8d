//! The command line as plain data: what was typed, and the help that teaches it. No I/O and nothing
//! derived happens here.

use std::{net::IpAddr, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use oci::RegistryPrefix;

use crate::quantity;

/// A public, multi-cloud image registry that need not be a registry itself.
///
/// It promotes images from staging to production registries by reviewed manifests, mirrors their
/// blobs into object storage near the users, and serves one name whose every pull goes to the
/// nearest copy. See it all at once with `portolan demo`.
#[derive(Debug, Parser)]
#[command(name = "portolan", version = env!("PORTOLAN_VERSION"), propagate_version = true, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Say nothing on standard error but errors: no progress, no notes.
    #[arg(long, short, global = true)]
    pub quiet: bool,

    /// Log filter, such as `info` or `warn,promoter=debug` [env: `PORTOLAN_LOG`]
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,

    #[command(subcommand)]
    pub command: Command,
}

/// The verbs, in the order of an image's life. Their help is at their arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Promote(Promote),
    Mirror(Mirror),
    Serve(Serve),
    Explain(Explain),
    /// Blob stores on this machine
    #[command(subcommand)]
    Store(Store),
    /// The embedded registry, for development, tests and staging
    #[command(subcommand)]
    Registry(Registry),
    Demo(Demo),
    Completions(Completions),
}

impl Command {
    /// The log filter where none is given: servers tell what they do, jobs have a report for that.
    pub(crate) const fn default_log(&self) -> &'static str {
        match self {
            Self::Serve(_) | Self::Store(_) | Self::Registry(_) => "info",
            _ => "warn",
        }
    }
}

/// Copy what promotion manifests ask for from staging to production.
///
/// Without --confirm nothing is written: the plan is shown. Tags are never moved and nothing is
/// ever deleted; there is no flag for it. One project's fault never stops another's images.
///
/// Exit codes: 0 all holds (or would), 1 something is lost, refused, failed or a problem in a manifest, each
/// named; 2 it could not run.
#[derive(Debug, Args)]
pub(crate) struct Promote {
    #[command(flatten)]
    pub manifests: Manifests,

    /// Write. Without it the plan is made and shown, and nothing is written anywhere
    #[arg(long)]
    pub confirm: bool,

    /// What to print on standard output
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,

    /// Name also the edges that hold already
    #[arg(long)]
    pub all: bool,

    #[command(flatten)]
    pub registries: Registries,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Manifests {
    /// A plain promotion manifest: one file with `registries` and `images`
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,

    /// A directory with images/PROJECT/images.yaml and manifests/PROJECT/promoter-manifest.yaml
    #[arg(long, value_name = "DIR")]
    pub thin_manifest_dir: Option<PathBuf>,
}

/// How registries are spoken to.
#[derive(Debug, Args)]
pub(crate) struct Registries {
    /// Speak plain HTTP to this registry host (repeatable); loopback hosts need no asking
    #[arg(long, value_name = "HOST")]
    pub plain_http: Vec<oci::Host>,

    /// Trust the certificates in this file (PEM) besides the system's (repeatable)
    #[arg(long, value_name = "FILE")]
    pub ca_file: Vec<PathBuf>,

    /// Show this certificate, with its chain (PEM), where a registry asks for one
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub client_certificate: Option<PathBuf>,

    /// The key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    pub client_key: Option<PathBuf>,

    /// Let public registries point to this host (a name or address, no port) although it is private
    /// (repeatable)
    #[arg(long, value_name = "HOST")]
    pub allow_private: Vec<String>,

    /// At Google's registries, act as this service account, by impersonation
    #[arg(long, value_name = "EMAIL")]
    pub impersonate_service_account: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Words for people
    #[default]
    Table,
    /// One JSON object
    Json,
}

/// Copy the blobs of a registry, manifests among them, into a blob store.
///
/// Every blob once, verified while it streams, under containers/images/DIGEST. Running again copies only
/// what is missing. Without --confirm nothing is written.
#[derive(Debug, Args)]
pub(crate) struct Mirror {
    /// The registry, with an optional path: only repositories below it are mirrored
    #[arg(long, value_name = "PREFIX")]
    pub from: RegistryPrefix,

    /// The blob store: `file:///directory`
    #[arg(long, value_name = "URL")]
    pub to: String,

    /// Write. Without it the run says what it would copy
    #[arg(long)]
    pub confirm: bool,

    /// What to print on standard output
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,

    #[command(flatten)]
    pub registries: Registries,
}

/// The front's configuration.
#[derive(Debug, Args)]
pub(crate) struct Front {
    /// Configuration file; without it the front behaves as registry.k8s.io does
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Read the address ranges of CLOUD from a file instead of where the configuration says (repeatable)
    #[arg(long, value_name = "CLOUD=PATH", value_parser = cloud_and_path)]
    pub ranges: Vec<(String, PathBuf)>,
}

/// Answer pulls: send every client to the nearest copy.
///
/// SIGTERM drains: no new connections, and requests in flight are finished.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub front: Front,

    /// Validate the configuration, print what it comes to, and exit
    #[arg(long)]
    pub check: bool,
}

/// Say where the front would send a client, and why.
///
/// PATH is what the client asks for, such as /v2/pause/blobs/sha256:… or just /v2/pause/manifests/3.9.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub front: Front,

    /// The client's address
    #[arg(long, value_name = "ADDR")]
    pub ip: IpAddr,

    /// The path of the request, with its query if any
    pub path: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Serve a file:// blob store over HTTP: GET, HEAD, Range
    Serve(StoreServe),
}

#[derive(Debug, Args)]
pub(crate) struct StoreServe {
    /// The directory of the store
    pub dir: PathBuf,

    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8082")]
    pub listen: SocketAddr,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Registry {
    Serve(RegistryServe),
}

/// Serve an OCI registry: push, pull, mount, list, refer, delete.
///
/// In memory for tests, or durably in a directory. Without --htpasswd whoever reaches it may do
/// everything, so it listens on loopback unless told otherwise. SIGTERM drains: requests in flight are
/// finished, and upload sessions on a directory go on after the next start.
#[derive(Debug, Args)]
pub(crate) struct RegistryServe {
    /// Where content is kept: `memory` or `file:///directory`, which is made if it is absent
    #[arg(long, value_name = "URL", default_value = "memory")]
    pub storage: String,

    /// Where to listen; port 0 takes a free one, which the log names
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5000")]
    pub listen: SocketAddr,

    /// Serve /metrics, /healthz and /readyz here
    #[arg(long, value_name = "ADDR")]
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
    /// Write nothing: only GET and HEAD
    #[arg(long)]
    pub read_only: bool,

    /// Neither move nor delete a tag, nor delete the manifest that it is on
    #[arg(long)]
    pub immutable_tags: bool,

    /// Take manifests though what they point to is not there, such as sparse indexes
    #[arg(long)]
    pub allow_missing_references: bool,

    /// Answer tags/list as Google's registries do: with all manifests, and the repositories below
    #[arg(long)]
    pub google_listing: bool,
}

/// Who may come in, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct RegistryEntrance {
    /// Users and their passwords, made by `htpasswd -B`; without it everybody may do everything
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
}

/// The bounds of a registry. A SIZE is a number of bytes, KiB, MiB, GiB or TiB.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct RegistryLimits {
    /// The longest manifest
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = quantity::size)]
    pub max_manifest_size: u64,

    /// The longest blob [default: 64GiB, and in memory 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = quantity::size)]
    pub max_blob_size: Option<u64>,

    /// How many uploads may be under way, open sessions among them
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = quantity::count)]
    pub max_uploads: usize,

    /// How long an upload session may lie idle, such as 90s, 15m or 1h
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = quantity::time)]
    pub upload_life: Duration,

    /// How many requests may be in flight
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = quantity::count)]
    pub max_requests: usize,
}

/// Show the whole journey in one process, with nothing to install.
///
/// Starts a staging and a production registry, two blob stores and a front, all on loopback; pushes an
/// image and a chart to staging; promotes, mirrors and serves them; pulls as clients from different
/// places, and shows where each was sent. Then it stays up to be pulled from, until Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// End after the pulls, with 0 only if everything that was claimed was checked
    #[arg(long)]
    pub exit: bool,
}

/// Print a completion script for a shell.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

fn cloud_and_path(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((cloud, path)) if !cloud.is_empty() && !path.is_empty() => {
            Ok((cloud.to_owned(), path.into()))
        }
        _ => Err("it is written CLOUD=PATH, such as aws=ip-ranges.json".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
