//! The arguments of `portolan mirror`.

use clap::Args;
use oci::RegistryPrefix;

use super::{Output, RegistryAccess, examples};

/// Copy the blobs of a registry, manifests among them, into a blob store.
///
/// Every blob once, verified while it streams, under containers/images/DIGEST. Running again copies only
/// what is missing. Without --confirm nothing is written.
#[derive(Debug, Args)]
#[command(after_help = examples::MIRROR)]
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

    /// Exit with 3 instead of 0 when the dry run finds something to write
    #[arg(long, conflicts_with = "confirm")]
    pub detailed_exitcode: bool,

    /// What to print on standard output
    #[arg(help_heading = "Output", long, value_enum, default_value_t)]
    pub output: Output,

    #[command(flatten)]
    pub registries: RegistryAccess,
}
