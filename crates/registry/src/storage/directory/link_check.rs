//! How the registry makes sure that a path has no symbolic link below the root: in the call that opens it, where the
//! system can, and else by a look at each directory (`obstacles`).
//!
//! Not here: the name of an obstruction. A call that fails for any reason but absence decides nothing, and each
//! directory is looked at.
//!
//! Source: openat2(2), `RESOLVE_NO_SYMLINKS`, of Linux 5.6.

use std::{
    fs::File,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{fs::OFlags, io::Errno};

use super::super::{StorageError, StorageResult, error::failed};

/// How paths are checked for symbolic links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkCheck {
    /// By the call that opens them.
    AtOpen,
    /// By a look at each directory: the system has no such call or refuses it, or a directory above the root is a link,
    /// which is the operator's choice.
    EachDirectory,
}

/// What a call shows of a path.
#[derive(Debug)]
pub(super) enum OpenResult {
    /// There is no link in it.
    At(OwnedFd),
    /// It does not exist.
    Absent,
    /// A link or another obstruction, or the call is not used.
    Undecided,
}

impl LinkCheck {
    /// What this system can do at `root`, which is never followed if it is a link itself.
    pub(super) fn at(root: &Path) -> Self {
        match Self::AtOpen.directory(root) {
            OpenResult::At(_) => Self::AtOpen,
            OpenResult::Absent | OpenResult::Undecided => Self::EachDirectory,
        }
    }

    /// Opens a directory, for nothing but its place.
    pub(super) fn directory(self, path: &Path) -> OpenResult {
        self.open(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// Opens a file for reading. A FIFO is not waited for.
    pub(super) fn file(self, path: &Path) -> OpenResult {
        self.open(path, OFlags::RDONLY | OFlags::NONBLOCK)
    }

    fn open(self, path: &Path, flags: OFlags) -> OpenResult {
        match self {
            Self::EachDirectory => OpenResult::Undecided,
            Self::AtOpen => match open_without_links(path, flags | OFlags::CLOEXEC) {
                Ok(opened) => OpenResult::At(opened),
                Err(Errno::NOENT) => OpenResult::Absent,
                Err(_) => OpenResult::Undecided,
            },
        }
    }
}

/// The regular file that was opened at `path`; anything else is damage.
pub(super) fn regular(opened: OwnedFd, path: &Path) -> StorageResult<File> {
    let file = File::from(opened);
    match file.metadata().map_err(failed("look for", path))?.is_file() {
        true => Ok(file),
        false => Err(StorageError::Damaged(PathBuf::from(path))),
    }
}

#[cfg(target_os = "linux")]
fn open_without_links(path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    use rustix::fs::{CWD, Mode, ResolveFlags, openat2};
    openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
}

#[cfg(not(target_os = "linux"))]
fn open_without_links(_: &Path, _: OFlags) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_link_anywhere_in_a_path_decides_nothing() {
        let root = tempfile::tempdir().expect("a directory");
        // A temporary directory may lie behind a link.
        let root = root.path().canonicalize().expect("its path");
        let [real, link] = ["real", "link"].map(|name| root.join(name));
        fs::create_dir(&real).expect("a directory");
        fs::write(real.join("file"), "x").expect("a file");
        symlink(&real, &link).expect("a link");
        symlink(real.join("file"), real.join("to-file")).expect("a link");
        assert_eq!(LinkCheck::at(&link), LinkCheck::EachDirectory);
        assert_eq!(LinkCheck::at(&root.join("absent")), LinkCheck::EachDirectory);
        if LinkCheck::at(&real) == LinkCheck::EachDirectory {
            return println!("skipped: this system has no openat2");
        }
        let file = |path: &Path| LinkCheck::AtOpen.file(path);
        assert!(matches!(file(&real.join("file")), OpenResult::At(_)));
        assert!(matches!(file(&real.join("absent")), OpenResult::Absent));
        for undecided in [link.join("file"), real.join("to-file"), real.join("file/below")] {
            assert!(matches!(file(&undecided), OpenResult::Undecided), "{}", undecided.display());
        }
        assert!(matches!(LinkCheck::AtOpen.directory(&real), OpenResult::At(_)));
        assert!(matches!(LinkCheck::AtOpen.directory(&real.join("file")), OpenResult::Undecided));
        assert!(matches!(LinkCheck::EachDirectory.file(&real.join("file")), OpenResult::Undecided));
    }
}
