//! The storage of a registry: in memory or in a directory.
//!
//! A backend knows nothing of the API: it stores content under a repository and a digest or tag. The caller has
//! verified the digest, and writes the tag last.

mod directory;
mod error;
mod memory;
mod regular_file;
mod staged;

use std::{
    fmt,
    fs::File,
    hash::{BuildHasher as _, RandomState},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use oci::{Algorithm, Digest, Repository, Tag};

pub use self::error::StorageError;
pub(crate) use self::error::readable;
pub(crate) use self::staged::Staged;
use self::{directory::DirectoryStorage, memory::MemoryStorage};
use crate::{shares::Holder, upload_id::UploadId};

/// The storage of a registry. Cheap to clone; the clones are one storage.
#[derive(Clone)]
pub struct Storage {
    backend: Arc<dyn StorageBackend>,
    /// Locks for read-then-write operations on the tags of a repository. Each repository always has the same lock.
    writing: Arc<([Mutex<()>; LOCKS], RandomState)>,
    is_read_only: bool,
}

/// The number of concurrent manifest writes: more than a disk syncs at a time.
const LOCKS: usize = 64;

impl Storage {
    /// Everything in memory, gone with the last clone.
    #[must_use]
    pub fn memory() -> Self {
        Self::new(MemoryStorage::default())
    }

    /// Everything below `root`, which is made if it is absent and belongs to this storage alone until
    /// the last clone is gone. Unfinished files of an earlier process are removed; files that no registry
    /// made stay. The layout: `docs/reference/registry.md`.
    ///
    /// # Errors
    /// When another registry uses the directory ([`StorageError::is_in_use`]), no registry made it and
    /// it is not empty, or it cannot be written.
    pub fn directory(root: &Path) -> Result<Self, StorageError> {
        Ok(Self::new(DirectoryStorage::open(root)?))
    }

    /// The same to be read only: nothing below `root` is changed, and a registry on it refuses to write.
    ///
    /// # Errors
    /// When a registry that writes uses the directory, no registry made it and it is not empty, or it
    /// cannot be read.
    pub fn read_only_directory(root: &Path) -> Result<Self, StorageError> {
        Ok(Self { is_read_only: true, ..Self::new(DirectoryStorage::open_read_only(root)?) })
    }

    fn new(backend: impl StorageBackend + 'static) -> Self {
        let locks = std::array::from_fn(|_| Mutex::default());
        let writing = Arc::new((locks, RandomState::new()));
        Self { backend: Arc::new(backend), writing, is_read_only: false }
    }

    pub(crate) const fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// For calls that do not block, or where blocking is harmless.
    pub(crate) fn backend(&self) -> &dyn StorageBackend {
        &*self.backend
    }

    /// Runs `work` on a blocking thread.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn StorageBackend) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let backend = Arc::clone(&self.backend);
        let work = move || {
            backend.check()?;
            work(&*backend)
        };
        tokio::task::spawn_blocking(work).await.map_err(StorageError::Interrupted)?
    }

    /// The same, exclusively: no other call of this function for the repository runs meanwhile.
    pub(crate) async fn run_alone<T: Send + 'static>(
        &self,
        name: &Repository,
        work: impl FnOnce(&dyn StorageBackend) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let writing = Arc::clone(&self.writing);
        let lock = writing.1.hash_one(name) % LOCKS as u64;
        self.run(move |backend| {
            // The lock guards files, which others never see half written.
            let lock = writing.0.get(usize::try_from(lock).unwrap_or(0));
            let _alone = lock.map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner));
            work(backend)
        })
        .await
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.backend.fmt(f)
    }
}

/// The operations of a storage. They block: see [`Storage::run`].
pub(crate) trait StorageBackend: fmt::Debug + Send + Sync {
    /// Fails if the directory is no longer the one that was opened. Then nothing in it is read, written or deleted.
    fn check(&self) -> StorageResult {
        Ok(())
    }

    /// The longest blob that it accepts, in bytes.
    fn max_blob_bytes(&self) -> u64;

    /// Staged content whose digest is not known yet. It is deleted when it is dropped.
    fn stage(&self) -> Result<Staged, StorageError>;
    /// The same for a session, whose content stays until [`StorageBackend::end_session`], after a restart too.
    fn begin_session(&self, id: UploadId, session: &SavedSession) -> Result<Staged, StorageError>;
    /// Deletes a session and its content, if it exists.
    fn end_session(&self, id: UploadId) -> StorageResult;
    /// The sessions that an earlier process left. Later calls return none.
    fn recovered_sessions(&self) -> Vec<RecoveredSession>;

    /// Stores the staged content, which has this digest. After an error the content is still staged, or spent.
    fn put_blob(&self, name: &Repository, digest: Digest, content: &mut Staged) -> StorageResult;
    /// Whether `from` has the blob; without `from`, whether any repository has it.
    fn mount_blob(
        &self,
        from: Option<&Repository>,
        name: &Repository,
        digest: Digest,
    ) -> StorageResult<bool>;
    /// Fails if the blob is damaged.
    fn has_blob(&self, name: &Repository, digest: Digest) -> StorageResult<bool>;
    fn blob(&self, name: &Repository, digest: Digest) -> Result<Option<StoredBlob>, StorageError>;
    /// Whether it existed.
    fn delete_blob(&self, name: &Repository, digest: Digest) -> StorageResult<bool>;

    /// Stores a manifest, after its entry among the referrers of `subject`.
    fn put_manifest(
        &self,
        name: &Repository,
        digest: Digest,
        manifest: &StoredManifest,
        subject: Option<Digest>,
    ) -> StorageResult;
    fn manifest(
        &self,
        name: &Repository,
        digest: Digest,
    ) -> Result<Option<StoredManifest>, StorageError>;
    /// Deletes a manifest, and then its entry among the referrers of `subject`. Whether it existed.
    fn delete_manifest(
        &self,
        name: &Repository,
        digest: Digest,
        subject: Option<Digest>,
    ) -> StorageResult<bool>;
    /// Every manifest and the time of its first push, unordered.
    fn manifests(&self, name: &Repository) -> Result<Vec<(Digest, SystemTime)>, StorageError>;
    /// The present and perhaps former referrers of `subject`, unordered.
    fn referrers(&self, name: &Repository, subject: Digest) -> Result<Vec<Digest>, StorageError>;

    fn put_tag(&self, name: &Repository, tag: &Tag, digest: Digest) -> StorageResult;
    fn tagged(&self, name: &Repository, tag: &Tag) -> Result<Option<Digest>, StorageError>;
    /// Deletes those that exist.
    fn delete_tags(&self, name: &Repository, tags: &[Tag]) -> StorageResult;

    /// The tags, unordered; none if the repository is empty or absent.
    fn tags(&self, name: &Repository) -> Result<Option<Vec<Tag>>, StorageError>;
    /// At most `limit` repositories that are not empty, are `wanted` and follow `after` in ASCII order.
    fn repositories(
        &self,
        after: Option<&str>,
        limit: usize,
        wanted: &dyn Fn(&Repository) -> bool,
    ) -> Result<Vec<Repository>, StorageError>;
}

/// What this thread synced, for tests of what is durable when.
#[cfg(test)]
mod record {
    use std::{
        cell::RefCell,
        path::{Path, PathBuf},
    };

    thread_local! {
        static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn sync(path: &Path) {
        SYNCED.with_borrow_mut(|synced| synced.push(path.to_owned()));
    }

    /// Runs `work`; what it synced below `root`, in order. Names of files that are being written, which
    /// are random, are `*`.
    pub(super) fn synced<T>(root: &Path, work: impl FnOnce() -> T) -> (T, Vec<String>) {
        SYNCED.take();
        let done = work();
        let below = |path: PathBuf| {
            let path = path.strip_prefix(root).expect("nothing else is synced");
            let path = path.to_str().expect("text");
            match path.split_once("staging/") {
                Some((before, _)) => format!("{before}staging/*"),
                None => path.to_owned(),
            }
        };
        (done, SYNCED.take().into_iter().map(below).collect())
    }
}

/// What an operation of a storage yields.
pub(crate) type StorageResult<T = ()> = Result<T, StorageError>;

/// The data of a session that a restart needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SavedSession {
    pub(crate) name: Repository,
    /// The expected algorithm of the digest, as far as the client stated one.
    pub(crate) algorithm: Algorithm,
    /// The client whose share it counts for, if any.
    pub(crate) holder: Option<Holder>,
}

/// A session that an earlier process left.
#[derive(Debug)]
pub(crate) struct RecoveredSession {
    pub(crate) id: UploadId,
    pub(crate) session: SavedSession,
    pub(crate) staged: Staged,
    /// The time since the last received byte.
    pub(crate) idle: Duration,
}

/// A manifest as it was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredManifest {
    pub(crate) media_type: String,
    pub(crate) bytes: Bytes,
}

/// A blob for reading.
#[derive(Debug)]
pub(crate) enum StoredBlob {
    Bytes(Bytes),
    File { file: File, size: u64 },
}

impl StoredBlob {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }
}
