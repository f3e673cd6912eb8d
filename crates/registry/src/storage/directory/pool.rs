//! The pool: each blob under its digest alone. Repositories link to it, so that a shared blob is stored once and is
//! found without the name of a repository.
//!
//! A blob that the pool lacks stays in its repositories, which have links of their own.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use oci::Digest;

use super::{
    super::{
        StorageError, StorageResult,
        error::{failed, if_there, readable},
        staged::StagedFile,
    },
    files::{
        LinkResult, entries, file_name, is_regular_file, leave_alone, link, names_of, open,
        or_leave,
    },
    obstacles::failed_at,
};
use crate::{limits::READ_PIECE_BYTES, upload_id::UploadId};

#[derive(Debug)]
pub(super) struct BlobPool {
    blobs: PathBuf,
    staging: PathBuf,
    /// Held while links to a blob are created or removed. A digest always has the same lock.
    alone: [Mutex<()>; LOCKS],
}

/// One for each value of a digest's first byte.
const LOCKS: usize = 256;

/// The removed files and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reclaimed {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl Reclaimed {
    pub(super) const fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

impl BlobPool {
    pub(super) fn new(blobs: PathBuf, staging: PathBuf) -> Self {
        Self { blobs, staging, alone: std::array::from_fn(|_| Mutex::default()) }
    }

    /// A lock on the links to this blob.
    pub(super) fn lock(&self, digest: Digest) -> MutexGuard<'_, ()> {
        let first = digest.as_bytes().first().copied().unwrap_or_default();
        // It guards files, which have no half-written state for others to see.
        self.alone[usize::from(first)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn path(&self, digest: Digest) -> PathBuf {
        self.blobs.join(digest.to_string())
    }

    /// Gives the pool's copy of `staged` the name `path`, if there is one and it is the same to the byte:
    /// a disk may have damaged it, and then the new one is to be kept.
    pub(super) fn place_equal(
        &self,
        digest: Digest,
        staged: &StagedFile,
        path: &Path,
    ) -> Result<bool, StorageError> {
        let ours = self.path(digest);
        let is_equal = match readable(open(&ours))?.flatten() {
            Some(file) => are_equal(file, staged.path()).map_err(failed("read", &ours))?,
            None => false,
        };
        Ok(is_equal && self.replace(&ours, path)? == LinkResult::Linked)
    }

    /// Links the file at `path` into the pool, in place of its present copy. A failure is only logged.
    pub(super) fn offer(&self, digest: Digest, path: &Path) {
        if let Err(error) = self.replace(path, &self.path(digest)) {
            tracing::warn!(%error, "a blob is kept, but cannot be shared");
        }
    }

    /// Gives the file at `source` the name `path` too, in place of what has it. Not synced.
    pub(super) fn replace(&self, source: &Path, path: &Path) -> Result<LinkResult, StorageError> {
        let name = self.staging.join(UploadId::random().to_string());
        let linked = link(source, &name)?;
        if linked == LinkResult::Linked {
            let renamed = fs::rename(&name, path).map_err(failed_at("create", path));
            // Renaming does nothing where both names are of one file.
            if_there(fs::remove_file(&name)).map_err(failed("delete", &name))?;
            renamed?;
        }
        Ok(linked)
    }

    /// Deletes a blob that no repository has. Whether it was deleted. The next start tries again after a failure.
    pub(super) fn let_go(&self, digest: Digest) -> bool {
        let gone = self.let_go_of(&self.path(digest));
        if let Err(error) = &gone {
            tracing::warn!(%error, "an unused blob was not deleted and still takes space");
        }
        matches!(gone, Ok(Some(_)))
    }

    /// Deletes all blobs that no repository has.
    pub(super) fn reclaim(&self, reclaimed: &mut Reclaimed) -> StorageResult {
        for path in entries(&self.blobs)? {
            let is_ours = file_name(&path).is_some_and(|name| name.parse::<Digest>().is_ok());
            if !is_ours || !is_regular_file(&path)? {
                leave_alone(&path);
                continue;
            }
            let gone = self.let_go_of(&path);
            or_leave(gone.map(|bytes| bytes.into_iter().for_each(|bytes| reclaimed.add(bytes))));
        }
        Ok(())
    }

    /// The freed bytes. A repository that links to the blob meanwhile keeps its content.
    fn let_go_of(&self, path: &Path) -> Result<Option<u64>, StorageError> {
        let Some((1, bytes)) = names_of(path)? else { return Ok(None) };
        if_there(fs::remove_file(path)).map_err(failed("delete", path))?;
        Ok(Some(bytes))
    }
}

fn are_equal(mut ours: File, theirs: &Path) -> io::Result<bool> {
    let mut theirs = File::open(theirs)?;
    if ours.metadata()?.len() != theirs.metadata()?.len() {
        return Ok(false);
    }
    let [mut a, mut b] = [(); 2].map(|()| Vec::with_capacity(READ_PIECE_BYTES));
    loop {
        a.clear();
        b.clear();
        ours.by_ref().take(READ_PIECE_BYTES as u64).read_to_end(&mut a)?;
        theirs.by_ref().take(READ_PIECE_BYTES as u64).read_to_end(&mut b)?;
        if a != b {
            return Ok(false);
        }
        if a.is_empty() {
            return Ok(true);
        }
    }
}
