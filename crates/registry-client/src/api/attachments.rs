//! All that hangs on a digest: its referrers, by the API and by the tag that stands in for it, and its
//! digest tags.
//!
//! Not here: what they say, and whether it is true.
//!
//! Source: distribution-spec 1.1, "Listing Referrers" and "Referrers Tag Schema"; the layout of cosign.

use std::collections::HashSet;

use http::Method;
use oci::{Descriptor, Digest, Tag};

use crate::{Error, Existence, Fault, Inventory, RepositoryClient, api::referrers::referrers_tag};

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
    /// The digest tags, or that of an index of referrers, that a listing names and that are on nothing.
    pub dangling: Vec<DanglingTag>,
}

/// A tag that a listing names, and whose manifest is gone: two GETs of it got 404.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DanglingTag {
    /// The tag.
    pub tag: Tag,
    /// What was requested, and what came, in words.
    pub why: String,
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
    /// it, and digest tags say. With an inventory of this repository only those tags are requested that
    /// may be there by it, and those are not that it has the digests of. A tag that it lists and that certainly
    /// does not exist is given as dangling.
    ///
    /// # Errors
    /// When one of these cannot be read: what is given is all there is.
    pub async fn attachments(
        &self,
        digest: &Digest,
        inventory: Option<&Inventory>,
    ) -> Result<Attachments, Error> {
        // Five requests at once would make a large future of each caller's.
        let (by_api, (by_tag, dangling), tags) = tokio::try_join!(
            Box::pin(self.referrers_by_api(digest, None)),
            Box::pin(self.referrers_by_listed_tag(digest, inventory)),
            Box::pin(self.digest_tags(digest, inventory)),
        )?;
        let mut seen = HashSet::new();
        let mut referrers: Vec<_> = by_api.into_iter().flatten().chain(by_tag).collect();
        referrers.retain(|referrer| seen.insert(referrer.digest));
        let mut attachments = Attachments { referrers, dangling, ..Attachments::default() };
        for tag in tags {
            match tag {
                DigestTagEntry::On(tag) => attachments.tags.push(tag),
                DigestTagEntry::Dangling(tag) => attachments.dangling.push(tag),
            }
        }
        Ok(attachments)
    }

    async fn referrers_by_listed_tag(
        &self,
        digest: &Digest,
        inventory: Option<&Inventory>,
    ) -> Result<(Vec<Descriptor>, Vec<DanglingTag>), Error> {
        let tag = referrers_tag(digest);
        if inventory.is_some_and(|inventory| inventory.tag(&tag).is_absent()) {
            return Ok((Vec::new(), Vec::new()));
        }
        let referrers = self.referrers_by_tag(digest, None).await?;
        let reference = tag.clone().into();
        let is_listed = inventory.is_some_and(|inventory| inventory.lists(&reference));
        let mut dangling = Vec::new();
        if referrers.is_empty()
            && is_listed
            && self.find_manifest_by_get(&reference).await?.is_none()
        {
            dangling.push(self.dangling(tag)?);
        }
        Ok((referrers, dangling))
    }

    async fn digest_tags(
        &self,
        digest: &Digest,
        inventory: Option<&Inventory>,
    ) -> Result<Vec<DigestTagEntry>, Error> {
        let [sig, att, sbom] = SUFFIXES.map(|suffix| self.digest_tag(digest, suffix, inventory));
        let (sig, att, sbom) = tokio::try_join!(sig, att, sbom)?;
        Ok([sig, att, sbom].into_iter().flatten().collect())
    }

    async fn digest_tag(
        &self,
        digest: &Digest,
        suffix: &str,
        inventory: Option<&Inventory>,
    ) -> Result<Option<DigestTagEntry>, Error> {
        // Of a SHA-512 it would be too long for a tag.
        let tag = format!("{}-{}{suffix}", digest.algorithm(), digest.hex()).parse::<Tag>();
        let Ok(tag) = tag else { return Ok(None) };
        let reference = tag.clone().into();
        let mut found = match inventory.map_or(Existence::Unknown, |inventory| inventory.tag(&tag))
        {
            Existence::Present(digest) => Some(*digest),
            Existence::Absent => return Ok(None),
            Existence::Unknown => self.find_manifest(&reference).await?.map(|found| found.digest),
        };
        let is_listed = inventory.is_some_and(|inventory| inventory.lists(&reference));
        if found.is_none() && is_listed {
            // One replica may be late.
            found = self.find_manifest_by_get(&reference).await?.map(|found| found.digest);
        }
        match found {
            Some(digest) => Ok(Some(DigestTagEntry::On(DigestTag { tag, digest }))),
            None if is_listed => Ok(Some(DigestTagEntry::Dangling(self.dangling(tag)?))),
            None => Ok(None),
        }
    }

    fn dangling(&self, tag: Tag) -> Result<DanglingTag, Error> {
        let request = self.request(Method::GET, &format!("manifests/{tag}"))?;
        let why = request.target().fails(Fault::ListedNotFound).to_string();
        Ok(DanglingTag { tag, why })
    }
}

/// A digest tag that may be there.
enum DigestTagEntry {
    On(DigestTag),
    Dangling(DanglingTag),
}
