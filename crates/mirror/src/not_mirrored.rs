//! What is known of content that was mirrored, or why it is not in the store.

use std::fmt;

use oci::{ManifestError, Repository};
use transfer::Content;

use crate::beyond::Beyond;

/// What a run knows of a digest.
#[derive(Default)]
pub(crate) struct Known {
    /// Its length in bytes, once it is in the store with all that it reaches, or would be.
    pub(crate) length: Option<u64>,
    /// The repositories that could not give it, and the content that failed first.
    pub(crate) failed: Vec<(Repository, FailedContent)>,
}

/// Content that failed first, and how.
#[derive(Clone, Copy)]
pub(crate) struct FailedContent {
    pub(crate) content: Content,
    pub(crate) how: How,
}

impl fmt::Display for FailedContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.how {
            How::Missing => "is missing from the registry",
            How::Unreadable => "could not be read",
            How::Invalid => "is not valid at the registry",
            How::NotStored => "could not be stored",
        };
        write!(f, "{} {how}", self.content)
    }
}

/// In which way content failed.
#[derive(Clone, Copy)]
pub(crate) enum How {
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
    /// The registry does not answer, and is not asked any more.
    HostLost,
    /// The store takes nothing, and is not written to any more.
    StoreLost,
    /// The way to it passed a bound; another tag may reach it by a shorter one.
    Beyond(Beyond),
}

/// A fault that may not have been recorded yet.
pub(crate) enum Fault {
    Said(How, String),
    Is(NotMirrored),
}

impl From<NotMirrored> for Fault {
    fn from(is: NotMirrored) -> Self {
        Self::Is(is)
    }
}

impl From<Beyond> for Fault {
    fn from(bound: Beyond) -> Self {
        Self::Is(NotMirrored::Beyond(bound))
    }
}

impl From<ManifestError> for Fault {
    fn from(error: ManifestError) -> Self {
        Self::Said(How::Invalid, error.to_string())
    }
}
