//! The settings of a run.

use job::Confirm;
use oci::{Host, RegistryPrefix};
use promotion_manifest::{DestinationRepository, EdgeSet};
use registry_client::RegistryClient;

/// Which destinations get attachments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachmentsTo {
    /// All destinations of their image.
    All,
    /// The destinations in the canonical registry.
    Canonical,
    /// None. Attachments are not looked for.
    Nowhere,
}

/// What is checked of an image before its edges count as present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyDepth {
    /// Its tag and its digest. The content below the digest is checked only where a tag is written.
    #[default]
    Shallow,
    /// Also every manifest and blob below the digest, and those of its attachments.
    Deep,
}

impl VerifyDepth {
    /// Whether the content of an image is checked even if its tag and digest are present.
    pub(crate) const fn checks_present(self) -> bool {
        match self {
            Self::Shallow => false,
            Self::Deep => true,
        }
    }
}

/// What happens if an attachment is permanently broken at its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BrokenAttachments {
    /// It is reported, and its image is promoted with its other attachments.
    #[default]
    Reported,
    /// Its image is not promoted.
    Fatal,
}

/// The registry name that users pull from.
#[derive(Clone, Debug)]
pub struct PublicName {
    /// The client for requests to it.
    pub client: RegistryClient,
    /// Its host.
    pub host: Host,
}

/// The settings of a run.
#[derive(Clone, Debug)]
pub struct PromotionSettings {
    /// Whether anything is written.
    pub confirm: Confirm,
    /// Which destinations get attachments.
    pub attachments: AttachmentsTo,
    /// The destination registry that has all attachments, if there is one.
    pub canonical: Option<RegistryPrefix>,
    /// What happens if an attachment is broken at its source.
    pub broken_attachments: BrokenAttachments,
    /// What is checked of images that are present.
    pub verify: VerifyDepth,
    /// The public name through which the written tags are read at the end.
    pub verify_through: Option<PublicName>,
}

impl PromotionSettings {
    /// The default settings: attachments go to all destinations.
    #[must_use]
    pub const fn new(confirm: Confirm) -> Self {
        Self {
            confirm,
            attachments: AttachmentsTo::All,
            canonical: None,
            broken_attachments: BrokenAttachments::Reported,
            verify: VerifyDepth::Shallow,
            verify_through: None,
        }
    }

    /// Whether this destination gets attachments.
    pub(crate) fn attaches_to(&self, destination: &DestinationRepository) -> bool {
        match self.attachments {
            AttachmentsTo::All => true,
            AttachmentsTo::Canonical => self.is_canonical(destination),
            AttachmentsTo::Nowhere => false,
        }
    }

    /// Whether this destination is in the canonical registry.
    pub(crate) fn is_canonical(&self, destination: &DestinationRepository) -> bool {
        self.canonical.as_ref().is_some_and(|canonical| {
            canonical.host == destination.prefix.host
                && canonical.relative(&destination.repository).is_some()
        })
    }

    /// Whether the canonical registry, if there is one, is a destination of any edge.
    #[must_use]
    pub fn canonical_is_a_destination(&self, edges: &EdgeSet) -> bool {
        self.canonical.is_none()
            || edges.destinations().iter().any(|destination| self.is_canonical(destination))
    }
}
