//! Content on its way in, in memory or in a file. Everything here may block.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::{Done, StorageError, error::failed, regular_file};
use crate::limits::READ_PIECE_BYTES;

/// Content on its way in.
#[derive(Debug)]
pub(crate) enum Staged {
    Bytes(Vec<u8>),
    File(StagedFile),
}

impl Staged {
    /// How many bytes are in.
    pub(crate) const fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(file) => file.len,
        }
    }

    /// Takes the next piece, all of it or nothing.
    pub(crate) fn append(&mut self, piece: &[u8]) -> Done {
        match self {
            Self::Bytes(bytes) => bytes.extend_from_slice(piece),
            Self::File(file) => file.append(piece)?,
        }
        Ok(())
    }

    /// Goes back to its first `len` bytes.
    pub(crate) fn truncate(&mut self, len: u64) -> Done {
        match self {
            Self::Bytes(bytes) => bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX)),
            Self::File(file) => file.truncate(len)?,
        }
        Ok(())
    }

    /// Nothing more comes for now: holds no file open.
    pub(crate) fn rest(&mut self) {
        if let Self::File(file) = self {
            file.open = None;
        }
    }

    /// Whether it can only be given up: it was moved away, or what the disk has of it is not known.
    pub(crate) const fn is_spent(&self) -> bool {
        match self {
            Self::Bytes(_) => false,
            Self::File(file) => file.is_spent,
        }
    }

    /// Shows all of it, in pieces.
    pub(crate) fn read(&self, mut each: impl FnMut(&[u8])) -> Done {
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
    /// Opened when it is needed.
    open: Option<File>,
    len: u64,
    kept: Kept,
    is_spent: bool,
}

/// Whether a staged file stays when its owner goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    WhileOwned,
    UntilDeleted,
}

impl StagedFile {
    pub(super) fn create(path: PathBuf, kept: Kept) -> Result<Self, StorageError> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let open = Some(file.map_err(failed("create", &path))?);
        Ok(Self { path, open, len: 0, kept, is_spent: false })
    }

    /// One that is there, with this many bytes.
    pub(super) const fn existing(path: PathBuf, len: u64) -> Self {
        Self { path, open: None, len, kept: Kept::UntilDeleted, is_spent: false }
    }

    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn append(&mut self, piece: &[u8]) -> Done {
        let len = self.len;
        let file = self.file()?;
        if let Err(error) = file.write_all_at(piece, len) {
            // What was written of it is not counted; at best it takes no space either.
            let _ = file.set_len(len);
            return Err(failed("write", &self.path)(error));
        }
        self.len += piece.len() as u64;
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> Done {
        if len < self.len {
            let cut = self.file()?.set_len(len);
            cut.map_err(failed("write", &self.path))?;
            self.len = len;
        }
        Ok(())
    }

    /// All of it is on the disk. A second attempt would tell nothing: the system may have forgotten what
    /// it could not write.
    pub(super) fn sync(&mut self) -> Done {
        let len = self.len;
        let file = self.file()?;
        // A piece that failed may have left more than is counted.
        let synced = file.set_len(len).and_then(|()| file.sync_all());
        self.is_spent = synced.is_err();
        #[cfg(test)]
        super::record::sync(&self.path);
        synced.map_err(failed("sync", &self.path))
    }

    /// It has another name now, under which nobody may write.
    pub(super) fn moved(&mut self) {
        self.open = None;
        self.is_spent = true;
    }

    /// To be written. What is spent has no file.
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
    file.ok_or_else(|| io::Error::other("it is not a regular file any more"))
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if self.kept == Kept::WhileOwned {
            // It is not there where it was moved to its place, and otherwise goes at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}
