//! One attachment, and whether a manifest is one.

use oci::{Digest, Manifest, Tag};
use registry_client::FetchedManifest;

use crate::Unrelated;

/// One attachment, as it is where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The manifest that it refers to.
    pub subject: Digest,
    /// The manifest that it is.
    pub digest: Digest,
    /// How it refers to its subject.
    pub by: AttachedBy,
}

/// How an attachment refers to its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachedBy {
    /// Its manifest names the subject.
    Referrer,
    /// This digest tag is on it.
    Tag(Tag),
}

impl Attachment {
    /// Its name in its repository: a digest tag, or a referrer's digest.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.by {
            AttachedBy::Referrer => self.digest.to_string(),
            AttachedBy::Tag(tag) => tag.to_string(),
        }
    }
}

/// Whether a manifest refers to the subject of the attachment that it is listed as. An index of referrers is a manifest
/// that any client may write, so it may list manifests that have another subject. Digest tags have no such field.
///
/// Source: image-spec 1.1, "subject" of a manifest; distribution-spec 1.1, "Referrers Tag Schema".
///
/// # Errors
/// What the manifest is instead.
pub fn check_subject(attachment: &Attachment, manifest: &FetchedManifest) -> Result<(), Unrelated> {
    let AttachedBy::Referrer = attachment.by else { return Ok(()) };
    let parsed = Manifest::parse(&manifest.media_type, &manifest.bytes);
    let subject = parsed.map_err(Unrelated::NoManifest)?.subject().map(|subject| subject.digest);
    match subject {
        Some(subject) if subject == attachment.subject => Ok(()),
        Some(subject) => Err(Unrelated::OtherSubject(subject)),
        None => Err(Unrelated::NoSubject),
    }
}
