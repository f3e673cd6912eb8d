//! Where the directory of a store is, and whether it can be there.

use std::{
    fs::{self, FileType, Metadata},
    io,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use crate::{Error, ErrorKind, key, key::HIDDEN};

/// Checks that the root of a store, and all above it, are directories as far as they exist. The error names the topmost
/// one that is not: nothing below it can be read.
pub(crate) fn check(root: &Path) -> Result<(), Error> {
    let mut directories: Vec<_> = root.ancestors().collect();
    directories.reverse();
    for path in directories {
        // A directory that does not exist can be created, and one that cannot be read is reported by the first use.
        let Ok(metadata) = fs::metadata(path) else { return check_link(path) };
        if !metadata.is_dir() {
            let is = if metadata.is_file() { "a file" } else { kind_name(metadata.file_type()) };
            let key = path.display().to_string();
            let message = format!("`{key}` is {is}, not a directory; name a directory");
            return Err(Error::new(ErrorKind::WrongFileType, key, message));
        }
    }
    Ok(())
}

/// Checks that a path that leads nowhere is not a link to nothing, in whose place no directory can be created.
fn check_link(path: &Path) -> Result<(), Error> {
    let Ok(target) = fs::read_link(path) else { return Ok(()) };
    let (key, target) = (path_text(path), path_text(&target));
    let message = format!(
        "`{key}` is a symbolic link to `{target}`, which cannot be found; create that directory, or correct the link"
    );
    Err(Error::new(ErrorKind::WrongFileType, key, message))
}

/// The directory of a file system's root that holds what a repair found.
const LOST_AND_FOUND: &str = "lost+found";

/// Checks that the directory at `root` is empty, or that a mirror wrote it: then it has the directory of blobs, or that
/// of partial files, which is created first.
pub(crate) fn check_content(root: &Path) -> Result<(), Error> {
    // Without the slash at its end, which would ask for a directory.
    let images = root.join(key::PREFIX.trim_end_matches('/'));
    // What cannot be read is reported by the first use.
    let Ok(entries) = fs::read_dir(root) else { return Ok(()) };
    let is_content = |name: &std::ffi::OsString| name != LOST_AND_FOUND;
    let mut names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
    // One that is no directory has an error of its own.
    let is_mirror = || images.symlink_metadata().is_ok() || root.join(HIDDEN).is_dir();
    let Some(found) = names.find(is_content).filter(|_| !is_mirror()) else { return Ok(()) };
    let (key, found) = (path_text(root), found.to_string_lossy().into_owned());
    let message = format!(
        "`{key}` is not a mirror: it has `{found}`, and no `{}`; name an empty directory, or create `{}` to mirror \
         into this one",
        key::PREFIX.trim_end_matches('/'),
        images.display()
    );
    Err(Error::new(ErrorKind::WrongFileType, key, message))
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
pub(crate) fn kind_name(kind: FileType) -> &'static str {
    match () {
        () if kind.is_file() => "a regular file",
        () if kind.is_dir() => "a directory",
        () if kind.is_symlink() => "a symbolic link",
        () if kind.is_fifo() => "a FIFO",
        () => "a socket or device",
    }
}

/// The size of the regular file at `path`, if there is one. Never opens anything, so that a FIFO cannot block.
pub(crate) fn size_of(path: &Path) -> Result<Option<u64>, Error> {
    match metadata_of(path)? {
        Some(metadata) if !metadata.is_file() => {
            let (key, is) = (path_text(path), kind_name(metadata.file_type()));
            let message = format!(
                "cannot use `{key}`: it is {is}, not a regular file; remove it and mirror again"
            );
            Err(Error::new(ErrorKind::WrongFileType, key, message))
        }
        metadata => Ok(metadata.map(|metadata| metadata.len())),
    }
}

/// Checks that the directories above the blobs are directories, as far as they exist. A link could lead out of the
/// store.
pub(crate) fn check_directories(root: &Path) -> Result<(), Error> {
    // The topmost one comes first, so that nothing is looked up below a link.
    // The path does not end in a slash, which would follow a link.
    let images = root.join(key::PREFIX.trim_end_matches('/'));
    let mut directories: Vec<_> = images.ancestors().take_while(|above| *above != root).collect();
    directories.reverse();
    directories.into_iter().try_for_each(check_directory)
}

pub(crate) fn check_directory(path: &Path) -> Result<(), Error> {
    match metadata_of(path)? {
        Some(metadata) if !metadata.is_dir() => {
            let (key, is) = (path_text(path), kind_name(metadata.file_type()));
            let message = format!("cannot use `{key}`: it is {is}; replace it with a directory");
            Err(Error::new(ErrorKind::WrongFileType, key, message).of_whole_store())
        }
        _ => Ok(()),
    }
}

pub(crate) fn metadata_of(path: &Path) -> Result<Option<Metadata>, Error> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("look for", path)(error)),
    }
}

pub(crate) fn path_text(path: &Path) -> String {
    path.display().to_string()
}
