//! The report as one JSON object, streamed: `docs/promotion.md`, "The report".

use std::io::{self, Write};

use oci::{Digest, Tag};
use promotion_manifest::{EdgeSet, Problem};
use serde::Serialize;
use transfer::Confirm;

use super::{Report, Show};
use crate::{Outcome, Summary, Verdict};

/// The version of the report's shape.
const SCHEMA: u32 = 1;

/// Writes the report as JSON. Members appear as they become known, `summary` last.
pub struct JsonReport<W> {
    out: W,
    show: Show,
    first: bool,
}

impl<W: Write> JsonReport<W> {
    /// A report to `out`, which should be buffered.
    pub const fn new(out: W, show: Show) -> Self {
        Self { out, show, first: true }
    }
}

#[derive(Serialize)]
struct ProblemRow<'a> {
    project: Option<&'a str>,
    file: &'a str,
    line: Option<u32>,
    column: Option<u32>,
    message: &'a str,
}

#[derive(Serialize)]
struct OutcomeRow<'a> {
    project: &'a str,
    file: &'a str,
    line: u32,
    source: String,
    destination: String,
    repository: &'a str,
    digest: Digest,
    tag: Option<&'a Tag>,
    outcome: Verdict,
    reason: Option<&'a str>,
}

impl<W: Write> Report for JsonReport<W> {
    fn problems(&mut self, problems: &[Problem]) -> io::Result<()> {
        let rows: Vec<_> = problems
            .iter()
            .map(|problem| ProblemRow {
                project: problem.project.as_deref(),
                file: &problem.file,
                line: problem.position.map(|at| at.line),
                column: problem.position.map(|at| at.column),
                message: &problem.message,
            })
            .collect();
        write!(self.out, "{{\"schema\":{SCHEMA},\n\"problems\":")?;
        serde_json::to_writer(&mut self.out, &rows)?;
        self.out.write_all(b",\n\"outcomes\":[")
    }

    fn outcome(&mut self, edges: &EdgeSet, outcome: &Outcome) -> io::Result<()> {
        if outcome.verdict == Verdict::Present && self.show == Show::Changes {
            return Ok(());
        }
        let place = &edges.destinations()[outcome.edge.destination];
        let edge = &place.edges[outcome.edge.edge];
        let wish = edges.wish(edge);
        let row = OutcomeRow {
            project: &wish.manifest.project,
            file: wish.file(),
            line: edges.position(edge).line,
            source: wish.source_prefix().to_string(),
            destination: place.prefix.to_string(),
            repository: place.name.as_str(),
            digest: edges.digest(edge),
            tag: edges.tag(edge),
            outcome: outcome.verdict,
            reason: outcome.reason.as_deref(),
        };
        self.out.write_all(if self.first { b"\n" } else { b",\n" })?;
        self.first = false;
        Ok(serde_json::to_writer(&mut self.out, &row)?)
    }

    fn finish(&mut self, _: &EdgeSet, summary: &Summary, confirm: Confirm) -> io::Result<()> {
        write!(self.out, "],\n\"summary\":{{\"edges\":{}", summary.edges())?;
        let (copied, tagged) = match confirm {
            Confirm::Write => (Verdict::Copied, Verdict::Tagged),
            Confirm::DryRun => (Verdict::ToCopy, Verdict::ToTag),
        };
        for verdict in
            [Verdict::Present, copied, tagged, Verdict::Lost, Verdict::Refused, Verdict::Failed]
        {
            write!(self.out, ",\"{}\":{}", verdict.as_str(), summary.count(verdict))?;
        }
        self.out.write_all(b"}}\n")?;
        self.out.flush()
    }
}
