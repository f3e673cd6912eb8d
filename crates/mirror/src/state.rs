//! The state of content within a run, and why content is not in the store.

use std::sync::Arc;

use oci::{ManifestError, Repository};
use transfer::BoundExceeded;

use crate::{
    FailureCause,
    content_fault::{ContentFault, FailedContent},
};

/// The state of a digest within a run.
#[derive(Default)]
pub(crate) struct ContentState {
    /// Its length in bytes, once it is in the store with all that it reaches, or would be.
    pub(crate) length: Option<u64>,
    /// The repositories that could not give it, and the content that failed first.
    pub(crate) failed: Vec<(Repository, FailedContent)>,
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
    Unrecorded(ContentFault, FailureCause),
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
        Self::Unrecorded(ContentFault::Invalid, FailureCause::InvalidManifest(Arc::new(error)))
    }
}
