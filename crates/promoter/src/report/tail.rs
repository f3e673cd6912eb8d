//! The members of the JSON report that are known at the end of a run.

use job::{Confirm, StopCause};
use oci::Digest;
use registry_client::Usage;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::members::{self, TOTALS};
use crate::{Ending, Estimate, OutcomeKind, PublicNameFailure, ReasonCode};

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

impl<'a> ReportTail<'a> {
    pub(super) fn of(ending: &'a Ending) -> Self {
        Self {
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
        }
    }
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
