//! `portolan promote`: load, edges, promote, exit code.

use std::io::{self, BufWriter};

use anyhow::Context as _;
use promoter::{
    ManifestSource, Summary, Verdict,
    report::{JsonReport, Report, Show, WordsReport},
};
use promotion_manifest::EdgeSet;
use transfer::Confirm;

use crate::{
    arguments::{Manifests, Output, Promote},
    exit::Exit,
    printer::Printer,
    signals,
};

pub(crate) async fn run(promote: &Promote, printer: Printer) -> anyhow::Result<Exit> {
    let loaded = promoter::load(&source(&promote.manifests)?)?;
    let edges = EdgeSet::new(loaded.manifests);
    let problems = [loaded.problems, edges.problems().to_vec()].concat();
    let confirm = if promote.confirm { Confirm::Write } else { Confirm::DryRun };

    let stop = signals::stop_on_termination()?;
    let client = super::client(&promote.registries)?;
    let progress = printer.progress();
    let mut report = report(promote);
    let summary =
        promoter::promote(client, &edges, &problems, confirm, &stop, &*progress, &mut *report)
            .await
            .context("the report cannot be written")?;
    drop(progress);
    printer.note(in_words(&summary, problems.len(), confirm));
    Ok(match () {
        () if edges.manifests().is_empty() => Exit::CouldNotRun,
        () if summary.all_holds() && problems.is_empty() => Exit::AllHolds,
        () => Exit::NotAsAsked,
    })
}

fn source(manifests: &Manifests) -> anyhow::Result<ManifestSource> {
    match (&manifests.manifest, &manifests.thin_manifest_dir) {
        (Some(file), _) => Ok(ManifestSource::File(file.clone())),
        (None, Some(directory)) => Ok(ManifestSource::ThinDirectory(directory.clone())),
        (None, None) => anyhow::bail!("give --manifest FILE or --thin-manifest-dir DIR"),
    }
}

fn report(promote: &Promote) -> Box<dyn Report> {
    let show = if promote.all { Show::Everything } else { Show::Changes };
    let out = BufWriter::new(io::stdout());
    match promote.output {
        Output::Json => Box::new(JsonReport::new(out, show)),
        Output::Table => Box::new(WordsReport::new(out, show)),
    }
}

/// The summary as a release manager would read it aloud.
fn in_words(summary: &Summary, problems: usize, confirm: Confirm) -> String {
    let of = |verdict| summary.count(verdict);
    let done = match confirm {
        Confirm::Write => {
            format!("{} copied, {} tagged", of(Verdict::Copied), of(Verdict::Tagged))
        }
        Confirm::DryRun => {
            format!("{} to copy, {} to tag", of(Verdict::ToCopy), of(Verdict::ToTag))
        }
    };
    let mut text = format!(
        "{} edges: {} present, {done}, {} lost, {} refused, {} failed; {problems} problems in manifests.",
        summary.edges(),
        of(Verdict::Present),
        of(Verdict::Lost),
        of(Verdict::Refused),
        of(Verdict::Failed),
    );
    if confirm == Confirm::DryRun {
        text.push_str(" Nothing was written: this was a dry run, and --confirm carries it out.");
    }
    text
}
