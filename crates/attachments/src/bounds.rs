//! The bounds of the attachments of one image: their number, their levels, and the bytes of their lists.

use std::fmt;

use registry_client::MAX_MANIFEST_BYTES;

/// The most attachments that one image may have: a hundred times what is usual.
pub const MAX_ATTACHMENTS: usize = 1_000;

/// How far attachments of attachments are followed: as far as indexes may nest. Usual are a signature, and the signature
/// of a bill of materials: one level and two. Each level costs requests that wait for those of the level before.
pub const MAX_ATTACHMENT_LEVELS: usize = 8;

/// The most bytes of lists of referrers that are read for one image: as many as one manifest may have, and 16 KiB for
/// each of [`MAX_ATTACHMENTS`]. A descriptor has some 600 bytes, but its annotations have any length.
pub const MAX_LISTING_BYTES: usize = MAX_MANIFEST_BYTES;

/// Which bound the attachments of one image exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachmentBound {
    /// [`MAX_ATTACHMENTS`].
    Attachments,
    /// [`MAX_ATTACHMENT_LEVELS`].
    Levels,
    /// [`MAX_LISTING_BYTES`].
    Bytes,
}

impl fmt::Display for AttachmentBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attachments => write!(f, "more than {MAX_ATTACHMENTS} attachments"),
            Self::Levels => {
                write!(f, "attachments of attachments on more than {MAX_ATTACHMENT_LEVELS} levels")
            }
            Self::Bytes => write!(f, "lists of referrers of more than {MAX_LISTING_BYTES} bytes"),
        }
    }
}
