//! Why an attachment cannot be read, compared, merged or copied.

use std::sync::Arc;

use attachments::{AttachedBy, Attachment, Defect};
use oci::Digest;
use transfer::Content;

use super::{AttachmentName, Reason, RemoteCause, RemoteError};

/// What is wrong with an attachment, or with all those of an image.
#[derive(Debug)]
#[non_exhaustive]
pub enum AttachmentProblem {
    /// A registry or a transfer failed.
    Remote(RemoteError),
    /// It cannot be read or written for this reason.
    Reason(Arc<Reason>),
    /// Its content, or that of what it is merged with, cannot be used.
    Defect(Defect),
    /// Its content is missing or damaged at its source.
    Incomplete {
        /// The first such content.
        content: Content,
        /// The source, as `host/name`.
        repository: String,
        /// The manifest that lists the content.
        manifest: Digest,
    },
    /// Other clients replaced it after each write of this run.
    ReplacedEachTime,
    /// Its tag was not found when it was read again.
    TagNotFound,
}

impl AttachmentProblem {
    /// What it has in common with other problems of the same cause, if a registry or a transfer failed.
    pub(crate) fn remote_cause(&self) -> Option<RemoteCause> {
        match self {
            Self::Remote(error) => Some(error.cause()),
            Self::Reason(reason) => reason.remote_cause(),
            _ => None,
        }
    }
}

impl From<RemoteError> for AttachmentProblem {
    fn from(error: RemoteError) -> Self {
        Self::Remote(error)
    }
}

impl From<Defect> for AttachmentProblem {
    fn from(defect: Defect) -> Self {
        match defect {
            Defect::WrongContent(error) => Self::Remote(error.into()),
            defect => Self::Defect(defect),
        }
    }
}

impl From<attachments::Error> for AttachmentProblem {
    fn from(error: attachments::Error) -> Self {
        match error {
            attachments::Error::Registry(error) | attachments::Error::Source(error) => {
                Self::Remote(error.into())
            }
            attachments::Error::Unusable(defect) | attachments::Error::Broken(defect) => {
                (*defect).into()
            }
        }
    }
}

impl From<&Attachment> for AttachmentName {
    fn from(attachment: &Attachment) -> Self {
        let Attachment { subject, digest, by } = attachment;
        match by {
            AttachedBy::Referrer => Self::Referrer { digest: *digest, subject: *subject },
            AttachedBy::Tag(tag) => Self::Tag(tag.clone()),
        }
    }
}
