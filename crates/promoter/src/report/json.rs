//! The report as one JSON object, streamed: `docs/reference/report.md`.

use std::io::{self, Write};

use job::{Confirm, StopCause};
use oci::{Digest, Tag};
use promotion_manifest::{EdgeSet, Problem};
use registry_client::Usage;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{
    Report, Show,
    members::{self, TOTALS},
};
use crate::{Ending, Estimate, Outcome, OutcomeKind, PublicNameFailure, ReasonCode};

/// The version of the report's shape.
pub(super) const SCHEMA: u32 = 3;

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

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem", deny_unknown_fields)]
pub(super) struct ProblemRow<'a> {
    /// The project that the manifest belongs to.
    project: Option<&'a str>,
    /// The path of the manifest.
    file: &'a str,
    /// The code of the broken rule.
    #[schemars(schema_with = "members::rule")]
    rule: &'static str,
    /// How severe the problem is.
    #[schemars(schema_with = "members::severity")]
    severity: &'static str,
    /// The line of the first character, from 1.
    line: Option<u32>,
    /// Its column, from 1.
    column: Option<u32>,
    /// The line of the character after the last.
    end_line: Option<u32>,
    /// Its column.
    end_column: Option<u32>,
    /// The problem as text.
    message: &'a str,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Outcome", deny_unknown_fields)]
pub(super) struct OutcomeRow<'a> {
    /// The project that requests the edge.
    project: &'a str,
    /// The file that requests it.
    file: &'a str,
    /// The line in that file.
    line: u32,
    /// The source registry prefix.
    source: String,
    /// The destination registry prefix.
    destination: String,
    /// The image's name below both prefixes.
    repository: &'a str,
    /// The requested digest.
    #[schemars(with = "String")]
    digest: Digest,
    /// The requested tag.
    #[schemars(with = "Option<String>")]
    tag: Option<&'a Tag>,
    /// How the edge ended.
    outcome: OutcomeKind,
    /// The code of the reason.
    code: Option<ReasonCode>,
    /// The reason as text.
    reason: Option<String>,
    /// The attachments that were copied, or would be: digest tags, and digests of referrers.
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
                rule: problem.rule.as_str(),
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
        if outcome.kind == OutcomeKind::Present && self.show == Show::Changes {
            return Ok(());
        }
        let edge = edges.edge(outcome.edge);
        let destination = edge.destination();
        let row = OutcomeRow {
            project: edge.project(),
            file: edge.file(),
            line: edge.position().line,
            source: edge.source_digest().source_prefix().to_string(),
            destination: destination.prefix.to_string(),
            repository: destination.name.as_str(),
            digest: edge.digest(),
            tag: edge.tag(),
            outcome: outcome.kind,
            code: outcome.code(),
            reason: outcome.reason.as_ref().map(ToString::to_string),
            attachments: &outcome.attachments,
        };
        self.out.write_all(if self.first { b"\n" } else { b",\n" })?;
        self.first = false;
        Ok(serde_json::to_writer(&mut self.out, &row)?)
    }

    fn finish(&mut self, _: &EdgeSet, ending: &Ending) -> io::Result<()> {
        let tail = ReportTail {
            public_name_failures: ending
                .public_name_failures
                .iter()
                .map(PublicNameFailureRow::of)
                .collect(),
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
        // The object is open already, so the members follow without their opening brace.
        let tail = serde_json::to_string(&tail)?;
        self.out.write_all(tail.trim_start_matches('{').as_bytes())?;
        self.out.write_all(b"\n")?;
        self.out.flush()
    }
}

/// The members that are known at the end.
#[derive(Serialize, JsonSchema)]
pub(super) struct ReportTail<'a> {
    /// The tags that the public name does not serve as they were written.
    public_name_failures: Vec<PublicNameFailureRow<'a>>,
    /// The requests to each host.
    hosts: Vec<HostRow<'a>>,
    /// Without `--confirm`: what a confirmed run will cost, about.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<EstimateRow<'a>>,
    /// Whether the run was one with `--confirm`.
    confirmed: bool,
    /// Whether the run was stopped before its end.
    interrupted: bool,
    /// The `--deadline` in seconds, if that is what stopped the run.
    deadline: Option<f64>,
    /// The counts of the run.
    #[schemars(schema_with = "members::summary")]
    summary: InOrder,
}

/// Members in the documented order.
struct InOrder(Vec<(&'static str, Value)>);

impl Serialize for InOrder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PublicNameFailure", deny_unknown_fields)]
struct PublicNameFailureRow<'a> {
    /// The image, as users pull it.
    name: &'a str,
    /// The digest that the tag should be on.
    #[schemars(with = "String")]
    digest: Digest,
    /// The code of the reason.
    code: ReasonCode,
    /// What was found instead, as text.
    reason: String,
}

impl<'a> PublicNameFailureRow<'a> {
    fn of(failure: &'a PublicNameFailure) -> Self {
        let PublicNameFailure { name, digest, reason } = failure;
        let (code, reason) = (reason.code(), reason.to_string());
        Self { name, digest: *digest, code, reason }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Host", deny_unknown_fields)]
struct HostRow<'a> {
    /// The host.
    host: &'a str,
    /// Requests that read.
    reads: u64,
    /// Requests that write.
    writes: u64,
    /// Bytes of all bodies that were received.
    bytes_received: u64,
    /// Bytes of all bodies that were sent.
    bytes_sent: u64,
    /// Requests that were sent again.
    retries: u64,
    /// Requests that the host throttled: it responded that there were too many (429).
    throttled: u64,
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
            throttled: usage.throttled,
        }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Estimate", deny_unknown_fields)]
struct EstimateRow<'a> {
    /// The share of each host.
    hosts: Vec<HostEstimateRow<'a>>,
    /// The shortest time that the quotas allow.
    seconds: f64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HostEstimate", deny_unknown_fields)]
struct HostEstimateRow<'a> {
    /// The host.
    host: &'a str,
    /// Requests that read.
    reads: u64,
    /// Requests that write.
    writes: u64,
    /// Bytes of blobs that are read from the host.
    bytes_received: u64,
    /// Bytes of blobs that are written to the host.
    bytes_sent: u64,
    /// The shortest time that the quota allows for that.
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
    let counts = OutcomeKind::all(ending.confirm)
        .map(|kind| (kind.as_str(), Value::from(ending.summary.count(kind))));
    let rest: [Value; TOTALS.len()] = [
        ending.summary.count(OutcomeKind::AttachmentBroken).into(),
        ending.public_name_failures.len().into(),
        ending.requests().into(),
        ending.bytes_received().into(),
        ending.bytes_sent().into(),
        ending.time.as_secs_f64().into(),
    ];
    let rest = TOTALS.into_iter().zip(rest);
    let edges = ("edges", ending.summary.edges().into());
    InOrder([edges].into_iter().chain(counts).chain(rest).collect())
}
