//! The arguments of `portolan promote`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use oci::RegistryPrefix;

use super::{Output, PublicUrl, RegistryAccess, examples};
use crate::quantity;

/// Promote images from staging to production, as promotion manifests say.
///
/// Without --confirm nothing is written: the command prints the plan and its cost. Tags are never moved and nothing is
/// ever deleted; there is no flag for it. A project with an error does not stop the others. After an interruption, run
/// the command again: it does only what is missing.
///
/// Exit codes: 0 every edge is in place, or would be after --confirm; 1 some edges or manifests failed (see the report); 2
/// the command could not run; 3 with --detailed-exitcode, a dry run without failures has something to write.
#[derive(Debug, Args)]
#[command(after_help = examples::PROMOTE)]
pub(crate) struct Promote {
    #[command(flatten)]
    pub manifests: ManifestFlags,

    /// Write to the registries; without it, only print the plan
    #[arg(long)]
    pub confirm: bool,

    /// Exit with 3 instead of 0 if the dry run has something to write
    #[arg(long, conflicts_with = "confirm")]
    pub detailed_exitcode: bool,

    /// Stop after this time, such as 90s, 30m or 2h; the report is still written
    #[arg(long, value_name = "TIME", value_parser = quantity::time)]
    pub deadline: Option<Duration>,

    /// What to check of images that are already at a destination
    #[arg(long, value_enum, default_value_t)]
    pub verify: Verify,

    /// At the end, read every written tag through this public URL, such as `https://registry.example`, and report
    /// those that cannot be read
    #[arg(long, value_name = "URL", requires = "confirm")]
    pub verify_through: Option<PublicUrl>,

    #[command(flatten)]
    pub selection: SelectionFlags,

    #[command(flatten)]
    pub attaching: AttachmentFlags,

    #[command(flatten)]
    pub output_flags: OutputFlags,

    #[command(flatten)]
    pub registries: RegistryAccess,

    /// Use this file for the service account NAME of a manifest: a Google key, or a docker
    /// config.json (repeatable)
    #[arg(
        long,
        value_name = "NAME=FILE",
        value_parser = name_and_path,
        help_heading = "Registry access"
    )]
    pub credentials: Vec<(String, PathBuf)>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ManifestFlags {
    /// A plain promotion manifest: one file with `registries` and `images`; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,

    /// A directory with images/PROJECT/images.yaml and manifests/PROJECT/promoter-manifest.yaml
    #[arg(long, value_name = "DIR")]
    pub thin_manifest_dir: Option<PathBuf>,
}

/// Which edges are promoted.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct SelectionFlags {
    /// Only projects whose name matches: `*` is any text, `?` any character (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub project: Vec<manifest_source::ProjectGlob>,

    /// Only edges that are new since this git revision
    #[arg(long, value_name = "REV", group = "changes")]
    pub changed_since: Option<String>,

    /// Only edges that the second git revision adds to the first
    #[arg(long, value_name = "REV..REV", group = "changes")]
    pub changed_in: Option<String>,

    /// Only edges that are new since this time, such as "14 days", in git's history
    #[arg(long, value_name = "TIME", group = "changes")]
    pub since: Option<String>,
}

/// Which signatures, attestations and other attachments go with images.
#[derive(Debug, Args)]
#[command(next_help_heading = "Attachments")]
pub(crate) struct AttachmentFlags {
    /// Where to copy digest tags (`.sig`, `.att`, `.sbom`) and referrers
    #[arg(long, value_enum, default_value_t)]
    pub attachments: Attachments,

    /// The destination registry for all attachments
    #[arg(long, value_name = "PREFIX", required_if_eq("attachments", "canonical"))]
    pub canonical: Option<RegistryPrefix>,

    /// Refuse an image with a broken attachment at its source; without this flag, promote the image and report the
    /// attachment
    #[arg(long)]
    pub attachments_required: bool,
}

/// What is checked of images that are already at a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verify {
    /// Tags and digests; before a tag is written, also everything it reaches
    #[default]
    Shallow,
    /// Every manifest and blob of every image; missing ones are copied
    Deep,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attachments {
    /// To every destination of their image
    #[default]
    All,
    /// Only to the registry in --canonical; a client behind a front with another `upstream` then gets 404 for them by
    /// digest
    Canonical,
    /// Nowhere
    None,
}

/// How a promotion is reported.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputFlags {
    /// What to print on standard output
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,

    /// List the edges that are already in place too
    #[arg(long)]
    pub all: bool,

    /// Write the report to this file too, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Write metrics to this file, as text that Prometheus reads
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
}

fn name_and_path(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok((name.to_owned(), path.into()))
        }
        _ => {
            Err("write NAME=FILE, such as promoter@example.iam.gserviceaccount.com=key.json"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_split_at_the_first_equals_sign() {
        let pair = name_and_path("a@b=c=d");
        assert_eq!(pair, Ok(("a@b".to_owned(), PathBuf::from("c=d"))));
        for bad in ["", "a", "=b", "a="] {
            assert!(name_and_path(bad).is_err(), "{bad}");
        }
    }
}
