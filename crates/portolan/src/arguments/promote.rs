//! The arguments of `portolan promote`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use oci::RegistryPrefix;

use super::{Output, PublicUrl, RegistryAccess, examples};
use crate::quantity;

/// Copy what promotion manifests ask for from staging to production.
///
/// Without --confirm nothing is written: the plan is shown, with what it will cost. Tags are never moved and
/// nothing is ever deleted; there is no flag for it. One project's fault never stops another's images. Running again
/// does what is missing, whatever stopped the run before.
///
/// Exit codes: 0 all holds (or would), 1 something is lost, refused, failed, broken, unanswered or a problem in a manifest,
/// each named; 2 it could not run; 3 with --detailed-exitcode, a dry run found something to write, and nothing of the above.
#[derive(Debug, Args)]
#[command(after_help = examples::PROMOTE)]
pub(crate) struct Promote {
    #[command(flatten)]
    pub manifests: Manifests,

    /// Write. Without it the plan is made and shown, and nothing is written anywhere
    #[arg(long)]
    pub confirm: bool,

    /// Exit with 3 instead of 0 when the dry run finds something to write
    #[arg(long, conflicts_with = "confirm")]
    pub detailed_exitcode: bool,

    /// Stop after this time, such as 90s, 30m or 2h, as if interrupted: the report is still written
    #[arg(long, value_name = "TIME", value_parser = quantity::time)]
    pub deadline: Option<Duration>,

    /// What to check of images that are there
    #[arg(long, value_enum, default_value_t)]
    pub verify: Verify,

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
pub(crate) struct Manifests {
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
pub(crate) struct Choosing {
    /// Only projects whose name matches: `*` is any text, `?` any character (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub project: Vec<manifest_source::ProjectGlob>,

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

/// Which signatures, attestations and other attachments go with images.
#[derive(Debug, Args)]
#[command(next_help_heading = "Attachments")]
pub(crate) struct Attaching {
    /// Where digest tags (`.sig`, `.att`, `.sbom`) and referrers go
    #[arg(long, value_enum, default_value_t)]
    pub attachments: Attachments,

    /// The destination registry that has all attachments
    #[arg(long, value_name = "PREFIX", required_if_eq("attachments", "canonical"))]
    pub canonical: Option<RegistryPrefix>,

    /// Do not promote an image if one of its attachments is broken at its source. Without it the image is promoted, and
    /// the broken attachment is reported
    #[arg(long)]
    pub attachments_required: bool,
}

/// What is checked of images that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verify {
    /// Tags and digests; where a tag is written, also everything below it
    #[default]
    Shallow,
    /// Every manifest and blob of every image: what is missing is copied
    Deep,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attachments {
    /// Wherever their image goes
    #[default]
    All,
    /// Only to the registry that --canonical names. Through a front with another `upstream` their digests are not
    /// found (404)
    Canonical,
    /// Nowhere; they are not looked for
    None,
}

/// How a promotion is reported.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Telling {
    /// What to print on standard output
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,

    /// List also the edges that are already in place
    #[arg(long)]
    pub all: bool,

    /// Write the report into this file too, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Write the counts into this file, in Prometheus' text format
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
