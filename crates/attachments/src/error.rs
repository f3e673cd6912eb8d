//! Why attachments cannot be found, compared or attached.

use std::sync::Arc;

use oci::{Digest, ManifestError, Tag};

use crate::{AttachmentBound, NoUnion};

/// Why attachments cannot be found, compared or attached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to the repository that was searched, compared or written failed.
    #[error(transparent)]
    Registry(#[from] registry_client::Error),
    /// A request to the source of the attachments failed. It may succeed later.
    #[error("the attachment cannot be read at its source")]
    Source(#[source] registry_client::Error),
    /// What was found cannot be used.
    #[error(transparent)]
    Unusable(Box<Defect>),
    /// The attachment is broken at its source. Reading it again gives the same result.
    #[error(transparent)]
    Broken(Box<Defect>),
}

impl Error {
    pub(crate) fn unusable(defect: Defect) -> Self {
        Self::Unusable(Box::new(defect))
    }

    /// An error that occurred while the source was read: it says nothing of the destination.
    pub(crate) fn of_source(self) -> Self {
        match self {
            Self::Registry(error) if error.is_wrong_content() => {
                Self::Broken(Box::new(Defect::WrongContent(error)))
            }
            Self::Registry(error) => Self::Source(error),
            Self::Unusable(defect) => Self::Broken(defect),
            Self::Source(_) | Self::Broken(_) => self,
        }
    }
}

/// What is wrong with an attachment, or with all those of an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// The registry responds with something else than the content that was requested.
    #[error(transparent)]
    WrongContent(registry_client::Error),
    /// A listed referrer does not refer to the image.
    #[error("{found}, but {repository} lists it as a referrer")]
    Unrelated {
        /// The repository that lists it, as `host/name`.
        repository: String,
        /// What it is instead.
        found: Unrelated,
    },
    /// Two manifests under one digest tag cannot be merged.
    /// The text leaves out the tag: see [`Defect::digest_tag`].
    #[error("the manifest at {repository} cannot be merged")]
    NotMergeable {
        /// The digest tag.
        tag: Tag,
        /// Where the one is that it should be merged with, as `host/name`.
        repository: String,
        /// Why not.
        #[source]
        cause: NoUnion,
    },
    /// The config to be merged is longer than the bound.
    #[error("the config of manifest {manifest} at {repository} has more than {max} bytes")]
    ConfigTooLarge {
        /// The manifest whose config it is.
        manifest: Digest,
        /// Where it is, as `host/name`.
        repository: String,
        /// The bound, in bytes.
        max: usize,
    },
    /// The image has more attachments than are followed.
    #[error("one image at {repository} has {bound}; delete attachments that are not needed")]
    TooMany {
        /// Where it is, as `host/name`.
        repository: String,
        /// Which bound they exceed.
        bound: AttachmentBound,
    },
    /// A listed digest tag has no manifest.
    #[error(transparent)]
    Dangling(Arc<registry_client::Error>),
}

impl Defect {
    /// The digest tag that it concerns, which its text does not name: reports name an attachment before its defect.
    #[must_use]
    pub const fn digest_tag(&self) -> Option<&Tag> {
        match self {
            Self::NotMergeable { tag, .. } => Some(tag),
            _ => None,
        }
    }
}

/// What a manifest is that a registry lists as a referrer of an image.
#[derive(Debug, thiserror::Error)]
pub enum Unrelated {
    /// No manifest that can be read.
    #[error("{0}")]
    NoManifest(ManifestError),
    /// A referrer of something else.
    #[error("it refers to {0}, not to this image")]
    OtherSubject(Digest),
    /// A manifest that refers to nothing.
    #[error("it has no subject")]
    NoSubject,
}
