//! SIGINT and SIGTERM: the first stops a job, the second ends the process.

use std::{io, time::Duration};

use tokio::signal::unix::{SignalKind, signal};

use crate::{Stop, stop};

/// Completes with the name of the first SIGINT or SIGTERM; a second one then ends the process at once.
///
/// # Errors
/// When the system refuses to install a signal handler.
pub fn termination() -> io::Result<impl Future<Output = &'static str> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        let name = tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        };
        exit_on_the_next();
        name
    })
}

/// A [`Stop`] that the first such signal triggers, or the deadline, whichever comes first.
///
/// # Errors
/// Those of [`termination`].
pub fn stop_on_termination(deadline: Option<Duration>) -> io::Result<Stop> {
    let (stopper, stop) = stop();
    let signalled = termination()?;
    tokio::spawn(async move {
        match deadline {
            None => {
                signalled.await;
            }
            Some(deadline) => {
                // After the deadline as after a signal, the next signal ends the process.
                if tokio::time::timeout(deadline, signalled).await.is_err() {
                    exit_on_the_next();
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
fn exit_on_the_next() {
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        if let Ok(mut signal) = signal(kind) {
            tokio::spawn(async move {
                signal.recv().await;
                #[expect(
                    clippy::disallowed_methods,
                    reason = "a second signal means that the user does not wait for the report"
                )]
                std::process::exit(130);
            });
        }
    }
}
