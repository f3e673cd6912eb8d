//! What can go wrong while content moves. A fault of the source concerns every destination, and another source may
//! help; a fault of a destination concerns that destination alone.

use std::{fmt, sync::Arc};

use oci::{Digest, ManifestError};
use registry_client::RepositoryClient;

use crate::BoundExceeded;

/// What is being moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A manifest or index.
    Manifest(Digest),
    /// A config, a layer, or another blob.
    Blob(Digest),
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest(digest) => write!(f, "manifest {digest}"),
            Self::Blob(digest) => write!(f, "blob {digest}"),
        }
    }
}

/// Why content did not arrive. Cheap to clone, since one fault of a source is reported for every destination. `Display`
/// says what failed; the cause is its source.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It could not be read.
    #[error(transparent)]
    Source(Arc<SourceError>),
    /// It could not be written.
    #[error(transparent)]
    Destination(Arc<DestinationError>),
}

impl Error {
    /// Whether the source is at fault, so that another source may be tried.
    #[must_use]
    pub const fn is_source(&self) -> bool {
        matches!(self, Self::Source(_))
    }

    /// Whether the source does not have the content, or something that it reaches.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Source(error) if matches!(**error, SourceError::Missing { .. }))
    }

    /// Whether a manifest is of a kind that is not copied.
    #[must_use]
    pub fn is_kind(&self) -> bool {
        let Self::Source(error) = self else { return false };
        match &**error {
            SourceError::Manifest { .. } => true,
            SourceError::Read { cause, .. } => cause.is_schema1(),
            _ => false,
        }
    }

    /// Whether the content is broken for good at its source: something of it is not there, or is other than its digest,
    /// size or kind must be. Trying again gives the same.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        let Self::Source(error) = self else { return false };
        match &**error {
            SourceError::Missing { .. }
            | SourceError::Manifest { .. }
            | SourceError::Size { .. }
            | SourceError::TooLarge { .. } => true,
            SourceError::Read { cause, .. } => cause.is_wrong_content(),
        }
    }

    /// What a blob store that was the destination did.
    #[must_use]
    pub fn of_store(&self) -> Option<&Arc<blob_store::Error>> {
        let Self::Destination(error) = self else { return None };
        match &**error {
            DestinationError::Store { cause, .. } => Some(cause),
            _ => None,
        }
    }

    /// Whether a registry could not be reached at all, so that another request would most likely fail in the same way:
    /// that of the source if [`Error::is_source`], else that of the destination.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.of_registry().is_some_and(registry_client::Error::is_unreachable)
    }

    /// Whether a destination was left behind because it held the others up. It can be written to afterwards.
    #[must_use]
    pub fn is_lagging(&self) -> bool {
        matches!(self, Self::Destination(error) if matches!(**error, DestinationError::Lags { .. }))
    }

    /// Whether the same may well succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.of_registry().is_some_and(registry_client::Error::is_transient)
    }

    /// Whether a destination could not be reached, or could not serve the request for the moment: an equal request
    /// would most likely fail alike.
    pub(crate) fn is_of_busy_destination(&self) -> bool {
        !self.follows_from_source() && (self.is_transient() || self.is_unreachable())
    }

    /// Whether a registry refused a manifest because it does not know something that the manifest lists.
    pub(crate) fn is_unknown_content(&self) -> bool {
        matches!(self, Self::Destination(_))
            && self.of_registry().is_some_and(registry_client::Error::is_unknown_content)
    }

    /// Whether the content could not be read from the source or, for that reason, not be written to a destination.
    #[must_use]
    pub fn follows_from_source(&self) -> bool {
        match self {
            Self::Source(_) => true,
            Self::Destination(error) => match &**error {
                DestinationError::Aborted { .. } => true,
                DestinationError::Registry { cause, .. } => cause.is_of_source(),
                _ => false,
            },
        }
    }

    /// The same error, of a registry that was queried as a destination is, but is the source.
    pub(crate) fn into_of_source(self) -> Self {
        let Self::Destination(error) = self else { return self };
        match Arc::try_unwrap(error) {
            Ok(DestinationError::Registry { destination, content, cause, .. }) => {
                SourceError::Read { repository: destination, content, cause }.into()
            }
            Ok(error) => error.into(),
            Err(shared) => Self::Destination(shared),
        }
    }

    /// The error of a registry, of the source or of the destination.
    #[must_use]
    pub fn of_registry(&self) -> Option<&registry_client::Error> {
        match self {
            Self::Source(error) => match &**error {
                SourceError::Read { cause, .. } => Some(cause),
                _ => None,
            },
            Self::Destination(error) => match &**error {
                DestinationError::Registry { cause, .. } => Some(cause),
                _ => None,
            },
        }
    }
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        Self::Source(Arc::new(error))
    }
}

impl From<DestinationError> for Error {
    fn from(error: DestinationError) -> Self {
        Self::Destination(Arc::new(error))
    }
}

/// Why content could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It is not there.
    #[error("{content} is not in {repository}{}", ListedBy(parent.as_ref()))]
    Missing {
        /// Where it was looked up, as `host/name`.
        repository: String,
        /// What was looked up.
        content: Content,
        /// The manifest that lists it; none for the root of an image.
        parent: Option<Digest>,
    },
    /// The registry refused the request, broke off, stopped sending, or sent bytes that do not match the digest.
    #[error("cannot read {content} from {repository}")]
    Read {
        /// Where it was read, as `host/name`.
        repository: String,
        /// What was read.
        content: Content,
        /// What happened.
        #[source]
        cause: registry_client::Error,
    },
    /// The manifest is not of a kind that can be copied.
    #[error("cannot copy manifest {digest} of {repository}")]
    Manifest {
        /// Its repository, as `host/name`.
        repository: String,
        /// Its digest.
        digest: Digest,
        /// What is wrong with it.
        #[source]
        cause: ManifestError,
    },
    /// A blob or manifest is longer or shorter than the manifest that lists it says.
    #[error(
        "{content} of {repository} has {found} bytes, but manifest {parent} says {described}; \
         the image is broken at its source"
    )]
    Size {
        /// Its repository, as `host/name`.
        repository: String,
        /// What was read.
        content: Content,
        /// The manifest that lists it.
        parent: Digest,
        /// The length listed, in bytes.
        described: u64,
        /// The length that came, in bytes; at least that much, if reading was given up.
        found: u64,
    },
    /// The manifests below a root are beyond what is copied.
    #[error("manifest {root} of {repository} is refused: it reaches {bound}")]
    TooLarge {
        /// Its repository, as `host/name`.
        repository: String,
        /// The root.
        root: Digest,
        /// Which bound it exceeds.
        bound: BoundExceeded,
    },
}

/// Why content could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// A registry refused the request, broke off or stopped responding.
    #[error("cannot {action} {content} {} {destination}", preposition(action))]
    Registry {
        /// The repository, as `host/name`.
        destination: String,
        /// What was tried, as a verb.
        action: &'static str,
        /// With what.
        content: Content,
        /// What happened.
        #[source]
        cause: registry_client::Error,
    },
    /// A blob store could not do it.
    #[error("cannot {action} {content} {} {destination}", preposition(action))]
    Store {
        /// The store's URL.
        destination: String,
        /// What was tried, as a verb.
        action: &'static str,
        /// With what.
        content: Content,
        /// What happened.
        #[source]
        cause: Arc<blob_store::Error>,
    },
    /// It was much slower than the others.
    #[error("{destination} takes {content} much more slowly than the other destinations do")]
    Lags {
        /// The repository or store.
        destination: String,
        /// The content that was being written or looked up.
        content: Content,
    },
    /// The source failed meanwhile, so that nothing was committed.
    #[error("{content} was not written to {destination}, because it could not be read to the end")]
    Aborted {
        /// The repository or store.
        destination: String,
        /// The content that was being written.
        content: Content,
    },
}

impl SourceError {
    /// The error of a read that failed.
    pub(crate) fn read(
        repository: &RepositoryClient,
        content: Content,
        parent: Option<&Digest>,
        cause: registry_client::Error,
    ) -> Self {
        let repository = repository.to_string();
        if cause.is_not_found() {
            Self::Missing { repository, content, parent: parent.copied() }
        } else {
            Self::Read { repository, content, cause }
        }
    }
}

/// What follows the verbs of [`DestinationError`].
fn preposition(action: &str) -> &'static str {
    if action == "write" { "to" } else { "at" }
}

/// The end of a sentence that names the manifest which lists the content.
struct ListedBy<'a>(Option<&'a Digest>);

impl fmt::Display for ListedBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(parent) => write!(f, ", although manifest {parent} lists it"),
            None => Ok(()),
        }
    }
}
