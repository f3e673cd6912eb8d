//! What every long job has besides its work: whether it writes at all, telling how far it is, and
//! stopping early without breaking anything: work in flight is dropped, which leaves nothing
//! half-written. What is done with the telling (a bar, lines, nothing) is the caller's, and so is
//! reporting what was not reached.

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

/// Tells a run to stop.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Hears of it.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// A pair of the two. A dropped [`Stopper`] never stops anything.
#[must_use]
pub fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Stops the run, now.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// What `work` comes to; nothing when the run was stopped before or meanwhile.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut stopped = self.0.clone();
        let told = async {
            if stopped.wait_for(|stopped| *stopped).await.is_err() {
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
