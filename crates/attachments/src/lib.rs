//! Attachments: what refers to a manifest, as a referrer or by a digest tag. Finds them, compares those of two
//! repositories, and attaches them to a manifest at a destination as a union, so that nothing is replaced by less.
//!
//! Not here: copying blobs (crate `transfer`); which attachments a promotion wants (crate `promoter`); whether a
//! signature is valid. The crate imports `oci` and `registry-client`.
//!
//! Source: distribution-spec 1.1, "Listing Referrers", "Referrers Tag Schema" and "Pushing Manifests with Subject";
//! the digest tags of cosign.

mod attach;
mod attachment;
mod bounds;
mod comparison;
mod discovery;
mod error;
mod listing;
mod reread;
mod union;

pub use crate::{
    attach::{FoundBy, attach},
    attachment::{AttachedBy, Attachment, check_subject},
    bounds::{AttachmentBound, MAX_ATTACHMENT_LEVELS, MAX_ATTACHMENTS, MAX_LISTING_BYTES},
    comparison::{Compared, Comparison, DestinationImage},
    discovery::{Discovered, SUBJECTS_AT_ONCE, discover},
    error::{Defect, Error, Unrelated},
    listing::{DanglingTag, DigestTag, SubjectListing, list},
    reread::{AfterWrite, ListedAttachments},
    union::{MAX_LAYERS, NoUnion, NotImage},
};
