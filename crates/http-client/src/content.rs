//! What a request carries: nothing, bytes, or a stream whose progress is watched.
//!
//! A stream is handed out so that a wrong one is never complete on the wire: its last piece waits
//! until the stream has ended in order. An error, or another length than announced, then breaks
//! the request off, and a registry that was promised more bytes commits nothing.

use std::{
    error::Error as StdError,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use tokio::{sync::watch, time::Instant};

use crate::{
    causes::BoxError,
    error::TransportError,
    rate::{LeastRate, Meter, TooSlow},
};

/// The slowest line over which bytes are sent whose progress is not watched, such as manifests, in bytes a
/// second (1 Mbit/s): the response may take so much longer.
const BYTES_A_SECOND: u64 = 128 << 10;

/// The rate at which content counts as stored that a server has received, in bytes a second: below that of disks and of
/// object storage, so that a large blob is given the time to be hashed and copied.
const STORED_BYTES_A_SECOND: u64 = 8 << 20;

/// The body of a request, as the connection takes it.
pub type OutgoingBody = UnsyncBoxBody<Bytes, BoxError>;

/// What a request carries.
pub enum RequestContent {
    /// Bytes in memory, perhaps none. They could be sent again.
    Bytes(Bytes),
    /// A stream of known length, which can be sent once.
    Stream {
        /// Its length in bytes.
        size: u64,
        /// Its pieces.
        pieces: Pieces,
    },
    /// A stream that was sent already, of this length.
    Spent(u64),
}

/// A stream of content, whatever its own error was.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>;

impl RequestContent {
    /// No content.
    pub const NONE: Self = Self::Bytes(Bytes::new());

    /// A stream of `size` bytes.
    pub fn stream<S, E>(size: u64, body: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self::Stream { size, pieces: Box::pin(body.map(|piece| piece.map_err(Into::into)).fuse()) }
    }

    /// The length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Stream { size, .. } | Self::Spent(size) => *size,
        }
    }

    /// The same, where each piece waits for `paced` before it goes out.
    pub fn paced<F, W>(&mut self, paced: F)
    where
        F: Fn(u64) -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let Self::Stream { pieces, .. } = self else { return };
        let inner = std::mem::replace(pieces, Box::pin(futures_util::stream::empty()));
        *pieces = Box::pin(inner.then(move |piece| {
            let paced = piece.as_ref().ok().map(|piece| paced(piece.len() as u64));
            async move {
                if let Some(paced) = paced {
                    paced.await;
                }
                piece
            }
        }));
    }

    /// Whether it cannot be sent again.
    pub const fn is_spent(&self) -> bool {
        matches!(self, Self::Spent(_))
    }

    /// The body for the connection, and how far it has been sent. Bytes can be sent again; of a stream
    /// nothing is left.
    pub fn start(
        &mut self,
        timeouts: RequestTimeouts,
    ) -> (OutgoingBody, watch::Receiver<SendProgress>) {
        let at_once = matches!(self, Self::Bytes(_)).then(|| self.length() / BYTES_A_SECOND);
        let deadline = timeouts.response + Duration::from_secs(at_once.unwrap_or(0));
        let (progress, watched) = watch::channel(SendProgress::begin(deadline));
        let spent = Self::Spent(self.length());
        let body = match std::mem::replace(self, spent) {
            Self::Bytes(bytes) => {
                *self = Self::Bytes(bytes.clone());
                Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
            }
            // No caller does so, and a registry would refuse it for its length.
            Self::Spent(_) => Full::default().map_err(|never| match never {}).boxed_unsync(),
            Self::Stream { size, pieces } => {
                let meter = Meter::new(timeouts.rate);
                let (held, taking) = (None, None);
                let (piece, commit) = (timeouts.piece, timeouts.commit.of(size));
                let left = size;
                Metered { pieces, left, held, taking, meter, piece, commit, progress }
                    .boxed_unsync()
            }
        };
        (body, watched)
    }
}

/// How long to wait for the other side.
#[derive(Clone, Copy, Debug)]
pub struct RequestTimeouts {
    /// For the headers of a response.
    pub response: Duration,
    /// For the next piece of content to be taken.
    pub piece: Duration,
    /// For the headers of a response to content that was streamed.
    pub commit: CommitTimeout,
    /// For content as a whole, either way.
    pub rate: LeastRate,
}

/// How long a server may take to store content after its last byte: it may have to hash or copy all of it first, so
/// the time grows with the content.
#[derive(Clone, Copy, Debug)]
pub struct CommitTimeout {
    /// For little content.
    pub least: Duration,
    /// For any content.
    pub most: Duration,
}

impl CommitTimeout {
    /// The time for so many bytes.
    #[must_use]
    pub fn of(self, bytes: u64) -> Duration {
        let stored = Duration::from_secs(bytes / STORED_BYTES_A_SECOND);
        self.least.saturating_add(stored).min(self.most)
    }
}

/// How far the content has been sent.
#[derive(Clone, Debug)]
pub struct SendProgress {
    /// How many bytes were handed to the connection.
    sent: u64,
    /// When to give up: never, while it is the stream that is waited for.
    pub deadline: Option<Instant>,
    /// How long was granted until then.
    after: Duration,
    /// Whether all of the content was handed to the connection.
    is_complete: bool,
    /// Why the content broke off.
    failure: Option<SendFailure>,
}

/// What ended the content early.
#[derive(Clone, Debug)]
enum SendFailure {
    /// The stream itself.
    Stream(Arc<dyn StdError + Send + Sync>),
    /// The other side, taking too little of it.
    Slow(TooSlow),
}

impl SendProgress {
    fn begin(after: Duration) -> Self {
        let deadline = Some(Instant::now() + after);
        Self { sent: 0, deadline, after, is_complete: false, failure: None }
    }

    fn grant(&mut self, after: Duration) {
        (self.after, self.deadline) = (after, Some(Instant::now() + after));
    }

    /// What it means that the deadline has passed.
    pub fn late(&self) -> TransportError {
        match (self.sent, self.after) {
            (_, after) if self.is_complete => TransportError::NoResponseToContent { after },
            (0, after) => TransportError::NoResponse { after },
            (sent, after) => TransportError::Stalled { after, sent },
        }
    }

    /// Why the content broke off, if it did.
    pub fn failure(&self) -> Option<TransportError> {
        Some(match self.failure.as_ref()? {
            SendFailure::Stream(cause) => {
                TransportError::Content { sent: self.sent, cause: Arc::clone(cause) }
            }
            SendFailure::Slow(TooSlow { moved: sent, after, least }) => {
                TransportError::TakenTooSlowly { sent: *sent, after: *after, least: *least }
            }
        })
    }
}

/// Content of another length than announced.
#[derive(Debug, thiserror::Error)]
enum WrongLength {
    #[error("it is {0} bytes shorter than announced")]
    Short(u64),
    #[error("it is longer than announced")]
    Long,
}

/// A stream that reports its progress, and is complete only if it ends well.
struct Metered {
    pieces: Pieces,
    /// How many bytes are still to come from the stream.
    left: u64,
    /// The last piece, until the stream has ended.
    held: Option<Bytes>,
    /// The length of the piece that the connection has, and since when; none once it polls for more.
    taking: Option<(usize, Instant)>,
    meter: Meter,
    /// How long the connection may take for a piece.
    piece: Duration,
    /// How long the response may take after the last piece.
    commit: Duration,
    progress: watch::Sender<SendProgress>,
}

impl Metered {
    fn accept(&mut self, piece: Bytes) -> Result<Option<Bytes>, BoxError> {
        self.left = self.left.checked_sub(piece.len() as u64).ok_or(WrongLength::Long)?;
        if piece.is_empty() || self.left > 0 {
            return Ok(Some(piece).filter(|piece| !piece.is_empty()));
        }
        self.held = Some(piece);
        Ok(None)
    }

    fn hand_out(&mut self, piece: Bytes) -> Frame<Bytes> {
        self.taking = Some((piece.len(), Instant::now()));
        self.progress.send_modify(|progress| {
            progress.sent += piece.len() as u64;
            progress.grant(self.piece);
        });
        Frame::data(piece)
    }

    /// Ends the request. What the error says is not looked at: the failure is.
    fn fail(&self, failure: SendFailure) -> BoxError {
        self.progress.send_modify(|progress| progress.failure = Some(failure));
        "the content broke off".into()
    }

    /// Counts the previous piece, now that the connection polls for more.
    fn count_taken(&mut self) -> Result<(), TooSlow> {
        let Some((bytes, since)) = self.taking.take() else { return Ok(()) };
        self.meter.count(bytes, since.elapsed())
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        loop {
            let accepted = match ready!(self.pieces.poll_next_unpin(cx)) {
                Some(piece) => piece.and_then(|piece| self.accept(piece)),
                None if self.left > 0 => Err(WrongLength::Short(self.left).into()),
                None => return Poll::Ready(self.held.take().map(Ok)),
            };
            if let Some(piece) = accepted.transpose() {
                return Poll::Ready(Some(piece));
            }
        }
    }
}

impl Body for Metered {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Err(slow) = self.count_taken() {
            return Poll::Ready(Some(Err(self.fail(SendFailure::Slow(slow)))));
        }
        let polled = self.poll_piece(cx);
        if polled.is_pending() {
            // The stream's turn: what it waits for has a deadline of its own.
            self.progress.send_modify(|progress| progress.deadline = None);
        }
        Poll::Ready(ready!(polled).map(|piece| match piece {
            Ok(piece) => Ok(self.hand_out(piece)),
            Err(error) => Err(self.fail(SendFailure::Stream(error.into()))),
        }))
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.as_ref().map_or(0, |piece| piece.len() as u64);
        SizeHint::with_exact(self.left + held)
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        // All is sent, or the connection takes no more: the response follows.
        let (commit, is_complete) = (self.commit, self.left == 0 && self.held.is_none());
        self.progress.send_modify(|progress| {
            progress.grant(commit);
            progress.is_complete = is_complete;
        });
    }
}
