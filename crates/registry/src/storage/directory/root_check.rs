//! Whether the root of a storage is still the directory that was opened, and its entries those that were checked. One call
//! of the system decides that as long as nothing in the root is created, renamed or deleted, which changes its times.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::super::{StorageError, StorageResult, error::failed};

/// Two changes of a directory may have the same time if less than this is between them: FAT's resolution, which is the
/// coarsest.
const TIME_RESOLUTION: Duration = Duration::from_secs(2);

/// Which directory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DirectoryIdentity {
    device: u64,
    inode: u64,
}

/// A directory with the time of its last change, in seconds and nanoseconds. Programs cannot set that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    identity: DirectoryIdentity,
    changed: (i64, i64),
}

/// What the last check of the entries found.
#[derive(Clone, Copy, Debug)]
struct LastCheck {
    stamp: Stamp,
    /// When a check saw this stamp first.
    first_seen: Instant,
    /// Whether a check followed so long after that a later change has another stamp.
    is_final: bool,
}

#[derive(Debug)]
pub(super) struct RootCheck {
    root: PathBuf,
    /// The directory that was opened, if it must stay the same.
    opened: Option<DirectoryIdentity>,
    last: Mutex<Option<LastCheck>>,
}

impl RootCheck {
    /// For a storage that writes: its lock is in this directory, and in no other that has the name later.
    pub(super) fn of_writer(root: &Path) -> StorageResult<Self> {
        let opened = stamp(root).map_err(failed("look for", root))?.identity;
        Ok(Self { opened: Some(opened), ..Self::of_reader(root) })
    }

    /// For a storage that only reads: another copy may take the place of the root.
    pub(super) fn of_reader(root: &Path) -> Self {
        Self { root: root.to_owned(), opened: None, last: Mutex::default() }
    }

    /// Fails if the root is gone or another directory, or if `check_entries` does, which is called unless nothing can have
    /// changed since it was called last.
    pub(super) fn check(&self, check_entries: impl FnOnce() -> StorageResult) -> StorageResult {
        self.check_at(Instant::now(), check_entries)
    }

    fn check_at(
        &self,
        now: Instant,
        check_entries: impl FnOnce() -> StorageResult,
    ) -> StorageResult {
        let stamp = match stamp(&self.root) {
            Ok(stamp) => stamp,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StorageError::Gone(self.root.clone()));
            }
            Err(error) => return Err(failed("look for", &self.root)(error)),
        };
        if self.opened.is_some_and(|opened| opened != stamp.identity) {
            return Err(StorageError::Gone(self.root.clone()));
        }
        let last = self.last().filter(|last| last.stamp == stamp);
        if last.is_some_and(|last| last.is_final) {
            return Ok(());
        }
        check_entries()?;
        let first_seen = last.map_or(now, |last| last.first_seen);
        let is_final = now.saturating_duration_since(first_seen) > TIME_RESOLUTION;
        *self.last() = Some(LastCheck { stamp, first_seen, is_final });
        Ok(())
    }

    fn last(&self) -> MutexGuard<'_, Option<LastCheck>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The root may be a link, which is the operator's choice.
fn stamp(root: &Path) -> io::Result<Stamp> {
    let found = fs::metadata(root)?;
    let identity = DirectoryIdentity { device: found.dev(), inode: found.ino() };
    Ok(Stamp { identity, changed: (found.ctime(), found.ctime_nsec()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_checked_until_a_later_change_would_show_and_again_after_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = RootCheck::of_writer(directory.path()).expect("it is there");
        let begin = Instant::now();
        let is_checked = |after: u64| {
            let mut is_checked = false;
            let check_entries = || {
                is_checked = true;
                Ok(())
            };
            let checked = root.check_at(begin + Duration::from_secs(after), check_entries);
            checked.expect("it is there");
            is_checked
        };
        assert_eq!([0, 1, 3, 4, 60].map(is_checked), [true, true, true, false, false]);
        fs::create_dir(directory.path().join("another")).expect("a directory");
        assert_eq!([61, 62, 64, 65].map(is_checked), [true, true, true, false]);
        let damaged = || Err(StorageError::Damaged(directory.path().to_owned()));
        fs::remove_dir(directory.path().join("another")).expect("it is ours");
        root.check(damaged).expect_err("it is not as it was");
        root.check(damaged).expect_err("a failed check is not the last");
    }

    #[test]
    fn a_root_that_is_gone_or_another_directory_is_noticed() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = directory.path().join("root");
        fs::create_dir(&at).expect("a directory");
        let [writer, reader] = [RootCheck::of_writer(&at), Ok(RootCheck::of_reader(&at))]
            .map(|root| root.expect("it is there"));
        let is_gone = |root: &RootCheck| match root.check(|| Ok(())) {
            Err(StorageError::Gone(_)) => true,
            other => {
                other.expect("it is there");
                false
            }
        };
        assert_eq!([is_gone(&writer), is_gone(&reader)], [false, false]);
        fs::rename(&at, directory.path().join("moved")).expect("it is moved");
        assert_eq!([is_gone(&writer), is_gone(&reader)], [true, true]);
        fs::create_dir(&at).expect("a directory");
        assert_eq!([is_gone(&writer), is_gone(&reader)], [true, false]);
        fs::remove_dir(&at).expect("it is ours");
        fs::rename(directory.path().join("moved"), &at).expect("it is moved back");
        assert_eq!([is_gone(&writer), is_gone(&reader)], [false, false]);
    }
}
