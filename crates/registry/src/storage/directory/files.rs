//! What a directory's storage does with files: each step is durable once it returns.

use std::{
    ffi::OsStr,
    fs::{self, DirEntry, File, FileType, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{
    super::{
        Done, Known, StorageError,
        error::{failed, if_there},
        regular_file,
    },
    obstacles::failed_at,
};

/// Makes a directory and those above it, durably, as far as they are not there. Each is tried once: a
/// file system that takes no directories, such as `/proc`, may say that a parent is missing.
pub(super) fn create_dir(path: &Path) -> Done {
    let missing: Vec<_> = path.ancestors().take_while(|directory| !directory.is_dir()).collect();
    missing.into_iter().rev().try_for_each(|directory| match fs::create_dir(directory) {
        Ok(()) => sync_dir(parent(directory)),
        // Made by somebody else meanwhile.
        Err(_) if directory.is_dir() => Ok(()),
        Err(error) => Err(failed("create", directory)(error)),
    })
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(path: &Path) -> Done {
    #[cfg(test)]
    super::super::record::sync(path);
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed("sync", path))
}

/// Gives the file at `from` the name `to`, in place of what has it.
pub(super) fn rename(from: &Path, to: &Path) -> Done {
    fs::rename(from, to).map_err(failed_at("create", to))?;
    sync_dir(parent(to))
}

/// What came of an attempt to give a file another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Linked {
    /// It has the name, perhaps since before.
    Done,
    /// There is no such file: it may go at any time.
    Absent,
    /// The file system lets it have no further names, or has none to give.
    Refused,
}

/// Gives the file at `source` the name `path` too. Not synced.
pub(super) fn link(source: &Path, path: &Path) -> Result<Linked, StorageError> {
    use io::ErrorKind::{
        AlreadyExists, CrossesDevices, NotFound, PermissionDenied, TooManyLinks, Unsupported,
    };
    match fs::hard_link(source, path) {
        Ok(()) => Ok(Linked::Done),
        // The same name is the same content.
        Err(error) if error.kind() == AlreadyExists => Ok(Linked::Done),
        Err(error) if error.kind() == NotFound => Ok(Linked::Absent),
        Err(error) => match error.kind() {
            TooManyLinks | PermissionDenied | Unsupported | CrossesDevices => Ok(Linked::Refused),
            _ => Err(failed("link to", path)(error)),
        },
    }
}

/// How many names a regular file has, and its length; none where there is no such file.
pub(super) fn names_of(path: &Path) -> Result<Option<(u64, u64)>, StorageError> {
    let found = metadata_of(path)?;
    Ok(found.map(|found| (found.nlink(), found.len())))
}

/// What is known of a regular file; none where nothing or something else lies, symbolic links among
/// them.
pub(super) fn metadata_of(path: &Path) -> Result<Option<fs::Metadata>, StorageError> {
    let found = if_there(fs::symlink_metadata(path)).map_err(failed("look for", path))?;
    Ok(found.filter(fs::Metadata::is_file))
}

pub(super) fn is_regular_file(path: &Path) -> Known {
    Ok(metadata_of(path)?.is_some())
}

/// Says that a file which is not one of ours stays.
pub(super) fn leave_alone(path: &Path) {
    tracing::warn!(path = %path.display(), "not a file of the registry; it is left alone");
}

pub(super) fn delete(path: &Path) -> Known {
    let deleted = if_there(fs::remove_file(path)).map_err(failed_at("delete", path))?.is_some();
    if deleted {
        sync_dir(parent(path))?;
    }
    Ok(deleted)
}

/// Opens a file of ours to read it; none where there is none. What is not a regular file is damage: a
/// symbolic link is not followed, and a FIFO is not waited for.
pub(super) fn open(path: &Path) -> Result<Option<File>, StorageError> {
    let opened = regular_file::open(OpenOptions::new().read(true), path);
    match if_there(opened).map_err(failed("open", path))? {
        Some(None) => Err(StorageError::Damaged(path.to_owned())),
        opened => Ok(opened.flatten()),
    }
}

/// The content of a file; none where it is not there. A file of more than `max` bytes is damage.
pub(super) fn read(path: &Path, max: u64) -> Result<Option<Vec<u8>>, StorageError> {
    let Some(file) = open(path)? else { return Ok(None) };
    let mut content = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut content).map_err(failed("read", path))?;
    match content.len() as u64 > max {
        true => Err(StorageError::Damaged(path.to_owned())),
        false => Ok(Some(content)),
    }
}

/// What lies in a directory: nothing if it is absent or is no directory.
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
pub(super) fn holds_anything(path: &Path) -> Known {
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

/// Goes on after what could not be read or removed at start: one file must not keep a registry from
/// starting.
pub(super) fn or_leave(done: Done) {
    if let Err(error) = done {
        tracing::warn!(%error, "left as it is; the next start tries again");
    }
}

pub(super) fn file_name(path: &Path) -> Option<&str> {
    path.file_name().and_then(OsStr::to_str)
}

/// Every path here has one: it is made of a directory and names below it.
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
        assert_eq!(link(&source, &path).expect("no fault of the storage"), Linked::Absent);
        fs::write(&source, "x").expect("it is written");
        for _ in 0..2 {
            assert_eq!(link(&source, &path).expect("it works"), Linked::Done);
        }
        assert_eq!(fs::read(&path).expect("it is there"), b"x");
        assert_eq!(names_of(&path).expect("it works"), Some((2, 1)));
    }
}
