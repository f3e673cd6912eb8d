//! `portolan explain`: the front's decision, in words.

use std::io::{self, Write as _};

use redirector::{ExplainedPlan, Front, RangesJson, RangesSource};
use serde::Serialize;

use super::front_inputs;
use crate::{
    arguments::{Explain, Output},
    exit::Exit,
    printer::{Printer, wrapped},
};

pub(crate) async fn run(explain: &Explain, printer: &Printer) -> anyhow::Result<Exit> {
    let config = front_inputs::config(&explain.front)?.config;
    let outbound = front_inputs::outbound(&explain.tls_files)?;
    let (ranges, sources) = front_inputs::ranges(&config, &explain.front, &outbound).await?;
    let front = Front::new(&outbound, config, ranges);
    let mut out = io::stdout().lock();
    let explanation = front.explain(explain.ip, &explain.path);
    let exit = if explanation.is_error() { Exit::NotAsAsked } else { Exit::AllHolds };
    if explain.output == Output::Json {
        let ranges = sources.iter().map(RangesSource::json).collect();
        serde_json::to_writer(&mut out, &ExplainReport { plan: explanation.plan(), ranges })?;
        writeln!(out)?;
        return Ok(exit);
    }
    let width = printer.width();
    writeln!(out, "{}", wrapped(&explanation.to_string(), width))?;
    for source in sources {
        writeln!(out, "{}", wrapped(&format!("ranges: {source}"), width))?;
    }
    Ok(exit)
}

/// What `--output json` prints. The members are in `docs/reference/front.md`.
#[derive(Debug, Serialize)]
struct ExplainReport<'a> {
    #[serde(flatten)]
    plan: &'a ExplainedPlan,
    ranges: Vec<RangesJson<'a>>,
}
