//! Object storage seen as a blob store: blobs, manifests among them, under keys made of their digests.
//!
//! What is put into a store is whole and verified. It is never changed afterwards, unless it was damaged:
//! then it is replaced by the same content, verified again. This crate removes no content. It cannot list a store: no
//! caller needs that, and object storage is slow at it. The only kind of store today is a directory; the layout and its rules are in `docs/mirror.md`.

use std::{fmt, path::PathBuf};

use bytes::Bytes;
use oci::Digest;
use url::{ParseError, Url};

mod error;
mod file;
mod key;
mod place;

pub use error::{Error, WrongDigest};
pub use file::open_file;
pub use key::{PREFIX, key};

/// The directory that `file:///absolute/directory` names, with `%20` and the like decoded.
///
/// # Errors
/// When the text is not such a URL.
pub fn directory(url: &str) -> Result<PathBuf, Error> {
    parse(url).map(|(_, path)| path)
}

fn parse(url: &str) -> Result<(Url, PathBuf), Error> {
    let path_url = || Url::from_file_path(url).ok().map(String::from);
    let instead = path_url().unwrap_or_else(|| "file:///absolute/directory".to_owned());
    let refused = |why: &str| Error::Url { why: why.to_owned(), instead: instead.clone() };
    let parsed = Url::parse(url).map_err(|error| match error {
        ParseError::RelativeUrlWithoutBase => refused("not a URL"),
        error => refused(&format!("not a URL ({error})")),
    })?;
    if parsed.scheme() != "file" {
        return Err(refused(&format!("the scheme `{}` is not supported", parsed.scheme())));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(refused("a directory has no `?` and no `#` (write %3F, %23)"));
    }
    let path = parsed.to_file_path().map_err(|()| refused("it names another machine"))?;
    Ok((parsed, path))
}

/// A blob store. Cheap to clone; clones share what they hold open.
#[derive(Clone, Debug)]
pub struct BlobStore(Backend);

#[derive(Clone, Debug)]
enum Backend {
    File(file::Directory),
}

impl BlobStore {
    /// The store at `url`: `file:///absolute/directory`, which need not exist yet. Nothing is touched
    /// before the first write.
    ///
    /// # Errors
    /// When the text is not a URL, or not one of a kind of store that is supported.
    pub fn open(url: &str) -> Result<Self, Error> {
        let (parsed, path) = parse(url)?;
        Ok(Self(Backend::File(file::Directory::new(parsed, path))))
    }

    /// Whether the store can be where its URL says: it, and all above it, are directories as far as they exist.
    /// Links to directories are followed. Nothing is made.
    ///
    /// # Errors
    /// When something else is there, such as a file ([`Error::NotAStore`]). That its place cannot be looked at is
    /// left to the first use.
    pub async fn check_place(&self) -> Result<(), Error> {
        match &self.0 {
            Backend::File(directory) => directory.check_place().await,
        }
    }

    /// The size in bytes of what the store has under this digest; nothing if it has nothing. No content is
    /// read: what has another size than it should is damaged, and putting it again repairs it.
    ///
    /// # Errors
    /// When the store cannot say, or what is there is not a regular file; an absent directory is an empty
    /// store.
    pub async fn size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        match &self.0 {
            Backend::File(directory) => directory.size(digest).await,
        }
    }

    /// Small content, such as a manifest, verified; nothing if the store has it not.
    ///
    /// # Errors
    /// When it is longer than `max` bytes or is not what its name says ([`Error::is_damaged`]), or cannot be
    /// read.
    pub async fn read(&self, digest: &Digest, max: u64) -> Result<Option<Bytes>, Error> {
        match &self.0 {
            Backend::File(directory) => directory.read(digest, max).await,
        }
    }

    /// Begins to write the content of `digest`. Nothing is visible before [`BlobWriter::commit`].
    ///
    /// # Errors
    /// When the store cannot be written to.
    pub async fn writer(&self, digest: &Digest) -> Result<BlobWriter, Error> {
        match &self.0 {
            Backend::File(directory) => directory.writer(digest).await.map(BlobWriter),
        }
    }

    /// Writes small content at once.
    ///
    /// # Errors
    /// Those of [`BlobStore::writer`] and [`BlobWriter::commit`].
    pub async fn put(&self, digest: &Digest, content: Bytes) -> Result<Put, Error> {
        let mut writer = self.writer(digest).await?;
        writer.write(content).await?;
        writer.commit().await
    }
}

impl fmt::Display for BlobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Backend::File(directory) => directory.fmt(f),
        }
    }
}

/// Content on its way into a store. Dropped before the commit, it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter(file::Writer);

impl BlobWriter {
    /// Takes the next piece. Up to [`WRITE_BATCH`] bytes are gathered before they are written.
    ///
    /// # Errors
    /// When the store cannot take it: the error names the path. The writer is of no use afterwards.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), Error> {
        self.0.write(piece).await
    }

    /// Makes the content visible under its digest, durably, if it is what the digest names.
    ///
    /// # Errors
    /// When it is not ([`Error::is_wrong_digest`]), or the store cannot keep it. Nothing is visible then.
    pub async fn commit(self) -> Result<Put, Error> {
        self.0.commit().await
    }
}

pub use file::WRITE_BATCH;

/// What a commit did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The content is in the store because of it.
    Written,
    /// The content was there, put by somebody else meanwhile.
    AlreadyThere,
    /// A damaged file had the digest's name, and was replaced.
    Repaired,
}
