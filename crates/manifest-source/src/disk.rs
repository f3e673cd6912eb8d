//! Promotion manifests on the disk.

use std::{
    fs::{self, DirEntry, File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use promotion_manifest::{MAX_FILE_BYTES, Rule};

use crate::{
    LoadError,
    found::{FOLDERS, FileList, LINKED_DIRECTORY, MAX_FILES, linked_file},
};

/// What lies below the [`FOLDERS`] of `directory`. Only a root that cannot be listed is an error: what is deeper is one
/// project's problem.
pub(crate) fn list(directory: &Path) -> Result<FileList, LoadError> {
    let mut found = FileList::default();
    let shown = || directory.display().to_string();
    let unread = |source| LoadError::Read { path: shown(), source };
    for entry in fs::read_dir(directory).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        if FOLDERS.iter().any(|folder| entry.file_name() == *folder) {
            found.add(directory, Path::new(""), &entry).map_err(unread)?;
        } else {
            tracing::debug!(path = %entry.path().display(), "ignored: not in images/ or manifests/");
        }
    }
    if found.len() >= MAX_FILES {
        return Err(LoadError::TooMany(shown()));
    }
    Ok(found)
}

impl FileList {
    /// Lists `root/below` and what lies deeper, [`MAX_FILES`] at most; what is hidden is tools' own.
    fn list(&mut self, root: &Path, below: &Path) -> io::Result<()> {
        for entry in fs::read_dir(root.join(below))? {
            let entry = entry?;
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if !is_hidden && self.len() < MAX_FILES {
                self.add(root, below, &entry)?;
            }
        }
        Ok(())
    }

    /// Adds an entry of `root/below`, and what lies deeper.
    fn add(&mut self, root: &Path, below: &Path, entry: &DirEntry) -> io::Result<()> {
        let path = below.join(entry.file_name());
        let Some(shown) = path.to_str() else {
            self.not_utf8(&path);
            return Ok(());
        };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if let Err(error) = self.list(root, &path) {
                self.problem(
                    &path,
                    Rule::UnreadableFile,
                    format!("cannot read this directory: {error}"),
                );
            }
        } else if kind.is_symlink() && root.join(&path).is_dir() {
            self.problem(&path, Rule::LinkedDirectory, LINKED_DIRECTORY.to_owned());
        } else {
            self.files.push(shown.to_owned());
        }
        Ok(())
    }
}

/// A file that was found in a directory, whole. Only regular files are read: others could block, or have no end, and a link
/// could lead to any file of this machine.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let found = fs::symlink_metadata(path)?;
    if found.is_symlink() {
        return Err(linked_file());
    }
    let irregular = || io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
    if !found.is_file() {
        return Err(irregular());
    }
    let file = File::open(path)?;
    let opened = file.metadata()?;
    let object = |metadata: &Metadata| (metadata.dev(), metadata.ino());
    // Another file took its place meanwhile.
    if object(&opened) != object(&found) {
        return Err(irregular());
    }
    fits(opened.len())?;
    read_all(file)
}

/// A file that the user named, whole: a pipe too, as a shell's `<(…)` makes it, or what a link leads to.
pub(crate) fn read_named(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    fits(file.metadata()?.len())?;
    read_all(file)
}

/// A stream to its end, if it is short enough.
pub(crate) fn read_all(stream: impl io::Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    stream.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    fits(bytes.len() as u64)?;
    Ok(wording::utf8(bytes)?)
}

/// Whether a file of so many bytes is read.
pub(crate) fn fits(size: u64) -> io::Result<()> {
    let max = MAX_FILE_BYTES as u64;
    if size > max {
        let message = format!("it has more than {max} bytes, the maximum; split it");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(())
}
