//! Errors of a blob store: a kind for the caller's decision, the key or path, and the cause.

use std::{error, fmt, io, path::Path};

/// What went wrong, for the caller to decide what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store has no such object.
    NotFound,
    /// The store has an object under this key, and the request does not allow to replace it.
    AlreadyExists,
    /// A condition of the request does not hold.
    Precondition,
    /// The credentials or file permissions do not allow it.
    PermissionDenied,
    /// The store limits how many requests it accepts.
    Throttled,
    /// The store does not respond, or cannot serve the request at present.
    Unavailable,
    /// The disk, quota or bucket is full, or read-only.
    StorageFull,
    /// The stored object is not what its digest says.
    Corrupt,
    /// The bytes to be written are not what their digest or length says. Nothing was written.
    WrongContent,
    /// The object is longer than the caller accepts.
    TooLarge,
    /// The object has no byte of the requested range.
    RangeNotSatisfiable,
    /// Something that is not a regular file has the name of an object, or something that is not a directory has the
    /// name of a directory.
    WrongFileType,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// The stable code of the kind.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::AlreadyExists => "already-exists",
            Self::Precondition => "precondition-failed",
            Self::PermissionDenied => "permission-denied",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::StorageFull => "storage-full",
            Self::Corrupt => "corrupt",
            Self::WrongContent => "wrong-content",
            Self::TooLarge => "too-large",
            Self::RangeNotSatisfiable => "range-not-satisfiable",
            Self::WrongFileType => "wrong-file-type",
            Self::Other => "other",
        }
    }
}

/// Whether an error concerns one object, or every write to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Object,
    Store,
}

/// Why a blob store could not do something. `Display` names what failed, and where; the cause is the source.
#[derive(Debug)]
pub struct Error(Box<StoreErrorDetails>);

#[derive(Debug)]
struct StoreErrorDetails {
    kind: ErrorKind,
    scope: Scope,
    key: String,
    message: String,
    source: Option<Box<dyn error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind, about the object or file `key`. `message` says what failed, and names the key.
    pub(crate) fn new(kind: ErrorKind, key: impl Into<String>, message: impl Into<String>) -> Self {
        let (key, message) = (key.into(), message.into());
        Self(Box::new(StoreErrorDetails { kind, scope: Scope::Object, key, message, source: None }))
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The object, or the file, that it concerns.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// Whether the store has no such object.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind() == ErrorKind::NotFound
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.kind(), ErrorKind::Throttled | ErrorKind::Unavailable)
    }

    /// Whether the bytes to be written were not what their digest or length says: the sender's fault.
    #[must_use]
    pub fn is_wrong_content(&self) -> bool {
        self.kind() == ErrorKind::WrongContent
    }

    /// Whether the stored object is not what its digest says: putting the content again repairs it.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        matches!(self.kind(), ErrorKind::Corrupt | ErrorKind::TooLarge)
    }

    /// Whether something that is not a regular file, or not a directory, has the name of an object or a directory.
    #[must_use]
    pub fn is_wrong_file_type(&self) -> bool {
        self.kind() == ErrorKind::WrongFileType
    }

    /// Whether no other write would succeed either: the disk is full or read-only, or the store's directories cannot
    /// be used.
    #[must_use]
    pub fn is_of_whole_store(&self) -> bool {
        self.0.scope == Scope::Store || self.kind() == ErrorKind::StorageFull
    }

    /// The same error, for one of the directories that every write needs.
    pub(crate) fn of_whole_store(mut self) -> Self {
        self.0.scope = Scope::Store;
        self
    }

    /// The error of a system call that failed to `action` the file or directory at `path`.
    pub(crate) fn io(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        let key = path.as_ref().display().to_string();
        move |source| {
            let message = format!("cannot {action} `{key}`");
            let mut error = Self::new(kind_of(&source), key, message);
            error.0.source = Some(Box::new(source));
            error
        }
    }

    /// The same, for one of the store's own directories.
    pub(crate) fn unwritable(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        let error = Self::io(action, path);
        move |source| error(source).of_whole_store()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

fn kind_of(source: &io::Error) -> ErrorKind {
    use io::ErrorKind as Io;
    match source.kind() {
        Io::NotFound => ErrorKind::NotFound,
        Io::AlreadyExists => ErrorKind::AlreadyExists,
        Io::PermissionDenied => ErrorKind::PermissionDenied,
        Io::StorageFull | Io::QuotaExceeded | Io::ReadOnlyFilesystem => ErrorKind::StorageFull,
        Io::StaleNetworkFileHandle | Io::TimedOut => ErrorKind::Unavailable,
        _ => ErrorKind::Other,
    }
}

/// Turns the error that the store has no such object into `None`.
///
/// # Errors
/// All others.
pub fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
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
