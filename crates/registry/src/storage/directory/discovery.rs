//! Finds the repositories below a directory. Directories that are no repositories, or cannot be read, are skipped
//! and logged.

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use oci::Repository;

use super::{
    super::{StorageError, StorageResult, error::failed},
    BLOBS, MANIFESTS,
    files::holds_anything,
};

/// How many skipped directories one search names in the log: the rest are counted, so that a tree of
/// foreign files does not flood it.
const MAX_NAMED: usize = 10;

/// The repositories that are not empty.
///
/// # Errors
/// When `root` itself cannot be read.
pub(super) fn repositories(root: &Path) -> Result<BTreeSet<Repository>, StorageError> {
    let mut found = BTreeSet::new();
    let mut skipped = Skipped::default();
    let mut to_visit = children(root)?;
    while let Some((path, kind)) = to_visit.pop() {
        let name = path.strip_prefix(root).ok().and_then(Path::to_str);
        let name = name.and_then(|name| name.parse::<Repository>().ok());
        match name {
            // The directories below it are no repositories either: their names begin with this one.
            None => skipped.add(&path, &"it is not a repository name"),
            Some(_) if kind.is_symlink() => skipped.add(&path, &"it is a symbolic link"),
            Some(_) if !kind.is_dir() => skipped.add(&path, &"it is not a directory"),
            Some(name) => match look_into(&path) {
                Ok((holds_something, below)) => {
                    to_visit.extend(below);
                    found.extend(holds_something.then_some(name));
                }
                Err(error) => skipped.add(&path, &error),
            },
        }
    }
    skipped.log_the_rest();
    Ok(found)
}

type Child = (PathBuf, fs::FileType);

fn look_into(repository: &Path) -> Result<(bool, Vec<Child>), StorageError> {
    Ok((holds_something(repository)?, children(repository)?))
}

/// Whether a repository holds a blob or manifest.
pub(super) fn holds_something(repository: &Path) -> StorageResult<bool> {
    for kind in [BLOBS, MANIFESTS] {
        if holds_anything(&repository.join(kind))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The entries of a directory, without those of the repository itself. None if there is no directory.
fn children(path: &Path) -> Result<Vec<Child>, StorageError> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("read", path))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("read", path))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b"_") {
            found.push((entry.path(), entry.file_type().map_err(failed("look for", path))?));
        }
    }
    Ok(found)
}

/// The number of skipped entries.
#[derive(Debug, Default)]
struct Skipped(usize);

impl Skipped {
    fn add(&mut self, path: &Path, reason: &dyn fmt::Display) {
        self.0 += 1;
        if self.0 <= MAX_NAMED {
            tracing::warn!(path = %path.display(), %reason, "skipped while listing repositories");
        }
    }

    fn log_the_rest(&self) {
        if let more @ 1.. = self.0.saturating_sub(MAX_NAMED) {
            tracing::warn!(more, "skipped while listing repositories");
        }
    }
}
