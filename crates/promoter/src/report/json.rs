//! The report as one JSON object, streamed: `docs/promotion.md`, "The report".

use std::io::{self, Write};

use job::{Confirm, StopCause};
use oci::{Digest, Tag};
use promotion_manifest::{EdgeSet, Problem};
use registry_client::Usage;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{Report, Show};
use crate::{Ending, Estimate, Outcome, Unanswered, Verdict};

/// The version of the report's shape.
const SCHEMA: u32 = 2;

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
    rule: &'static str,
    severity: &'static str,
    line: Option<u32>,
    column: Option<u32>,
    end_line: Option<u32>,
    end_column: Option<u32>,
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
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    attachments: &'a [String],
}

impl<W: Write> Report for JsonReport<W> {
    fn problems(&mut self, problems: &[Problem]) -> io::Result<()> {
        let rows: Vec<_> = problems
            .iter()
            .map(|problem| ProblemRow {
                project: problem.project.as_deref(),
                file: &problem.file,
                rule: problem.rule.code(),
                severity: problem.rule.severity().as_str(),
                line: problem.span.map(|span| span.start.line),
                column: problem.span.map(|span| span.start.column),
                end_line: problem.span.map(|span| span.end.line),
                end_column: problem.span.map(|span| span.end.column),
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
        let edge = edges.edge(outcome.edge);
        let place = edge.destination();
        let row = OutcomeRow {
            project: edge.project(),
            file: edge.file(),
            line: edge.position().line,
            source: edge.source_digest().source_prefix().to_string(),
            destination: place.prefix.to_string(),
            repository: place.name.as_str(),
            digest: edge.digest(),
            tag: edge.tag(),
            outcome: outcome.verdict,
            reason: outcome.reason.as_deref(),
            attachments: &outcome.attachments,
        };
        self.out.write_all(if self.first { b"\n" } else { b",\n" })?;
        self.first = false;
        Ok(serde_json::to_writer(&mut self.out, &row)?)
    }

    fn finish(&mut self, _: &EdgeSet, ending: &Ending) -> io::Result<()> {
        let tail = Tail {
            unanswered: ending.unanswered.iter().map(UnansweredRow::of).collect(),
            hosts: ending.hosts.iter().map(HostRow::of).collect(),
            estimate: ending.estimate.as_ref().map(EstimateRow::of),
            confirmed: ending.confirm == Confirm::Write,
            interrupted: ending.stopped.is_some(),
            deadline: match ending.stopped {
                Some(StopCause::Deadline(deadline)) => Some(deadline.as_secs_f64()),
                Some(StopCause::Interrupted) | None => None,
            },
            summary: summary(ending),
        };
        self.out.write_all(b"],\n")?;
        // The members follow those that are there already: without the brace that would open them.
        let tail = serde_json::to_string(&tail)?;
        self.out.write_all(tail.trim_start_matches('{').as_bytes())?;
        self.out.write_all(b"\n")?;
        self.out.flush()
    }
}

/// The members that are known at the end.
#[derive(Serialize)]
struct Tail<'a> {
    unanswered: Vec<UnansweredRow<'a>>,
    hosts: Vec<HostRow<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<EstimateRow<'a>>,
    confirmed: bool,
    interrupted: bool,
    deadline: Option<f64>,
    summary: InOrder,
}

/// Members in this order, which is the documented one.
struct InOrder(Vec<(&'static str, Value)>);

impl Serialize for InOrder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[derive(Serialize)]
struct UnansweredRow<'a> {
    name: &'a str,
    digest: Digest,
    reason: &'a str,
}

impl<'a> UnansweredRow<'a> {
    fn of(unanswered: &'a Unanswered) -> Self {
        let Unanswered { name, digest, reason } = unanswered;
        Self { name, digest: *digest, reason }
    }
}

#[derive(Serialize)]
struct HostRow<'a> {
    host: &'a str,
    reads: u64,
    writes: u64,
    bytes_received: u64,
    bytes_sent: u64,
    retries: u64,
    refused: u64,
}

impl<'a> HostRow<'a> {
    fn of(usage: &'a Usage) -> Self {
        Self {
            host: &usage.host,
            reads: usage.reads,
            writes: usage.writes,
            bytes_received: usage.bytes_received,
            bytes_sent: usage.bytes_sent,
            retries: usage.retries,
            refused: usage.refused,
        }
    }
}

#[derive(Serialize)]
struct EstimateRow<'a> {
    hosts: Vec<HostEstimateRow<'a>>,
    seconds: f64,
}

#[derive(Serialize)]
struct HostEstimateRow<'a> {
    host: &'a str,
    reads: u64,
    writes: u64,
    bytes_received: u64,
    bytes_sent: u64,
    seconds: f64,
}

impl<'a> EstimateRow<'a> {
    fn of(estimate: &'a Estimate) -> Self {
        let hosts = estimate.hosts.iter().map(|it| HostEstimateRow {
            host: it.host.as_str(),
            reads: it.reads,
            writes: it.writes,
            bytes_received: it.bytes_received,
            bytes_sent: it.bytes_sent,
            seconds: it.time.as_secs_f64(),
        });
        Self { hosts: hosts.collect(), seconds: estimate.time().as_secs_f64() }
    }
}

fn summary(ending: &Ending) -> InOrder {
    let counts = Verdict::all(ending.confirm)
        .map(|verdict| (verdict.as_str(), Value::from(ending.summary.count(verdict))));
    let rest = [
        // Not the outcome's code: a `-` in the name of a member has to be quoted in jq.
        ("attachment_broken", ending.summary.count(Verdict::AttachmentBroken).into()),
        ("unanswered", ending.unanswered.len().into()),
        ("requests", ending.requests().into()),
        ("bytes_received", ending.bytes_received().into()),
        ("bytes_sent", ending.bytes_sent().into()),
        ("seconds", ending.time.as_secs_f64().into()),
    ];
    let edges = ("edges", ending.summary.edges().into());
    InOrder([edges].into_iter().chain(counts).chain(rest).collect())
}
