//! What a destination repository holds of one edge.

use std::sync::Arc;

use oci::{Digest, Reference, Tag};
use registry_client::{Error, Existence, Inventory};

use crate::reason::Reason;

/// What a destination repository holds of one edge.
#[derive(Clone, Debug)]
pub(crate) enum EdgePresence {
    /// The tag on the digest; the digest, if the edge has no tag.
    Present,
    /// The digest, but not the tag.
    Untagged,
    /// Neither.
    Absent,
    /// The tag, on another digest.
    OnOtherDigest(Box<OtherDigest>),
    /// Unknown, for this reason.
    Unread(Arc<Reason>),
}

/// What a destination holds of an edge whose tag is on another digest.
#[derive(Clone, Debug)]
pub(crate) struct OtherDigest {
    /// The digest that the tag is on.
    pub tag_on: Digest,
    /// Whether the requested digest is present too.
    has_digest: bool,
}

impl EdgePresence {
    /// Whether the destination holds the requested digest, under any tag or none.
    pub(crate) fn has_digest(&self) -> bool {
        match self {
            Self::Present | Self::Untagged => true,
            Self::Absent | Self::Unread(_) => false,
            Self::OnOtherDigest(other) => other.has_digest,
        }
    }

    /// Why it is unknown: the tag could not be read, or the digest where the decision depends on it.
    pub(crate) fn error<'a>(
        inventory: &'a Inventory,
        digest: &Digest,
        tag: Option<&Tag>,
    ) -> Option<&'a Arc<Error>> {
        let by_tag = tag.and_then(|tag| inventory.unread(&Reference::Tag(tag.clone())));
        let has_tag = tag.is_some_and(|tag| inventory.tag(tag).is_present());
        by_tag.or_else(|| inventory.unread(&Reference::Digest(*digest)).filter(|_| !has_tag))
    }

    pub(crate) fn of(inventory: &Inventory, digest: &Digest, tag: Option<&Tag>) -> Self {
        let has_digest = inventory.holds(digest).is_present();
        match tag.map_or(Existence::Absent, |tag| inventory.tag(tag)) {
            Existence::Present(current) if current == digest => Self::Present,
            Existence::Present(&tag_on) => {
                Self::OnOtherDigest(Box::new(OtherDigest { tag_on, has_digest }))
            }
            // `Unknown` is what was not requested, and all requested tags and digests were.
            Existence::Absent | Existence::Unknown if !has_digest => Self::Absent,
            Existence::Absent | Existence::Unknown if tag.is_none() => Self::Present,
            Existence::Absent | Existence::Unknown => Self::Untagged,
        }
    }
}
