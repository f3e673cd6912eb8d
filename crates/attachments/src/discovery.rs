//! All attachments of an image: of each manifest that it reaches, and of the attachments themselves.
//!
//! Not here: which manifests an image reaches (crate `transfer`).
//!
//! Source: distribution-spec 1.1, "Listing Referrers".

use std::collections::HashSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci::Digest;
use registry_client::{Inventory, RepositoryClient};

use crate::{AttachedBy, Attachment, DanglingTag, Defect, Error, list};

/// The most attachments that one image may have: a hundred times what is usual.
pub const MAX_ATTACHMENTS: usize = 1_000;

/// Manifests of one image whose attachments are listed at once.
pub const SUBJECTS_AT_ONCE: usize = 4;

/// The attachments of one image.
#[derive(Debug, Default)]
pub struct Discovered {
    /// The attachments. Those of an attachment follow it.
    pub attachments: Vec<Attachment>,
    /// The digest tags that are listed, and that have no manifest.
    pub dangling: Vec<DanglingTag>,
}

/// Finds all attachments of `subjects`, and the attachments of these. An inventory of the repository saves requests,
/// as for [`list`].
///
/// Source: distribution-spec 1.1, "Listing Referrers" and "Referrers Tag Schema".
///
/// # Errors
/// When a listing cannot be read, or there are more than [`MAX_ATTACHMENTS`] attachments.
pub async fn discover(
    at: &RepositoryClient,
    inventory: Option<&Inventory>,
    subjects: Vec<Digest>,
) -> Result<Discovered, Error> {
    let mut discovered = Discovered::default();
    let mut seen: HashSet<Digest> = subjects.iter().copied().collect();
    let mut level = subjects;
    while !level.is_empty() {
        let listed = stream::iter(level).map(|subject| async move {
            list(at, &subject, inventory).await.map(|it| (subject, it))
        });
        let listings: Vec<_> = listed.buffered(SUBJECTS_AT_ONCE).try_collect().await?;
        let before = discovered.attachments.len();
        for (subject, listing) in listings {
            discovered.dangling.extend(listing.dangling);
            let referrers =
                listing.referrers.into_iter().map(|it| (it.digest, AttachedBy::Referrer));
            let tags = listing.tags.into_iter().map(|it| (it.digest, AttachedBy::Tag(it.tag)));
            let found =
                referrers.chain(tags).map(|(digest, by)| Attachment { subject, digest, by });
            discovered.attachments.extend(found);
        }
        if discovered.attachments.len() > MAX_ATTACHMENTS {
            let (repository, max) = (at.to_string(), MAX_ATTACHMENTS);
            return Err(Error::unusable(Defect::TooManyAttachments { repository, max }));
        }
        let new = discovered.attachments[before..].iter().map(|it| it.digest);
        level = new.filter(|digest| seen.insert(*digest)).collect();
    }
    Ok(discovered)
}
