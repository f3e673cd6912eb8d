//! Where a registry keeps its content: in memory or in a directory.
//!
//! A backend is plain and knows nothing of the API: it keeps what it is given under a repository and
//! a digest or tag. Who calls it has verified the digest, and asks for the tag last.

mod directory;
mod memory;

use std::{
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use oci::{Algorithm, Digest, Digester, Repository, Tag};
use tempfile::TempPath;
use tokio::io::AsyncWriteExt as _;

use self::{directory::Directory, memory::Memory};
use crate::limits::READ_PIECE_BYTES;

/// Where a registry keeps its content. Cheap to clone; the clones are one storage.
#[derive(Clone)]
pub struct Storage(Arc<dyn Backend>);

impl Storage {
    /// Everything in memory, gone with the last clone.
    #[must_use]
    pub fn memory() -> Self {
        Self(Arc::new(Memory::default()))
    }

    /// Everything below `root`, which is made if it is absent and belongs to this storage alone until
    /// the last clone is gone. The layout: `docs/registry.md`.
    ///
    /// # Errors
    /// When another registry uses the directory ([`StorageError::is_in_use`]), or it cannot be
    /// written.
    pub fn directory(root: &Path) -> Result<Self, StorageError> {
        Ok(Self(Arc::new(Directory::open(root)?)))
    }

    /// Runs `work` where it may block.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Backend) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let backend = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&*backend)).await?
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a storage can do. Nothing here is async: see [`Storage::run`].
pub(crate) trait Backend: fmt::Debug + Send + Sync {
    /// The longest blob it takes, in bytes.
    fn max_blob_bytes(&self) -> u64;
    /// A place for content whose digest is not known yet.
    fn stage(&self) -> Result<Staged, StorageError>;

    fn put_blob(&self, name: &Repository, digest: Digest, content: Content) -> Done;
    /// Whether `from` had it.
    fn mount_blob(&self, from: &Repository, name: &Repository, digest: Digest) -> Known;
    fn has_blob(&self, name: &Repository, digest: Digest) -> Known;
    fn blob(&self, name: &Repository, digest: Digest) -> Result<Option<Blob>, StorageError>;
    /// Whether it was there.
    fn delete_blob(&self, name: &Repository, digest: Digest) -> Known;

    fn put_manifest(&self, name: &Repository, digest: Digest, manifest: StoredManifest) -> Done;
    fn has_manifest(&self, name: &Repository, digest: Digest) -> Known;
    fn manifest(
        &self,
        name: &Repository,
        digest: Digest,
    ) -> Result<Option<StoredManifest>, StorageError>;
    /// Deletes the tags on it, then itself. Whether it was there.
    fn delete_manifest(&self, name: &Repository, digest: Digest) -> Known;

    fn put_tag(&self, name: &Repository, tag: &Tag, digest: Digest) -> Done;
    fn tagged(&self, name: &Repository, tag: &Tag) -> Result<Option<Digest>, StorageError>;
    /// Whether it was there.
    fn delete_tag(&self, name: &Repository, tag: &Tag) -> Known;

    /// In no order; none where the repository holds nothing.
    fn tags(&self, name: &Repository) -> Result<Option<Vec<Tag>>, StorageError>;
    /// Those that hold something, in no order.
    fn repositories(&self) -> Result<Vec<Repository>, StorageError>;
}

type Done = Result<(), StorageError>;
type Known = Result<bool, StorageError>;

/// A manifest as it was pushed.
#[derive(Clone, Debug)]
pub(crate) struct StoredManifest {
    pub(crate) media_type: String,
    pub(crate) bytes: Bytes,
}

/// A blob to be read.
#[derive(Debug)]
pub(crate) enum Blob {
    Bytes(Bytes),
    File { file: File, size: u64 },
}

impl Blob {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }
}

/// Content that is on its way in. Dropping it leaves nothing.
#[derive(Debug)]
pub(crate) enum Staged {
    Bytes(Vec<u8>),
    File { file: tokio::fs::File, path: TempPath },
}

impl Staged {
    /// Takes the next piece. After an error, or when the future was dropped before its end, what is
    /// staged is unknown and must be dropped too.
    pub(crate) async fn write(&mut self, piece: &[u8]) -> Done {
        match self {
            Self::Bytes(bytes) => bytes.extend_from_slice(piece),
            Self::File { file, path } => {
                file.write_all(piece).await.map_err(failed("write", path))?;
            }
        }
        Ok(())
    }

    /// All of it is in; on a disk, durably.
    pub(crate) async fn finish(self) -> Result<Content, StorageError> {
        match self {
            Self::Bytes(bytes) => Ok(Content::Bytes(bytes.into())),
            Self::File { mut file, path } => {
                file.flush().await.map_err(failed("write", &path))?;
                file.sync_all().await.map_err(failed("sync", &path))?;
                Ok(Content::File(path))
            }
        }
    }
}

/// Content that is complete, and not kept yet.
#[derive(Debug)]
pub(crate) enum Content {
    Bytes(Bytes),
    File(TempPath),
}

impl Content {
    /// The digest by another algorithm than the one computed on the way in.
    pub(crate) fn digest(&self, algorithm: Algorithm) -> Result<Digest, StorageError> {
        match self {
            Self::Bytes(bytes) => Ok(Digest::of(algorithm, bytes)),
            Self::File(path) => digest_file(algorithm, path).map_err(failed("read", path)),
        }
    }
}

fn digest_file(algorithm: Algorithm, path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut digester = Digester::new(algorithm);
    let mut piece = vec![0; READ_PIECE_BYTES];
    loop {
        let len = io::Read::read(&mut file, &mut piece)?;
        if len == 0 {
            return Ok(digester.finish());
        }
        digester.update(&piece[..len]);
    }
}

/// Why a storage failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The file system refused.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another registry uses the directory.
    #[error("`{}` is in use by another registry; end that one, or take another directory", .0.display())]
    InUse(PathBuf),
    /// A file does not hold what the layout says.
    #[error("`{}` is damaged; delete it and push again", .0.display())]
    Damaged(PathBuf),
    /// The process is ending.
    #[error("the work was cut short: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl StorageError {
    /// Whether another registry uses the directory.
    #[must_use]
    pub const fn is_in_use(&self) -> bool {
        matches!(self, Self::InUse(_))
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
    move |source| StorageError::Io { action, path: path.to_owned(), source }
}
