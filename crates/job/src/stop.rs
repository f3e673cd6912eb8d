//! Stopping a job early: the work in flight is dropped, which leaves nothing half-written. The job then reports
//! what it did not reach.

use std::time::Duration;

use tokio::sync::watch;

/// Why a job was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// A signal.
    Interrupted,
    /// The deadline of the job, counted from its start.
    Deadline(Duration),
}

/// Stops a job.
#[derive(Debug)]
pub struct Stopper(watch::Sender<Option<StopCause>>);

/// The job's side of a [`Stopper`].
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<Option<StopCause>>);

/// A pair of the two. A dropped [`Stopper`] never stops anything.
#[must_use]
pub fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(None);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Stops the job now, as a signal does.
    pub fn stop(&self) {
        self.0.send_replace(Some(StopCause::Interrupted));
    }

    /// Stops the job now, because this deadline has passed.
    pub fn stop_at_deadline(&self, deadline: Duration) {
        self.0.send_replace(Some(StopCause::Deadline(deadline)));
    }
}

impl Stop {
    /// Why the job was stopped, if it was.
    #[must_use]
    pub fn cause(&self) -> Option<StopCause> {
        *self.0.borrow()
    }

    /// The result of `work`; none when the job was stopped before or meanwhile.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut receiver = self.0.clone();
        let stopped = async {
            if receiver.wait_for(Option::is_some).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = stopped => None,
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
