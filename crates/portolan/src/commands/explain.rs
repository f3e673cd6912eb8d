//! `portolan explain`: the front's decision, in words.

use std::io::{self, Write as _};

use redirector::Front;

use crate::{arguments::Explain, exit::Exit};

pub(crate) async fn run(explain: &Explain) -> anyhow::Result<Exit> {
    let config = super::serve::config(&explain.front)?;
    let (ranges, sources) = super::serve::ranges(&config, &explain.front).await?;
    let front = Front::new(config, ranges);
    let mut out = io::stdout().lock();
    let explanation = front.explain(explain.ip, &explain.path);
    write!(out, "{explanation}")?;
    for source in sources {
        writeln!(out, "ranges: {source}")?;
    }
    Ok(if explanation.is_error() { Exit::NotAsAsked } else { Exit::AllHolds })
}
