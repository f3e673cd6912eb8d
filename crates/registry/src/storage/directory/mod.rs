//! A storage in a directory: files named by their content, each staged, synced and renamed, so that a reader and a
//! crash see a whole file or none.
//!
//! It does no garbage collection of blobs that no manifest needs. The layout: `docs/reference/registry.md`.

mod backend;
mod claim;
mod damage;
mod discovery;
mod files;
mod link_check;
mod names;
mod obstacles;
mod pool;
mod root_check;
mod sessions;
mod sizes;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use oci::{Digest, Repository};

use self::{
    claim::Layout,
    damage::DamageLog,
    discovery::holds_something,
    files::{
        content_of, create_dir, delete, entries, entries_of_kind, file_name, leave_alone,
        metadata_of, open, or_leave, parent, rename, sync_dir,
    },
    link_check::{LinkCheck, OpenResult, regular},
    names::RepositoryNames,
    obstacles::{directories_below, failed_at},
    pool::{BlobPool, Reclaimed},
    root_check::RootCheck,
    sessions::Sessions,
    sizes::Sizes,
};
use super::{
    StorageError, StorageResult,
    error::{failed, if_there, readable},
    staged::{Retention, StagedFile},
};
use crate::{limits::MAX_STORED_MANIFEST_BYTES, upload_id::UploadId};

const BLOBS: &str = "_blobs";
const MANIFESTS: &str = "_manifests";
const TAGS: &str = "_tags";
const REFERRERS: &str = "_referrers";

/// The longest file of a manifest: before it stands a media type, which is one of four.
const MAX_MANIFEST_FILE_BYTES: u64 = MAX_STORED_MANIFEST_BYTES + 256;

/// The longest file of a tag: `sha512:` and 128 hexadecimal digits.
const MAX_TAG_FILE_BYTES: u64 = 135;

#[derive(Debug)]
pub(super) struct DirectoryStorage {
    root: RootCheck,
    layout: Layout,
    link_check: LinkCheck,
    pool: BlobPool,
    sizes: Sizes,
    sessions: Sessions,
    names: RepositoryNames,
    damage: DamageLog,
    /// Held while directories are created, so that a directory that exists is also synced. The exception is one
    /// whose process was killed between creation and sync.
    making: Mutex<()>,
    /// The lock file; open while the storage is in use.
    _lock: Option<File>,
}

impl DirectoryStorage {
    pub(super) fn open(root: &Path) -> Result<Self, StorageError> {
        // An absolute path, so that every path has a parent.
        let root = &std::path::absolute(root).map_err(failed("look for", root))?;
        let (layout, lock) = claim::for_writing(root)?;
        // No other process writes under the lock: unfinished files are those of a killed process.
        let mut reclaimed = Reclaimed::default();
        clear_staging(&layout.staging, &mut reclaimed)?;
        let sessions = Sessions::recover(layout.uploads.clone(), &mut reclaimed)?;
        let this = Self::with(RootCheck::of_writer(root)?, layout, sessions, Some(lock));
        this.pool.reclaim(&mut reclaimed)?;
        if reclaimed.files > 0 {
            let Reclaimed { files, bytes } = reclaimed;
            tracing::info!(files, bytes, "removed unfinished files of an earlier process");
        }
        Ok(this)
    }

    /// Opens it without any change, not even a lock file.
    pub(super) fn open_read_only(root: &Path) -> Result<Self, StorageError> {
        let root = &std::path::absolute(root).map_err(failed("look for", root))?;
        let (layout, lock) = claim::for_reading(root)?;
        let sessions = Sessions::none(layout.uploads.clone());
        Ok(Self::with(RootCheck::of_reader(root), layout, sessions, lock))
    }

    fn with(root: RootCheck, layout: Layout, sessions: Sessions, lock: Option<File>) -> Self {
        let Layout { staging, blobs, sizes, .. } = &layout;
        Self {
            root,
            pool: BlobPool::new(blobs.clone(), staging.clone()),
            sizes: Sizes::new(sizes.clone(), staging.clone()),
            link_check: LinkCheck::at(&layout.repositories),
            layout,
            sessions,
            names: RepositoryNames::default(),
            damage: DamageLog::default(),
            making: Mutex::default(),
            _lock: lock,
        }
    }

    fn path(&self, name: &Repository, kind: &str, of: &impl ToString) -> PathBuf {
        let mut path = self.layout.repositories.join(name.as_str());
        path.extend([kind, &of.to_string()]);
        path
    }

    fn referrers_of(&self, name: &Repository, subject: Digest) -> PathBuf {
        self.path(name, REFERRERS, &subject)
    }

    fn stage_file(&self) -> Result<StagedFile, StorageError> {
        let path = self.layout.staging.join(UploadId::random().to_string());
        StagedFile::create(path, Retention::WhileOwned)
    }

    /// Writes `content` atomically to `path`.
    fn write(&self, path: &Path, content: &[&[u8]]) -> StorageResult {
        let mut staged = self.stage_file()?;
        content.iter().try_for_each(|part| staged.append(part))?;
        staged.sync()?;
        self.make_parent(path)?;
        self.damage.log(rename(staged.path(), path))
    }

    fn make_parent<'a>(&self, path: &'a Path) -> Result<&'a Path, StorageError> {
        let parent = parent(path);
        self.damage.log(self.check_directories(parent))?;
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        create_dir(parent)?;
        Ok(parent)
    }

    /// Fails if a directory is a symbolic link: its target does not belong to the registry.
    fn check_directories(&self, directory: &Path) -> StorageResult {
        match self.link_check.directory(directory) {
            OpenResult::At(_) | OpenResult::Absent => Ok(()),
            OpenResult::Undecided => directories_below(&self.layout.repositories, directory),
        }
    }

    /// Whether no directory above `directory` is obstructed. The log names an obstruction.
    fn is_reachable(&self, directory: &Path) -> StorageResult<bool> {
        let found = self.damage.if_reachable(self.check_directories(directory))?;
        Ok(found.is_some())
    }

    /// The regular files in a repository's directory.
    fn files(&self, directory: &Path) -> Result<Vec<PathBuf>, StorageError> {
        if !self.is_reachable(directory)? {
            return Ok(Vec::new());
        }
        let mut files = entries_of_kind(directory)?;
        files.retain(|(path, kind)| {
            if !kind.is_file() {
                self.damage.skipped(path);
            }
            kind.is_file()
        });
        Ok(files.into_iter().map(|(path, _)| path).collect())
    }

    /// The path of a repository's blob; none if its directory is obstructed.
    fn blob_path(
        &self,
        name: &Repository,
        digest: Digest,
    ) -> Result<Option<PathBuf>, StorageError> {
        let path = self.path(name, BLOBS, &digest);
        Ok(self.is_reachable(parent(&path))?.then_some(path))
    }

    /// The content of a repository's file, of at most `max` bytes; none where there is none.
    fn read(&self, path: &Path, max: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let Some(file) = self.damage.log(self.open_file(path))? else { return Ok(None) };
        self.damage.log(content_of(file, path, max)).map(Some)
    }

    /// Opens a repository's file; none where there is none, or a directory above it is obstructed.
    fn open_file(&self, path: &Path) -> Result<Option<File>, StorageError> {
        match self.link_check.file(path) {
            OpenResult::At(opened) => regular(opened, path).map(Some),
            OpenResult::Absent => Ok(None),
            OpenResult::Undecided if self.is_reachable(parent(path))? => open(path),
            OpenResult::Undecided => Ok(None),
        }
    }

    fn delete(&self, path: &Path) -> StorageResult<bool> {
        Ok(self.is_reachable(parent(path))? && self.damage.log(delete(path))?)
    }

    /// Moves a staged blob to its path, or links the path to an equal blob in the pool.
    fn place_blob(
        &self,
        name: &Repository,
        digest: Digest,
        staged: &mut StagedFile,
    ) -> StorageResult {
        staged.sync()?;
        let path = self.path(name, BLOBS, &digest);
        let parent = self.make_parent(&path)?;
        let _alone = self.pool.lock(digest);
        self.sizes.note(digest, staged.len());
        if self.pool.place_equal(digest, staged, &path)? {
            return sync_dir(parent);
        }
        fs::rename(staged.path(), &path).map_err(failed_at("create", &path))?;
        staged.moved();
        self.pool.offer(digest, &path);
        sync_dir(parent)
    }

    /// The length of the blob at `path`; none if there is no blob. The blob is damaged if its length is not the
    /// noted one, or if it is no regular file.
    fn blob_size(&self, path: &Path, digest: Digest) -> Result<Option<u64>, StorageError> {
        let found = if_there(fs::symlink_metadata(path)).map_err(failed("look for", path))?;
        let Some(found) = found else { return Ok(None) };
        let noted = readable(self.damage.log(self.sizes.of(digest)))?.flatten();
        match found.is_file() && noted.is_none_or(|noted| noted == found.len()) {
            true => Ok(Some(found.len())),
            false => self.damage.log(Err(StorageError::Damaged(path.to_owned()))),
        }
    }

    /// Copies the blob at `source`, for file systems without hard links.
    fn copy_blob(&self, name: &Repository, digest: Digest, source: &Path) -> StorageResult<bool> {
        let Some(mut content) = open(source)? else { return Ok(false) };
        let staged = self.stage_file()?;
        let path = staged.path();
        File::create(path)
            .and_then(|mut file| std::io::copy(&mut content, &mut file).and(file.sync_all()))
            .map_err(failed("write", path))?;
        let place = self.path(name, BLOBS, &digest);
        self.make_parent(&place)?;
        rename(path, &place)?;
        Ok(true)
    }

    fn deleted_from(&self, name: &Repository) -> StorageResult {
        let path = self.layout.repositories.join(name.as_str());
        self.names.shrank(name, || holds_something(&path))
    }
}

/// Removes staged files, which have names of a pattern of their own.
fn clear_staging(staging: &Path, reclaimed: &mut Reclaimed) -> StorageResult {
    for path in entries(staging)? {
        let is_ours = file_name(&path).and_then(UploadId::parse).is_some();
        let Some(found) = metadata_of(&path)?.filter(|_| is_ours) else {
            leave_alone(&path);
            continue;
        };
        let removed = if_there(fs::remove_file(&path)).map_err(failed("delete", &path));
        or_leave(removed.map(|_| reclaimed.add(found.len())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use oci::Tag;

    use super::{
        super::{StorageBackend, StoredManifest, record::synced},
        *,
    };

    fn put(directory: &DirectoryStorage, name: &Repository, bytes: &[u8]) -> StorageResult {
        let mut staged = directory.stage()?;
        staged.append(bytes)?;
        directory.put_blob(name, Digest::sha256(bytes), &mut staged)
    }

    #[test]
    fn what_is_made_and_deleted_is_synced_by_name() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        let (opened, done) = synced(root, || DirectoryStorage::open(&root.join("a/b")));
        let made = ["a/b"; 6];
        assert_eq!(done, [&["", "a"], &made[..]].concat(), "the marker and five directories");
        let directory = opened.expect("a directory of our own");

        let (name, digest) = ("x/y".parse().expect("a name"), Digest::sha256(b"z"));
        let (put, done) = synced(root, || put(&directory, &name, b"z"));
        put.expect("it is kept");
        let repository = "a/b/repositories/x/y";
        let blobs = format!("{repository}/_blobs");
        let staged = "a/b/staging/*";
        assert_eq!(done, [staged, "a/b/repositories", "a/b/repositories/x", repository, &blobs]);

        let manifest = StoredManifest { media_type: "a/b".to_owned(), bytes: "{}".into() };
        let put = || directory.put_manifest(&name, digest, &manifest, Some(digest));
        let (put, done) = synced(root, put);
        put.expect("it is kept");
        let [referrers, manifests] =
            ["_referrers", "_manifests"].map(|kind| format!("{repository}/{kind}"));
        let subject = format!("{referrers}/{digest}");
        let referrer = [staged, repository, &referrers, &subject];
        assert_eq!(done, [&referrer[..], &[staged, repository, &manifests]].concat());

        let other = "x/z".parse().expect("a name");
        let (mounted, done) = synced(root, || directory.mount_blob(Some(&name), &other, digest));
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
    fn many_tags_are_deleted_with_one_sync() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        let directory = DirectoryStorage::open(root).expect("a directory of our own");
        let name = "a".parse().expect("a name");
        let digest = Digest::sha256(b"z");
        put(&directory, &name, b"z").expect("it is kept");
        let tags: Vec<Tag> = ["v1", "v2", "v3"].map(|tag| tag.parse().expect("a tag")).to_vec();
        for tag in tags.get(..2).expect("two") {
            directory.put_tag(&name, tag, digest).expect("it is kept");
        }
        let (deleted, done) = synced(root, || directory.delete_tags(&name, &tags));
        deleted.expect("one of them was not there");
        assert_eq!(done, ["repositories/a/_tags"]);
        assert_eq!(directory.tags(&name).expect("it works"), Some(Vec::new()));
    }

    #[test]
    fn a_blob_is_stored_once_and_goes_with_the_last_that_has_it() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = DirectoryStorage::open(root.path()).expect("a directory of our own");
        let [a, b] = ["a", "b"].map(|name| name.parse::<Repository>().expect("a name"));
        let digest = Digest::sha256(b"z");
        let names = || files::names_of(&directory.pool.path(digest)).expect("it works");
        for name in [&a, &b] {
            put(&directory, name, b"z").expect("it is kept");
        }
        assert_eq!(names(), Some((3, 1)));
        assert!(entries(&directory.layout.staging).expect("it works").is_empty());
        directory.delete_blob(&a, digest).expect("it works");
        assert_eq!(names(), Some((2, 1)));
        directory.delete_blob(&b, digest).expect("it works");
        assert_eq!(names(), None);
    }

    #[test]
    fn a_blob_is_kept_where_the_pool_cannot_have_it() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = DirectoryStorage::open(root.path()).expect("a directory of our own");
        fs::remove_dir(root.path().join("blobs")).expect("it is empty");
        let name = "a".parse().expect("a name");
        assert!(directory.repositories(None, 1, &|_| true).expect("it works").is_empty());
        put(&directory, &name, b"z").expect("it is kept");
        assert!(directory.has_blob(&name, Digest::sha256(b"z")).expect("it works"));
        assert!(entries(&directory.layout.staging).expect("it works").is_empty());
        let names = directory.repositories(None, 1, &|_| true).expect("it works");
        assert_eq!(names, std::slice::from_ref(&name));
        assert!(directory.delete_blob(&name, Digest::sha256(b"z")).expect("it works"));
    }

    #[test]
    fn what_was_moved_to_its_place_is_not_written_any_more() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = DirectoryStorage::open(root.path()).expect("a directory of our own");
        let (name, digest) = ("a".parse().expect("a name"), Digest::sha256(b"right"));
        let mut staged = directory.stage().expect("there is room");
        staged.append(b"right").expect("there is room");
        directory.put_blob(&name, digest, &mut staged).expect("it is kept");
        assert!(staged.is_spent());
        staged.append(b"wrong").expect_err("it is spent");
        staged.truncate(0).expect_err("it is spent");
        let path = directory.path(&name, BLOBS, &digest);
        assert_eq!(fs::read(path).expect("it is there"), b"right");
    }

    #[test]
    fn pushing_again_repairs_a_damaged_blob() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = DirectoryStorage::open(root.path()).expect("a directory of our own");
        let name = "a".parse().expect("a name");
        put(&directory, &name, b"right").expect("it is kept");
        let path = directory.path(&name, BLOBS, &Digest::sha256(b"right"));
        fs::write(&path, "wrong").expect("it is written");
        put(&directory, &name, b"right").expect("it is kept");
        for path in [path, directory.pool.path(Digest::sha256(b"right"))] {
            assert_eq!(fs::read(path).expect("it is there"), b"right");
        }
    }

    #[test]
    fn a_copy_is_a_blob_of_its_own() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = DirectoryStorage::open(root.path()).expect("a directory of our own");
        let [a, b] = ["a", "b"].map(|name| name.parse::<Repository>().expect("a name"));
        put(&directory, &a, b"z").expect("it is kept");
        let digest = Digest::sha256(b"z");
        let source = directory.path(&a, BLOBS, &digest);
        assert!(directory.copy_blob(&b, digest, &source).expect("it works"));
        let copy = directory.path(&b, BLOBS, &digest);
        assert_eq!(fs::read(&copy).expect("it is there"), b"z");
        assert_eq!(files::names_of(&copy).expect("it works"), Some((1, 1)));
        let absent = directory.path(&a, BLOBS, &Digest::sha256(b"absent"));
        assert!(!directory.copy_blob(&b, digest, &absent).expect("it works"));
    }

    #[test]
    fn blobs_that_no_repository_has_go_at_the_next_start() {
        let root = tempfile::tempdir().expect("a directory");
        let name = "a".parse().expect("a name");
        let digest = Digest::sha256(b"z");
        let directory = DirectoryStorage::open(root.path()).expect("a directory of our own");
        put(&directory, &name, b"z").expect("it is kept");
        // As a process does that is killed between the two steps of deleting.
        fs::remove_file(directory.path(&name, BLOBS, &digest)).expect("it is there");
        drop(directory);
        let directory = DirectoryStorage::open(root.path()).expect("a directory of our own");
        assert!(!directory.pool.path(digest).exists());
    }

    #[test]
    fn a_directory_may_be_named_from_where_we_are() {
        let here = tempfile::tempdir_in(".").expect("a directory");
        let name = here.path().file_name().expect("a name");
        DirectoryStorage::open(&Path::new(name).join("registry")).expect("it is made");
        assert!(here.path().join("registry/repositories").is_dir());
    }
}
