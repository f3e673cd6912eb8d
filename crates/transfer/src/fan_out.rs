//! Moving one blob: one reader, a bounded channel to each destination.
//!
//! Nothing is committed before the whole was verified: the reader gives out its last piece only then,
//! and what it does not give out, no destination can commit.

use blob_store::{BlobWriter, Put};
use bytes::Bytes;
use futures_util::{
    Stream,
    future::{join, join_all},
    stream,
};
use oci::{Descriptor, Digest, Host};
use registry_client::{
    Held, Mount, Push, Pushed, RemoteBlob, RepositoryClient, SMALL_BLOB_BYTES, Upload,
};
use tokio::sync::{
    mpsc::{self, Receiver, Sender},
    oneshot,
};

use crate::{Content, Destination, DestinationError, Error, SourceError};

/// How many pieces may wait for one destination: enough to keep a connection busy while another
/// destination hesitates, and at most some hundred KiB each, shared by all destinations.
pub const PIECES_WAITING: usize = 8;

/// What a destination has to show for one blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobOutcome {
    /// The bytes went there.
    Sent,
    /// The registry took it from a repository of its own; no bytes moved.
    Mounted,
    /// Somebody else had put it there meanwhile.
    AlreadyThere,
}

/// Moves a blob that `parent` lists to destinations that lack it (which the caller has asked them).
/// The answers are in the order of `destinations`.
///
/// Each destination fails for itself. When the source fails, all fail that wanted bytes, with an error
/// for which [`Error::is_source`] holds, and nothing is visible anywhere.
pub async fn copy_blob(
    source: &RepositoryClient,
    parent: &Digest,
    blob: &Descriptor,
    destinations: &[&Destination],
) -> Vec<Result<BlobOutcome, Error>> {
    let asking = Wanted { source, parent, blob };
    let sinks = join_all(destinations.iter().map(|to| asking.open(to))).await;
    // Who reads and writes at once takes its places together.
    let held = source.client().hold(&places(source, &sinks, destinations)).await;
    let source = &source.under(&held);
    let wanted = Wanted { source, ..asking };
    let bytes_are_wanted = sinks.iter().any(|sink| !matches!(sink, Ok(Sink::There(_)) | Err(_)));
    let (lanes, ends): (Vec<_>, Vec<_>) = sinks.iter().map(|_| Lane::new()).unzip();
    let reading = async { if bytes_are_wanted { wanted.read(lanes).await } else { Ok(()) } };
    let writing = sinks.into_iter().zip(destinations).zip(ends);
    let held = &held;
    let writing = writing.map(|((sink, to), end)| async move {
        match sink {
            Ok(sink) => wanted.write(to, sink.under(held), end).await,
            Err(error) => Err(error),
        }
    });
    let (read, written) = join(reading, join_all(writing)).await;
    let settle = |outcome: Result<BlobOutcome, Error>| match (&read, outcome) {
        (Ok(()), outcome) => outcome,
        (Err(_), Ok(outcome)) => Ok(outcome),
        // What only follows from the source is told as that; what a destination refused, it refused.
        (Err(source_failed), Err(own)) => {
            Err(if own.follows_from_source() { source_failed.clone() } else { own })
        }
    };
    written.into_iter().map(settle).collect()
}

/// A blob to be moved.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    source: &'a RepositoryClient,
    parent: &'a Digest,
    blob: &'a Descriptor,
}

/// A destination that is ready for the bytes, or needs none.
enum Sink {
    There(BlobOutcome),
    Upload(Upload),
    Store(BlobWriter),
}

impl Sink {
    /// The same, with requests that need no places but those that are held.
    fn under(self, held: &Held) -> Self {
        match self {
            Self::Upload(upload) => Self::Upload(upload.under(held)),
            other => other,
        }
    }
}

/// The registries between which bytes are about to move; none where none are.
fn places<'a>(
    source: &'a RepositoryClient,
    sinks: &[Result<Sink, Error>],
    destinations: &'a [&Destination],
) -> Vec<&'a Host> {
    let moves = |sink: &Result<Sink, Error>| !matches!(sink, Ok(Sink::There(_)) | Err(_));
    if !sinks.iter().any(moves) {
        return Vec::new();
    }
    let written = sinks.iter().zip(destinations).filter(|(sink, _)| moves(sink));
    let registries = written.filter_map(|(_, to)| match to {
        Destination::Registry(repository) => Some(repository.host()),
        Destination::Store(_) => None,
    });
    registries.chain([source.host()]).collect()
}

/// What goes through the channels. A channel that closes without an `End` means that the source failed.
#[derive(Clone)]
enum Piece {
    Bytes(Bytes),
    End,
}

/// The way of the pieces to one destination.
struct Lane {
    pieces: Sender<Piece>,
    /// Resolves when the destination is done with, well or not. The channel alone would not tell: a
    /// request that was given up may live on in a connection that is stuck, and the channel's end with it.
    ended: oneshot::Receiver<()>,
}

/// The other end of a lane. The sender is held for as long as pieces are taken.
type LaneEnd = (Receiver<Piece>, oneshot::Sender<()>);

impl Lane {
    fn new() -> (Option<Self>, LaneEnd) {
        let (sender, receiver) = mpsc::channel(PIECES_WAITING);
        let (open, ended) = oneshot::channel();
        (Some(Self { pieces: sender, ended }), (receiver, open))
    }

    /// Waits for room. Whether the piece was taken.
    async fn take(&mut self, piece: &Piece) -> bool {
        tokio::select! {
            sent = self.pieces.send(piece.clone()) => sent.is_ok(),
            _ = &mut self.ended => false,
        }
    }
}

impl Wanted<'_> {
    async fn open(&self, to: &Destination) -> Result<Sink, Error> {
        match to {
            Destination::Registry(repository) => self
                .open_upload(repository)
                .await
                .map_err(|cause| to.registry_failed("write", self.content(), cause)),
            Destination::Store(store) => store
                .writer(&self.blob.digest)
                .await
                .map(Sink::Store)
                .map_err(|cause| to.store_failed("write", self.content(), cause)),
        }
    }

    /// Asks the registry for what it has: within one registry, in the source's repository; otherwise in the
    /// destination's own. Only what it lacks needs to move.
    async fn open_upload(&self, to: &RepositoryClient) -> Result<Sink, registry_client::Error> {
        let from = (self.source.host() == to.host()).then(|| self.source.name());
        Ok(match to.begin_blob(&self.blob.digest, from).await? {
            Mount::Mounted => {
                Sink::There(from.map_or(BlobOutcome::AlreadyThere, |_| BlobOutcome::Mounted))
            }
            Mount::Upload(upload) => Sink::Upload(upload),
        })
    }

    /// Reads the blob to its verified end, and gives each piece to every lane that still takes it.
    async fn read(&self, mut lanes: Vec<Option<Lane>>) -> Result<(), Error> {
        let opened = self.source.blob(&self.blob.digest).await;
        let mut reader = opened.map_err(|error| self.unreadable(error))?;
        if let Some(size) = reader.size().filter(|size| *size != self.blob.size) {
            return Err(self.wrong_size(size));
        }
        let mut taken = 0;
        while let Some(piece) = reader.next().await.map_err(|error| self.unreadable(error))? {
            taken += piece.len() as u64;
            if taken > self.blob.size {
                return Err(self.wrong_size(taken));
            }
            give(&mut lanes, &Piece::Bytes(piece)).await;
            if lanes.iter().all(Option::is_none) {
                return Ok(());
            }
        }
        if taken < self.blob.size {
            return Err(self.wrong_size(taken));
        }
        give(&mut lanes, &Piece::End).await;
        Ok(())
    }

    async fn write(
        &self,
        to: &Destination,
        sink: Sink,
        (mut pieces, open): LaneEnd,
    ) -> Result<BlobOutcome, Error> {
        match sink {
            Sink::There(outcome) => Ok(outcome),
            Sink::Store(writer) => self.store(to, writer, pieces).await,
            // A request without a body would be whole, and be committed, before anything was read:
            // so it begins with the first piece.
            Sink::Upload(upload) => match pieces.recv().await {
                Some(first) => self.upload(to, upload, first, (pieces, open)).await,
                None => {
                    upload.cancel().await;
                    Err(self.aborted(to))
                }
            },
        }
    }

    /// Sends the pieces as they come. Where that breaks, the lane is closed, so that the others go on, and
    /// the rest is read from the source once more.
    async fn upload(
        &self,
        to: &Destination,
        mut upload: Upload,
        first: Piece,
        (rest, open): LaneEnd,
    ) -> Result<BlobOutcome, Error> {
        let Destination::Registry(repository) = to else { return Err(self.aborted(to)) };
        let repository =
            self.source.held().map_or_else(|| repository.clone(), |held| repository.under(held));
        let (digest, size) = (self.blob.digest, self.blob.size);
        let sent = if size <= SMALL_BLOB_BYTES {
            upload.try_put(&digest, size, body(first, rest)).await
        } else {
            match upload.send(0, size, body(first, rest)).await {
                Ok(()) => upload.finish(&digest).await,
                Err(error) => Err(error),
            }
        };
        drop(open);
        let Err(error) = sent else { return Ok(BlobOutcome::Sent) };
        let source = RemoteBlob::new(self.source, digest, size);
        match repository.push_rest(upload, error, &Push::new(digest, size), &source).await {
            Ok(Pushed::Sent) => Ok(BlobOutcome::Sent),
            Ok(Pushed::Mounted) => Ok(BlobOutcome::AlreadyThere),
            Err(cause) if cause.is_of_source() => Err(self.unreadable(cause)),
            Err(cause) => Err(to.registry_failed("write", self.content(), cause)),
        }
    }

    async fn store(
        &self,
        to: &Destination,
        mut writer: BlobWriter,
        mut pieces: Receiver<Piece>,
    ) -> Result<BlobOutcome, Error> {
        let failed = |cause| to.store_failed("write", self.content(), cause);
        loop {
            match pieces.recv().await {
                Some(Piece::Bytes(piece)) => writer.write(piece).await.map_err(failed)?,
                Some(Piece::End) => break,
                None => return Err(self.aborted(to)),
            }
        }
        match writer.commit().await.map_err(failed)? {
            Put::Written => Ok(BlobOutcome::Sent),
            Put::AlreadyThere => Ok(BlobOutcome::AlreadyThere),
        }
    }

    fn content(&self) -> Content {
        Content::Blob(self.blob.digest)
    }

    fn unreadable(&self, error: registry_client::Error) -> Error {
        SourceError::read(self.source, self.content(), Some(self.parent), error).into()
    }

    fn wrong_size(&self, found: u64) -> Error {
        let (repository, described) = (self.source.to_string(), self.blob.size);
        let (digest, parent) = (self.blob.digest, *self.parent);
        SourceError::Size { repository, digest, parent, described, found }.into()
    }

    fn aborted(&self, to: &Destination) -> Error {
        let (destination, content) = (to.to_string(), self.content());
        DestinationError::Aborted { destination, content }.into()
    }
}

/// Waits until every lane has room, and gives it the piece; a lane that takes no more is closed.
async fn give(lanes: &mut [Option<Lane>], piece: &Piece) {
    let each = lanes.iter_mut().map(|lane| async move {
        if let Some(open) = lane
            && !open.take(piece).await
        {
            *lane = None;
        }
    });
    join_all(each).await;
}

/// The pieces as the body of a request: it ends well only with the `End`.
fn body(
    first: Piece,
    rest: Receiver<Piece>,
) -> impl Stream<Item = Result<Bytes, SourceFailed>> + Send + 'static {
    stream::try_unfold((Some(first), rest), |(first, mut rest)| async move {
        let piece = match first {
            Some(piece) => Some(piece),
            None => rest.recv().await,
        };
        match piece {
            Some(Piece::Bytes(bytes)) => Ok(Some((bytes, (None, rest)))),
            Some(Piece::End) => Ok(None),
            None => Err(SourceFailed),
        }
    })
}

/// Ends a body that must not be taken for whole.
#[derive(Debug, thiserror::Error)]
#[error("the blob could not be read to its end")]
struct SourceFailed;
