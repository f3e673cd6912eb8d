//! What `portolan mirror` prints: the planned writes, the failures and the summary as text, and the report as JSON.

use std::io::{self, Write};

use job::Confirm;
use mirror::{Failure, FailureCode, FailureKind, PlannedWrite, StoreSet, StoreTotals, Totals};
use oci::Reference;
use serde_json::json;
use transfer::Content;
use wording::{FailureGroup, FailureGroups, Width, counted, row};

use crate::{arguments::Output, printer::Printer};

/// How many failures of one cause are named before they are only counted, as in the report of a promotion.
const NAMED: usize = 5;

/// Prints the planned writes and the failures, or the JSON report.
pub(super) fn print(
    printer: &Printer,
    output: Output,
    totals: &Totals,
    confirm: Confirm,
) -> io::Result<()> {
    let mut out = printer.lasting_stdout();
    match output {
        Output::Json => writeln!(out, "{}", to_json(totals, confirm)),
        Output::Table => {
            totals.stores.iter().try_for_each(|store| print_plan(&mut out, totals, store))?;
            let causes = by_cause(&totals.failed);
            let mut causes = causes.as_slice().iter();
            causes.try_for_each(|cause| print_failures(&mut out, totals, cause, printer.width()))
        }
    }
}

/// The planned writes of a store, one a line. Where there are several stores, each line names its store.
fn print_plan(out: &mut impl Write, totals: &Totals, store: &StoreTotals) -> io::Result<()> {
    let to = match totals.stores.len() {
        1 => String::new(),
        _ => format!(" to {}", store.store),
    };
    store.plan.writes().iter().try_for_each(|write| writeln!(out, "{write}{to}"))
}

/// The failures that have one cause together, in the order in which the causes came.
fn by_cause(failed: &[Failure]) -> FailureGroups<Vec<&Failure>, (FailureKind, StoreSet)> {
    let mut causes = FailureGroups::<Vec<_>, _>::new(failed.len());
    for failure in failed {
        let key = (failure.cause.kind(), failure.stores);
        if let Some(cause) = causes.add(key, &failure.cause.to_string()) {
            cause.kept.push(failure);
        }
    }
    causes
}

/// Failures of one cause: one as a row, more of them below their cause.
fn print_failures(
    out: &mut impl Write,
    totals: &Totals,
    cause: &FailureGroup<Vec<&Failure>>,
    width: Width,
) -> io::Result<()> {
    let alike = &cause.kept;
    let failed = alike.first().map(|first| failed_in(totals, first)).unwrap_or_default();
    if let [only] = alike[..] {
        return writeln!(out, "{}", row(0, &[format!("{failed}: {only}")], width));
    }
    let is_tag = |it: &&Failure| matches!(it.reference, Some(Reference::Tag(_)));
    let noun = if alike.iter().all(is_tag) { "tag" } else { "item" };
    let cause = format!("{failed}: {}", cause.summary(noun));
    writeln!(out, "{}", row(0, &[cause], width))?;
    for name in alike.iter().take(NAMED).filter_map(|failure| failure.name()) {
        writeln!(out, "{}", row(4, &[name], width))?;
    }
    match alike.len().saturating_sub(NAMED) {
        0 => Ok(()),
        more => writeln!(out, "    and {more} more; --output json names each"),
    }
}

/// The first words of a failure. They name the stores, unless these are all stores or the reason names the store.
fn failed_in(totals: &Totals, failure: &Failure) -> String {
    let names = names_of(totals, failure);
    let is_named = failure.cause.code() == FailureCode::StoreUnwritable;
    match names.len() == totals.stores.len() || is_named {
        true => "failed".to_owned(),
        false => format!("failed in {}", names.join(", ")),
    }
}

/// The URLs of the stores that a failure concerns.
fn names_of<'a>(totals: &'a Totals, failure: &Failure) -> Vec<&'a str> {
    failure.stores.iter().filter_map(|at| Some(&*totals.stores.get(at)?.store)).collect()
}

/// The documented object: `docs/reference/report.md`, "The report of a mirroring".
fn to_json(totals: &Totals, confirm: Confirm) -> serde_json::Value {
    let failed: Vec<_> = totals
        .failed
        .iter()
        .map(|failure| {
            json!({
                "stores": names_of(totals, failure),
                "repository": failure.repository,
                "reference": failure.reference.as_ref().map(ToString::to_string),
                "code": failure.cause.code().as_str(),
                "reason": failure.cause.to_string(),
            })
        })
        .collect();
    let plan = totals.stores.iter().flat_map(|store| {
        store.plan.writes().iter().map(|write| planned_json(&store.store, write))
    });
    let counts = totals.counts();
    json!({
        "schema": 1,
        "confirmed": confirm == Confirm::Write,
        "repositories": totals.repositories,
        "tags": totals.tags,
        "manifests": counts.manifests,
        "blobs": counts.blobs,
        "repaired": counts.repaired,
        "bytes": counts.bytes,
        "already_there": counts.already_there,
        "stores": totals.stores.iter().enumerate().map(|(at, _)| store_json(totals, at)).collect::<Vec<_>>(),
        "plan": plan.collect::<Vec<_>>(),
        "failed": failed,
    })
}

fn store_json(totals: &Totals, at: usize) -> serde_json::Value {
    let StoreTotals { store, counts, .. } = &totals.stores[at];
    json!({
        "store": store,
        "manifests": counts.manifests,
        "blobs": counts.blobs,
        "repaired": counts.repaired,
        "bytes": counts.bytes,
        "already_there": counts.already_there,
        "failed": totals.failures_of(at),
    })
}

fn planned_json(store: &str, write: &PlannedWrite) -> serde_json::Value {
    let (kind, digest) = match write.content {
        Content::Manifest(digest) => ("manifest", digest),
        Content::Blob(digest) => ("blob", digest),
    };
    json!({
        "store": store,
        "action": write.action.as_str(),
        "kind": kind,
        "digest": digest,
        "size": write.size,
    })
}

/// The summary of a run.
pub(super) fn in_words(totals: &Totals, confirm: Confirm) -> String {
    let repositories = counted(totals.repositories, "repository");
    let tags = counted(totals.tags, "tag");
    let mut text = match &totals.stores[..] {
        [_] => format!("{repositories}, {tags}: {}", store_in_words(totals, 0, confirm)),
        stores => {
            let stores = counted(stores.len() as u64, "store");
            format!("{repositories}, {tags}, {stores}, {} failed.", totals.failed.len())
        }
    };
    if totals.stores.len() > 1 {
        for (at, store) in totals.stores.iter().enumerate() {
            let words = store_in_words(totals, at, confirm);
            text.push_str(&format!("\n{}: {words}", store.store));
        }
    }
    if confirm == Confirm::DryRun {
        text.push_str(if totals.counts().written() == 0 {
            " Nothing was written: this was a dry run."
        } else {
            " Nothing was written: this was a dry run; use --confirm to write."
        });
    }
    text
}

/// What a run did, or would do, in one store.
fn store_in_words(totals: &Totals, at: usize, confirm: Confirm) -> String {
    let (done, repaired) = match confirm {
        Confirm::Write => ("copied", "repaired"),
        Confirm::DryRun => ("to copy", "to repair"),
    };
    let counts = totals.stores[at].counts;
    format!(
        "{} and {} {done}, {} {repaired} ({}), {} already there, {} failed.",
        counted(counts.blobs, "blob"),
        counted(counts.manifests, "manifest"),
        counts.repaired,
        counted(counts.bytes, "byte"),
        counts.already_there,
        totals.failures_of(at),
    )
}
