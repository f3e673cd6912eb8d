//! What was wrong with content.

use transfer::Content;

use crate::FailureCode;

/// The content that failed first, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedContent {
    /// Which content.
    pub content: Content,
    /// What was wrong with it.
    pub fault: ContentFault,
}

/// In which way content failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentFault {
    /// The registry does not have it.
    Missing,
    /// The registry did not deliver it, or not all of it.
    Unreadable,
    /// It does not match its digest or the manifest that lists it, or is malformed.
    Invalid,
    /// It could not be written to the store.
    NotStored,
}

impl ContentFault {
    /// Which fault a failed transfer shows.
    pub(crate) fn of(error: &transfer::Error) -> Self {
        match () {
            () if error.is_missing() => Self::Missing,
            () if error.is_broken() => Self::Invalid,
            () if error.follows_from_source() => Self::Unreadable,
            () => Self::NotStored,
        }
    }

    /// The code in reports.
    pub(crate) const fn code(self) -> FailureCode {
        match self {
            Self::Missing => FailureCode::ContentMissing,
            Self::Invalid => FailureCode::ContentInvalid,
            Self::Unreadable => FailureCode::ContentUnreadable,
            Self::NotStored => FailureCode::ContentNotStored,
        }
    }
}
