//! The JSON Schemas of those members of the report whose values have no types.

use job::Confirm;
use promotion_manifest::{Rule, Severity};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use crate::OutcomeKind;

/// The members of the summary after the counts of outcomes. `attachment_broken` is spelled with `_`, unlike the
/// outcome, because jq needs quotes around names with `-`.
pub(super) const TOTALS: [&str; 6] = [
    "attachment_broken",
    "public_name_failures",
    "requests",
    "bytes_received",
    "bytes_sent",
    "seconds",
];

pub(super) fn rule(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": Rule::ALL.map(Rule::as_str).to_vec() })
}

pub(super) fn severity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": [Severity::Error.as_str()] })
}

/// The counts of a dry run or of a confirmed one, and the totals.
pub(super) fn summary(_: &mut SchemaGenerator) -> Schema {
    let [dry, confirmed] = [Confirm::DryRun, Confirm::Write].map(summary_of);
    json_schema!({ "oneOf": [dry, confirmed] })
}

fn summary_of(confirm: Confirm) -> Value {
    let counts = OutcomeKind::all(confirm).map(OutcomeKind::as_str);
    let members: Vec<_> = ["edges"].into_iter().chain(counts).chain(TOTALS).collect();
    let kind = |member: &str| match member {
        "seconds" => serde_json::json!({ "type": "number", "minimum": 0 }),
        _ => serde_json::json!({ "type": "integer", "minimum": 0 }),
    };
    let properties: Map<_, _> =
        members.iter().map(|&member| (member.to_owned(), kind(member))).collect();
    serde_json::json!({
        "type": "object",
        "properties": properties,
        "required": members,
        "additionalProperties": false,
    })
}
