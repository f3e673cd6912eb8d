//! File operations of the directory storage. Each is durable once it returns.

use std::{
    ffi::OsStr,
    fs::{self, DirEntry, File, FileType, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{
    super::{
        StorageError, StorageResult,
        error::{failed, if_there},
        regular_file,
    },
    obstacles::failed_at,
};

/// Creates a directory and its missing parents, durably. Each is tried once: a file system without new
/// directories, such as `/proc`, may report a missing parent.
pub(super) fn create_dir(path: &Path) -> StorageResult {
    let missing: Vec<_> = path.ancestors().take_while(|directory| !directory.is_dir()).collect();
    missing.into_iter().rev().try_for_each(|directory| match fs::create_dir(directory) {
        Ok(()) => sync_dir(parent(directory)),
        // Another process created it meanwhile.
        Err(_) if directory.is_dir() => Ok(()),
        Err(error) => Err(failed("create", directory)(error)),
    })
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(path: &Path) -> StorageResult {
    #[cfg(test)]
    super::super::record::sync(path);
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed("sync", path))
}

/// Renames a file, replacing the one at `to`.
pub(super) fn rename(from: &Path, to: &Path) -> StorageResult {
    fs::rename(from, to).map_err(failed_at("create", to))?;
    sync_dir(parent(to))
}

/// The result of creating a hard link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkResult {
    /// The link exists, perhaps since before.
    Linked,
    /// The source does not exist.
    Absent,
    /// The file system has no hard links, or allows no more to this file.
    Refused,
}

/// Links `path` to the file at `source`. Not synced.
pub(super) fn link(source: &Path, path: &Path) -> Result<LinkResult, StorageError> {
    use io::ErrorKind::{
        AlreadyExists, CrossesDevices, NotFound, PermissionDenied, TooManyLinks, Unsupported,
    };
    match fs::hard_link(source, path) {
        Ok(()) => Ok(LinkResult::Linked),
        // The same name is the same content.
        Err(error) if error.kind() == AlreadyExists => Ok(LinkResult::Linked),
        Err(error) if error.kind() == NotFound => Ok(LinkResult::Absent),
        Err(error) => match error.kind() {
            TooManyLinks | PermissionDenied | Unsupported | CrossesDevices => {
                Ok(LinkResult::Refused)
            }
            _ => Err(failed("link to", path)(error)),
        },
    }
}

/// The number of links and the length of a regular file; none if there is none.
pub(super) fn names_of(path: &Path) -> Result<Option<(u64, u64)>, StorageError> {
    let found = metadata_of(path)?;
    Ok(found.map(|found| (found.nlink(), found.len())))
}

/// The metadata of a regular file; none for anything else, symbolic links included.
pub(super) fn metadata_of(path: &Path) -> Result<Option<fs::Metadata>, StorageError> {
    let found = if_there(fs::symlink_metadata(path)).map_err(failed("look for", path))?;
    Ok(found.filter(fs::Metadata::is_file))
}

pub(super) fn is_regular_file(path: &Path) -> StorageResult<bool> {
    Ok(metadata_of(path)?.is_some())
}

/// Logs a foreign file, which stays.
pub(super) fn leave_alone(path: &Path) {
    tracing::warn!(path = %path.display(), "not a file of the registry; it is left alone");
}

pub(super) fn delete(path: &Path) -> StorageResult<bool> {
    let deleted = if_there(fs::remove_file(path)).map_err(failed_at("delete", path))?.is_some();
    if deleted {
        sync_dir(parent(path))?;
    }
    Ok(deleted)
}

/// Opens a file for reading; none if it does not exist. Anything but a regular file is damage: a symbolic link
/// is not followed, and a FIFO does not block.
pub(super) fn open(path: &Path) -> Result<Option<File>, StorageError> {
    let opened = regular_file::open(OpenOptions::new().read(true), path);
    match if_there(opened).map_err(failed("open", path))? {
        Some(None) => Err(StorageError::Damaged(path.to_owned())),
        opened => Ok(opened.flatten()),
    }
}

/// Room for nearly every tag and manifest: without it a read begins with pieces of 32 bytes.
const READ_BYTES: usize = 4 << 10;

/// The content of a file; none where it is not there. A file of more than `max` bytes is damage.
pub(super) fn read(path: &Path, max: u64) -> Result<Option<Vec<u8>>, StorageError> {
    open(path)?.map(|file| content_of(file, path, max)).transpose()
}

/// The content of the file at `path`. More than `max` bytes are damage.
pub(super) fn content_of(file: File, path: &Path, max: u64) -> Result<Vec<u8>, StorageError> {
    let mut content = Vec::with_capacity(READ_BYTES);
    file.take(max.saturating_add(1)).read_to_end(&mut content).map_err(failed("read", path))?;
    match content.len() as u64 > max {
        true => Err(StorageError::Damaged(path.to_owned())),
        false => Ok(content),
    }
}

/// The entries of a directory; none if it is absent or no directory.
pub(super) fn entries(path: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let entries = entries_of_kind(path)?;
    Ok(entries.into_iter().map(|(path, _)| path).collect())
}

/// The same, and what each is. No link is followed.
pub(super) fn entries_of_kind(path: &Path) -> Result<Vec<(PathBuf, FileType)>, StorageError> {
    let Some(entries) = open_dir(path)? else { return Ok(Vec::new()) };
    let with_kind = |entry: DirEntry| Ok((entry.path(), entry.file_type()?));
    entries
        .map(|entry| entry.and_then(with_kind))
        .collect::<io::Result<_>>()
        .map_err(failed("read", path))
}

/// Whether anything lies in a directory.
pub(super) fn holds_anything(path: &Path) -> StorageResult<bool> {
    let first = open_dir(path)?.and_then(|mut entries| entries.next());
    Ok(first.transpose().map_err(failed("read", path))?.is_some())
}

/// None where there is no directory; a link to one is none.
fn open_dir(path: &Path) -> Result<Option<fs::ReadDir>, StorageError> {
    let found = if_there(fs::symlink_metadata(path)).map_err(failed("look for", path))?;
    match found.is_some_and(|found| found.is_dir()) {
        true => if_there(fs::read_dir(path)).map_err(failed("read", path)),
        false => Ok(None),
    }
}

/// Logs an error at start and continues: one bad file must not keep a registry from starting.
pub(super) fn or_leave(done: StorageResult) {
    if let Err(error) = done {
        tracing::warn!(%error, "left as it is; the next start tries again");
    }
}

pub(super) fn file_name(path: &Path) -> Option<&str> {
    path.file_name().and_then(OsStr::to_str)
}

/// The parent, which every path here has.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_goes_while_it_is_linked_was_not_there() {
        let root = tempfile::tempdir().expect("a directory");
        let [source, path] = ["source", "path"].map(|name| root.path().join(name));
        assert_eq!(link(&source, &path).expect("no fault of the storage"), LinkResult::Absent);
        fs::write(&source, "x").expect("it is written");
        for _ in 0..2 {
            assert_eq!(link(&source, &path).expect("it works"), LinkResult::Linked);
        }
        assert_eq!(fs::read(&path).expect("it is there"), b"x");
        assert_eq!(names_of(&path).expect("it works"), Some((2, 1)));
    }
}
