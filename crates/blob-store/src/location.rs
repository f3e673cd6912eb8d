//! Where the directory of a store is, and whether it can be there.

use std::{
    fs::{self, FileType},
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use crate::{Error, ErrorKind};

/// Checks that the root of a store, and all above it, are directories as far as they exist. The error names the topmost
/// one that is not: nothing below it can be read.
pub(crate) fn check(root: &Path) -> Result<(), Error> {
    let mut directories: Vec<_> = root.ancestors().collect();
    directories.reverse();
    for path in directories {
        // What is absent can be made, and what cannot be looked at is named by the first use.
        let Ok(about) = fs::metadata(path) else { return Ok(()) };
        if !about.is_dir() {
            let is = if about.is_file() { "a file" } else { what(about.file_type()) };
            let key = path.display().to_string();
            let message = format!("`{key}` is {is}, not a directory; name a directory");
            return Err(Error::new(ErrorKind::WrongFileType, key, message));
        }
    }
    Ok(())
}

/// The directory that a path names once links are followed, as far as it exists.
pub(crate) fn resolve(root: &Path) -> PathBuf {
    let resolved = root.ancestors().find_map(|existing| {
        let below = root.strip_prefix(existing).ok()?;
        // Components, so that a slash at the end makes no difference.
        Some(fs::canonicalize(existing).ok()?.components().chain(below.components()).collect())
    });
    resolved.unwrap_or_else(|| root.to_owned())
}

/// What a file of this kind is, with its article.
pub(crate) fn what(kind: FileType) -> &'static str {
    match () {
        () if kind.is_file() => "a regular file",
        () if kind.is_dir() => "a directory",
        () if kind.is_symlink() => "a symbolic link",
        () if kind.is_fifo() => "a FIFO",
        () => "a socket or device",
    }
}
