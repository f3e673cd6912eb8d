//! Signals of a server: SIGINT and SIGTERM shut it down, SIGHUP has it read its files again.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Completes at the first SIGINT or SIGTERM, and logs which it was; a second one then ends the process at once.
///
/// # Errors
/// When the system refuses to install a signal handler.
pub(crate) fn shutdown() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let termination = job::termination()?;
    Ok(async {
        let signal = termination.await;
        tracing::info!(signal, "shutting down; the same signal again ends the process at once");
    })
}

/// Calls `react` at each SIGHUP, which from now on does not end the process.
///
/// # Errors
/// As above.
pub(crate) fn on_hangup(mut react: impl FnMut() + Send + 'static) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            react();
        }
    });
    Ok(())
}
