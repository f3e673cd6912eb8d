//! What a destination lacks of the attachments that were found where an image comes from.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci::{Digest, Reference, Tag};
use registry_client::{Inventory, RepositoryClient};
use transfer::{Content, Destination, Image, InFlight};

use super::{Attachment, Broken, By, SUBJECTS_AT_ONCE, Tagged, Trouble, remote};
use crate::{BrokenAttachments, Verify, reason::AttachmentProblem, work::Lacks};

/// Attachments held against one destination.
pub(crate) struct Comparison<'a> {
    pub in_flight: &'a InFlight,
    /// Where they were found.
    pub from: &'a RepositoryClient,
    /// Where they are wanted.
    pub to: &'a RepositoryClient,
    /// How much that lacks of their image, and what is known of it.
    pub there: (Lacks, &'a Inventory),
    pub verify: Verify,
    pub broken: BrokenAttachments,
}

/// What a destination lacks.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    /// The attachments that it lacks, by their places.
    pub at: Vec<usize>,
    /// Those that cannot be compared, being broken where they come from.
    pub broken: Vec<Broken>,
}

impl Missing {
    fn add(&mut self, other: Self) {
        self.at.extend(other.at);
        self.broken.extend(other.broken);
    }
}

impl Comparison<'_> {
    /// Which of `wanted` are not there.
    pub(crate) async fn missing(&self, wanted: &[Attachment]) -> Result<Missing, Trouble> {
        let mut by_subject: HashMap<Digest, Vec<usize>> = HashMap::new();
        for (at, attachment) in wanted.iter().enumerate() {
            by_subject.entry(attachment.subject).or_default().push(at);
        }
        let asked = stream::iter(by_subject).map(|(subject, places)| async move {
            if self.is_bare(&subject, places.iter().map(|&at| &wanted[at])) {
                return Ok(Missing { at: places, broken: Vec::new() });
            }
            self.missing_of(&subject, places, wanted).await
        });
        let mut asked = asked.buffer_unordered(SUBJECTS_AT_ONCE);
        let mut missing = Missing::default();
        while let Some(more) = asked.try_next().await? {
            missing.add(more);
        }
        missing.at.sort_unstable();
        missing.broken.sort_unstable_by_key(|broken| broken.at);
        Ok(missing)
    }

    /// Whether it can be said without asking that nothing of this hangs there. On an image that is not there
    /// most likely nothing does; a referrer that is there after all is written again, to the same effect.
    fn is_bare<'w>(
        &self,
        subject: &Digest,
        mut wanted: impl Iterator<Item = &'w Attachment>,
    ) -> bool {
        let (lacks, inventory) = self.there;
        (lacks == Lacks::Digest || inventory.holds(subject).is_absent())
            && wanted.all(|wanted| match &wanted.by {
                By::Referrer => true,
                By::Tag(tag) => inventory.tag(tag).is_absent(),
            })
    }

    async fn missing_of(
        &self,
        subject: &Digest,
        places: Vec<usize>,
        wanted: &[Attachment],
    ) -> Result<Missing, Trouble> {
        let there = self.to.attachments(subject, Some(self.there.1)).await?;
        let referrers: HashSet<_> = there.referrers.iter().map(|it| it.digest).collect();
        let mut missing = Missing::default();
        for at in places {
            let attachment = &wanted[at];
            // Such a tag is not written: what it is on may only be hidden.
            let is_named = |tag: &Tag| matches!(&attachment.by, By::Tag(wanted) if wanted == tag);
            if let Some(dangling) = there.dangling.iter().find(|it| is_named(&it.tag)) {
                return Err(Trouble::content(AttachmentProblem::Dangling(dangling.why.clone())));
            }
            let is_there = match &attachment.by {
                By::Referrer => Ok(referrers.contains(&attachment.digest)),
                By::Tag(tag) => match there.tags.iter().find(|it| it.tag == *tag) {
                    None => Ok(false),
                    Some(found) if found.digest == attachment.digest => Ok(true),
                    Some(found) => self.covers(tag, found.digest, attachment.digest).await,
                },
            };
            match is_there {
                Ok(true) if self.is_complete(attachment).await? => {}
                Ok(_) => missing.at.push(at),
                Err(Trouble::Broken(problem)) if self.broken == BrokenAttachments::Reported => {
                    missing.broken.push(Broken { at, problem });
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(missing)
    }

    /// Whether the manifest that a digest tag is on has all layers of the one that is wanted there.
    async fn covers(&self, tag: &Tag, there: Digest, wanted: Digest) -> Result<bool, Trouble> {
        let new = match read(self.from, tag, wanted).await {
            // A response may be damaged on its way: what is broken for good is so twice.
            Err(Trouble::Registry(error)) if error.is_wrong_content() => {
                read(self.from, tag, wanted).await
            }
            first => first,
        };
        let new = new.map_err(Trouble::of_origin)?;
        Ok(read(self.to, tag, there).await?.covers(&new))
    }

    /// Whether an attachment that is there has its blobs, if that is to be checked. One whose origin is broken now
    /// cannot be, and nothing could be brought along.
    async fn is_complete(&self, attachment: &Attachment) -> Result<bool, Trouble> {
        if !self.verify.checks_present() {
            return Ok(true);
        }
        let content = |error: transfer::Error| Trouble::Content(remote(error));
        let image = match Image::load(self.from, &attachment.digest).await {
            Ok(image) => image,
            Err(error) if error.is_broken() => return Ok(true),
            Err(error) => return Err(content(error)),
        };
        let to = Destination::Registry(self.to.clone());
        let missing = image.missing_at(self.in_flight, &to).await.map_err(content)?;
        // A digest tag may be on a merged manifest instead.
        let counts = |missing: &Content| match (&attachment.by, missing) {
            (By::Referrer, _) | (By::Tag(_), Content::Blob(_)) => true,
            (By::Tag(_), Content::Manifest(_)) => false,
        };
        Ok(!missing.iter().any(counts))
    }
}

/// The manifest that a digest tag is on.
async fn read(at: &RepositoryClient, tag: &Tag, digest: Digest) -> Result<Tagged, Trouble> {
    let found = at.manifest(&Reference::Digest(digest)).await?;
    Tagged::read(digest, &found.media_type, &found.bytes)
        .map_err(|cause| Trouble::no_union(tag, at, cause))
}
