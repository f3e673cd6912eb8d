//! Pushes a blob, and resumes after breaks: existing content is used, and received bytes are not sent again.
//!
//! Source: distribution-spec 1.1, "Pushing blobs", "Resuming an upload", "Mounting a blob from another
//! repository".

use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Method, StatusCode};
use oci::{Digest, Repository};

use crate::{
    Error, FoundBlob, Mount, RepositoryClient, Upload,
    blobs::{
        commits::{MAX_UNANSWERED, is_unanswered},
        source::{BlobSource, BlobStream},
    },
    exchange::attempts::Attempts,
};

/// The longest blob, in bytes, that is sent by one request after the one that opens the session, and sent again as a
/// whole after a break. A longer blob costs one more request and can be resumed.
pub const SMALL_BLOB_BYTES: u64 = 4 << 20;
/// The length of chunks where a registry says that a request is too long (413), in bytes: below the
/// usual limits of what stands in front of registries (Cloudflare's 100 MB).
const CHUNK_BYTES: u64 = 64 << 20;
/// The length of chunks without a known limit: all in one request.
const ONE_CHUNK: u64 = u64::MAX;
/// The shortest chunks that are tried, in bytes: no registry has a lower limit.
const LEAST_CHUNK_BYTES: u64 = 1 << 20;

/// The result of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The bytes were sent.
    Sent,
    /// The registry had the blob, in this repository or in the one to mount from. No bytes were sent.
    Mounted,
}

/// A callback with the progress of a blob, in bytes from its beginning. The value decreases at a break.
#[derive(Clone)]
pub struct OnProgress(Arc<dyn Fn(u64) + Send + Sync>);

impl OnProgress {
    /// Calls `report`, which must not block.
    pub fn new(report: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }
}

impl Default for OnProgress {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl fmt::Debug for OnProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnProgress")
    }
}

/// A blob to be pushed.
#[derive(Clone, Debug)]
pub struct BlobPush<'a> {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// A repository of the same registry that has it.
    pub from: Option<&'a Repository>,
    /// The progress callback.
    pub progress: OnProgress,
}

impl<'a> BlobPush<'a> {
    /// A blob, of which nothing more is known.
    #[must_use]
    pub fn new(digest: Digest, size: u64) -> Self {
        Self { digest, size, from: None, progress: OnProgress::default() }
    }

    /// Tries to mount it from the repository `from` of the same registry first.
    #[must_use]
    pub fn mounted_from(mut self, from: &'a Repository) -> Self {
        self.from = Some(from);
        self
    }
}

impl RepositoryClient {
    /// Pushes a blob. It takes two requests if the repository has the blob or if the blob is small, and three otherwise.
    /// An upload that breaks is resumed.
    ///
    /// # Errors
    /// When the source fails; when the registry rejects the blob; when the upload fails repeatedly without progress.
    pub async fn push_blob(
        &self,
        push: &BlobPush<'_>,
        source: &impl BlobSource,
    ) -> Result<Pushed, Error> {
        let mut course = Course::default();
        let pushed = self.push_on(push, source, &mut course).await;
        pushed.map_err(|error| self.given_up(error, &course))
    }

    async fn push_on(
        &self,
        push: &BlobPush<'_>,
        source: &impl BlobSource,
        course: &mut Course,
    ) -> Result<Pushed, Error> {
        let mut attempts = Attempts::default();
        loop {
            let begun = self.begin_blob(&push.digest, push.size, push.from).await?;
            let is_replaced = matches!(begun, Mount::Replace(_));
            let (Mount::Upload(upload) | Mount::Replace(upload)) = begun else {
                return Ok(Pushed::Mounted);
            };
            let filled = match self.permit() {
                Some(_) => upload.fill((self, push, source), course).await,
                None => {
                    let hosts: Vec<_> = source.host().into_iter().chain([self.host()]).collect();
                    let permit = self.client().acquire(&hosts).await;
                    let (to, source) = (self.under(&permit), source.under(&permit));
                    upload.under(&permit).fill((&to, push, &source), course).await
                }
            };
            let error = match filled {
                Ok(()) if is_replaced => {
                    self.confirm_replaced(&push.digest, push.size).await?;
                    return Ok(Pushed::Sent);
                }
                Ok(()) => return Ok(Pushed::Sent),
                Err(Failed::Source(error)) => return Err(error.of_source()),
                Err(Failed::Session(error)) => error,
                Err(Failed::Registry(error)) if course.may_continue(&error) => error,
                Err(Failed::Registry(error)) => return Err(error),
            };
            if !attempts.anew(self.client(), &error).await {
                return Err(error);
            }
        }
    }

    /// Resumes an upload whose request ended in `error`. It begins again if the session does not exist any more, or its
    /// state cannot be read.
    ///
    /// # Errors
    /// As [`RepositoryClient::push_blob`]; `error` itself if a retry would not help.
    pub async fn push_rest(
        &self,
        upload: Upload,
        error: Error,
        push: &BlobPush<'_>,
        source: &impl BlobSource,
    ) -> Result<Pushed, Error> {
        let mut course = Course::default();
        let pushed = self.resume((upload, error), push, source, &mut course).await;
        pushed.map_err(|error| self.given_up(error, &course))
    }

    async fn resume(
        &self,
        (upload, error): (Upload, Error),
        push: &BlobPush<'_>,
        source: &impl BlobSource,
        course: &mut Course,
    ) -> Result<Pushed, Error> {
        let error = match self.stored_after_all(push, error, course).await {
            Ok(()) => return Ok(Pushed::Sent),
            Err(error) => error,
        };
        let is_too_long = error.status() == Some(StatusCode::PAYLOAD_TOO_LARGE);
        if is_too_long && push.size > LEAST_CHUNK_BYTES {
            course.chunk = shorter(push.size);
        } else if !course.may_continue(&error)
            || !Attempts::default().anew(self.client(), &error).await
        {
            upload.give_up(&error).await;
            return Err(error);
        }
        match upload.fill_from_offset((self, push, source), course).await {
            Ok(()) => Ok(Pushed::Sent),
            Err(Failed::Registry(error)) if course.may_continue(&error) => {
                course.chunk = ONE_CHUNK;
                self.push_on(push, source, course).await
            }
            Err(Failed::Session(_)) => self.push_on(push, source, course).await,
            Err(Failed::Source(error)) => Err(error.of_source()),
            Err(Failed::Registry(error)) => Err(error),
        }
    }

    /// Counts a request without a response, and looks for the blob if that request may have committed it: registries
    /// commit a blob and lose the response. Gives `error` if the blob is not there, or for any other error.
    async fn stored_after_all(
        &self,
        BlobPush { digest, size, .. }: &BlobPush<'_>,
        error: Error,
        course: &mut Course,
    ) -> Result<(), Error> {
        course.note(&error);
        if error.method() != Method::PUT || !is_unanswered(&error) {
            return Err(error);
        }
        match self.find_blob(digest, *size).await {
            Ok(FoundBlob::Present) => Ok(()),
            Err(silent) if silent.is_unreachable() => Err(silent),
            _ => Err(error),
        }
    }

    fn given_up(&self, error: Error, course: &Course) -> Error {
        self.client().shared.commits.given_up(self.host(), error, course.unanswered)
    }

    /// Begins a push with a mount from the repository `from`. Without `from` the repository is mounted from itself: one
    /// request finds the blob if it exists, and opens a session otherwise. The length of a mounted blob is checked. If
    /// the mount fails with any error, a session is opened. A host that does not support mounts gets a HEAD instead.
    ///
    /// # Errors
    /// When it neither has the blob nor opens a session; when it has mounted the blob, and its length cannot be read.
    pub async fn begin_blob(
        &self,
        digest: &Digest,
        size: u64,
        from: Option<&Repository>,
    ) -> Result<Mount, Error> {
        let mounts = &self.client().shared.mounts;
        if !mounts.allows(self.host()) {
            return match self.find_blob(digest, size).await {
                Ok(FoundBlob::Present) => Ok(Mount::Mounted),
                Ok(FoundBlob::OtherLength(_)) => self.start_upload().await.map(Mount::Replace),
                Ok(FoundBlob::Absent) | Err(_) => self.start_upload().await.map(Mount::Upload),
            };
        }
        let from = from.unwrap_or_else(|| self.name());
        match self.try_mount(digest, from).await {
            Ok(mount) => {
                mounts.accepted(self.host());
                match mount {
                    Mount::Mounted => self.check_mounted(digest, size).await,
                    Mount::Upload(_) | Mount::Replace(_) => Ok(mount),
                }
            }
            Err(error) => {
                let upload = self.start_upload().await?;
                mounts.failed(self.host(), &error, self.name(), from);
                Ok(Mount::Upload(upload))
            }
        }
    }

    /// The 201 of a mount has no length, and a registry also mounts a blob that was truncated in its storage. A blob with
    /// another length is sent, and so is one that is absent.
    async fn check_mounted(&self, digest: &Digest, size: u64) -> Result<Mount, Error> {
        match self.find_blob(digest, size).await? {
            FoundBlob::Present => Ok(Mount::Mounted),
            FoundBlob::OtherLength(_) => self.start_upload().await.map(Mount::Replace),
            FoundBlob::Absent => self.start_upload().await.map(Mount::Upload),
        }
    }
}

/// Which side failed: a status of the registry and one of the source have different consequences.
enum Failed {
    Source(Error),
    Registry(Error),
    /// The state of the session cannot be read, so a new one is needed.
    Session(Error),
}

/// What a push has learned so far.
struct Course {
    /// The length of its chunks.
    chunk: u64,
    /// How many requests got no response although the registry had all of their content.
    unanswered: u32,
}

impl Default for Course {
    fn default() -> Self {
        Self { chunk: ONE_CHUNK, unanswered: 0 }
    }
}

impl Course {
    fn note(&mut self, error: &Error) {
        self.unanswered += u32::from(is_unanswered(error));
    }

    /// Whether to go on after `error`, from the offset or from the beginning.
    fn may_continue(&self, error: &Error) -> bool {
        is_worth_another(error) && !(is_unanswered(error) && self.unanswered >= MAX_UNANSWERED)
    }
}

/// A blob to be pushed: where to, which one, and its bytes.
type PushParts<'a, S> = (&'a RepositoryClient, &'a BlobPush<'a>, &'a S);

impl Upload {
    /// Sends the content and commits it. After any failure the session is cancelled.
    async fn fill<S: BlobSource>(
        mut self,
        content: PushParts<'_, S>,
        course: &mut Course,
    ) -> Result<(), Failed> {
        let filled = if content.1.size <= SMALL_BLOB_BYTES && course.chunk == ONE_CHUNK {
            self.fill_at_once(content, course).await
        } else {
            self.fill_in_chunks(content, 0, course).await
        };
        self.ended(filled).await
    }

    /// The same from the session's offset on.
    async fn fill_from_offset<S: BlobSource>(
        mut self,
        content: PushParts<'_, S>,
        course: &mut Course,
    ) -> Result<(), Failed> {
        let filled = match self.offset().await {
            Ok(from) => self.fill_in_chunks(content, from.min(content.1.size), course).await,
            Err(error) => Err(Failed::Session(error)),
        };
        self.ended(filled).await
    }

    async fn ended(self, filled: Result<(), Failed>) -> Result<(), Failed> {
        match &filled {
            Ok(()) => {}
            Err(Failed::Source(_)) => self.cancel().await,
            Err(Failed::Registry(error) | Failed::Session(error)) => self.give_up(error).await,
        }
        filled
    }

    /// Cancels the session after an error, unless the registry does not respond or the session does not exist any more.
    async fn give_up(self, error: &Error) {
        if !error.is_unreachable() && !error.is_not_found() {
            self.cancel().await;
        }
    }

    async fn fill_at_once<S: BlobSource>(
        &self,
        (repository, push, source): PushParts<'_, S>,
        course: &mut Course,
    ) -> Result<(), Failed> {
        let pieces = source.open(0).await.map_err(Failed::Source)?;
        let body = with_progress(pieces, 0, push.progress.clone());
        match self.try_put(&push.digest, push.size, body).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let stored = repository.stored_after_all(push, error, course).await;
                stored.map_err(Failed::Registry)
            }
        }
    }

    async fn fill_in_chunks<S: BlobSource>(
        &mut self,
        content: PushParts<'_, S>,
        from: u64,
        course: &mut Course,
    ) -> Result<(), Failed> {
        let (repository, push, source) = content;
        let (mut at, mut farthest) = (from, from);
        let mut attempts = Attempts::default();
        while at < push.size {
            let length = course.chunk.max(self.min_chunk()).min(push.size - at);
            let pieces = source.open(at).await.map_err(Failed::Source)?;
            let mut body = with_progress(pieces, at, push.progress.clone());
            // The last chunk ends with the source, whose last piece is verified.
            if at + length < push.size {
                body = first_bytes(body, length);
            }
            at = match self.send(at, length, body).await {
                Ok(()) => at + length,
                Err(error) => {
                    course.note(&error);
                    let is_too_long = error.status() == Some(StatusCode::PAYLOAD_TOO_LARGE);
                    if is_too_long && length > LEAST_CHUNK_BYTES.max(self.min_chunk()) {
                        course.chunk = shorter(length);
                    } else if !course.may_continue(&error)
                        || !attempts.anew(repository.client(), &error).await
                    {
                        return Err(Failed::Registry(error));
                    }
                    self.offset().await.map_err(Failed::Session)?.min(push.size)
                }
            };
            // Only new bytes count as progress. Otherwise a session whose offset goes back and forth would never end.
            if at > farthest {
                farthest = at;
                attempts.moved();
            }
        }
        self.finish_or_look(content, course).await.map_err(Failed::Registry)
    }

    /// Commits. If the session does not exist, a request whose response was lost may have committed it.
    async fn finish_or_look<S: BlobSource>(
        &self,
        (repository, push, _): PushParts<'_, S>,
        course: &mut Course,
    ) -> Result<(), Error> {
        let mut attempts = Attempts::default();
        loop {
            let Err(error) = self.finish(&push.digest, push.size).await else { return Ok(()) };
            if error.is_not_found() {
                return match repository.find_blob(&push.digest, push.size).await {
                    Ok(FoundBlob::Present) => Ok(()),
                    _ => Err(error),
                };
            }
            let Err(error) = repository.stored_after_all(push, error, course).await else {
                return Ok(());
            };
            if !is_unanswered(&error)
                || !course.may_continue(&error)
                || !attempts.anew(repository.client(), &error).await
            {
                return Err(error);
            }
        }
    }
}

/// The length of chunks after a request of `length` bytes was too long.
fn shorter(length: u64) -> u64 {
    (length / 4).clamp(LEAST_CHUNK_BYTES, CHUNK_BYTES)
}

/// Whether a retry may succeed, from the offset or from the beginning: after a transient error, a wrong offset (416), an
/// unknown session (404) or an expired token (401).
fn is_worth_another(error: &Error) -> bool {
    let status = error.status().map(|status| status.as_u16());
    error.is_transient() || matches!(status, Some(401 | 404 | 416))
}

/// The same pieces, with reports of their progress.
fn with_progress(pieces: BlobStream, from: u64, progress: OnProgress) -> BlobStream {
    let mut at = from;
    let reporting = pieces.inspect(move |piece| {
        if let Ok(piece) = piece {
            at += piece.len() as u64;
            (progress.0)(at);
        }
    });
    reporting.boxed()
}

/// The first `length` bytes of them, or all.
fn first_bytes(pieces: BlobStream, length: u64) -> BlobStream {
    let first = stream::try_unfold((pieces, length), |(mut pieces, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let Some(piece) = pieces.next().await else { return Ok(None) };
        let mut piece: Bytes = piece?;
        piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - piece.len() as u64;
        Ok(Some((piece, (pieces, left))))
    });
    first.boxed()
}
