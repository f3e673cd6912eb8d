//! What every long job has besides its work: whether it writes at all, telling how far it is, and
//! stopping early without breaking anything: work in flight is dropped, which leaves nothing
//! half-written. What is done with the telling (a bar, lines, nothing) is the caller's, and so is
//! reporting what was not reached.

use std::time::Duration;

use tokio::sync::watch;

/// Whether anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// What would be done is found out and told; nothing is written anywhere.
    DryRun,
    /// It is done.
    Write,
}

/// Hears of the progress of a promotion or a mirroring. Calls come from any task.
pub trait Progress: Send + Sync {
    /// A new stage begins: `what` is done `total` times.
    fn stage(&self, what: &'static str, total: u64);

    /// `steps` more of the stage are done.
    fn advance(&self, steps: u64);

    /// The job will write so many bytes, at most.
    fn expect_bytes(&self, _bytes: u64) {}
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: &'static str, _: u64) {}
    fn advance(&self, _: u64) {}
}

/// Why a run is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// A signal.
    Interrupted,
    /// The deadline that it was given.
    Deadline(Duration),
}

/// Tells a run to stop.
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<StopCause>>);

/// Hears of it.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<Option<StopCause>>);

/// A pair of the two. A dropped [`Stopper`] never stops anything.
#[must_use]
pub fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(None);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Stops the run, now, as a signal does.
    pub fn stop(&self) {
        self.0.send_replace(Some(StopCause::Interrupted));
    }

    /// Stops the run, now, since this deadline has passed.
    pub fn stop_at_deadline(&self, deadline: Duration) {
        self.0.send_replace(Some(StopCause::Deadline(deadline)));
    }
}

impl Stop {
    /// Why the run was stopped, if it was.
    #[must_use]
    pub fn cause(&self) -> Option<StopCause> {
        *self.0.borrow()
    }

    /// What `work` comes to; nothing when the run was stopped before or meanwhile.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut stopped = self.0.clone();
        let told = async {
            if stopped.wait_for(Option::is_some).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = told => None,
            done = work => Some(done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_ends_or_is_stopped() {
        let (stopper, stop) = stop();
        assert_eq!(stop.unless_stopped(async { 1 }).await, Some(1));
        let forever = stop.unless_stopped(std::future::pending::<()>());
        let (ended, ()) = tokio::join!(forever, async { stopper.stop() });
        assert_eq!(ended, None);
        assert_eq!(stop.unless_stopped(async { 1 }).await, None, "stopped stays stopped");
    }

    #[tokio::test]
    async fn a_dropped_stopper_stops_nothing() {
        let (stopper, stop) = stop();
        drop(stopper);
        assert_eq!(stop.unless_stopped(tokio::task::yield_now()).await, Some(()));
    }
}
