//! What can go wrong with a blob store.

use std::{io, path::PathBuf};

use oci::Digest;

/// Why a blob store could not do what it was asked. `Display` says everything, the cause
/// included; so there is no chain of sources, which would say it again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not the URL of a directory. The caller says which text, and what gave it.
    #[error("{why}; write {instead}")]
    Url {
        /// What is wrong with it.
        why: String,
        /// What to write.
        instead: String,
    },
    /// The operating system refused: no space, no permission, a broken disk.
    #[error("cannot {action} `{}`: {cause}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The refusal.
        cause: io::Error,
    },
    /// The store's own directories cannot be made or written to.
    #[error("cannot {action} `{}`: {cause}", path.display())]
    Unwritable {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The refusal.
        cause: io::Error,
    },
    /// The bytes written are not what the digest names; nothing was kept.
    #[error("the bytes that came for {} are {}; nothing was kept of them", .0.expected, .0.found)]
    WrongDigest(Box<WrongDigest>),
    /// What lies in the store is not what its name says.
    #[error("`{}` is damaged: its content does not match its digest; mirror again to repair it", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
    },
    /// The content is larger than the caller was ready to take.
    #[error("`{}` has {size} bytes, more than the {max} that were expected at most", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        size: u64,
        /// The caller's bound in bytes.
        max: u64,
    },
    /// Something that is not a regular file has the name of content. It is never replaced: nothing of ours
    /// makes such a thing.
    #[error("cannot use `{}`: it is {is}, not a regular file; remove it and mirror again", path.display())]
    NotAFile {
        /// Where.
        path: PathBuf,
        /// What it is, with its article.
        is: &'static str,
    },
    /// Something that is not a directory has the name of one of the store's. A symbolic link to a directory
    /// counts as well: files would be written and removed outside the store.
    #[error("cannot use `{}`: it is {is}; replace it by a directory", path.display())]
    NotADirectory {
        /// Where.
        path: PathBuf,
        /// What it is, with its article.
        is: &'static str,
    },
    /// The store's own directory, or one above it, is something else.
    #[error("`{}` is {is}, not a directory; name a directory", path.display())]
    NotAStore {
        /// Where.
        path: PathBuf,
        /// What it is, with its article.
        is: &'static str,
    },
    /// An earlier piece of this blob failed, so that there is nothing to write more to.
    #[error("the writer of {0} failed before; nothing was kept")]
    Abandoned(Box<Digest>),
}

impl Error {
    /// Whether what came was not what its digest says: the sender's fault, not the store's.
    #[must_use]
    pub const fn is_wrong_digest(&self) -> bool {
        matches!(self, Self::WrongDigest(_))
    }

    /// Whether the store has a file under the digest's name that is not the content: putting the content again
    /// repairs it.
    #[must_use]
    pub const fn is_damaged(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::TooLarge { .. })
    }

    /// Whether something that is not a regular file, or not a directory, has the name of content or of a directory.
    #[must_use]
    pub const fn is_wrong_file_type(&self) -> bool {
        matches!(self, Self::NotAFile { .. } | Self::NotADirectory { .. })
    }

    /// Whether nothing else could be written either: the disk is full or read-only, or the store's directories cannot
    /// be used.
    #[must_use]
    pub fn is_of_whole_store(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match self {
            Self::Unwritable { .. } | Self::NotADirectory { .. } => true,
            Self::Io { cause, .. } => {
                matches!(cause.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
            }
            _ => false,
        }
    }

    /// What a refusal of `action` on one of the store's directories becomes.
    pub(crate) fn unwritable(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Unwritable { action, path, cause }
    }

    /// What an operating system's refusal of `action` on `path` becomes.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |cause| Self::Io { action, path, cause }
    }
}

/// Two digests that should be one.
#[derive(Debug)]
pub struct WrongDigest {
    /// What was to be written.
    pub expected: Digest,
    /// What came.
    pub found: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_concerns_the_whole_store_and_a_single_file_does_not() {
        // Linux's numbers: no space, read-only, quota; no permission, file too large.
        for (number, is_whole) in [(28, true), (30, true), (122, true), (13, false), (27, false)] {
            let refused = || io::Error::from_raw_os_error(number);
            let of_file = Error::io("write", "/s/blob")(refused());
            assert_eq!(of_file.is_of_whole_store(), is_whole, "{of_file}");
            let of_directory = Error::unwritable("create the directory", "/s")(refused());
            assert!(of_directory.is_of_whole_store(), "{of_directory}");
        }
    }
}
