//! Where a registry keeps its content: in memory or in a directory.
//!
//! A backend is plain and knows nothing of the API: it keeps what it is given under a repository and
//! a digest or tag. Who calls it has verified the digest, and asks for the tag last.

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
use self::{directory::Directory, memory::Memory};
use crate::{shares::Holder, upload_id::UploadId};

/// Where a registry keeps its content. Cheap to clone; the clones are one storage.
#[derive(Clone)]
pub struct Storage {
    backend: Arc<dyn Backend>,
    /// Held by who looks at a repository's tags and then writes. A repository has always the same.
    writing: Arc<([Mutex<()>; LOCKS], RandomState)>,
    is_read_only: bool,
}

/// So many writes of manifests may go on at once: more than a disk syncs at a time.
const LOCKS: usize = 64;

impl Storage {
    /// Everything in memory, gone with the last clone.
    #[must_use]
    pub fn memory() -> Self {
        Self::new(Memory::default())
    }

    /// Everything below `root`, which is made if it is absent and belongs to this storage alone until
    /// the last clone is gone. What an earlier one left half done is removed; files that no registry
    /// made stay. The layout: `docs/reference/registry.md`.
    ///
    /// # Errors
    /// When another registry uses the directory ([`StorageError::is_in_use`]), no registry made it and
    /// it is not empty, or it cannot be written.
    pub fn directory(root: &Path) -> Result<Self, StorageError> {
        Ok(Self::new(Directory::open(root)?))
    }

    /// The same to be read only: nothing below `root` is changed, and a registry on it refuses to write.
    ///
    /// # Errors
    /// When a registry that writes uses the directory, no registry made it and it is not empty, or it
    /// cannot be read.
    pub fn read_only_directory(root: &Path) -> Result<Self, StorageError> {
        Ok(Self { is_read_only: true, ..Self::new(Directory::open_read_only(root)?) })
    }

    fn new(backend: impl Backend + 'static) -> Self {
        let locks = std::array::from_fn(|_| Mutex::default());
        let writing = Arc::new((locks, RandomState::new()));
        Self { backend: Arc::new(backend), writing, is_read_only: false }
    }

    pub(crate) const fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// For what does not block, or where blocking does no harm.
    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Runs `work` where it may block.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Backend) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let backend = Arc::clone(&self.backend);
        let work = move || {
            backend.check()?;
            work(&*backend)
        };
        tokio::task::spawn_blocking(work).await.map_err(StorageError::Interrupted)?
    }

    /// The same while nobody else who asks for it does so in this repository.
    pub(crate) async fn run_alone<T: Send + 'static>(
        &self,
        name: &Repository,
        work: impl FnOnce(&dyn Backend) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let writing = Arc::clone(&self.writing);
        let lock = writing.1.hash_one(name) % LOCKS as u64;
        self.run(move |backend| {
            // It guards files, which have no half-written state for others to see.
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

/// What a storage can do. Nothing here is async: see [`Storage::run`].
pub(crate) trait Backend: fmt::Debug + Send + Sync {
    /// Fails if the place is no longer what was opened: then nothing in it is read, written or deleted.
    fn check(&self) -> Done {
        Ok(())
    }

    /// The longest blob that suits it, in bytes.
    fn max_blob_bytes(&self) -> u64;

    /// A place for content whose digest is not known yet, gone with its owner.
    fn stage(&self) -> Result<Staged, StorageError>;
    /// The same for a session, whose content stays until [`Backend::end_session`], after a restart too.
    fn begin_session(&self, id: UploadId, session: &SavedSession) -> Result<Staged, StorageError>;
    /// Forgets a session, whether it is there or not, and what it had.
    fn end_session(&self, id: UploadId) -> Done;
    /// The sessions that an earlier process left. Each time after the first there are none.
    fn recovered_sessions(&self) -> Vec<RecoveredSession>;

    /// Keeps what is staged, which has this digest. After an error it is staged still, or spent.
    fn put_blob(&self, name: &Repository, digest: Digest, content: &mut Staged) -> Done;
    /// Whether `from` had it; without `from`, whether any repository had.
    fn mount_blob(&self, from: Option<&Repository>, name: &Repository, digest: Digest) -> Known;
    /// Fails if it is damaged.
    fn has_blob(&self, name: &Repository, digest: Digest) -> Known;
    fn blob(&self, name: &Repository, digest: Digest) -> Result<Option<Blob>, StorageError>;
    /// Whether it was there.
    fn delete_blob(&self, name: &Repository, digest: Digest) -> Known;

    /// Keeps a manifest, and before it that it refers to `subject`.
    fn put_manifest(
        &self,
        name: &Repository,
        digest: Digest,
        manifest: &StoredManifest,
        subject: Option<Digest>,
    ) -> Done;
    fn manifest(
        &self,
        name: &Repository,
        digest: Digest,
    ) -> Result<Option<StoredManifest>, StorageError>;
    /// Deletes it, and then that it refers to `subject`. Whether it was there.
    fn delete_manifest(&self, name: &Repository, digest: Digest, subject: Option<Digest>) -> Known;
    /// Every manifest and when it was pushed first, in no order.
    fn manifests(&self, name: &Repository) -> Result<Vec<(Digest, SystemTime)>, StorageError>;
    /// What refers, or did, to `subject`, in no order.
    fn referrers(&self, name: &Repository, subject: Digest) -> Result<Vec<Digest>, StorageError>;

    fn put_tag(&self, name: &Repository, tag: &Tag, digest: Digest) -> Done;
    fn tagged(&self, name: &Repository, tag: &Tag) -> Result<Option<Digest>, StorageError>;
    /// Deletes those that are there.
    fn delete_tags(&self, name: &Repository, tags: &[Tag]) -> Done;

    /// In no order; none where the repository holds nothing.
    fn tags(&self, name: &Repository) -> Result<Option<Vec<Tag>>, StorageError>;
    /// Those that hold something and are `wanted`, in ASCII order, from the first that stands after
    /// `after` on: at most `limit`.
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

pub(crate) type Done = Result<(), StorageError>;
pub(crate) type Known = Result<bool, StorageError>;

/// What must be known of a session to go on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SavedSession {
    pub(crate) name: Repository,
    /// That of the digest to come, as far as the client said.
    pub(crate) algorithm: Algorithm,
    /// Whose share it is part of; none if it is of none.
    pub(crate) holder: Option<Holder>,
}

/// A session that an earlier process left.
#[derive(Debug)]
pub(crate) struct RecoveredSession {
    pub(crate) id: UploadId,
    pub(crate) session: SavedSession,
    pub(crate) staged: Staged,
    /// Since something came in last.
    pub(crate) idle: Duration,
}

/// A manifest as it was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
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
