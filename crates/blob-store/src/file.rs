//! A store that is a directory: partial files in a hidden directory beside the blobs, hashed while
//! they are written, linked to their names when whole.
//!
//! Blocking calls run on tokio's blocking threads, a batch of pieces at a time.

use std::{
    collections::BTreeSet,
    fmt,
    fs::{self, File, Metadata, Permissions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    mem,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use oci::{Digest, Digester};
use tempfile::TempPath;
use url::Url;

use crate::{
    Error, ErrorKind, Head, LIST_PAGE, ListedObject, Part, Put, key,
    location::{self, what},
    object::{check_content, corrupt, not_found},
};

/// How many bytes a writer gathers before it hands them to a blocking thread: enough that the hand-over
/// (some 20 µs) costs little beside hashing them (some 300 µs), little enough to be held by many writers.
pub const WRITE_BATCH: usize = 512 * 1024;

/// Where partial files lie. Hidden, and outside `containers/`, so that nothing that serves blobs
/// can see them; in the store, so that a rename suffices.
const HIDDEN: &str = ".portolan";

/// What the names of partial files begin with.
const PARTIAL: &str = "partial-";

/// How many random letters and digits follow [`PARTIAL`].
const PARTIAL_RANDOM: usize = 6;

/// A directory as a store.
#[derive(Clone, Debug)]
pub(crate) struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    url: Url,
    root: PathBuf,
    /// Of the first write; none before.
    prepared: Mutex<Option<Prepared>>,
}

/// Made by the first write.
#[derive(Debug)]
struct Prepared {
    /// Held, shared: it tells other processes that partial files are alive. None where that is impossible.
    _lock: Option<File>,
}

impl Directory {
    pub(crate) fn new(url: Url, root: PathBuf) -> Self {
        Self(Arc::new(Inner { url, root, prepared: Mutex::new(None) }))
    }

    pub(crate) async fn check_location(&self) -> Result<(), Error> {
        let this = self.clone();
        blocking(move || location::check(&this.0.root)).await
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        location::resolve(&self.0.root) == location::resolve(&other.0.root)
    }

    pub(crate) async fn head(&self, digest: &Digest) -> Result<Head, Error> {
        let (this, path) = (self.clone(), self.path(digest));
        blocking(move || {
            check_directories(&this.0.root)?;
            let length = size_of(&path)?;
            length.map(|length| Head { length }).ok_or_else(|| not_found(&shown(&path)))
        })
        .await
    }

    pub(crate) async fn get(&self, digest: &Digest, part: Part, max: u64) -> Result<Bytes, Error> {
        let (this, digest) = (self.clone(), *digest);
        blocking(move || {
            let path = this.path(&digest);
            match open_file(&this.0.root, &digest)? {
                Some((file, length)) => read(&digest, &path, (file, length), &part, max),
                None => Err(not_found(&shown(&path))),
            }
        })
        .await
    }

    pub(crate) async fn list(
        &self,
        prefix: &str,
        after: Option<&Digest>,
    ) -> Result<Vec<ListedObject>, Error> {
        let (this, prefix, after) =
            (self.clone(), prefix.to_owned(), after.map(ToString::to_string));
        blocking(move || {
            check_directories(&this.0.root)?;
            list(&this.0.root.join(key::PREFIX), &prefix, after.as_deref())
        })
        .await
    }

    pub(crate) async fn writer(&self, digest: &Digest, length: u64) -> Result<Writer, Error> {
        let (this, digest) = (self.clone(), *digest);
        let partial = blocking(move || this.partial(&digest, length).map(Box::new)).await?;
        Ok(Writer { digest, partial: Some(partial), gathered: Vec::new(), gathered_len: 0 })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.0.root.join(key(digest))
    }

    fn partial(&self, digest: &Digest, length: u64) -> Result<Partial, Error> {
        self.0.prepare()?;
        let hidden = self.0.root.join(HIDDEN);
        let (file, path) = tempfile::Builder::new()
            .prefix(PARTIAL)
            .rand_bytes(PARTIAL_RANDOM)
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(&hidden)
            .map_err(Error::unwritable("create a partial file in", hidden))?
            .into_parts();
        let digester = Digester::new(digest.algorithm());
        let name = self.path(digest);
        Ok(Partial { digest: *digest, length, name, path, file, digester, written: 0 })
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.url.as_str())
    }
}

impl Inner {
    /// Makes the directories, removes what killed processes left, and announces this process; once.
    fn prepare(&self) -> Result<(), Error> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if prepared.is_some() {
            return Ok(());
        }
        let (hidden, images) = (self.root.join(HIDDEN), self.root.join(key::PREFIX));
        // Files are written and removed below them, so they must be in the store and not somewhere that a link
        // leads to.
        check_directories(&self.root)?;
        check_directory(&hidden)?;
        for directory in [&hidden, &images] {
            fs::create_dir_all(directory)
                .map_err(Error::unwritable("create the directory", directory))?;
        }
        // The entries of the directories themselves must outlive a power cut, too.
        for directory in images.ancestors().take(3) {
            sync_directory(directory)?;
        }
        let path = hidden.join("lock");
        // Looks first: opening a FIFO would block, and a link may lead out of the store.
        size_of(&path)?;
        let options = File::options().create(true).truncate(false).write(true).open(&path);
        let file = options.map_err(Error::unwritable("open the lock", path))?;
        let lock = match clean_and_share(&file, &hidden) {
            Ok(cleaned) => {
                if let Err(error) = cleaned {
                    tracing::warn!(%error, "leftovers of killed processes stay");
                }
                Some(file)
            }
            // Some file systems have no locks. Leftovers then stay, which costs space and nothing else.
            Err(error) => {
                let directory = hidden.display();
                tracing::warn!(%directory, %error, "cannot lock; leftovers of killed processes stay");
                None
            }
        };
        *prepared = Some(Prepared { _lock: lock });
        Ok(())
    }
}

/// Removes leftovers if no process writes, and then, whatever came of that, holds the lock shared. Fails
/// when it does not hold it; gives what came of the removing.
fn clean_and_share(lock: &File, hidden: &Path) -> io::Result<Result<(), Error>> {
    let cleaned = match lock.try_lock() {
        Ok(()) => {
            let cleaned = remove_leftovers(hidden);
            lock.unlock()?;
            cleaned
        }
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => return Err(error),
    };
    // Waits at most for another process's cleaning.
    lock.lock_shared()?;
    Ok(cleaned)
}

/// Removes all that it can; the error is that of the last one that it could not.
fn remove_leftovers(hidden: &Path) -> Result<(), Error> {
    let listed = fs::read_dir(hidden).map_err(Error::io("list", hidden))?;
    let mut removed = Ok(());
    for entry in listed.filter_map(Result::ok) {
        if is_partial(&entry.file_name().to_string_lossy())
            && let Err(error) = fs::remove_file(entry.path())
        {
            removed = Err(Error::io("remove", entry.path())(error));
        }
    }
    removed
}

/// Whether a file of this name is one of ours: [`PARTIAL`] and what makes it unique.
fn is_partial(name: &str) -> bool {
    name.strip_prefix(PARTIAL).is_some_and(|random| {
        random.len() == PARTIAL_RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Opens the regular file that the store in directory `root` has under this digest, and gives its length; none if it
/// has none. Blocks.
///
/// # Errors
/// When something else has the digest's name ([`Error::is_wrong_file_type`]), or it cannot be read.
pub fn open_file(root: &Path, digest: &Digest) -> Result<Option<(File, u64)>, Error> {
    let path = root.join(key(digest));
    check_directories(root)?;
    if size_of(&path)?.is_none() {
        return Ok(None);
    }
    let file = File::open(&path).map_err(Error::io("open", &path))?;
    let size = file.metadata().map_err(Error::io("look at", &path))?.len();
    Ok(Some((file, size)))
}

fn read(
    digest: &Digest,
    path: &Path,
    (mut file, length): (File, u64),
    part: &Part,
    max: u64,
) -> Result<Bytes, Error> {
    let range = part.of(&shown(path), length, max)?;
    file.seek(SeekFrom::Start(range.start)).map_err(Error::io("read", path))?;
    let mut content = Vec::new();
    let wanted = range.end - range.start;
    file.take(wanted).read_to_end(&mut content).map_err(Error::io("read", path))?;
    if *part == Part::Whole && !digest.matches(&content) {
        return Err(corrupt(&shown(path)));
    }
    Ok(content.into())
}

/// The first objects behind `after`. Keeps one page in memory, whatever the directory holds.
fn list(images: &Path, prefix: &str, after: Option<&str>) -> Result<Vec<ListedObject>, Error> {
    let entries = match fs::read_dir(images) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io("list", images))?,
    };
    let mut page = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(Error::io("list", images))?.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(prefix)) else { continue };
        if after.is_none_or(|after| name > after) && name.parse::<Digest>().is_ok() {
            page.insert(name.to_owned());
        }
        if page.len() > LIST_PAGE {
            page.pop_last();
        }
    }
    let listed = page.iter().map(|name| {
        let path = images.join(name);
        // What is not a regular file is not an object.
        let about = about(&path)?.filter(Metadata::is_file);
        let listed = about.zip(name.parse().ok());
        Ok(listed.map(|(about, digest)| ListedObject { digest, length: about.len() }))
    });
    listed.filter_map(Result::transpose).collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Content on its way into the directory.
#[derive(Debug)]
pub(crate) struct Writer {
    digest: Digest,
    /// Away while a blocking thread has it; gone for good once that failed or was not waited for.
    partial: Option<Box<Partial>>,
    gathered: Vec<Bytes>,
    gathered_len: usize,
}

impl Writer {
    pub(crate) async fn write(&mut self, piece: Bytes) -> Result<(), Error> {
        self.gathered_len += piece.len();
        self.gathered.push(piece);
        if self.gathered_len < WRITE_BATCH {
            return Ok(());
        }
        let (mut partial, pieces) = (self.take()?, mem::take(&mut self.gathered));
        self.gathered_len = 0;
        let work = move || partial.append(&pieces).map(|()| partial);
        self.partial = Some(blocking(work).await?);
        Ok(())
    }

    pub(crate) async fn commit(mut self) -> Result<Put, Error> {
        let (mut partial, pieces) = (self.take()?, self.gathered);
        blocking(move || {
            partial.append(&pieces)?;
            partial.link()
        })
        .await
    }

    fn take(&mut self) -> Result<Box<Partial>, Error> {
        self.partial.take().ok_or_else(|| {
            let message = format!("the writer of {} failed before; nothing was kept", self.digest);
            Error::new(ErrorKind::Other, self.digest.to_string(), message)
        })
    }
}

/// A partial file. Dropped, it is removed.
#[derive(Debug)]
struct Partial {
    digest: Digest,
    /// How long it must be.
    length: u64,
    /// Its path once it is whole.
    name: PathBuf,
    path: TempPath,
    file: File,
    digester: Digester,
    /// How many bytes it has.
    written: u64,
}

impl Partial {
    fn append(&mut self, pieces: &[Bytes]) -> Result<(), Error> {
        for piece in pieces {
            self.digester.update(piece);
            self.written += piece.len() as u64;
            self.file.write_all(piece).map_err(Error::io("write", &*self.path))?;
        }
        Ok(())
    }

    fn link(self) -> Result<Put, Error> {
        let (expected, found) = (self.digest, self.digester.finish());
        check_content((&expected, self.length), (&found, self.written))?;
        self.file.sync_all().map_err(Error::io("sync", &*self.path))?;
        let put = match self.path.persist_noclobber(&self.name) {
            Ok(()) => Put::Written,
            Err(taken) => match size_of(&self.name)? {
                None => return Err(Error::io("create", self.name)(taken.error)),
                Some(size) if is_whole(&expected, &self.name, size, self.written)? => {
                    Put::AlreadyThere
                }
                Some(_) => {
                    let replaced = taken.path.persist(&self.name);
                    replaced.map_err(|failed| Error::io("replace", &self.name)(failed.error))?;
                    Put::Repaired
                }
            },
        };
        self.name.parent().map_or(Ok(()), sync_directory)?;
        Ok(put)
    }
}

/// Whether the file at `path`, of `size` bytes, is the content of `digest`, which has `expected` bytes. Reads all of
/// it only if the size is right: it was put by another writer meanwhile, or is damaged.
fn is_whole(digest: &Digest, path: &Path, size: u64, expected: u64) -> Result<bool, Error> {
    if size != expected {
        return Ok(false);
    }
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let mut digester = Digester::new(digest.algorithm());
    let mut piece = vec![0; WRITE_BATCH];
    loop {
        match file.read(&mut piece).map_err(Error::io("read", path))? {
            0 => return Ok(digester.finish() == *digest),
            length => digester.update(&piece[..length]),
        }
    }
}

/// The size of the regular file at `path`, if there is one. Never opens anything, so that a FIFO cannot block.
fn size_of(path: &Path) -> Result<Option<u64>, Error> {
    match about(path)? {
        Some(about) if !about.is_file() => {
            let (key, is) = (shown(path), what(about.file_type()));
            let message = format!(
                "cannot use `{key}`: it is {is}, not a regular file; remove it and mirror again"
            );
            Err(Error::new(ErrorKind::WrongFileType, key, message))
        }
        about => Ok(about.map(|about| about.len())),
    }
}

/// Fails if what has the name of one of the directories above the blobs is none. A link would lead out of the
/// store.
fn check_directories(root: &Path) -> Result<(), Error> {
    // The upper one first: nothing is looked for below a link.
    // Without the slash at the end, which would follow a link.
    let images = root.join(key::PREFIX.trim_end_matches('/'));
    let mut directories: Vec<_> = images.ancestors().take_while(|above| *above != root).collect();
    directories.reverse();
    directories.into_iter().try_for_each(check_directory)
}

fn check_directory(path: &Path) -> Result<(), Error> {
    match about(path)? {
        Some(about) if !about.is_dir() => {
            let (key, is) = (shown(path), what(about.file_type()));
            let message = format!("cannot use `{key}`: it is {is}; replace it by a directory");
            Err(Error::new(ErrorKind::WrongFileType, key, message).of_whole_store())
        }
        _ => Ok(()),
    }
}

fn about(path: &Path) -> Result<Option<Metadata>, Error> {
    match fs::symlink_metadata(path) {
        Ok(about) => Ok(Some(about)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("look for", path)(error)),
    }
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(Error::io("sync the directory", path))
}

/// Runs `work` where it may block.
async fn blocking<T, F>(work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Error> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // The runtime is being shut down: nobody waits for the answer any more.
        Err(stopped) => {
            Err(Error::io("finish the work on", "the store")(io::Error::other(stopped)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_an_error_that_names_the_path_and_nothing_is_visible() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Directory::new(
            Url::from_directory_path(&directory).expect("a URL"),
            directory.path().to_owned(),
        );
        let digest = Digest::sha256(b"content");
        let mut partial = store.partial(&digest, 7).expect("a partial file");
        partial.file = File::options().write(true).open("/dev/full").expect("a full device");
        let path = partial.path.to_path_buf();
        let full = partial.append(&[Bytes::from_static(b"content")]).expect_err("it is full");
        assert!(full.to_string().contains(&path.display().to_string()), "{full}");
        assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        let cause = std::error::Error::source(&full).expect("a cause").to_string();
        assert!(cause.contains("No space left"), "{cause}");
        drop(partial);
        assert!(!path.exists() && !store.path(&digest).exists());
    }
}
