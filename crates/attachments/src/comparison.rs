//! Which attachments a destination lacks.
//!
//! Not here: whether the blobs of an attachment are complete (crate `transfer`).

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci::{Digest, Reference, Tag};
use registry_client::{Inventory, RepositoryClient};

use crate::{
    AttachedBy, Attachment, Defect, Error, SUBJECTS_AT_ONCE, list, union::MergeableManifest,
};

/// Attachments compared with those of one destination.
#[derive(Debug)]
pub struct Comparison<'a> {
    /// Where they were found.
    pub from: &'a RepositoryClient,
    /// Where they are wanted.
    pub to: &'a RepositoryClient,
    /// What is known of the destination.
    pub inventory: &'a Inventory,
    /// Whether their image is at the destination.
    pub image: DestinationImage,
}

/// Whether an image is at a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationImage {
    /// It has to be copied first.
    Missing,
    /// It exists.
    Exists,
}

/// What a comparison finds of one attachment.
#[derive(Debug)]
pub enum Compared {
    /// The destination has it, or a digest tag there has all its layers.
    Present,
    /// The destination lacks it.
    Missing,
    /// It cannot be compared, since it is broken at its source.
    Broken(Defect),
}

impl Comparison<'_> {
    /// Compares each of `wanted`; the results are in the same order. A digest tag is present if it has all layers of the
    /// one that is wanted.
    ///
    /// Source: distribution-spec 1.1, "Listing Referrers" and "Referrers Tag Schema"; the layout of cosign.
    ///
    /// # Errors
    /// When the destination, or the source for the moment, cannot be read; and where a digest tag at the destination is
    /// dangling or no image manifest.
    pub async fn compare(&self, wanted: &[Attachment]) -> Result<Vec<Compared>, Error> {
        let mut by_subject: HashMap<Digest, Vec<usize>> = HashMap::new();
        for (position, attachment) in wanted.iter().enumerate() {
            by_subject.entry(attachment.subject).or_default().push(position);
        }
        let compared = stream::iter(by_subject).map(|(subject, positions)| async move {
            if self.certainly_lacks(&subject, positions.iter().map(|&at| &wanted[at])) {
                return Ok(positions.into_iter().map(|at| (at, Compared::Missing)).collect());
            }
            self.compare_subject(&subject, positions, wanted).await
        });
        let compared = compared.buffer_unordered(SUBJECTS_AT_ONCE);
        let compared: Vec<Vec<_>> = compared.try_collect::<Vec<_>>().await?;
        let mut compared: Vec<_> = compared.into_iter().flatten().collect();
        compared.sort_unstable_by_key(|(position, _)| *position);
        Ok(compared.into_iter().map(|(_, compared)| compared).collect())
    }

    /// Whether the destination certainly has no attachments of `subject`, so that no request is needed. An image that
    /// does not exist most likely has none; a referrer that exists all the same is written again, to the same effect.
    fn certainly_lacks<'w>(
        &self,
        subject: &Digest,
        mut wanted: impl Iterator<Item = &'w Attachment>,
    ) -> bool {
        (self.image == DestinationImage::Missing || self.inventory.holds(subject).is_absent())
            && wanted.all(|wanted| match &wanted.by {
                AttachedBy::Referrer => true,
                AttachedBy::Tag(tag) => self.inventory.tag(tag).is_absent(),
            })
    }

    async fn compare_subject(
        &self,
        subject: &Digest,
        positions: Vec<usize>,
        wanted: &[Attachment],
    ) -> Result<Vec<(usize, Compared)>, Error> {
        let listing = list(self.to, subject, Some(self.inventory)).await?;
        let referrers: HashSet<_> = listing.referrers.iter().map(|it| it.digest).collect();
        let mut compared = Vec::with_capacity(positions.len());
        for position in positions {
            let attachment = &wanted[position];
            // Such a tag is not written: its manifest may only be hidden.
            let is_wanted =
                |tag: &Tag| matches!(&attachment.by, AttachedBy::Tag(wanted) if wanted == tag);
            if let Some(dangling) = listing.dangling.iter().find(|it| is_wanted(&it.tag)) {
                return Err(Error::unusable(Defect::Dangling(dangling.error.clone())));
            }
            let is_present = match &attachment.by {
                AttachedBy::Referrer => Ok(referrers.contains(&attachment.digest)),
                AttachedBy::Tag(tag) => match listing.tags.iter().find(|it| it.tag == *tag) {
                    None => Ok(false),
                    Some(found) if found.digest == attachment.digest => Ok(true),
                    Some(found) => self.covers(tag, found.digest, attachment.digest).await,
                },
            };
            let result = match is_present {
                Ok(true) => Compared::Present,
                Ok(false) => Compared::Missing,
                Err(Error::Broken(defect)) => Compared::Broken(*defect),
                Err(error) => return Err(error),
            };
            compared.push((position, result));
        }
        Ok(compared)
    }

    /// Whether the manifest that a digest tag is on has all layers of the one that is wanted there.
    async fn covers(&self, tag: &Tag, current: Digest, wanted: Digest) -> Result<bool, Error> {
        let new = match read(self.from, tag, wanted).await {
            // A response may be damaged on its way: what is broken for good is so twice.
            Err(Error::Registry(error)) if error.is_wrong_content() => {
                read(self.from, tag, wanted).await
            }
            first => first,
        };
        let new = new.map_err(Error::of_source)?;
        Ok(read(self.to, tag, current).await?.covers(&new))
    }
}

/// The manifest that a digest tag is on.
async fn read(
    at: &RepositoryClient,
    tag: &Tag,
    digest: Digest,
) -> Result<MergeableManifest, Error> {
    let found = at.manifest(&Reference::Digest(digest)).await?;
    MergeableManifest::parse(digest, &found.media_type, &found.bytes)
        .map_err(|cause| not_mergeable(tag, at, cause))
}

pub(crate) fn not_mergeable(tag: &Tag, at: &RepositoryClient, cause: crate::NoUnion) -> Error {
    let (tag, repository) = (tag.clone(), at.to_string());
    Error::unusable(Defect::NotMergeable { tag, repository, cause })
}
