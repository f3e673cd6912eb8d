//! All that hangs on a digest: its referrers, by the API and by the tag that stands in for it, and its
//! digest tags.
//!
//! Not here: what they say, and whether it is true.
//!
//! Source: distribution-spec 1.1, "Listing Referrers" and "Referrers Tag Schema"; the layout of cosign.

use std::collections::HashSet;

use oci::{Descriptor, Digest, Tag};

use crate::{Error, Inventory, Known, RepositoryClient, referrers::referrers_tag};

/// What follows `<algorithm>-<hex>` in cosign's digest tags: signatures, attestations, and bills of
/// materials.
const SUFFIXES: [&str; 3] = [".sig", ".att", ".sbom"];

/// What hangs on a digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachments {
    /// The manifests that have it as their subject, each digest once.
    pub referrers: Vec<Descriptor>,
    /// The digest tags that are there, but for the one of an index of referrers.
    pub tags: Vec<DigestTag>,
}

/// A tag `<algorithm>-<hex>.sig`, `.att` or `.sbom`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestTag {
    /// The tag.
    pub tag: Tag,
    /// The digest that it is on.
    pub digest: Digest,
}

impl RepositoryClient {
    /// What hangs on `digest`: the union of what its referrers API, the index of the tag that stands in for
    /// it, and digest tags say. With an inventory of this repository only those tags are asked for that
    /// may be there by it, and those are not that it has the digests of.
    ///
    /// # Errors
    /// When one of these cannot be read: what is given is all there is.
    pub async fn attachments(
        &self,
        digest: &Digest,
        inventory: Option<&Inventory>,
    ) -> Result<Attachments, Error> {
        // Five requests at once would make a large future of each caller's.
        let (by_api, by_tag, tags) = tokio::try_join!(
            Box::pin(self.referrers_by_api(digest, None)),
            Box::pin(self.referrers_by_listed_tag(digest, inventory)),
            Box::pin(self.digest_tags(digest, inventory)),
        )?;
        let mut seen = HashSet::new();
        let mut referrers: Vec<_> = by_api.into_iter().flatten().chain(by_tag).collect();
        referrers.retain(|referrer| seen.insert(referrer.digest));
        Ok(Attachments { referrers, tags })
    }

    async fn referrers_by_listed_tag(
        &self,
        digest: &Digest,
        inventory: Option<&Inventory>,
    ) -> Result<Vec<Descriptor>, Error> {
        let tag = referrers_tag(digest);
        match inventory.map_or(Known::Unknown, |inventory| inventory.tag(&tag)) {
            Known::No => Ok(Vec::new()),
            Known::Yes(_) | Known::Unknown => self.referrers_by_tag(digest, None).await,
        }
    }

    async fn digest_tags(
        &self,
        digest: &Digest,
        inventory: Option<&Inventory>,
    ) -> Result<Vec<DigestTag>, Error> {
        let [sig, att, sbom] = SUFFIXES.map(|suffix| self.digest_tag(digest, suffix, inventory));
        let (sig, att, sbom) = tokio::try_join!(sig, att, sbom)?;
        Ok([sig, att, sbom].into_iter().flatten().collect())
    }

    async fn digest_tag(
        &self,
        digest: &Digest,
        suffix: &str,
        inventory: Option<&Inventory>,
    ) -> Result<Option<DigestTag>, Error> {
        // Of a SHA-512 it would be too long for a tag.
        let tag = format!("{}-{}{suffix}", digest.algorithm(), digest.hex()).parse::<Tag>();
        let Ok(tag) = tag else { return Ok(None) };
        let digest = match inventory.map_or(Known::Unknown, |inventory| inventory.tag(&tag)) {
            Known::Yes(digest) => Some(*digest),
            Known::No => None,
            Known::Unknown => {
                let reference = tag.clone().into();
                if inventory.is_some_and(|inventory| inventory.lists(&reference)) {
                    Some(self.find_listed_manifest(&reference).await?.digest)
                } else {
                    self.find_manifest(&reference).await?.map(|found| found.digest)
                }
            }
        };
        Ok(digest.map(|digest| DigestTag { tag, digest }))
    }
}
