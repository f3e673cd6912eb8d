//! A file that appears under its name when it is whole: until then it is written beside it.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system refused.
    #[error("cannot write {}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// The path ends in `..` or `/`.
    #[error("{} has no file name; give the path of a file", path.display())]
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// The path is that of a directory.
    #[error("{} is a directory; name a file", path.display())]
    IsDirectory {
        /// The path.
        path: PathBuf,
    },
}

/// A file that is being written. If it is dropped before [`ReplacedFile::replace`], what was there stays as it was.
#[derive(Debug)]
pub struct ReplacedFile {
    path: PathBuf,
    file: File,
    /// Where it is written until it is whole; none for a pipe or a device, which is written in place.
    beside: Option<PathBuf>,
}

impl ReplacedFile {
    /// Begins to write the file that will be at `path`.
    ///
    /// # Errors
    /// When `path` is a directory, names no file, or cannot be written.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let path = path.to_owned();
        if path.is_dir() {
            return Err(FileError::IsDirectory { path });
        }
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            let file = File::options().write(true).open(&path).map_err(unwritable(&path))?;
            return Ok(Self { path, file, beside: None });
        }
        let Some(name) = path.file_name() else { return Err(FileError::NoName { path }) };
        // Each process has its own, so that two do not write into one another's.
        let beside = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
        let beside = path.with_file_name(beside);
        let file = File::create(&beside).map_err(unwritable(&path))?;
        Ok(Self { path, file, beside: Some(beside) })
    }

    /// A handle that writes into it.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn writer(&self) -> Result<File, FileError> {
        self.file.try_clone().map_err(unwritable(&self.path))
    }

    /// Where it will be.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `text` to it.
    ///
    /// # Errors
    /// When the disk is full, for example.
    pub fn write(&self, text: &str) -> Result<(), FileError> {
        (&self.file).write_all(text.as_bytes()).map_err(unwritable(&self.path))
    }

    /// Makes it visible under its name, durably.
    ///
    /// # Errors
    /// When the system cannot sync or rename it.
    pub fn replace(mut self) -> Result<(), FileError> {
        let Some(beside) = self.beside.take() else { return Ok(()) };
        let placed = self.file.sync_all().and_then(|()| fs::rename(&beside, &self.path));
        placed.map_err(unwritable(&self.path))
    }
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Unwritable { path, source }
}

impl Drop for ReplacedFile {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            let _ = fs::remove_file(beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_appears_when_it_is_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("report.json");
        fs::write(&path, "old").expect("a file");
        let read = || fs::read_to_string(&path).expect("a file");
        let given_up = ReplacedFile::create(&path).expect("a file");
        given_up.write("half").expect("written");
        assert_eq!(read(), "old");
        drop(given_up);
        let whole = ReplacedFile::create(&path).expect("a file");
        whole.write("new").expect("written");
        whole.replace().expect("placed");
        assert_eq!(read(), "new");
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1);
        let error = ReplacedFile::create(&directory.path().join("no/where")).expect_err("nowhere");
        assert!(error.to_string().contains("cannot write "), "{error}");
        assert!(error.to_string().ends_with("no/where"), "{error}");
    }
}
