//! Claims a directory for a registry before anything in it changes: the marker file, the lock, and the directories
//! of the layout, none of which may be a symbolic link.
//!
//! The layout: `docs/reference/registry.md`.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::{
    super::{
        StorageError, StorageResult,
        error::{failed, readable},
        regular_file,
    },
    files::{create_dir, is_regular_file, open, sync_dir},
    obstacles::{directory_or_absent, file_or_absent},
};

/// The file that marks a directory as a registry's. Its text is for people.
const MARKER: &str = ".portolan-registry";

const MARKER_TEXT: &str = "This directory is the storage of a portolan registry, which creates and \
                           deletes files in it.\n";

/// `mkfs` creates it at the root of a file system, so it does not count as foreign content.
const LOST_AND_FOUND: &str = "lost+found";

const LOCK: &str = "lock";

/// The directories of the layout.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) repositories: PathBuf,
    pub(super) staging: PathBuf,
    pub(super) uploads: PathBuf,
    pub(super) blobs: PathBuf,
    pub(super) sizes: PathBuf,
}

impl Layout {
    fn below(root: &Path) -> Self {
        let [repositories, staging, uploads, blobs, sizes] =
            ["repositories", "staging", "uploads", "blobs", "sizes"].map(|name| root.join(name));
        Self { repositories, staging, uploads, blobs, sizes }
    }

    fn directories(&self) -> [&Path; 5] {
        [&self.repositories, &self.staging, &self.uploads, &self.blobs, &self.sizes]
    }

    /// Fails if a directory of the layout is not a real directory, so that nothing outside the root is touched.
    pub(super) fn check(&self) -> StorageResult {
        self.directories().into_iter().try_for_each(directory_or_absent)
    }
}

/// Takes `root` for one writer: an empty or absent directory, or one that a registry made.
pub(super) fn for_writing(root: &Path) -> Result<(Layout, File), StorageError> {
    let layout = Layout::below(root);
    create_dir(root)?;
    let owner = owner(root)?;
    if let Owner::Other(found) = owner {
        return Err(not_ours(&layout, root, found));
    }
    layout.check()?;
    if owner != Owner::Registry {
        write_marker(root)?;
    }
    let lock = lock(root)?;
    layout.directories().into_iter().try_for_each(create_dir)?;
    Ok((layout, lock))
}

/// Takes `root` for reading, and changes nothing in it: it may lie on a read-only file system. The lock
/// is shared with other readers, if there is one and the file system has locks.
pub(super) fn for_reading(root: &Path) -> Result<(Layout, Option<File>), StorageError> {
    let layout = Layout::below(root);
    if let Owner::Other(found) = owner(root)? {
        return Err(not_ours(&layout, root, found));
    }
    layout.check()?;
    let path = root.join(LOCK);
    file_or_absent(&path)?;
    let Some(lock) = readable(open(&path))?.flatten() else { return Ok((layout, None)) };
    match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Err(StorageError::InUse(root.to_owned())),
        // A network file system may have no locks for readers.
        Ok(()) | Err(TryLockError::Error(_)) => Ok((layout, Some(lock))),
    }
}

fn not_ours(layout: &Layout, root: &Path, found: String) -> StorageError {
    let is_directory = |path: &PathBuf| path.symlink_metadata().is_ok_and(|it| it.is_dir());
    let has_layout = is_directory(&layout.repositories)
        && (root.join(LOCK).exists() || is_directory(&layout.uploads));
    StorageError::NotOurs { root: root.to_owned(), found, has_layout }
}

/// The owner of a directory.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    /// It is empty.
    None,
    Registry,
    /// Of a version that wrote no marker.
    RegistryWithoutMarker,
    /// It has this entry.
    Other(String),
}

fn owner(root: &Path) -> Result<Owner, StorageError> {
    let marker = root.join(MARKER);
    file_or_absent(&marker)?;
    if is_regular_file(&marker)? {
        return Ok(Owner::Registry);
    }
    let mut found = None;
    for entry in fs::read_dir(root).map_err(failed("read", root))? {
        let name = entry.map_err(failed("read", root))?.file_name();
        if name != LOST_AND_FOUND {
            found = Some(name.to_string_lossy().into_owned());
            break;
        }
    }
    let Some(found) = found else { return Ok(Owner::None) };
    let is_directory = |name: &str| {
        let metadata = fs::symlink_metadata(root.join(name));
        metadata.is_ok_and(|metadata| metadata.is_dir())
    };
    let is_empty_file = |name: &str| {
        let metadata = fs::symlink_metadata(root.join(name));
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() == 0)
    };
    Ok(match is_directory("repositories") && is_empty_file(LOCK) {
        true => Owner::RegistryWithoutMarker,
        false => Owner::Other(found),
    })
}

fn write_marker(root: &Path) -> StorageResult {
    let path = root.join(MARKER);
    match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut file) => io::Write::write_all(&mut file, MARKER_TEXT.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(failed("write", &path))?,
        // Another process started at the same time; the lock decides which of them goes on.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_regular_file(&path)? => {}
        Err(error) => return Err(failed("create", &path)(error)),
    }
    sync_dir(root)
}

fn lock(root: &Path) -> Result<File, StorageError> {
    let path = root.join(LOCK);
    // Checked before it is opened: opening a device may have an effect.
    file_or_absent(&path)?;
    // Never truncated: only its lock matters.
    let lock =
        regular_file::open(OpenOptions::new().write(true).create(true).truncate(false), &path);
    let Some(lock) = lock.map_err(failed("create", &path))? else {
        return Err(StorageError::Damaged(path));
    };
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StorageError::InUse(root.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
    }
}
