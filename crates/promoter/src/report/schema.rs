//! The JSON Schema of the report, derived from the rows that `json` writes.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde::Serialize;

use super::{
    json::{OutcomeRow, ProblemRow, SCHEMA},
    tail::ReportTail,
};

/// The report of `portolan promote` as one JSON object.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Report", deny_unknown_fields)]
struct ReportDocument<'a> {
    /// The version of this schema.
    #[schemars(schema_with = "version")]
    schema: u32,
    /// The problems of the promotion manifests.
    problems: Vec<ProblemRow<'a>>,
    /// The outcome of each edge, and of each broken attachment at each destination.
    outcomes: Vec<OutcomeRow<'a>>,
    #[serde(flatten)]
    tail: ReportTail<'a>,
}

/// The schema of the JSON report, in JSON Schema 2020-12.
#[must_use]
pub fn report_schema() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<ReportDocument<'_>>()
}

fn version(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "const": SCHEMA })
}
