//! `portolan mirror`: registry prefix to blob store, totals, exit code.

use std::io::{self, Write};

use anyhow::Context as _;
use blob_store::BlobStore;
use job::Confirm;
use mirror::{Failure, FailureKind, MirrorOptions, PlannedWrite, Totals};
use oci::Reference;
use promoter::report::{Width, row};
use serde_json::json;
use transfer::Content;
use wording::{FailureGroup, FailureGroups, counted};

use crate::{
    arguments::{Mirror, Output},
    exit::Exit,
    printer::Printer,
};

/// How many failures of one cause are named before they are only counted, as in the report of a promotion.
const NAMED: usize = 5;

pub(crate) async fn run(mirror: &Mirror, printer: &Printer) -> anyhow::Result<Exit> {
    let options = MirrorOptions {
        from: mirror.from.clone(),
        to: BlobStore::open(&mirror.to).with_context(|| format!("--to {}", mirror.to))?,
        confirm: if mirror.confirm { Confirm::Write } else { Confirm::DryRun },
    };
    options.to.check_place().await.with_context(|| format!("--to {}", mirror.to))?;
    let stop = job::stop_on_termination(None)?;
    let client = super::client(&mirror.registries)?;
    let progress = printer.progress_of(&client);
    let totals = mirror::mirror(&client, &options, &stop, &*progress).await;
    drop(progress);
    print(printer, mirror.output, &totals, options.confirm)?;
    super::warn_of_unused_hosts(printer, &mirror.registries, &client, &[&mirror.from.host]);
    printer.note(in_words(&totals, options.confirm));
    Ok(match () {
        () if !totals.failed.is_empty() => Exit::NotAsAsked,
        () if mirror.detailed_exitcode && totals.written() > 0 => Exit::ChangesPending,
        () => Exit::AllHolds,
    })
}

fn print(printer: &Printer, output: Output, totals: &Totals, confirm: Confirm) -> io::Result<()> {
    let mut out = printer.lasting_stdout();
    match output {
        Output::Json => writeln!(out, "{}", to_json(totals, confirm)),
        Output::Table => {
            for write in totals.plan.writes() {
                writeln!(out, "{write}")?;
            }
            let causes = by_cause(&totals.failed);
            let mut causes = causes.as_slice().iter();
            causes.try_for_each(|cause| print_failures(&mut out, cause, printer.width()))
        }
    }
}

/// The failures that have one cause together, in the order in which the causes came.
fn by_cause(failed: &[Failure]) -> FailureGroups<Vec<&Failure>, FailureKind> {
    let mut causes = FailureGroups::<Vec<_>, _>::new(failed.len());
    for failure in failed {
        if let Some(cause) = causes.add(failure.cause.kind(), &failure.cause.to_string()) {
            cause.kept.push(failure);
        }
    }
    causes
}

/// Failures of one cause: one as a row, more of them below their cause.
fn print_failures(
    out: &mut impl Write,
    cause: &FailureGroup<Vec<&Failure>>,
    width: Width,
) -> io::Result<()> {
    let alike = &cause.kept;
    if let [only] = alike[..] {
        return writeln!(out, "{}", row(0, &[format!("failed: {only}")], width));
    }
    let is_tag = |it: &&Failure| matches!(it.reference, Some(Reference::Tag(_)));
    let noun = if alike.iter().all(is_tag) { "tag" } else { "item" };
    let cause = format!("failed: {}", cause.summary(noun));
    writeln!(out, "{}", row(0, &[cause], width))?;
    for name in alike.iter().take(NAMED).filter_map(|failure| failure.name()) {
        writeln!(out, "{}", row(4, &[name], width))?;
    }
    match alike.len().saturating_sub(NAMED) {
        0 => Ok(()),
        more => writeln!(out, "    and {more} more; --output json names each"),
    }
}

/// The documented object: `docs/reference/mirror.md`, "The report".
fn to_json(totals: &Totals, confirm: Confirm) -> serde_json::Value {
    let failed: Vec<_> = totals
        .failed
        .iter()
        .map(|failure| {
            json!({
                "repository": failure.repository,
                "reference": failure.reference.as_ref().map(ToString::to_string),
                "code": failure.cause.code().as_str(),
                "reason": failure.cause.to_string(),
            })
        })
        .collect();
    let plan: Vec<_> = totals.plan.writes().iter().map(planned_json).collect();
    json!({
        "schema": 1,
        "confirmed": confirm == Confirm::Write,
        "repositories": totals.repositories,
        "tags": totals.tags,
        "manifests": totals.manifests,
        "blobs": totals.blobs,
        "repaired": totals.repaired,
        "bytes": totals.bytes,
        "already_there": totals.already_there,
        "plan": plan,
        "failed": failed,
    })
}

fn planned_json(write: &PlannedWrite) -> serde_json::Value {
    let (kind, digest) = match write.content {
        Content::Manifest(digest) => ("manifest", digest),
        Content::Blob(digest) => ("blob", digest),
    };
    json!({
        "action": write.action.as_str(),
        "kind": kind,
        "digest": digest,
        "size": write.size,
    })
}

fn in_words(totals: &Totals, confirm: Confirm) -> String {
    let (done, repaired) = match confirm {
        Confirm::Write => ("copied", "repaired"),
        Confirm::DryRun => ("to copy", "to repair"),
    };
    let mut text = format!(
        "{}, {}: {} and {} {done}, {} {repaired} ({}), {} already there, {} failed.",
        counted(totals.repositories, "repository"),
        counted(totals.tags, "tag"),
        counted(totals.blobs, "blob"),
        counted(totals.manifests, "manifest"),
        totals.repaired,
        counted(totals.bytes, "byte"),
        totals.already_there,
        totals.failed.len(),
    );
    if confirm == Confirm::DryRun {
        text.push_str(if totals.written() == 0 {
            " Nothing was written: this was a dry run."
        } else {
            " Nothing was written: this was a dry run; use --confirm to write."
        });
    }
    text
}
