//! The flags of every command that speaks TLS to other servers.

use std::path::PathBuf;

use clap::Args;

/// What TLS trusts and presents.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Registry access")]
pub(crate) struct TlsFiles {
    /// Trust the CA certificates in this file (PEM) as well as the system's (repeatable)
    #[arg(long, value_name = "FILE")]
    pub ca_file: Vec<PathBuf>,

    /// Client certificate with its chain (PEM), for servers that require one
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub client_certificate: Option<PathBuf>,

    /// Key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    pub client_key: Option<PathBuf>,
}
