//! Errors of a storage.

use std::{
    io,
    path::{Path, PathBuf},
};

/// What else can be done about a directory without the marker that has our layout. Marking the storage of another program
/// would mix the two.
const MARK_OURS: &str =
    ", or, if `portolan registry serve` wrote this one, create an empty file of that name in it";

/// Why a storage failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A call of the file system failed.
    #[error("cannot {action} `{}`: {cause}", path.display())]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// Another registry uses the directory.
    #[error("`{}` is in use by another registry; stop that registry, or use another directory", .0.display())]
    InUse(PathBuf),
    /// The directory is not empty, and no registry made it.
    #[error(
        "`{}` holds `{found}` and no file `.portolan-registry`; name an empty or absent directory{}",
        root.display(), if *has_layout { MARK_OURS } else { "" }
    )]
    NotOurs {
        /// The directory.
        root: PathBuf,
        /// An entry in it.
        found: String,
        /// Whether it has the directories of a registry of ours.
        has_layout: bool,
    },
    /// Something else has the name of a file or directory of the registry.
    #[error(
        "`{}` is {is} and must be {expected}; the registry neither follows nor removes it: move it away, or replace it with {expected}", path.display()
    )]
    Obstructed {
        /// Where.
        path: PathBuf,
        /// What it is, with its article.
        is: &'static str,
        /// What it must be, with its article.
        expected: &'static str,
    },
    /// A directory of the layout was replaced while the registry runs.
    #[error(
        "`{}` was replaced while the registry runs, and is {is}: nothing is read, written or deleted \
         until it is a directory again", path.display()
    )]
    Replaced {
        /// Where.
        path: PathBuf,
        /// What it is, with its article.
        is: &'static str,
    },
    /// The directory of the storage is no longer the one that was opened.
    #[error(
        "`{}` was deleted, unmounted or replaced while the registry runs: nothing is read, written or deleted until it \
         is back; to use what is there now, restart the registry", .0.display()
    )]
    Gone(PathBuf),
    /// The content of a file is not valid.
    #[error("`{}` is damaged; push it again", .0.display())]
    Damaged(PathBuf),
    /// The process is ending.
    #[error("the operation was interrupted: {0}")]
    Interrupted(tokio::task::JoinError),
}

impl StorageError {
    /// Whether another registry uses the directory.
    #[must_use]
    pub const fn is_in_use(&self) -> bool {
        matches!(self, Self::InUse(_))
    }

    /// Whether the stored content is damaged.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }

    /// Whether something else has the name of a file or directory of the registry.
    #[must_use]
    pub const fn is_obstructed(&self) -> bool {
        matches!(self, Self::Obstructed { .. })
    }

    /// Whether the disk or a quota is full, or the file too large.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let kind = match self {
            Self::Io { cause, .. } => cause.kind(),
            _ => return false,
        };
        matches!(kind, StorageFull | QuotaExceeded | FileTooLarge)
    }
}

/// None for damaged content, which can be overwritten and deleted.
pub(crate) fn readable<T>(found: Result<T, StorageError>) -> Result<Option<T>, StorageError> {
    match found {
        Err(StorageError::Damaged(_)) => Ok(None),
        found => found.map(Some),
    }
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
    move |cause| StorageError::Io { action, path: path.to_owned(), cause }
}

/// None if the file does not exist, or a directory above it is a file.
pub(super) fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}
