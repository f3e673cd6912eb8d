//! The arguments of `portolan mirror`.

use clap::Args;
use oci::RegistryPrefix;

use super::{Output, RegistryAccess, examples};

/// Copy the manifests and blobs of a registry to one or more blob stores.
///
/// Each blob is read from the registry once for all stores, is verified while it streams, and is written as
/// containers/images/DIGEST. A repeated run copies only what is missing. Without --confirm nothing is written.
#[derive(Debug, Args)]
#[command(after_help = examples::MIRROR)]
pub(crate) struct Mirror {
    /// The registry, with an optional path: only repositories below it are mirrored
    #[arg(long, value_name = "PREFIX")]
    pub from: RegistryPrefix,

    /// A blob store: `file:///directory` (repeatable)
    #[arg(long, value_name = "URL", required = true)]
    pub to: Vec<String>,

    /// Write to the stores; without it, only print the plan
    #[arg(long)]
    pub confirm: bool,

    /// Exit with 3 instead of 0 if the dry run has something to write
    #[arg(long, conflicts_with = "confirm")]
    pub detailed_exitcode: bool,

    /// What to print on standard output
    #[arg(help_heading = "Output", long, value_enum, default_value_t)]
    pub output: Output,

    #[command(flatten)]
    pub registries: RegistryAccess,
}
