//! A storage in a directory: files named by what they hold, each written beside its place, synced
//! and renamed, so that a reader or a crash meets all of it or nothing.
//!
//! It does not look for what no manifest needs. The layout: `docs/registry.md`.

use std::{
    ffi::OsStr,
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use oci::{Digest, Repository, Tag};
use tempfile::{NamedTempFile, TempPath};

use super::{Backend, Blob, Content, Done, Known, Staged, StorageError, StoredManifest, failed};
use crate::limits::MAX_DIRECTORY_BLOB_BYTES;

const BLOBS: &str = "_blobs";
const MANIFESTS: &str = "_manifests";
const TAGS: &str = "_tags";

#[derive(Debug)]
pub(super) struct Directory {
    repositories: PathBuf,
    staging: PathBuf,
    /// Held while directories are made: who finds one there may rely on it after a crash too.
    making: Mutex<()>,
    /// Locked as long as it is open.
    _lock: File,
}

impl Directory {
    pub(super) fn open(root: &Path) -> Result<Self, StorageError> {
        // So that every path has a parent that can be opened.
        let root = &std::path::absolute(root).map_err(failed("look for", root))?;
        let [repositories, staging] = ["repositories", "staging"].map(|name| root.join(name));
        create_dir(&repositories)?;
        let path = root.join("lock");
        let lock = File::create(&path).map_err(failed("create", &path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StorageError::InUse(root.to_owned()),
            TryLockError::Error(error) => failed("lock", &path)(error),
        })?;
        // Under the lock nobody else stages: what is there was left by a process that was killed.
        if_there(fs::remove_dir_all(&staging)).map_err(failed("delete", &staging))?;
        create_dir(&staging)?;
        Ok(Self { repositories, staging, making: Mutex::default(), _lock: lock })
    }

    fn path(&self, name: &Repository, kind: &str, of: &impl ToString) -> PathBuf {
        let mut path = self.repositories.join(name.as_str());
        path.extend([kind, &of.to_string()]);
        path
    }

    /// Writes `content`, which appears at `path` at once and whole.
    fn write(&self, path: &Path, content: &[&[u8]]) -> Done {
        let staged = || -> io::Result<TempPath> {
            let mut file = NamedTempFile::new_in(&self.staging)?;
            content.iter().try_for_each(|part| file.write_all(part))?;
            file.as_file().sync_all()?;
            Ok(file.into_temp_path())
        };
        self.place(staged().map_err(failed("write into", &self.staging))?, path)
    }

    /// Moves what is staged and synced to `path`.
    fn place(&self, staged: TempPath, path: &Path) -> Done {
        let parent = self.make_parent(path)?;
        staged.persist(path).map_err(|error| failed("create", path)(error.error))?;
        sync_dir(parent)
    }

    fn make_parent<'a>(&self, path: &'a Path) -> Result<&'a Path, StorageError> {
        let parent = parent(path);
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        create_dir(parent)?;
        Ok(parent)
    }

    /// Whether the repository holds a blob or manifest.
    fn holds_something(&self, repository: &Path) -> Known {
        for kind in [BLOBS, MANIFESTS] {
            if !entries(&repository.join(kind))?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Backend for Directory {
    fn max_blob_bytes(&self) -> u64 {
        MAX_DIRECTORY_BLOB_BYTES
    }

    fn stage(&self) -> Result<Staged, StorageError> {
        let file = NamedTempFile::new_in(&self.staging);
        let (file, path) = file.map_err(failed("write into", &self.staging))?.into_parts();
        Ok(Staged::File { file: file.into(), path })
    }

    fn put_blob(&self, name: &Repository, digest: Digest, content: Content) -> Done {
        let path = self.path(name, BLOBS, &digest);
        match content {
            Content::Bytes(bytes) => self.write(&path, &[&bytes]),
            Content::File(staged) => self.place(staged, &path),
        }
    }

    fn mount_blob(&self, from: &Repository, name: &Repository, digest: Digest) -> Known {
        let [source, path] = [from, name].map(|name| self.path(name, BLOBS, &digest));
        if !exists(&source)? {
            return Ok(false);
        }
        let parent = self.make_parent(&path)?;
        let linked = link(&source, &path)?;
        sync_dir(parent)?;
        Ok(linked)
    }

    fn has_blob(&self, name: &Repository, digest: Digest) -> Known {
        exists(&self.path(name, BLOBS, &digest))
    }

    fn blob(&self, name: &Repository, digest: Digest) -> Result<Option<Blob>, StorageError> {
        let path = self.path(name, BLOBS, &digest);
        let Some(file) = if_there(File::open(&path)).map_err(failed("open", &path))? else {
            return Ok(None);
        };
        let size = file.metadata().map_err(failed("read", &path))?.len();
        Ok(Some(Blob::File { file, size }))
    }

    fn delete_blob(&self, name: &Repository, digest: Digest) -> Known {
        delete(&self.path(name, BLOBS, &digest))
    }

    fn put_manifest(&self, name: &Repository, digest: Digest, manifest: StoredManifest) -> Done {
        let StoredManifest { media_type, bytes } = manifest;
        let path = self.path(name, MANIFESTS, &digest);
        self.write(&path, &[media_type.as_bytes(), b"\n", &bytes])
    }

    fn has_manifest(&self, name: &Repository, digest: Digest) -> Known {
        exists(&self.path(name, MANIFESTS, &digest))
    }

    fn manifest(
        &self,
        name: &Repository,
        digest: Digest,
    ) -> Result<Option<StoredManifest>, StorageError> {
        let path = self.path(name, MANIFESTS, &digest);
        let Some(mut content) = if_there(fs::read(&path)).map_err(failed("read", &path))? else {
            return Ok(None);
        };
        let line = content.iter().position(|byte| *byte == b'\n');
        let bytes = content.split_off(line.map_or(content.len(), |end| end + 1));
        content.pop();
        match String::from_utf8(content) {
            Ok(media_type) if line.is_some() => {
                Ok(Some(StoredManifest { media_type, bytes: bytes.into() }))
            }
            _ => Err(StorageError::Damaged(path)),
        }
    }

    fn delete_manifest(&self, name: &Repository, digest: Digest) -> Known {
        for tag in self.tags(name)?.unwrap_or_default() {
            if self.tagged(name, &tag)? == Some(digest) {
                self.delete_tag(name, &tag)?;
            }
        }
        delete(&self.path(name, MANIFESTS, &digest))
    }

    fn put_tag(&self, name: &Repository, tag: &Tag, digest: Digest) -> Done {
        self.write(&self.path(name, TAGS, tag), &[digest.to_string().as_bytes()])
    }

    fn tagged(&self, name: &Repository, tag: &Tag) -> Result<Option<Digest>, StorageError> {
        let path = self.path(name, TAGS, tag);
        let text = if_there(fs::read_to_string(&path)).map_err(failed("read", &path))?;
        text.map(|text| text.parse().ok().ok_or(StorageError::Damaged(path))).transpose()
    }

    fn delete_tag(&self, name: &Repository, tag: &Tag) -> Known {
        delete(&self.path(name, TAGS, tag))
    }

    fn tags(&self, name: &Repository) -> Result<Option<Vec<Tag>>, StorageError> {
        let repository = self.repositories.join(name.as_str());
        if !self.holds_something(&repository)? {
            return Ok(None);
        }
        let names = entries(&repository.join(TAGS))?;
        Ok(Some(names.iter().filter_map(|path| file_name(path)?.parse().ok()).collect()))
    }

    fn repositories(&self) -> Result<Vec<Repository>, StorageError> {
        let mut found = Vec::new();
        let mut to_visit = vec![self.repositories.clone()];
        while let Some(path) = to_visit.pop() {
            let below = |path: &PathBuf| file_name(path).is_some_and(|name| !name.starts_with('_'));
            to_visit.extend(entries(&path)?.into_iter().filter(below));
            let name = path.strip_prefix(&self.repositories).ok().and_then(Path::to_str);
            // The root is no repository, and neither is what somebody else put here.
            let Some(Ok(name)) = name.map(str::parse) else { continue };
            if self.holds_something(&path)? {
                found.push(name);
            }
        }
        Ok(found)
    }
}

/// Whether `source` was there: it may go at any time.
fn link(source: &Path, path: &Path) -> Known {
    match fs::hard_link(source, path) {
        // It is there already: the same name is the same content.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
        linked => Ok(if_there(linked).map_err(failed("link to", path))?.is_some()),
    }
}

fn delete(path: &Path) -> Known {
    let deleted = if_there(fs::remove_file(path)).map_err(failed("delete", path))?.is_some();
    if deleted {
        sync_dir(parent(path))?;
    }
    Ok(deleted)
}

fn exists(path: &Path) -> Known {
    path.try_exists().map_err(failed("look for", path))
}

/// Makes a directory and those above it, durably, as far as they are not there.
fn create_dir(path: &Path) -> Done {
    let parent = parent(path);
    match fs::create_dir(path) {
        Ok(()) => sync_dir(parent),
        Err(_) if path.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && parent != path => {
            create_dir(parent)?;
            create_dir(path)
        }
        Err(error) => Err(failed("create", path)(error)),
    }
}

/// Makes the names in a directory durable.
fn sync_dir(path: &Path) -> Done {
    #[cfg(test)]
    tests::SYNCED.with_borrow_mut(|synced| synced.push(path.to_owned()));
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed("sync", path))
}

/// What lies in a directory: nothing if it is absent or is no directory.
fn entries(path: &Path) -> Result<Vec<PathBuf>, StorageError> {
    match fs::read_dir(path) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<_>>()
            .map_err(failed("read", path)),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(Vec::new()),
        Err(error) => {
            if_there(Err(error)).map(Option::unwrap_or_default).map_err(failed("read", path))
        }
    }
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name().and_then(OsStr::to_str)
}

/// Every path here has one: it is made of a directory and names below it.
fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        /// The directories that this thread synced.
        pub(super) static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    }

    /// Runs `work`; what it synced below `root`, in order.
    fn synced<T>(root: &Path, work: impl FnOnce() -> T) -> (T, Vec<String>) {
        SYNCED.take();
        let done = work();
        let below = |path: PathBuf| {
            let path = path.strip_prefix(root).expect("nothing else is synced");
            path.to_str().expect("text").to_owned()
        };
        (done, SYNCED.take().into_iter().map(below).collect())
    }

    #[test]
    fn what_is_made_and_deleted_is_synced_by_name() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        let (opened, done) = synced(root, || Directory::open(&root.join("a/b")));
        assert_eq!(done, ["", "a", "a/b", "a/b"], "the last is for `staging`");
        let directory = opened.expect("a directory of our own");

        let (name, digest) = ("x/y".parse().expect("a name"), Digest::sha256(b"z"));
        let put = || directory.put_blob(&name, digest, Content::Bytes("z".into()));
        let (put, done) = synced(root, put);
        put.expect("it is kept");
        let repository = "a/b/repositories/x/y";
        let blobs = format!("{repository}/_blobs");
        assert_eq!(done, ["a/b/repositories", "a/b/repositories/x", repository, &blobs]);

        let other = "x/z".parse().expect("a name");
        let (mounted, done) = synced(root, || directory.mount_blob(&name, &other, digest));
        assert!(mounted.expect("it works"));
        let repository = "a/b/repositories/x/z";
        assert_eq!(done, ["a/b/repositories/x", repository, &format!("{repository}/_blobs")]);

        let (deleted, done) = synced(root, || directory.delete_blob(&name, digest));
        assert!(deleted.expect("it works"));
        assert_eq!(done, [&*blobs]);
        let (deleted, done) = synced(root, || directory.delete_blob(&name, digest));
        assert!(!deleted.expect("it works") && done.is_empty(), "{done:?}");
    }

    #[test]
    fn a_blob_that_goes_while_it_is_mounted_was_not_there() {
        let root = tempfile::tempdir().expect("a directory");
        let [source, path] = ["source", "path"].map(|name| root.path().join(name));
        assert!(!link(&source, &path).expect("no fault of the storage"));
        fs::write(&source, "x").expect("it is written");
        for _ in 0..2 {
            assert!(link(&source, &path).expect("it works"));
        }
        assert_eq!(fs::read(&path).expect("it is there"), b"x");
    }

    #[test]
    fn a_directory_may_be_named_from_where_we_are() {
        let here = tempfile::tempdir_in(".").expect("a directory");
        let name = here.path().file_name().expect("a name");
        Directory::open(&Path::new(name).join("registry")).expect("it is made");
        assert!(here.path().join("registry/repositories").is_dir());
    }
}
