//! The attachments of an image in a promotion: what a destination lacks of them (`compare`), whether they are
//! intact at their source (`origin`), copying them (`copy`), and reading them again at the end of a run (`reread`).
//!
//! Not here: finding, comparing and merging attachments (crate `attachments`). The rules are
//! `docs/reference/promotion.md`, "Attachments".

mod compare;
mod copy;
mod origin;
mod reread;

use std::sync::Arc;

pub(crate) use compare::{Missing, missing};
pub(crate) use copy::{CopiedAttachments, CopyFailure, OnTag, copy};
pub(crate) use origin::fault;
pub(crate) use reread::{WrittenAttachment, reread};

use crate::reason::{AttachmentProblem, RemoteError};

/// An attachment that is permanently broken at its source.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Its index among the attachments of its image.
    pub at: usize,
    /// What is wrong with it.
    pub problem: Arc<AttachmentProblem>,
}

/// Why attachments cannot be found, compared or copied.
#[derive(Debug)]
pub(crate) enum AttachmentFailure {
    /// A request to the repository that was read or written failed.
    Remote(RemoteError),
    /// Their content cannot be used, or a request to their source failed.
    Problem(Arc<AttachmentProblem>),
}

impl From<attachments::Error> for AttachmentFailure {
    fn from(error: attachments::Error) -> Self {
        match error {
            attachments::Error::Registry(error) => Self::Remote(error.into()),
            error => Self::Problem(Arc::new(error.into())),
        }
    }
}

impl From<transfer::Error> for AttachmentFailure {
    fn from(error: transfer::Error) -> Self {
        Self::Remote(error.into())
    }
}

/// A failed request or transfer as the problem of an attachment.
fn remote(error: impl Into<RemoteError>) -> Arc<AttachmentProblem> {
    Arc::new(AttachmentProblem::Remote(error.into()))
}
