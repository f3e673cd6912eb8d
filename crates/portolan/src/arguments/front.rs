//! The arguments of `portolan serve` and `portolan explain`.

use std::{net::IpAddr, path::PathBuf};

use clap::Args;

use super::{Output, TlsFiles, examples};

/// Redirect every pull to the nearest copy.
///
/// On SIGTERM the front accepts no new connections, finishes the requests in flight, and exits. On SIGHUP it reads its
/// configuration again.
#[derive(Debug, Args)]
#[command(after_help = examples::SERVE)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub front: FrontFlags,

    /// Check the configuration, print every setting in effect with the defaults marked, and exit
    #[arg(long)]
    pub check: bool,

    /// A file without its flag, which is refused with a tip
    #[arg(value_name = "FILE", hide = true)]
    pub file_without_flag: Option<PathBuf>,

    // Last, since its heading holds for what follows.
    #[command(flatten)]
    pub tls_files: TlsFiles,
}

/// Show where the front would send a client, and why.
///
/// PATH is the path of the client's request, such as /v2/pause/blobs/sha256:… or just /v2/pause/manifests/3.9.
#[derive(Debug, Args)]
#[command(after_help = examples::EXPLAIN)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub front: FrontFlags,

    /// The client's address
    #[arg(long, value_name = "ADDR", value_parser = client_address)]
    pub ip: IpAddr,

    /// The path of the request, with its query if any
    pub path: String,

    /// What to print on standard output
    #[arg(help_heading = "Output", long, value_enum, default_value_t)]
    pub output: Output,

    #[command(flatten)]
    pub tls_files: TlsFiles,
}

/// The front's configuration.
#[derive(Clone, Debug, Args)]
pub(crate) struct FrontFlags {
    /// Configuration file; `-` is standard input; without it the front behaves as registry.k8s.io does
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Read the address ranges of CLOUD from a file instead of where the configuration says (repeatable)
    #[arg(long, value_name = "CLOUD=PATH", value_parser = cloud_and_path)]
    pub ranges: Vec<(String, PathBuf)>,
}

fn client_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_error| "write an address without a port, such as 192.0.2.1".to_owned())
}

fn cloud_and_path(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((cloud, path)) if !cloud.is_empty() && !path.is_empty() => {
            Ok((cloud.to_owned(), path.into()))
        }
        _ => Err("write CLOUD=PATH, such as aws=ip-ranges.json".to_owned()),
    }
}
