//! What refers to one digest: its referrers, by the API and by the tag that stands in for it, and its digest tags.
//!
//! Not here: attachments of attachments (`discovery`); what attachments contain.
//!
//! Source: distribution-spec 1.1, "Listing Referrers" and "Referrers Tag Schema"; the layout of cosign.

use std::{collections::HashSet, sync::Arc};

use futures_util::future::try_join_all;
use oci::{Descriptor, Digest, Tag};
use registry_client::{Error, Existence, Inventory, Referrers, RepositoryClient};

/// What refers to one digest.
#[derive(Clone, Debug, Default)]
pub struct SubjectListing {
    /// The manifests that have it as their subject, each digest once.
    pub referrers: Vec<Descriptor>,
    /// The digest tags that exist, except the tag of an index of referrers.
    pub tags: Vec<DigestTag>,
    /// The digest tags, or the tag of an index of referrers, that a listing names and that have no manifest.
    pub dangling: Vec<DanglingTag>,
    /// The length of the lists of referrers that were read, in bytes.
    pub bytes: usize,
}

/// A tag that a listing names, and that has no manifest: two GETs of it got 404.
#[derive(Clone, Debug)]
pub struct DanglingTag {
    /// The tag.
    pub tag: Tag,
    /// The request and its response.
    pub error: Arc<Error>,
}

/// A tag `<algorithm>-<hex>.sig`, `.att` or `.sbom`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestTag {
    /// The tag.
    pub tag: Tag,
    /// The digest that it is on.
    pub digest: Digest,
}

/// Lists what refers to `digest`: the union of the referrers API, the index under the tag that stands in for it, and
/// digest tags. With an inventory of the repository only those tags are requested that may exist according to it, and
/// not those whose digests it has. A listed tag that certainly has no manifest is returned as dangling.
///
/// Source: distribution-spec 1.1, "Listing Referrers" and "Referrers Tag Schema".
///
/// # Errors
/// When one of these cannot be read. A returned listing is complete.
pub async fn list(
    at: &RepositoryClient,
    digest: &Digest,
    inventory: Option<&Inventory>,
) -> Result<SubjectListing, Error> {
    let lister = ReferrerLister { at, digest, inventory };
    // Five requests at once would make a large future of each caller's.
    let (by_api, (by_tag, dangling), tags) = tokio::try_join!(
        Box::pin(at.referrers_by_api(digest, None)),
        Box::pin(lister.referrers_by_listed_tag()),
        Box::pin(lister.digest_tags()),
    )?;
    let mut listing = SubjectListing { dangling, ..SubjectListing::default() };
    let mut seen = HashSet::new();
    for Referrers { descriptors, bytes, .. } in by_api.into_iter().chain(by_tag) {
        let new = descriptors.into_iter().filter(|referrer| seen.insert(referrer.digest));
        listing.referrers.extend(new);
        listing.bytes += bytes;
    }
    for tag in tags {
        match tag {
            DigestTagEntry::On(tag) => listing.tags.push(tag),
            DigestTagEntry::Dangling(tag) => listing.dangling.push(tag),
        }
    }
    Ok(listing)
}

/// A digest tag that may exist.
enum DigestTagEntry {
    On(DigestTag),
    Dangling(DanglingTag),
}

/// Lists what refers to one digest.
struct ReferrerLister<'a> {
    at: &'a RepositoryClient,
    digest: &'a Digest,
    inventory: Option<&'a Inventory>,
}

impl ReferrerLister<'_> {
    async fn referrers_by_listed_tag(
        &self,
    ) -> Result<(Option<Referrers>, Vec<DanglingTag>), Error> {
        let tag = Tag::of_referrers(self.digest);
        if self.inventory.is_some_and(|inventory| inventory.tag(&tag).is_absent()) {
            return Ok((None, Vec::new()));
        }
        let referrers = self.at.referrers_by_tag(self.digest, None).await?;
        let reference = tag.clone().into();
        let mut dangling = Vec::new();
        if referrers.descriptors.is_empty()
            && self.is_listed(&tag)
            && self.at.find_manifest_by_get(&reference).await?.is_none()
        {
            dangling.push(self.dangling(tag));
        }
        Ok((Some(referrers), dangling))
    }

    async fn digest_tags(&self) -> Result<Vec<DigestTagEntry>, Error> {
        let tags = Tag::of_attachments(self.digest).map(|tag| self.digest_tag(tag));
        let found = try_join_all(tags).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn digest_tag(&self, tag: Tag) -> Result<Option<DigestTagEntry>, Error> {
        let reference = tag.clone().into();
        let existence = self.inventory.map_or(Existence::Unknown, |inventory| inventory.tag(&tag));
        let mut found = match existence {
            Existence::Present(digest) => Some(*digest),
            Existence::Absent => return Ok(None),
            Existence::Unknown => {
                self.at.find_manifest(&reference).await?.map(|found| found.digest)
            }
        };
        let is_listed = self.is_listed(&tag);
        if found.is_none() && is_listed {
            // One replica may be late.
            found = self.at.find_manifest_by_get(&reference).await?.map(|found| found.digest);
        }
        Ok(match found {
            Some(digest) => Some(DigestTagEntry::On(DigestTag { tag, digest })),
            None if is_listed => Some(DigestTagEntry::Dangling(self.dangling(tag))),
            None => None,
        })
    }

    fn is_listed(&self, tag: &Tag) -> bool {
        self.inventory.is_some_and(|inventory| inventory.lists(&tag.clone().into()))
    }

    fn dangling(&self, tag: Tag) -> DanglingTag {
        let error = Arc::new(self.at.listed_tag_not_found(&tag));
        DanglingTag { tag, error }
    }
}
