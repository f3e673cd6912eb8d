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
use oci::{Descriptor, Digest};
use registry_client::{Mount, RepositoryClient, Upload};
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
    let wanted = Wanted { source, parent, blob };
    let sinks = join_all(destinations.iter().map(|to| wanted.open(to))).await;
    let bytes_are_wanted = sinks.iter().any(|sink| !matches!(sink, Ok(Sink::Mounted) | Err(_)));
    let (lanes, ends): (Vec<_>, Vec<_>) = sinks.iter().map(|_| Lane::new()).unzip();
    let reading = async { if bytes_are_wanted { wanted.read(lanes).await } else { Ok(()) } };
    let writing = sinks.into_iter().zip(destinations).zip(ends);
    let writing = writing.map(|((sink, to), (pieces, open))| async move {
        let written = match sink {
            Ok(sink) => wanted.write(to, sink, pieces).await,
            Err(error) => Err(error),
        };
        drop(open);
        written
    });
    let (read, written) = join(reading, join_all(writing)).await;
    let settle = |outcome| match (&read, outcome) {
        (Ok(()), outcome) => outcome,
        (Err(_), Ok(BlobOutcome::Mounted)) => Ok(BlobOutcome::Mounted),
        (Err(source_failed), _) => Err(source_failed.clone()),
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
    Mounted,
    Upload(Upload),
    Store(BlobWriter),
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

    /// Within one registry asks for a mount first: no bytes need to move then.
    async fn open_upload(&self, to: &RepositoryClient) -> Result<Sink, registry_client::Error> {
        if self.source.host() == to.host() {
            match to.mount_blob(&self.blob.digest, self.source.name()).await {
                Ok(Mount::Mounted) => return Ok(Sink::Mounted),
                Ok(Mount::Upload(upload)) => return Ok(Sink::Upload(upload)),
                Err(error) if error.is_unreachable() => return Err(error),
                // Some registries answer an error where they should open an upload.
                Err(_refused) => {}
            }
        }
        to.start_upload().await.map(Sink::Upload)
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
        mut pieces: Receiver<Piece>,
    ) -> Result<BlobOutcome, Error> {
        match sink {
            Sink::Mounted => Ok(BlobOutcome::Mounted),
            Sink::Store(writer) => self.store(to, writer, pieces).await,
            // A request without a body would be whole, and be committed, before anything was read:
            // so it begins with the first piece.
            Sink::Upload(upload) => match pieces.recv().await {
                Some(first) => self.upload(to, upload, first, pieces).await,
                None => {
                    upload.cancel().await;
                    Err(self.aborted(to))
                }
            },
        }
    }

    async fn upload(
        &self,
        to: &Destination,
        upload: Upload,
        first: Piece,
        rest: Receiver<Piece>,
    ) -> Result<BlobOutcome, Error> {
        let Descriptor { digest, size, .. } = self.blob;
        match upload.put(digest, *size, body(first, rest)).await {
            Ok(()) => Ok(BlobOutcome::Sent),
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
