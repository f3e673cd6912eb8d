//! Why an attachment cannot be read, compared, merged or copied.

use std::sync::Arc;

use oci::{Digest, ManifestError, Tag};
use transfer::Content;

use super::{Reason, RemoteCause, RemoteError};
use crate::attachments::NoUnion;

/// What is wrong with an attachment, or with all those of an image.
#[derive(Debug)]
#[non_exhaustive]
pub enum AttachmentProblem {
    /// A registry or a transfer failed.
    Remote(RemoteError),
    /// It cannot be read or written for this reason.
    Reason(Arc<Reason>),
    /// A listed referrer does not refer to the image.
    Unrelated {
        /// The repository that lists it, as `host/name`.
        repository: String,
        /// What it is instead.
        found: Unrelated,
    },
    /// Its content is missing or damaged at its source.
    Incomplete {
        /// The first that is.
        content: Content,
        /// The source, as `host/name`.
        repository: String,
        /// The manifest that lists the content.
        manifest: Digest,
    },
    /// Two manifests under one digest tag cannot be merged.
    NotMergeable {
        /// The digest tag.
        tag: Tag,
        /// Where the one is that it should be merged with, as `host/name`.
        repository: String,
        /// Why not.
        cause: NoUnion,
    },
    /// The config to be merged is longer than the bound.
    ConfigTooLarge {
        /// The manifest whose config it is.
        manifest: Digest,
        /// Where it is, as `host/name`.
        repository: String,
        /// The bound, in bytes.
        max: usize,
    },
    /// The image has more manifests than are searched for attachments.
    TooManyManifests {
        /// The root manifest.
        root: Digest,
        /// Where it is, as `host/name`.
        repository: String,
        /// The bound.
        max: usize,
    },
    /// The image has more attachments than are copied.
    TooManyAttachments {
        /// Where it is, as `host/name`.
        repository: String,
        /// The bound.
        max: usize,
    },
    /// A listed digest tag has no manifest: the request and its response.
    Dangling(String),
    /// Other clients replaced it after each of our writes.
    ReplacedEachTime,
    /// Its tag was not found when it was read again.
    TagNotFound,
}

/// What a manifest is that a registry lists as a referrer of an image.
#[derive(Debug)]
pub enum Unrelated {
    /// No manifest that can be read.
    NoManifest(ManifestError),
    /// A referrer of something else.
    OtherSubject(Digest),
    /// A manifest that refers to nothing.
    NoSubject,
}

impl AttachmentProblem {
    /// What makes another problem the same cause, where a registry or a transfer failed.
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
