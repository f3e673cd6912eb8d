//! Obstructions: an entry of the wrong kind at a path of the registry, such as a symbolic link, which is never
//! followed, a directory in place of a file, or a FIFO. It is neither used nor removed.

use std::{
    fs::{self, FileType},
    io,
    os::unix::fs::FileTypeExt as _,
    path::Path,
};

use super::super::{
    StorageError, StorageResult,
    error::{failed, if_there},
};

const A_FILE: &str = "a regular file";
const A_DIRECTORY: &str = "a directory";

/// Fails if `path` exists and is not a directory.
pub(super) fn directory_or_absent(path: &Path) -> StorageResult {
    is_directory(path).map(drop)
}

/// Fails if `path` exists and is not a regular file.
pub(super) fn file_or_absent(path: &Path) -> StorageResult {
    match kind(path)? {
        Some(kind) if !kind.is_file() => Err(obstructed(path, kind, A_FILE)),
        _ => Ok(()),
    }
}

/// The same for each directory from below `root` down to `directory`. The one nearest to the root comes first,
/// so that no link is followed to look further.
pub(super) fn directories_below(root: &Path, directory: &Path) -> StorageResult {
    let below: Vec<_> = directory.ancestors().take_while(|above| *above != root).collect();
    for directory in below.into_iter().rev() {
        if !is_directory(directory)? {
            break;
        }
    }
    Ok(())
}

/// The error of a failed `action` that creates or deletes the file name `path`.
pub(super) fn failed_at(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> StorageError {
    move |error| match error.kind() {
        io::ErrorKind::IsADirectory => {
            StorageError::Obstructed { path: path.to_owned(), is: "a directory", expected: A_FILE }
        }
        _ => failed(action, path)(error),
    }
}

/// False if nothing exists there.
fn is_directory(path: &Path) -> Result<bool, StorageError> {
    match kind(path)? {
        Some(kind) if !kind.is_dir() => Err(obstructed(path, kind, A_DIRECTORY)),
        found => Ok(found.is_some()),
    }
}

fn kind(path: &Path) -> Result<Option<FileType>, StorageError> {
    let found = if_there(fs::symlink_metadata(path)).map_err(failed("look for", path))?;
    Ok(found.map(|found| found.file_type()))
}

fn obstructed(path: &Path, kind: FileType, expected: &'static str) -> StorageError {
    let is = match () {
        () if kind.is_symlink() => "a symbolic link",
        () if kind.is_dir() => "a directory",
        () if kind.is_file() => "a regular file",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    StorageError::Obstructed { path: path.to_owned(), is, expected }
}
