//! Signals that end the program, or have a server read its files again.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use transfer::Stop;

/// Completes at the first SIGINT or SIGTERM; a second one then ends the process at once.
///
/// # Errors
/// When the system does not let us listen.
pub(crate) fn termination() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let named = named_termination()?;
    Ok(async {
        let _ = named.await;
    })
}

/// The same, and a line in the log says which it was: for a server, which else ends without a word.
///
/// # Errors
/// As above.
pub(crate) fn shutdown() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let named = named_termination()?;
    Ok(async {
        let signal = named.await;
        tracing::info!(signal, "shutting down; the same signal again ends the process at once");
    })
}

fn named_termination() -> std::io::Result<impl Future<Output = &'static str> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        let name = tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        };
        die_on_the_next();
        name
    })
}

/// Calls `react` at each SIGHUP, which from now on does not end the process.
///
/// # Errors
/// When the system does not let us listen.
pub(crate) fn on_hangup(mut react: impl FnMut() + Send + 'static) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            react();
        }
    });
    Ok(())
}

/// What stops a job at the first such signal, or after so long, so that it still reports.
///
/// # Errors
/// As above.
pub(crate) fn stop_on_termination(deadline: Option<Duration>) -> std::io::Result<Stop> {
    let (stopper, stop) = transfer::stop();
    let asked_to_end = termination()?;
    tokio::spawn(async move {
        match deadline {
            None => asked_to_end.await,
            Some(deadline) => {
                // An elapsed deadline stops the job as a signal does; the next signal ends the process.
                if tokio::time::timeout(deadline, asked_to_end).await.is_err() {
                    die_on_the_next();
                    return stopper.stop_at_deadline(deadline);
                }
            }
        }
        stopper.stop();
    });
    Ok(stop)
}

/// Tokio's handlers stay installed once they are used, so a second signal would be swallowed: from
/// here on it ends the process at once.
fn die_on_the_next() {
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        if let Ok(mut signal) = signal(kind) {
            tokio::spawn(async move {
                signal.recv().await;
                #[expect(
                    clippy::disallowed_methods,
                    reason = "asked twice, the user wants out now"
                )]
                std::process::exit(130);
            });
        }
    }
}
