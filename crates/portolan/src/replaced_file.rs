//! A file that appears under its name when it is whole: until then it is written beside it.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// A file that is being written. One that is dropped leaves what was there as it was.
#[derive(Debug)]
pub(crate) struct ReplacedFile {
    path: PathBuf,
    file: File,
    /// Where it is written until then; none if its name is a pipe's or a device's, which stay what they are.
    beside: Option<PathBuf>,
}

impl ReplacedFile {
    /// Begins to write the file that will be at `path`.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let unwritable = || format!("{} cannot be written", path.display());
        if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
            let file = File::options().write(true).open(path).with_context(unwritable)?;
            return Ok(Self { path: path.to_owned(), file, beside: None });
        }
        let name = path.file_name().with_context(|| format!("{} names no file", path.display()))?;
        anyhow::ensure!(!path.is_dir(), "{} is a directory; name a file", path.display());
        // Each process has its own, so that two do not write into one another's.
        let beside = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
        let beside = path.with_file_name(beside);
        let file = File::create(&beside).with_context(unwritable)?;
        Ok(Self { path: path.to_owned(), file, beside: Some(beside) })
    }

    /// What writes into it.
    pub(crate) fn writer(&self) -> anyhow::Result<File> {
        self.file.try_clone().with_context(|| format!("{} cannot be written", self.path.display()))
    }

    /// Where it will be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all of it.
    pub(crate) fn write(&self, text: &str) -> anyhow::Result<()> {
        let written = (&self.file).write_all(text.as_bytes());
        written.with_context(|| format!("{} cannot be written", self.path.display()))
    }

    /// Puts it in its place.
    pub(crate) fn replace(mut self) -> anyhow::Result<()> {
        let Some(beside) = self.beside.take() else { return Ok(()) };
        let placed = self.file.sync_all().and_then(|()| fs::rename(&beside, &self.path));
        placed.with_context(|| format!("{} cannot be written", self.path.display()))
    }
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
        assert!(format!("{error:#}").contains("no/where cannot be written"), "{error:#}");
    }
}
