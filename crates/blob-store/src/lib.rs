//! Object storage seen as a blob store: blobs, manifests among them, under keys made of their digests.
//!
//! What is put into a store is whole and verified. It is never changed afterwards, unless it was damaged:
//! then it is replaced by the same content, verified again. This crate removes no content. The digest is both the
//! checksum of every write and its condition: an object that exists is not written again. The kinds of store are a
//! directory and, for tests, memory; every kind passes `tests/conformance.rs`. The layout is in `docs/reference/mirror.md`.

use std::fmt;

use bytes::Bytes;
use oci::Digest;

mod error;
mod file;
mod file_url;
mod key;
mod location;
mod memory;
mod object;
mod partial_file;

pub use error::{Error, ErrorKind, found};
pub use file::open_file;
pub use file_url::{UrlError, directory};
pub use key::{PREFIX, key};
pub use object::{LIST_PAGE, ListedObject, ObjectHead, Part, Put};
pub use partial_file::WRITE_BATCH;

/// A blob store. Cheap to clone; clones share what they hold open.
#[derive(Clone, Debug)]
pub struct BlobStore(Backend);

/// The kinds of store. An enum, not a trait object: no piece of a blob goes through a dynamic call.
#[derive(Clone, Debug)]
enum Backend {
    File(file::DirectoryStore),
    Memory(memory::MemoryStore),
}

impl BlobStore {
    /// The store at `url`: `file:///absolute/directory`, which need not exist yet. Nothing is touched
    /// before the first write.
    ///
    /// # Errors
    /// When the text is not a URL, or not one of a kind of store that is supported.
    pub fn open(url: &str) -> Result<Self, UrlError> {
        let (parsed, path) = file_url::parse(url)?;
        Ok(Self(Backend::File(file::DirectoryStore::new(parsed, path))))
    }

    /// An empty store in memory, for tests.
    #[must_use]
    pub fn in_memory() -> Self {
        Self(Backend::Memory(memory::MemoryStore::default()))
    }

    /// Checks that the path of the store's URL, and all above it, are directories as far as they exist, and that the
    /// directory is empty or has the layout of a store. Links to directories are followed. Nothing is created.
    ///
    /// # Errors
    /// When one of them is something else, such as a file or another directory ([`ErrorKind::WrongFileType`]). A directory that cannot be
    /// read is reported by the first use.
    pub async fn check_location(&self) -> Result<(), Error> {
        match &self.0 {
            Backend::File(directory) => directory.check_location().await,
            Backend::Memory(_) => Ok(()),
        }
    }

    /// Whether both are the same store, under whatever name. It follows links, and blocks while it does.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Backend::File(one), Backend::File(other)) => one.is_same(other),
            (Backend::Memory(one), Backend::Memory(other)) => one.is_same(other),
            _ => false,
        }
    }

    /// The length of the object under this digest. No content is read: an object of another length than expected is
    /// damaged, and putting it again repairs it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when the store has none (a directory that does not exist is an empty store); others when
    /// the store cannot be read.
    pub async fn head(&self, digest: &Digest) -> Result<ObjectHead, Error> {
        match &self.0 {
            Backend::File(directory) => directory.head(digest).await,
            Backend::Memory(memory) => memory.head(digest),
        }
    }

    /// The content under this digest, or a part of it, of at most `max` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when the store has none, [`ErrorKind::TooLarge`] when there are more than `max` bytes,
    /// [`ErrorKind::Corrupt`] when the whole is not what its digest says, [`ErrorKind::RangeNotSatisfiable`] when the
    /// range has no byte.
    pub async fn get(&self, digest: &Digest, part: Part, max: u64) -> Result<Bytes, Error> {
        match &self.0 {
            Backend::File(directory) => directory.get(digest, part, max).await,
            Backend::Memory(memory) => memory.get(digest, &part, max),
        }
    }

    /// Begins to write the content of `digest`, which has `length` bytes. Nothing is visible before
    /// [`BlobWriter::commit`].
    ///
    /// # Errors
    /// When the store cannot be written to.
    pub async fn writer(&self, digest: &Digest, length: u64) -> Result<BlobWriter, Error> {
        Ok(BlobWriter(match &self.0 {
            Backend::File(directory) => Writer::File(directory.writer(digest, length).await?),
            Backend::Memory(memory) => Writer::Memory(memory.writer(digest, length)),
        }))
    }

    /// Writes small content at once.
    ///
    /// # Errors
    /// Those of [`BlobStore::writer`] and [`BlobWriter::commit`].
    pub async fn put(&self, digest: &Digest, content: Bytes) -> Result<Put, Error> {
        let mut writer = self.writer(digest, content.len() as u64).await?;
        writer.write(content).await?;
        writer.commit().await
    }

    /// A page of at most [`LIST_PAGE`] objects whose digests begin with `prefix` (such as `sha256:ab`; empty for all), in
    /// the order of their texts, behind `after`. A page that is not full is the last one.
    ///
    /// # Errors
    /// When the store cannot be read. An absent directory is an empty store.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&Digest>,
    ) -> Result<Vec<ListedObject>, Error> {
        match &self.0 {
            Backend::File(directory) => directory.list(prefix, after).await,
            Backend::Memory(memory) => Ok(memory.list(prefix, after)),
        }
    }
}

impl fmt::Display for BlobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Backend::File(directory) => directory.fmt(f),
            Backend::Memory(_) => f.write_str("memory"),
        }
    }
}

/// Content on its way into a store. Dropped before the commit, it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter(Writer);

#[derive(Debug)]
enum Writer {
    File(file::FileWriter),
    Memory(memory::MemoryWriter),
}

impl BlobWriter {
    /// Takes the next piece. Up to [`WRITE_BATCH`] bytes are gathered before they are written.
    ///
    /// # Errors
    /// When the store cannot take it: the error names the path. The writer cannot be used afterwards.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), Error> {
        match &mut self.0 {
            Writer::File(writer) => writer.write(piece).await,
            Writer::Memory(writer) => {
                writer.write(&piece);
                Ok(())
            }
        }
    }

    /// Makes the content visible under its digest, durably, if it is what the digest names.
    ///
    /// # Errors
    /// When it is not ([`Error::is_wrong_content`]), or the store cannot keep it. Then nothing becomes visible.
    pub async fn commit(self) -> Result<Put, Error> {
        match self.0 {
            Writer::File(writer) => writer.commit().await,
            Writer::Memory(writer) => writer.commit(),
        }
    }
}
