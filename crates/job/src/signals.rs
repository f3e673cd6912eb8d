//! SIGINT and SIGTERM: the first stops a job, the second ends the process. SIGHUP stops a job too: its terminal is gone, and
//! the report may still be read elsewhere.

use std::{fs, io, sync::mpsc, thread, time::Duration};

use tokio::signal::unix::{SignalKind, signal};

use crate::{Stop, stop};

/// Completes with the name of the first SIGINT or SIGTERM; a second one then ends the process at once.
///
/// # Errors
/// When the system refuses to install a signal handler.
pub fn termination() -> io::Result<impl Future<Output = &'static str> + Send + 'static> {
    let terminated = first_termination()?;
    Ok(async move {
        let name = terminated.await;
        exit_on_the_next(|| {});
        name
    })
}

fn first_termination() -> io::Result<impl Future<Output = &'static str> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    })
}

/// A [`Stop`] that the first such signal triggers, SIGHUP, or the deadline, whichever comes first. If a second SIGINT or
/// SIGTERM ends the process, `tidy_up` runs before.
///
/// # Errors
/// Those of [`termination`].
pub fn stop_on_termination(
    deadline: Option<Duration>,
    tidy_up: impl Fn() + Clone + Send + 'static,
) -> io::Result<Stop> {
    let (stopper, stop) = stop();
    let (terminated, hung_up) = (first_termination()?, hangup()?);
    let signalled = async {
        tokio::select! {
            _ = terminated => {}
            () = hung_up => {}
        }
    };
    tokio::spawn(async move {
        match deadline {
            None => signalled.await,
            Some(deadline) => {
                // After the deadline as after a signal, the next signal ends the process.
                if tokio::time::timeout(deadline, signalled).await.is_err() {
                    exit_on_the_next(tidy_up);
                    return stopper.stop_at_deadline(deadline);
                }
            }
        }
        exit_on_the_next(tidy_up);
        stopper.stop();
    });
    Ok(stop)
}

/// Completes at the first SIGHUP; never, if the process was started to ignore it, as by `nohup`. From now on it does not
/// end the process: one that comes twice, from the terminal and from its shell, does not either.
fn hangup() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let is_ignored = fs::read_to_string("/proc/self/status").is_ok_and(|it| ignores_hangup(&it));
    let mut hangup = if is_ignored { None } else { Some(signal(SignalKind::hangup())?) };
    Ok(async move {
        match &mut hangup {
            Some(hangup) => drop(hangup.recv().await),
            None => std::future::pending().await,
        }
    })
}

/// Whether a process ignores SIGHUP, by Linux's `/proc/<pid>/status`: it is the lowest bit of the mask.
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

/// How long a tidying up may hold up the end of the process.
const TIDY_UP: Duration = Duration::from_millis(200);

/// Tokio's handlers stay installed once they are used, so a second signal would be swallowed: from
/// here on it ends the process at once.
fn exit_on_the_next(tidy_up: impl Fn() + Clone + Send + 'static) {
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        if let Ok(mut signal) = signal(kind) {
            let tidy_up = tidy_up.clone();
            tokio::spawn(async move {
                signal.recv().await;
                let (done, tidied) = mpsc::channel();
                // A terminal that takes no output must not keep the process.
                thread::spawn(move || {
                    tidy_up();
                    let _ = done.send(());
                });
                let _ = tidied.recv_timeout(TIDY_UP);
                #[expect(
                    clippy::disallowed_methods,
                    reason = "a second signal means that the user does not wait for the report"
                )]
                std::process::exit(130);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nohup_is_recognized() {
        let status = |mask| format!("Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\n");
        assert!(ignores_hangup(&status("0000000000001001")));
        assert!(!ignores_hangup(&status("0000000000001000")));
        assert!(!ignores_hangup("Name:\tx\n"));
    }
}
