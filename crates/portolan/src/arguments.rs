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
    Promote(Box<Promote>),
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
/// Without --confirm nothing is written: the plan is shown, with what it will cost. Tags are never moved and
/// nothing is ever deleted; there is no flag for it. One project's fault never stops another's images. Running again
/// does what is missing, whatever stopped the run before.
///
/// Exit codes: 0 all holds (or would), 1 something is lost, refused, failed, unanswered or a problem in a manifest, each
/// named; 2 it could not run.
#[derive(Debug, Args)]
pub(crate) struct Promote {
    #[command(flatten)]
    pub manifests: Manifests,

    /// Write. Without it the plan is made and shown, and nothing is written anywhere
    #[arg(long)]
    pub confirm: bool,

    /// Stop after this time, such as 90s, 30m or 2h, as if interrupted: the report is still written
    #[arg(long, value_name = "TIME", value_parser = quantity::time)]
    pub deadline: Option<Duration>,

    /// At the end, read every tag that was written through this public name, such as
    /// `https://registry.example`, and say which do not answer
    #[arg(long, value_name = "URL", requires = "confirm")]
    pub verify_through: Option<PublicUrl>,

    #[command(flatten)]
    pub choice: Choosing,

    #[command(flatten)]
    pub attaching: Attaching,

    #[command(flatten)]
    pub telling: Telling,

    #[command(flatten)]
    pub registries: Registries,
}

/// Which edges are looked at.
#[derive(Debug, Args)]
#[command(next_help_heading = "What to look at")]
pub(crate) struct Choosing {
    /// Only projects whose name matches: `*` is any text, `?` any character (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub project: Vec<promoter::ProjectGlob>,

    /// Only what is asked for now and was not at this git revision
    #[arg(long, value_name = "REV", group = "changes")]
    pub changed_since: Option<String>,

    /// Only what is asked for at the second git revision and was not at the first
    #[arg(long, value_name = "REV..REV", group = "changes")]
    pub changed_in: Option<String>,

    /// Only what is asked for now and was not so long ago, such as "14 days", by git's history
    #[arg(long, value_name = "TIME", group = "changes")]
    pub since: Option<String>,
}

/// What goes along with images.
#[derive(Debug, Args)]
#[command(next_help_heading = "Signatures, attestations and other attachments")]
pub(crate) struct Attaching {
    /// Where digest tags (`.sig`, `.att`, `.sbom`) and referrers go
    #[arg(long, value_enum, default_value_t)]
    pub attachments: Attachments,

    /// The destination registry that has all attachments
    #[arg(long, value_name = "PREFIX", required_if_eq("attachments", "canonical"))]
    pub canonical: Option<RegistryPrefix>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attachments {
    /// Wherever their image goes
    #[default]
    All,
    /// To the registry that --canonical names
    Canonical,
    /// Nowhere; nobody looks for them
    None,
}

/// How a promotion is told.
#[derive(Debug, Args)]
#[command(next_help_heading = "Telling")]
pub(crate) struct Telling {
    /// What to print on standard output
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,

    /// Name also the edges that hold already
    #[arg(long)]
    pub all: bool,

    /// Write the report into this file too, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Write the counts into this file, in Prometheus' text format
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
}

/// The name that users pull by: a scheme and a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicUrl {
    pub host: oci::Host,
    pub is_plain: bool,
}

impl std::str::FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (is_plain, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return Err("write it with its scheme: https://registry.example".into()),
        };
        let host = rest.strip_suffix('/').unwrap_or(rest);
        let host = host
            .parse()
            .map_err(|error| format!("{error}; write no path, such as https://registry.example"))?;
        Ok(Self { host, is_plain })
    }
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
#[command(next_help_heading = "How registries are spoken to")]
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

    /// Where a manifest names the service account NAME, act by this file: a Google key, or a docker
    /// config.json (repeatable)
    #[arg(long, value_name = "NAME=FILE", value_parser = name_and_path)]
    pub credentials: Vec<(String, PathBuf)>,

    /// Ask this registry host for at most N things a second (repeatable) [default: 80 at Google's]
    #[arg(long, value_name = "HOST=N", value_parser = host_and_rate)]
    pub quota: Vec<(oci::Host, f64)>,
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

fn name_and_path(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok((name.to_owned(), path.into()))
        }
        _ => Err(
            "it is written NAME=FILE, such as promoter@example.iam.gserviceaccount.com=key.json"
                .to_owned(),
        ),
    }
}

fn host_and_rate(text: &str) -> Result<(oci::Host, f64), String> {
    let wrong = || "it is written HOST=N, such as registry.example=50".to_owned();
    let (host, rate) = text.rsplit_once('=').ok_or_else(wrong)?;
    let rate: f64 = rate.strip_suffix("/s").unwrap_or(rate).parse().ok().ok_or_else(wrong)?;
    if !(rate.is_finite() && rate > 0.0) {
        return Err("the number of requests a second must be above zero".to_owned());
    }
    Ok((host.parse().map_err(|error| format!("{error}"))?, rate))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn pairs_are_read() {
        let pair = name_and_path("a@b=c=d");
        assert_eq!(pair, Ok(("a@b".to_owned(), PathBuf::from("c=d"))));
        for bad in ["", "a", "=b", "a="] {
            assert!(name_and_path(bad).is_err(), "{bad}");
        }
        for (text, rate) in [("h:5000=50", 50.0), ("h=0.5/s", 0.5)] {
            let read = host_and_rate(text).expect(text).1;
            assert!((read - rate).abs() < f64::EPSILON, "{text}: {read}");
        }
        for bad in ["h", "h=", "h=0", "h=-1", "h=x", "=1", "h=inf", "h h=1"] {
            assert!(host_and_rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_public_name_is_a_scheme_and_a_host() {
        let url = |text: &str| text.parse::<PublicUrl>();
        assert!(url("http://127.0.0.1:80/").is_ok_and(|it| it.is_plain));
        assert!(url("https://registry.example").is_ok_and(|it| !it.is_plain));
        for bad in ["registry.example", "https://registry.example/v2", "https://", "ftp://a"] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
