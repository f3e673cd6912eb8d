//! `portolan explain`: the front's decision, in words.

use std::io::{self, Write as _};

use redirector::Front;

use crate::{
    arguments::Explain,
    exit::Exit,
    printer::{Printer, wrapped},
};

pub(crate) async fn run(explain: &Explain, printer: &Printer) -> anyhow::Result<Exit> {
    let config = super::front_inputs::config(&explain.front)?;
    let (ranges, sources) = super::front_inputs::ranges(&config, &explain.front).await?;
    let front = Front::new(&super::front_inputs::outbound()?, config, ranges);
    let mut out = io::stdout().lock();
    let explanation = front.explain(explain.ip, &explain.path);
    let width = printer.width();
    writeln!(out, "{}", wrapped(&explanation.to_string(), width))?;
    for source in sources {
        writeln!(out, "{}", wrapped(&format!("ranges: {source}"), width))?;
    }
    Ok(if explanation.is_error() { Exit::NotAsAsked } else { Exit::AllHolds })
}
