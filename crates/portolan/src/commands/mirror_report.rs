//! What `portolan mirror` prints: the planned writes, the failures and the summary as text, or the report as JSON.

use std::io::{self, BufWriter, Write};

use job::Confirm;
use mirror::{Failure, FailureCode, FailureKind, MirrorReport, StoreSet, StoreTotals, Totals};
use oci::Reference;
use promoter::report::in_bytes;
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
        Output::Json => {
            let mut out = BufWriter::new(out);
            serde_json::to_writer(&mut out, &MirrorReport::new(totals, confirm))?;
            out.write_all(b"\n")?;
            out.flush()
        }
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
    let names = totals.stores_of(failure);
    let is_named = failure.cause.code() == FailureCode::StoreUnwritable;
    match names.len() == totals.stores.len() || is_named {
        true => "failed".to_owned(),
        false => format!("failed in {}", names.join(", ")),
    }
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
        in_bytes(counts.bytes),
        counts.already_there,
        totals.failures_of(at),
    )
}
