//! The state of content within a run, and why content is not in the store.

use std::fmt;

use oci::{ManifestError, Repository};
use transfer::Content;

use crate::bound::BoundExceeded;

/// The state of a digest within a run.
#[derive(Default)]
pub(crate) struct ContentState {
    /// Its length in bytes, once it is in the store with all that it reaches, or would be.
    pub(crate) length: Option<u64>,
    /// The repositories that could not give it, and the content that failed first.
    pub(crate) failed: Vec<(Repository, FailedContent)>,
}

/// Content that failed first, and how.
#[derive(Clone, Copy)]
pub(crate) struct FailedContent {
    pub(crate) content: Content,
    pub(crate) how: ContentFault,
}

impl fmt::Display for FailedContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            ContentFault::Missing => "is missing from the registry",
            ContentFault::Unreadable => "could not be read",
            ContentFault::Invalid => "is not valid at the registry",
            ContentFault::NotStored => "could not be stored",
        };
        write!(f, "{} {how}", self.content)
    }
}

/// In which way content failed.
#[derive(Clone, Copy)]
pub(crate) enum ContentFault {
    Missing,
    Unreadable,
    /// It is other than what lists it or its digest says, or is malformed.
    Invalid,
    NotStored,
}

/// Why content is not in the store.
#[derive(Clone, Copy)]
pub(crate) enum NotMirrored {
    /// This content failed first, which a [`Failure`](crate::Failure) names with its reason.
    Failed(FailedContent),
    /// The registry does not respond; no more requests are sent to it.
    HostLost,
    /// The store cannot be written to; nothing more is written.
    StoreLost,
    /// The path from its tag to it exceeds a bound; another tag may reach it by a shorter path.
    Bound(BoundExceeded),
}

/// A fault that may not have been recorded yet.
pub(crate) enum Fault {
    Unrecorded(ContentFault, String),
    Recorded(NotMirrored),
}

impl From<NotMirrored> for Fault {
    fn from(is: NotMirrored) -> Self {
        Self::Recorded(is)
    }
}

impl From<BoundExceeded> for Fault {
    fn from(bound: BoundExceeded) -> Self {
        Self::Recorded(NotMirrored::Bound(bound))
    }
}

impl From<ManifestError> for Fault {
    fn from(error: ManifestError) -> Self {
        Self::Unrecorded(ContentFault::Invalid, error.to_string())
    }
}
