//! What a run is asked to do besides its edges.

use job::Confirm;
use oci::RegistryPrefix;
use promotion_manifest::{DestinationRepository, EdgeSet};

use crate::PublicName;

/// Where attachments go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachmentsTo {
    /// To every destination of their image.
    All,
    /// To those below the canonical registry.
    Canonical,
    /// Nowhere: they are not looked for.
    Nowhere,
}

/// What is checked of an image before its edges count as present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Its tag and its digest. What it reaches is checked where a tag is written.
    #[default]
    Shallow,
    /// Every manifest and blob that it reaches, and those of its attachments.
    Deep,
}

impl Verify {
    /// Whether what an image reaches is checked, although its tag and digest are present.
    pub(crate) const fn checks_present(self) -> bool {
        match self {
            Self::Shallow => false,
            Self::Deep => true,
        }
    }
}

/// What follows from an attachment that is broken for good where it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BrokenAttachments {
    /// It is reported, and its image is promoted with its other attachments.
    #[default]
    Reported,
    /// Its image is not promoted.
    Fatal,
}

/// How a run goes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether anything is written.
    pub confirm: Confirm,
    /// Where attachments go.
    pub attachments: AttachmentsTo,
    /// The registry that has all attachments, if one of the destinations is so.
    pub canonical: Option<RegistryPrefix>,
    /// What follows from broken attachments.
    pub broken_attachments: BrokenAttachments,
    /// What is checked of images that are there.
    pub verify: Verify,
    /// The name through which the written tags are read at the end.
    pub verify_through: Option<PublicName>,
}

impl Settings {
    /// Promotion with all attachments.
    #[must_use]
    pub const fn new(confirm: Confirm) -> Self {
        Self {
            confirm,
            attachments: AttachmentsTo::All,
            canonical: None,
            broken_attachments: BrokenAttachments::Reported,
            verify: Verify::Shallow,
            verify_through: None,
        }
    }

    /// Whether attachments shall be at this destination.
    pub(crate) fn attaches_to(&self, place: &DestinationRepository) -> bool {
        match self.attachments {
            AttachmentsTo::All => true,
            AttachmentsTo::Canonical => self.is_canonical(place),
            AttachmentsTo::Nowhere => false,
        }
    }

    /// Whether this destination is below the canonical registry.
    pub(crate) fn is_canonical(&self, place: &DestinationRepository) -> bool {
        self.canonical.as_ref().is_some_and(|canonical| {
            canonical.host == place.prefix.host && canonical.relative(&place.repository).is_some()
        })
    }

    /// Whether the canonical registry, if there is one, is a destination of anything.
    #[must_use]
    pub fn canonical_is_a_destination(&self, edges: &EdgeSet) -> bool {
        self.canonical.is_none()
            || edges.destinations().iter().any(|place| self.is_canonical(place))
    }
}
