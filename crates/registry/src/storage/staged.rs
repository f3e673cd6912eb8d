//! Content that is being received, in memory or in a file. Every function may block.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::{StorageError, StorageResult, error::failed, regular_file};
use crate::limits::READ_PIECE_BYTES;

/// Content that is being received.
#[derive(Debug)]
pub(crate) enum Staged {
    Bytes(Vec<u8>),
    File(StagedFile),
}

impl Staged {
    /// The number of bytes so far.
    pub(crate) const fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(file) => file.len,
        }
    }

    /// Appends a piece, all of it or nothing.
    pub(crate) fn append(&mut self, piece: &[u8]) -> StorageResult {
        match self {
            Self::Bytes(bytes) => bytes.extend_from_slice(piece),
            Self::File(file) => file.append(piece)?,
        }
        Ok(())
    }

    /// Keeps only the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: u64) -> StorageResult {
        match self {
            Self::Bytes(bytes) => bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX)),
            Self::File(file) => file.truncate(len)?,
        }
        Ok(())
    }

    /// Closes the file until the next append.
    pub(crate) fn rest(&mut self) {
        if let Self::File(file) = self {
            file.open = None;
        }
    }

    /// Whether it is unusable: it was moved away, or a sync failed and the state on the disk is unknown.
    pub(crate) const fn is_spent(&self) -> bool {
        match self {
            Self::Bytes(_) => false,
            Self::File(file) => file.is_spent,
        }
    }

    /// Reads all of it, in pieces.
    pub(crate) fn read(&self, mut each: impl FnMut(&[u8])) -> StorageResult {
        match self {
            Self::Bytes(bytes) => each(bytes),
            Self::File(file) => file.read(each).map_err(failed("read", &file.path))?,
        }
        Ok(())
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct StagedFile {
    path: PathBuf,
    /// Opened on demand.
    open: Option<File>,
    len: u64,
    retention: Retention,
    is_spent: bool,
}

/// When a staged file is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retention {
    WhileOwned,
    UntilDeleted,
}

impl StagedFile {
    pub(super) fn create(path: PathBuf, retention: Retention) -> Result<Self, StorageError> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let open = Some(file.map_err(failed("create", &path))?);
        Ok(Self { path, open, len: 0, retention, is_spent: false })
    }

    /// An existing file of this length.
    pub(super) const fn existing(path: PathBuf, len: u64) -> Self {
        Self { path, open: None, len, retention: Retention::UntilDeleted, is_spent: false }
    }

    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn append(&mut self, piece: &[u8]) -> StorageResult {
        let len = self.len;
        let file = self.file()?;
        if let Err(error) = file.write_all_at(piece, len) {
            // A partly written piece is not counted; if possible its space is freed.
            let _ = file.set_len(len);
            return Err(failed("write", &self.path)(error));
        }
        self.len += piece.len() as u64;
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> StorageResult {
        if len < self.len {
            let cut = self.file()?.set_len(len);
            cut.map_err(failed("write", &self.path))?;
            self.len = len;
        }
        Ok(())
    }

    /// Syncs the file. A failed sync is final: the system may have dropped the pages that it could not write.
    pub(super) fn sync(&mut self) -> StorageResult {
        let len = self.len;
        let file = self.file()?;
        // A failed append may have left uncounted bytes.
        let synced = file.set_len(len).and_then(|()| file.sync_all());
        self.is_spent = synced.is_err();
        #[cfg(test)]
        super::record::sync(&self.path);
        synced.map_err(failed("sync", &self.path))
    }

    /// The file was moved to its final name, and must not be written any more.
    pub(super) fn moved(&mut self) {
        self.open = None;
        self.is_spent = true;
    }

    /// The file, open for writing; an error if it is spent.
    fn file(&mut self) -> Result<&File, StorageError> {
        if self.is_spent {
            let gone = io::ErrorKind::NotFound.into();
            return Err(failed("write", &self.path)(gone));
        }
        let file = match self.open.take() {
            Some(file) => file,
            None => {
                let file = reopen(OpenOptions::new().read(true).write(true), &self.path);
                file.map_err(failed("open", &self.path))?
            }
        };
        Ok(self.open.insert(file))
    }

    fn read(&self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let file = reopen(OpenOptions::new().read(true), &self.path)?;
        let mut piece = vec![0; READ_PIECE_BYTES];
        let mut at = 0;
        while at < self.len {
            let want =
                usize::try_from(self.len - at).map_or(piece.len(), |left| left.min(piece.len()));
            file.read_exact_at(&mut piece[..want], at)?;
            each(&piece[..want]);
            at += want as u64;
        }
        Ok(())
    }
}

fn reopen(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = regular_file::open(options, path)?;
    file.ok_or_else(|| io::Error::other("it is no longer a regular file"))
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if self.retention == Retention::WhileOwned {
            // A moved file is no longer there. Any other is removed at the next start if this fails.
            let _ = fs::remove_file(&self.path);
        }
    }
}
