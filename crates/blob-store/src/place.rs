//! Whether a store can be where its URL says, before anything is read from it or written to it.

use std::{
    fs::{self, FileType},
    os::unix::fs::FileTypeExt as _,
    path::Path,
};

use crate::{Error, ErrorKind};

/// The topmost thing that is not a directory is the cause: what is below it cannot be looked at.
pub(crate) fn check(root: &Path) -> Result<(), Error> {
    let mut places: Vec<_> = root.ancestors().collect();
    places.reverse();
    for path in places {
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
