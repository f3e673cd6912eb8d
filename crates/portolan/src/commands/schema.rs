//! `portolan schema`: the JSON Schema of a format, on standard output.

use std::io::{self, Write as _};

use crate::{arguments::Schema, exit::Exit};

pub(crate) fn run(schema: &Schema) -> anyhow::Result<Exit> {
    let schema = match schema {
        Schema::Front => serde_json::to_value(redirector::config_schema())?,
        Schema::Mirror => serde_json::to_value(mirror::mirror_report_schema())?,
        Schema::Report => serde_json::to_value(promoter::report::report_schema())?,
    };
    writeln!(io::stdout().lock(), "{}", serde_json::to_string_pretty(&schema)?)?;
    Ok(Exit::AllHolds)
}
