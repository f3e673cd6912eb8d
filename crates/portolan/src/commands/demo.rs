//! `portolan demo`.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use anyhow::Context as _;

use crate::{arguments::Demo, demo, exit::Exit, printer::Printer, signals};

/// The longest that the journey may take; it needs about a second.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) async fn run(arguments: &Demo, printer: Printer) -> anyhow::Result<Exit> {
    let asked_to_end = signals::termination()?;
    tokio::pin!(asked_to_end);
    let mut out = io::stdout();
    let journey = tokio::select! {
        journey = tokio::time::timeout(DEADLINE, demo::run(&mut out)) => {
            journey.with_context(|| format!("the demonstration did not end within {DEADLINE:?}"))?
        }
        () = &mut asked_to_end => return Ok(Exit::NotAsAsked),
    };
    let journey = match journey {
        Ok(journey) => journey,
        Err(error) => {
            printer.note(format_args!("a claim does not hold: {error:#}"));
            return Ok(Exit::NotAsAsked);
        }
    };
    out.flush()?;
    if !arguments.exit {
        printer.note("Ctrl-C ends it.");
        asked_to_end.await;
    }
    drop(journey);
    Ok(Exit::AllHolds)
}
