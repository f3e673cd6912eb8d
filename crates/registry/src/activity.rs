//! Whether anything moves on a connection. hyper waits for ever for a client that does not say what it
//! wants, or does not read what it asked for; such a one would hold its place for as long.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use tokio::time::{Duration, Instant, sleep_until};

use crate::limits::{HEADER_TIME, STALL_TIME};

/// What moves on one connection. Cheap to clone; the clones are of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Activity(Arc<Moves>);

#[derive(Debug)]
struct Moves {
    begun: Instant,
    /// The last move, in milliseconds since then.
    last: AtomicU64,
    has_asked: AtomicBool,
    /// Requests that the registry works on.
    working: AtomicUsize,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Moves {
            begun: Instant::now(),
            last: AtomicU64::new(0),
            has_asked: AtomicBool::new(false),
            working: AtomicUsize::new(0),
        }))
    }

    /// Something was asked for, or sent.
    pub(crate) fn moved(&self) {
        let now = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(now, Ordering::Relaxed);
    }

    /// As long as this is held, the client is not who is waited for.
    pub(crate) fn works(&self) -> Working {
        self.0.has_asked.store(true, Ordering::Relaxed);
        self.0.working.fetch_add(1, Ordering::Relaxed);
        Working(self.clone())
    }

    /// Completes once nothing has moved for too long, and it is the client's turn.
    pub(crate) async fn stalls(&self) {
        loop {
            let has_asked = self.0.has_asked.load(Ordering::Relaxed);
            let limit = if has_asked { STALL_TIME } else { HEADER_TIME };
            let last = Duration::from_millis(self.0.last.load(Ordering::Relaxed));
            let deadline = self.0.begun + last + limit;
            if Instant::now() < deadline {
                sleep_until(deadline).await;
            } else if self.0.working.load(Ordering::Relaxed) == 0 {
                return;
            } else {
                sleep_until(Instant::now() + limit).await;
            }
        }
    }
}

/// The registry works on a request.
#[derive(Debug)]
pub(crate) struct Working(Activity);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.moved();
        self.0.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_stalls_when_it_is_the_clients_turn() {
        let (silent, start) = (Activity::new(), Instant::now());
        silent.stalls().await;
        assert_eq!(start.elapsed(), HEADER_TIME, "nothing was asked");

        let (slow, start) = (Activity::new(), Instant::now());
        let working = slow.works();
        let moves = async {
            // The registry takes its time, and the client then some.
            tokio::time::sleep(10 * STALL_TIME).await;
            drop(working);
            tokio::time::sleep(STALL_TIME / 2).await;
            slow.moved();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = slow.stalls() => {}
            () = moves => {}
        }
        let stalled = start.elapsed();
        assert!(stalled >= 11 * STALL_TIME + STALL_TIME / 2, "{stalled:?}");
        assert!(stalled <= 13 * STALL_TIME, "{stalled:?}");
    }
}
