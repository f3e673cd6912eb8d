//! Files that are being written: they are in a hidden directory of the store, have names of our own pattern, are hashed
//! while they grow, and are synced and linked to the name of their digest once they are whole.
//!
//! Only files of that pattern are ever removed, and only while no process writes, which a lock shows.

use std::{
    fs::{self, File, Permissions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use oci::{Digest, Digester};
use tempfile::TempPath;

use crate::{
    Error, Put, key,
    key::HIDDEN,
    location::{check_directories, check_directory, size_of},
    object::check_content,
};

/// How many bytes a writer gathers before it passes them to a blocking thread. Passing them takes some 20 µs and
/// hashing them some 300 µs; and many writers can hold so many bytes in memory.
pub const WRITE_BATCH: usize = 512 * 1024;

/// What the names of partial files begin with.
const PARTIAL: &str = "partial-";

/// How many random letters and digits follow [`PARTIAL`].
const PARTIAL_RANDOM: usize = 6;

/// The partial files of a store.
#[derive(Debug)]
pub(crate) struct PartialFiles {
    /// The directory of the store.
    root: PathBuf,
    /// None before the first write.
    prepared: Mutex<Option<Prepared>>,
}

/// Made by the first write.
#[derive(Debug)]
struct Prepared {
    /// A shared lock: it shows other processes that partial files are in use. None where the file system has no locks.
    _lock: Option<File>,
}

impl PartialFiles {
    /// The partial files of the store in directory `root`. Nothing is created yet.
    pub(crate) const fn new(root: PathBuf) -> Self {
        Self { root, prepared: Mutex::new(None) }
    }

    /// Creates a partial file for the content of `digest`, which has `length` bytes.
    pub(crate) fn create(&self, digest: &Digest, length: u64) -> Result<PartialFile, Error> {
        self.prepare()?;
        let hidden = self.root.join(HIDDEN);
        let (file, path) = tempfile::Builder::new()
            .prefix(PARTIAL)
            .rand_bytes(PARTIAL_RANDOM)
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(&hidden)
            .map_err(Error::unwritable("create a partial file in", hidden))?
            .into_parts();
        let digester = Digester::new(digest.algorithm());
        let name = self.root.join(key(digest));
        Ok(PartialFile { digest: *digest, length, name, path, file, digester, written: 0 })
    }

    /// Creates the directories, removes what killed processes left, and takes the shared lock. It does so once.
    fn prepare(&self) -> Result<(), Error> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if prepared.is_some() {
            return Ok(());
        }
        let (hidden, images) = (self.root.join(HIDDEN), self.root.join(key::PREFIX));
        // Files are written and removed below them, so none of them may be a link out of the store.
        check_directories(&self.root)?;
        check_directory(&hidden)?;
        for directory in [&hidden, &images] {
            fs::create_dir_all(directory)
                .map_err(Error::unwritable("create the directory", directory))?;
        }
        // The entries of the directories themselves must survive a power cut, too.
        for directory in images.ancestors().take(3) {
            sync_directory(directory)?;
        }
        let path = hidden.join("lock");
        // It is checked before it is opened: opening a FIFO would block, and a link may lead out of the store.
        size_of(&path).map_err(Error::of_whole_store)?;
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

/// Removes leftovers if no process writes, and then takes the shared lock, whether the removal succeeded or not. The
/// outer error is that of the lock, the inner one that of the removal.
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
    // This waits at most while another process removes leftovers.
    lock.lock_shared()?;
    Ok(cleaned)
}

/// Removes all that it can. The error is that of the last file that it could not remove.
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

/// Whether the name is of our own pattern: [`PARTIAL`] and random letters and digits.
fn is_partial(name: &str) -> bool {
    name.strip_prefix(PARTIAL).is_some_and(|random| {
        random.len() == PARTIAL_RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// A partial file. Dropped, it is removed.
#[derive(Debug)]
pub(crate) struct PartialFile {
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

impl PartialFile {
    pub(crate) fn append(&mut self, pieces: &[Bytes]) -> Result<(), Error> {
        for piece in pieces {
            self.digester.update(piece);
            self.written += piece.len() as u64;
            self.file.write_all(piece).map_err(Error::io("write", &*self.path))?;
        }
        Ok(())
    }

    pub(crate) fn link(self) -> Result<Put, Error> {
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
/// it only if the size is right: another writer may have put it meanwhile, or it is damaged.
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

fn sync_directory(path: &Path) -> Result<(), Error> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(Error::io("sync the directory", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_full_disk_is_an_error_that_names_the_path_and_nothing_is_visible() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = PartialFiles::new(directory.path().to_owned());
        let digest = Digest::sha256(b"content");
        let mut partial = files.create(&digest, 7).expect("a partial file");
        partial.file = File::options().write(true).open("/dev/full").expect("a full device");
        let path = partial.path.to_path_buf();
        let full = partial.append(&[Bytes::from_static(b"content")]).expect_err("it is full");
        assert!(full.to_string().contains(&path.display().to_string()), "{full}");
        assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        let cause = std::error::Error::source(&full).expect("a cause").to_string();
        assert!(cause.contains("No space left"), "{cause}");
        drop(partial);
        assert!(!path.exists() && !directory.path().join(key(&digest)).exists());
    }
}
