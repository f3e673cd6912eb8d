//! `portolan demo`.

use std::{io::Write as _, pin::pin, time::Duration};

use anyhow::{Context as _, anyhow};

use crate::{
    arguments::Demo,
    demo::{self, DemoServers},
    exit::Exit,
    printer::Printer,
};

/// The longest that the journey may take; it needs about a second.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) async fn run(arguments: &Demo, printer: &Printer) -> anyhow::Result<Exit> {
    let mut asked_to_end = pin!(job::termination()?);
    let mut servers = DemoServers::open().await?;
    let shown = tokio::select! {
        shown = show(&mut servers, arguments, printer) => shown,
        _ = &mut asked_to_end => Err(anyhow!("interrupted before everything was checked")),
    };
    if shown.is_ok() && !arguments.exit {
        printer.note("Ctrl-C ends it.");
        asked_to_end.await;
    }
    // Whatever became of it, nothing is left behind.
    servers.close().await?;
    match shown {
        Ok(()) => Ok(Exit::AllHolds),
        Err(error) => {
            printer.fault(format_args!("the demonstration failed: {error:#}"));
            Ok(Exit::NotAsAsked)
        }
    }
}

async fn show(
    servers: &mut DemoServers,
    arguments: &Demo,
    printer: &Printer,
) -> anyhow::Result<()> {
    let mut out = printer.lasting_stdout();
    let journey = tokio::time::timeout(DEADLINE, demo::run(servers, &mut out)).await;
    let front = journey.with_context(|| format!("it did not end within {DEADLINE:?}"))??;
    if !arguments.exit {
        demo::write_commands(&mut out, &front)?;
    }
    Ok(out.flush()?)
}
