//! The channels of a blob's pieces from the one reader to the destinations: each is bounded, and a slow one cannot hold
//! up the others.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, future::join_all, stream};
use tokio::{
    sync::{
        mpsc::{self, Receiver, Sender},
        oneshot,
    },
    time::{Instant, timeout},
};

use crate::MAX_LAG;

/// How many pieces may wait for one destination: enough to keep a connection busy while another
/// destination hesitates, and at most some hundred KiB each, shared by all destinations.
pub const PIECES_WAITING: usize = 8;

/// How often the lanes are checked for one that holds up the others.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// What goes through the channels. A channel that closes without an `End` means that the source failed.
#[derive(Clone)]
pub(crate) enum Piece {
    Bytes(Bytes),
    End,
}

/// The channel of the pieces to one destination.
struct Lane {
    pieces: Sender<Piece>,
    /// Resolves when the destination is done, whether it succeeded or failed. The channel alone does not show that: an
    /// abandoned request may stay in a stuck connection, and keep the channel open.
    ended: oneshot::Receiver<()>,
    /// Signals the destination that it is left behind.
    leave: oneshot::Sender<()>,
    /// Whether the destination has taken the current piece.
    has_taken: bool,
    /// Whether it had not taken it when the current wait began.
    waits: bool,
    /// How long the current wait was until it was taken.
    took: Duration,
    /// How long others have waited for this one.
    held_up: Duration,
    idle: Arc<Idle>,
    /// How long it had been idle when the current wait began.
    was_idle: Duration,
}

/// How long a destination has waited for pieces.
#[derive(Debug, Default)]
struct Idle(Mutex<(Duration, Option<Instant>)>);

impl Idle {
    fn state(&self) -> MutexGuard<'_, (Duration, Option<Instant>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) {
        self.state().1 = Some(Instant::now());
    }

    fn end(&self) {
        let mut state = self.state();
        let (all, since) = &mut *state;
        *all += since.take().map(|since| since.elapsed()).unwrap_or_default();
    }

    /// In all until now.
    fn total(&self) -> Duration {
        let (all, since) = *self.state();
        all + since.map(|since| since.elapsed()).unwrap_or_default()
    }
}

/// The pieces as they come to a destination.
pub(crate) struct PieceReceiver {
    receiver: Receiver<Piece>,
    idle: Arc<Idle>,
}

impl PieceReceiver {
    /// The next piece; none when no more come.
    pub(crate) async fn next(&mut self) -> Option<Piece> {
        self.idle.begin();
        let piece = self.receiver.recv().await;
        self.idle.end();
        piece
    }
}

/// The other end of a lane.
pub(crate) struct LaneEnd {
    pub(crate) pieces: PieceReceiver,
    /// Held for as long as pieces are taken.
    pub(crate) open: oneshot::Sender<()>,
    /// Resolves to something when the destination is left behind.
    pub(crate) left: oneshot::Receiver<()>,
}

impl Lane {
    fn new() -> (Option<Self>, LaneEnd) {
        let (sender, receiver) = mpsc::channel(PIECES_WAITING);
        let (open, ended) = oneshot::channel();
        let (leave, left) = oneshot::channel();
        let idle = Arc::new(Idle::default());
        let pieces = PieceReceiver { receiver, idle: Arc::clone(&idle) };
        let lane = Self {
            pieces: sender,
            ended,
            leave,
            has_taken: false,
            waits: false,
            took: Duration::ZERO,
            held_up: Duration::ZERO,
            idle,
            was_idle: Duration::ZERO,
        };
        (Some(lane), LaneEnd { pieces, open, left })
    }

    /// Waits for room, in a wait that began then. Whether the piece was taken.
    async fn take(&mut self, piece: &Piece, began: Instant) -> bool {
        let taken = tokio::select! {
            sent = self.pieces.send(piece.clone()) => sent.is_ok(),
            _ = &mut self.ended => false,
        };
        self.has_taken = taken;
        self.took = began.elapsed();
        taken
    }

    /// How long the others waited for this lane, of a wait of `all`.
    const fn waited(&self, all: Duration) -> Duration {
        match (self.waits, self.has_taken) {
            (false, _) => Duration::ZERO,
            (true, true) => self.took,
            (true, false) => all,
        }
    }

    /// How long its destination was idle during the current wait.
    fn idled(&self) -> Duration {
        self.idle.total().saturating_sub(self.was_idle)
    }

    /// Leaves the destination behind.
    fn leave(self) {
        let _ = self.leave.send(());
    }
}

/// The lanes of one blob.
pub(crate) struct Lanes {
    /// None where a lane was closed.
    open: Vec<Option<Lane>>,
    began: Instant,
}

impl Lanes {
    /// `count` lanes, and their receiving ends.
    pub(crate) fn new(count: usize) -> (Self, Vec<LaneEnd>) {
        let (open, ends) = (0..count).map(|_| Lane::new()).unzip();
        (Self { open, began: Instant::now() }, ends)
    }

    /// Whether all lanes are closed.
    pub(crate) fn are_closed(&self) -> bool {
        self.open.iter().all(Option::is_none)
    }

    /// Waits until every lane has room, and gives it the piece; a lane that takes no more is closed, and one for
    /// which others have waited too long is left behind.
    pub(crate) async fn give(&mut self, piece: &Piece) {
        self.open.iter_mut().flatten().for_each(|lane| lane.has_taken = false);
        loop {
            let began = Instant::now();
            for lane in self.open.iter_mut().flatten() {
                (lane.waits, lane.was_idle) = (!lane.has_taken, lane.idle.total());
            }
            let each = self.open.iter_mut().map(|lane| async move {
                if let Some(open) = lane
                    && open.waits
                    && !open.take(piece, began).await
                {
                    *lane = None;
                }
            });
            let is_all = timeout(CHECK_INTERVAL, join_all(each)).await.is_ok();
            self.leave_behind(began.elapsed());
            if is_all {
                return;
            }
        }
    }

    /// Charges a wait to the lanes that caused it: a destination that was idle meanwhile waited for the lanes that took
    /// longer than the quickest. A lane that others have waited for during half of the whole time, and [`MAX_LAG`]
    /// besides, is left behind: it takes twice as long as they do. A destination that still has pieces does not wait,
    /// so that of equally fast destinations on a busy machine none is left behind.
    fn leave_behind(&mut self, waited: Duration) {
        let open = || self.open.iter().flatten();
        let idled = open().map(Lane::idled).max().unwrap_or_default();
        let quickest = open().map(|lane| lane.waited(waited)).min().unwrap_or_default();
        let bearable = self.began.elapsed() / 2 + MAX_LAG;
        for lane in &mut self.open {
            let Some(open) = lane else { continue };
            open.held_up += (open.waited(waited) - quickest).min(idled);
            if open.held_up >= bearable
                && let Some(slow) = lane.take()
            {
                slow.leave();
            }
        }
    }
}

/// The pieces as the body of a request: it ends well only with the `End`.
pub(crate) fn body(
    first: Piece,
    rest: PieceReceiver,
) -> impl Stream<Item = Result<Bytes, SourceFailed>> + Send + 'static {
    stream::try_unfold((Some(first), rest), |(first, mut rest)| async move {
        let piece = match first {
            Some(piece) => Some(piece),
            None => rest.next().await,
        };
        match piece {
            Some(Piece::Bytes(bytes)) => Ok(Some((bytes, (None, rest)))),
            Some(Piece::End) => Ok(None),
            None => Err(SourceFailed),
        }
    })
}

/// The error at the end of a body that is incomplete.
#[derive(Debug, thiserror::Error)]
#[error("the blob could not be read to the end")]
pub(crate) struct SourceFailed;

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// Passes pieces to destinations that take this many milliseconds for each. Returns how many each took, and whether
    /// it was left behind.
    async fn given(pieces: usize, each_takes: &[u64]) -> Vec<(usize, bool)> {
        let (mut lanes, ends) = Lanes::new(each_takes.len());
        let reading = async {
            for _ in 0..pieces {
                lanes.give(&Piece::Bytes(Bytes::from_static(b"x"))).await;
            }
            drop(lanes);
        };
        let taking = ends.into_iter().zip(each_takes).map(|(end, takes)| async move {
            let LaneEnd { mut pieces, open: _open, left } = end;
            let mut taken = 0;
            while pieces.next().await.is_some() {
                taken += 1;
                sleep(Duration::from_millis(*takes)).await;
            }
            (taken, left.await.is_ok())
        });
        tokio::join!(reading, join_all(taking)).1
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_takes_more_than_twice_as_long_is_left_behind() {
        // By little at a time, and by much; after four to six seconds of that.
        for (slow, at_most) in [(20, 300), (1500, 4)] {
            let taken = given(1000, &[1, slow, 2]).await;
            assert_eq!((taken[0], taken[2]), ((1000, false), (1000, false)), "{slow}");
            let (few, is_left) = taken[1];
            assert!(is_left && few <= at_most + PIECES_WAITING, "{slow}: {few}");
        }
        // Two that are slow are held up by neither, and hold a third one up both.
        let taken = given(300, &[0, 100, 100]).await;
        assert_eq!((taken[0], taken[1].1, taken[2].1), ((300, false), true, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_is_nearly_as_fast_is_not_left_behind() {
        assert_eq!(given(300, &[100, 101, 99]).await, [(300, false); 3]);
        assert_eq!(given(1000, &[60, 100]).await, [(1000, false); 2]);
        assert_eq!(given(300, &[100]).await, [(300, false)]);
    }
}
