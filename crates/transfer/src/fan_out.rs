//! Moving one blob: one reader, a bounded channel to each destination.
//!
//! Nothing is committed before all of it was verified: the reader passes on its last piece only then, and no
//! destination can commit content without its last piece.

use blob_store::{BlobWriter, Put};
use futures_util::future::join;
use oci::{Descriptor, Digest, Host, Repository};
use registry_client::{
    BlobPush, BlobReader, Mount, Pushed, RemoteBlob, RepositoryClient, SMALL_BLOB_BYTES,
    SharedPermit, Upload,
};
use tokio::sync::oneshot;

use crate::{
    Content, Destination, DestinationError, Error, SourceError,
    lag::together,
    lane::{LaneEnd, Lanes, Piece, PieceReceiver, body},
};

/// How a destination got one blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobOutcome {
    /// The bytes were sent.
    Sent,
    /// The registry mounted it from another of its repositories; no bytes were sent.
    Mounted,
    /// It was there before the bytes were sent, for example because of another writer.
    AlreadyThere,
}

/// Copies a blob that `parent` lists to destinations that lack it; the caller has checked that. The results are in the
/// order of `destinations`.
///
/// Each destination fails by itself. When the source fails, all destinations that need bytes fail with an error for
/// which [`Error::is_source`] holds, and nothing becomes visible anywhere.
pub async fn copy_blob(
    source: &RepositoryClient,
    parent: &Digest,
    blob: &Descriptor,
    destinations: &[&Destination],
) -> Vec<Result<BlobOutcome, Error>> {
    let ways = destinations.iter().map(|to| Way::to(to)).collect::<Vec<_>>();
    BlobTransfer { source, parent, blob }.move_to(&ways).await
}

/// A destination, and how it gets a blob.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(crate) to: &'a Destination,
    pub(crate) by: By<'a>,
}

/// How a registry's upload begins.
#[derive(Clone, Copy)]
pub(crate) enum By<'a> {
    /// By requesting a mount: from this repository of the same registry, else from the source's if that is of the
    /// same registry, else from the destination's own.
    Mount(Option<&'a Repository>),
    /// By opening an upload: the bytes are sent whatever the registry says that it has, and must be there afterwards.
    Replace,
}

impl<'a> Way<'a> {
    /// The usual one.
    pub(crate) const fn to(to: &'a Destination) -> Self {
        Self { to, by: By::Mount(None) }
    }
}

/// A blob to be moved.
#[derive(Clone, Copy)]
pub(crate) struct BlobTransfer<'a> {
    pub(crate) source: &'a RepositoryClient,
    pub(crate) parent: &'a Digest,
    pub(crate) blob: &'a Descriptor,
}

/// A destination that is ready for the bytes, or needs none.
pub(crate) enum Sink {
    There(BlobOutcome),
    Upload(Upload),
    /// The same to a repository that may have the blob with another length.
    Replace(Upload),
    Store(BlobWriter),
}

impl Sink {
    /// The same, with requests that use this permit and wait for no other.
    fn under(self, permit: &SharedPermit) -> Self {
        match self {
            Self::Upload(upload) => Self::Upload(upload.under(permit)),
            Self::Replace(upload) => Self::Replace(upload.under(permit)),
            other => other,
        }
    }
}

/// The registries between which bytes are about to move; none where none are.
fn registries<'a>(
    source: &'a RepositoryClient,
    sinks: &[Result<Sink, Error>],
    ways: &'a [Way<'_>],
) -> Vec<&'a Host> {
    if !sinks.iter().any(moves) {
        return Vec::new();
    }
    let written = sinks.iter().zip(ways).filter(|(sink, _)| moves(sink));
    let registries = written.filter_map(|(_, way)| match way.to {
        Destination::Registry(repository) => Some(repository.host()),
        Destination::Store(_) => None,
    });
    registries.chain([source.host()]).collect()
}

/// Whether bytes are to move there.
const fn moves(sink: &Result<Sink, Error>) -> bool {
    !matches!(sink, Ok(Sink::There(_)) | Err(_))
}

impl BlobTransfer<'_> {
    /// Moves the blob to all of `ways`. A destination that is much slower than the others is left behind.
    pub(crate) async fn move_to(&self, ways: &[Way<'_>]) -> Vec<Result<BlobOutcome, Error>> {
        let opened = together(ways.iter().map(|way| self.open(*way)), Result::is_ok).await;
        let sinks = ways.iter().zip(opened);
        let sinks =
            sinks.map(|(way, sink)| sink.unwrap_or_else(|| Err(self.lags(way.to)))).collect();
        self.fill(ways, sinks).await
    }

    /// Reads the blob into what was opened.
    pub(crate) async fn fill(
        &self,
        ways: &[Way<'_>],
        sinks: Vec<Result<Sink, Error>>,
    ) -> Vec<Result<BlobOutcome, Error>> {
        // A copy that reads and writes at the same time takes its permits together.
        let permit = self.source.client().acquire(&registries(self.source, &sinks, ways)).await;
        let source = &self.source.under(&permit);
        let wanted = BlobTransfer { source, ..*self };
        let bytes_are_wanted = sinks.iter().any(moves);
        let (lanes, ends) = Lanes::new(sinks.len());
        let reading = async { if bytes_are_wanted { wanted.read(lanes).await } else { Ok(()) } };
        let permit = &permit;
        let writing = sinks.into_iter().zip(ways).zip(ends).map(|((sink, way), end)| async move {
            wanted.write(way.to, sink?.under(permit), end).await
        });
        // A destination that needs no bytes is done at once, which says nothing about its speed.
        let has_sent =
            |outcome: &Result<BlobOutcome, Error>| matches!(outcome, Ok(BlobOutcome::Sent));
        let (read, written) = join(reading, together(writing, has_sent)).await;
        let settle = |(outcome, way): (Option<Result<BlobOutcome, Error>>, &Way<'_>)| {
            match (&read, outcome.unwrap_or_else(|| Err(self.lags(way.to)))) {
                (Ok(()), outcome) => outcome,
                (Err(_), Ok(outcome)) => Ok(outcome),
                // An error that follows from the source is reported as the source's; a destination's refusal stays its own.
                (Err(source_failed), Err(own)) => {
                    Err(if own.follows_from_source() { source_failed.clone() } else { own })
                }
            }
        };
        written.into_iter().zip(ways).map(settle).collect()
    }

    pub(crate) async fn open(&self, Way { to, by }: Way<'_>) -> Result<Sink, Error> {
        match to {
            Destination::Registry(repository) => self
                .open_upload(repository, by)
                .await
                .map_err(|cause| to.registry_failed("write", self.content(), cause)),
            Destination::Store(store) => store
                .writer(&self.blob.digest, self.blob.size)
                .await
                .map(Sink::Store)
                .map_err(|cause| to.store_failed("write", self.content(), cause)),
        }
    }

    /// Requests a mount: from the repository that is known to have the blob, else from the source's repository if that
    /// is of the same registry, else from the destination itself. Bytes are sent only if it is refused.
    async fn open_upload(
        &self,
        to: &RepositoryClient,
        by: By<'_>,
    ) -> Result<Sink, registry_client::Error> {
        let By::Mount(from) = by else { return to.start_upload().await.map(Sink::Replace) };
        let own = (self.source.host() == to.host()).then(|| self.source.name());
        let from = from.or(own);
        Ok(match to.begin_blob(&self.blob.digest, self.blob.size, from).await? {
            Mount::Mounted => {
                Sink::There(from.map_or(BlobOutcome::AlreadyThere, |_| BlobOutcome::Mounted))
            }
            Mount::Upload(upload) => Sink::Upload(upload),
            Mount::Replace(upload) => Sink::Replace(upload),
        })
    }

    /// Reads the blob to its verified end, and gives each piece to every lane that still takes it.
    async fn read(&self, mut lanes: Lanes) -> Result<(), Error> {
        let open =
            async || self.source.blob(&self.blob.digest).await.map_err(|it| self.unreadable(it));
        let wrong = |reader: &BlobReader| reader.size().filter(|size| *size != self.blob.size);
        let mut reader = open().await?;
        if wrong(&reader).is_some() && reader.substitute().is_none() {
            // One server of several may have a part of it. A blob that is broken has this length each time.
            reader = open().await?;
        }
        if let Some(size) = wrong(&reader) {
            return Err(self.not_the_blob(&reader, size));
        }
        let mut taken = 0;
        reader = reader.expecting(self.blob.size);
        while let Some(piece) = reader.next().await.map_err(|error| self.unreadable(error))? {
            taken += piece.len() as u64;
            if taken > self.blob.size {
                return Err(self.not_the_blob(&reader, taken));
            }
            lanes.give(&Piece::Bytes(piece)).await;
            if lanes.are_closed() {
                return Ok(());
            }
        }
        if taken < self.blob.size {
            return Err(self.not_the_blob(&reader, taken));
        }
        lanes.give(&Piece::End).await;
        Ok(())
    }

    async fn write(
        &self,
        to: &Destination,
        sink: Sink,
        LaneEnd { pieces, open, left }: LaneEnd,
    ) -> Result<BlobOutcome, Error> {
        let is_left = async {
            if left.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = is_left => Err(self.lags(to)),
            written = self.write_all(to, sink, pieces, open) => written,
        }
    }

    async fn write_all(
        &self,
        to: &Destination,
        sink: Sink,
        pieces: PieceReceiver,
        open: oneshot::Sender<()>,
    ) -> Result<BlobOutcome, Error> {
        match sink {
            Sink::There(outcome) => Ok(outcome),
            Sink::Store(writer) => self.store(to, writer, pieces).await,
            Sink::Upload(upload) => self.upload_from(to, upload, (pieces, open)).await,
            Sink::Replace(upload) => {
                let outcome = self.upload_from(to, upload, (pieces, open)).await?;
                self.confirm_replaced(to).await?;
                Ok(outcome)
            }
        }
    }

    /// A request without a body would be whole, and be committed, before anything was read: so it begins with the
    /// first piece.
    async fn upload_from(
        &self,
        to: &Destination,
        upload: Upload,
        (mut pieces, open): (PieceReceiver, oneshot::Sender<()>),
    ) -> Result<BlobOutcome, Error> {
        match pieces.next().await {
            Some(first) => self.upload(to, upload, first, (pieces, open)).await,
            None => {
                upload.cancel().await;
                Err(self.aborted(to))
            }
        }
    }

    /// Fails where the registry keeps a blob of another length all the same.
    async fn confirm_replaced(&self, to: &Destination) -> Result<(), Error> {
        let Destination::Registry(repository) = to else { return Ok(()) };
        let (repository, blob) = (self.under_permit(repository), self.blob);
        let confirmed = repository.confirm_replaced(&blob.digest, blob.size).await;
        confirmed.map_err(|cause| to.registry_failed("replace", self.content(), cause))
    }

    /// The same repository, with requests that use this permit and wait for no other.
    fn under_permit(&self, repository: &RepositoryClient) -> RepositoryClient {
        self.source.permit().map_or_else(|| repository.clone(), |permit| repository.under(permit))
    }

    /// Sends the pieces as they come. Where that breaks, the lane is closed, so that the others go on, and
    /// the rest is read from the source once more.
    async fn upload(
        &self,
        to: &Destination,
        mut upload: Upload,
        first: Piece,
        (rest, open): (PieceReceiver, oneshot::Sender<()>),
    ) -> Result<BlobOutcome, Error> {
        let Destination::Registry(repository) = to else { return Err(self.aborted(to)) };
        let repository = self.under_permit(repository);
        let (digest, size) = (self.blob.digest, self.blob.size);
        let sent = if size <= SMALL_BLOB_BYTES {
            upload.try_put(&digest, size, body(first, rest)).await
        } else {
            match upload.send(0, size, body(first, rest)).await {
                Ok(()) => upload.finish(&digest, size).await,
                Err(error) => Err(error),
            }
        };
        drop(open);
        let Err(error) = sent else { return Ok(BlobOutcome::Sent) };
        let source = RemoteBlob::new(self.source, digest, size);
        match repository.push_rest(upload, error, &BlobPush::new(digest, size), &source).await {
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
        mut pieces: PieceReceiver,
    ) -> Result<BlobOutcome, Error> {
        let failed = |cause| to.store_failed("write", self.content(), cause);
        loop {
            match pieces.next().await {
                Some(Piece::Bytes(piece)) => writer.write(piece).await.map_err(failed)?,
                Some(Piece::End) => break,
                None => return Err(self.aborted(to)),
            }
        }
        match writer.commit().await.map_err(failed)? {
            Put::Written | Put::Repaired => Ok(BlobOutcome::Sent),
            Put::AlreadyThere => Ok(BlobOutcome::AlreadyThere),
        }
    }

    fn content(&self) -> Content {
        Content::Blob(self.blob.digest)
    }

    fn unreadable(&self, error: registry_client::Error) -> Error {
        SourceError::read(self.source, self.content(), Some(self.parent), error).into()
    }

    /// The error of a response whose length is not the blob's: it is something else, or a broken blob.
    fn not_the_blob(&self, reader: &BlobReader, found: u64) -> Error {
        match reader.substitute() {
            Some(substitute) => self.unreadable(substitute),
            None => self.wrong_size(found),
        }
    }

    fn wrong_size(&self, found: u64) -> Error {
        let (repository, described) = (self.source.to_string(), self.blob.size);
        let (content, parent) = (self.content(), *self.parent);
        SourceError::Size { repository, content, parent, described, found }.into()
    }

    fn lags(&self, to: &Destination) -> Error {
        to.lags(self.content())
    }

    fn aborted(&self, to: &Destination) -> Error {
        let (destination, content) = (to.to_string(), self.content());
        DestinationError::Aborted { destination, content }.into()
    }
}
