//! The inventory of a repository, read with as few requests as its registry allows.
//!
//! Not here: the parser of a page (`google_list`), and decisions on an inventory. Lists by registry-specific APIs
//! implement [`Lister`].
//!
//! Source: distribution-spec 1.1, "Listing Tags"; the rows of `docs/internals/registry-client.md`, "What a
//! repository holds".

pub(crate) mod google_list;
pub(crate) mod unlisted;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    future::Future,
    sync::Arc,
};

use futures_util::{StreamExt as _, stream};
use oci::{Digest, Host, Reference, Repository, Tag};

use crate::{
    Error, ListedManifest, Listing, RepositoryClient,
    api::{existence::Existence, listing::PAGE_SIZE},
    inventory::unlisted::may_hold,
    read_listing,
};

/// The page size at Google's registries: the most that they list.
const GOOGLE_PAGE_SIZE: usize = 10_000;
/// The number of entries from which a list may be truncated without a mark: Google's lists end there, and no registry
/// is known to end a list earlier.
const MAY_BE_CUT: usize = 10_000;
/// The number of concurrent requests for references of one repository: enough to hide the round trip, few compared
/// with the 64 concurrent requests to a host.
const HEADS_AT_ONCE: usize = 8;

/// The content of a repository when it was read.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The listed tags, each with its digest if the list is unambiguous.
    tags: BTreeMap<Tag, Option<Digest>>,
    manifests: BTreeMap<Digest, ListedManifest>,
    children: Vec<Repository>,
    /// The results of single requests. They are newer than the list, and take precedence.
    asked_tags: HashMap<Tag, Option<Digest>>,
    asked_digests: HashMap<Digest, bool>,
    /// The wanted references that cannot be read.
    unread: HashMap<Reference, Arc<Error>>,
    lists_digests: bool,
    is_truncated: bool,
    is_empty: bool,
    /// Whether all tags but digest tags were removed.
    forgot_tags: bool,
}

impl Inventory {
    /// The digest that a tag is on. A tag that is listed without its digest, and was not wanted, is
    /// unknown.
    #[must_use]
    pub fn tag(&self, tag: &Tag) -> Existence<&Digest> {
        match self.asked_tags.get(tag).or_else(|| self.tags.get(tag)) {
            Some(Some(digest)) => Existence::Present(digest),
            Some(None) if self.asked_tags.contains_key(tag) => Existence::Absent,
            None if !self.is_truncated && (!self.forgot_tags || is_digest_tag(tag)) => {
                Existence::Absent
            }
            _ => Existence::Unknown,
        }
    }

    /// Whether there is a manifest of this digest.
    #[must_use]
    pub fn holds(&self, digest: &Digest) -> Existence {
        match self.asked_digests.get(digest) {
            Some(true) => Existence::Present(()),
            Some(false) => Existence::Absent,
            None if self.manifests.contains_key(digest) => Existence::Present(()),
            None if self.is_empty || (self.lists_digests && !self.is_truncated) => {
                Existence::Absent
            }
            None => Existence::Unknown,
        }
    }

    /// The error of a wanted reference that cannot be read, so that its existence is unknown.
    #[must_use]
    pub fn unread(&self, reference: &Reference) -> Option<&Arc<Error>> {
        self.unread.get(reference)
    }

    /// Whether the list has it.
    #[must_use]
    pub fn lists(&self, reference: &Reference) -> bool {
        match reference {
            Reference::Tag(tag) => self.tags.contains_key(tag),
            Reference::Digest(digest) => self.manifests.contains_key(digest),
        }
    }

    /// The tags that were listed, in ASCII order.
    pub fn tags(&self) -> impl Iterator<Item = &Tag> {
        self.tags.keys()
    }

    /// The manifests that were listed, with their tags; none where the registry lists no digests.
    #[must_use]
    pub const fn manifests(&self) -> &BTreeMap<Digest, ListedManifest> {
        &self.manifests
    }

    /// The repositories below this one, relative to it, if the registry lists them.
    #[must_use]
    pub fn children(&self) -> &[Repository] {
        &self.children
    }

    /// Whether the list may be truncated: it has 10,000 entries or more, or exactly as many as requested and no next page,
    /// or tags without a manifest, or manifests and a next page; or there is no list at all. What such a list lacks is
    /// absent only if a request confirmed it.
    #[must_use]
    pub const fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// Whether the registry lists digests with the tags.
    #[must_use]
    pub const fn lists_digests(&self) -> bool {
        self.lists_digests
    }

    /// Removes the data that attachments do not need: all tags but digest tags, and all data of manifests but their
    /// digests. Removed data is unknown from then on; known absence stays known. A run holds thousands of inventories:
    /// this leaves some 100 bytes of a manifest.
    pub fn keep_digest_tags(&mut self) {
        self.forgot_tags = true;
        self.tags.retain(|tag, _| is_digest_tag(tag));
        self.asked_tags.retain(|tag, _| is_digest_tag(tag));
        self.unread = HashMap::new();
        for manifest in self.manifests.values_mut() {
            *manifest = ListedManifest::default();
        }
        self.children = Vec::new();
        self.asked_tags.shrink_to_fit();
    }

    /// Adds a page. Returns the length of its longest list, which shows whether it may be truncated.
    fn add(&mut self, page: Listing) -> usize {
        let longest = page.tag_count.max(page.manifest_count);
        self.tags.extend(page.tags.into_iter().map(|tag| (tag, None)));
        self.children.extend(page.children);
        if let Some(manifests) = page.manifests {
            self.lists_digests = true;
            self.manifests.extend(manifests);
        }
        longest
    }

    /// Assigns digests to the listed tags. If a tag is on two manifests, or is missing in the list of tags, the list
    /// contradicts itself, and the tag gets no digest.
    fn connect(&mut self) {
        let mut on = HashMap::<&Tag, Option<Digest>>::new();
        for (digest, manifest) in &self.manifests {
            for tag in &manifest.tags {
                on.entry(tag)
                    .and_modify(|first| *first = first.filter(|first| first == digest))
                    .or_insert(Some(*digest));
            }
        }
        let lists_tags = !self.tags.is_empty();
        for (tag, digest) in on {
            let is_listed = !lists_tags || self.tags.contains_key(tag);
            self.tags.insert(tag.clone(), digest.filter(|_| is_listed));
        }
    }

    /// Whether a tag is listed that no manifest carries.
    fn has_stray_tags(&self) -> bool {
        let carried: HashSet<_> = self.manifests.values().flat_map(|listed| &listed.tags).collect();
        self.lists_digests && self.tags.keys().any(|tag| !carried.contains(tag))
    }

    fn note(&mut self, reference: Reference, found: Option<Digest>) {
        if let Some(digest) = found {
            self.asked_digests.insert(digest, true);
        }
        match reference {
            Reference::Tag(tag) => {
                self.asked_tags.insert(tag, found);
            }
            Reference::Digest(digest) => {
                self.asked_digests.insert(digest, found.is_some());
            }
        }
    }
}

/// Whether a tag has the form of a digest tag, as those of attachments.
fn is_digest_tag(tag: &Tag) -> bool {
    ["sha256-", "sha512-"].iter().any(|start| tag.as_str().starts_with(start))
}

/// A way to read the inventory of a repository.
///
/// The distribution API has no list of manifests, so the best way differs between registries. [`ListAndHead`] needs only
/// `tags/list` and HEAD. The APIs of Amazon's, Azure's and Harbor's registries can be other implementations with the
/// same result.
pub trait Lister {
    /// The inventory of `repository`. It is certain for each of `wanted`, or has the error.
    fn inventory(
        &self,
        repository: &RepositoryClient,
        wanted: &[Reference],
    ) -> impl Future<Output = Result<Inventory, Error>> + Send;
}

/// `tags/list`, in Google's form if the registry sends it, and HEADs for what that leaves open.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListAndHead;

impl Lister for ListAndHead {
    async fn inventory(
        &self,
        repository: &RepositoryClient,
        wanted: &[Reference],
    ) -> Result<Inventory, Error> {
        let mut inventory = list(repository, wanted).await?;
        // Tags first, since their responses also have digests.
        let tags = wanted.iter().filter(|wanted| match wanted {
            Reference::Tag(tag) => inventory.tag(tag) == Existence::Unknown,
            Reference::Digest(_) => false,
        });
        let tags: HashSet<_> = tags.cloned().collect();
        head(repository, &mut inventory, tags).await?;
        let digests = wanted.iter().filter(|wanted| match wanted {
            Reference::Tag(_) => false,
            Reference::Digest(digest) => inventory.holds(digest) == Existence::Unknown,
        });
        let digests: HashSet<_> = digests.cloned().collect();
        head(repository, &mut inventory, digests).await?;
        Ok(inventory)
    }
}

impl RepositoryClient {
    /// The inventory of the repository, by [`ListAndHead`]. It is certain for each of `wanted`, unless
    /// [`Inventory::unread`] has an error. Everything else is known as far as it was listed.
    ///
    /// # Errors
    /// When the list cannot be read, or the registry is unreachable or denies access. A repository that does not exist
    /// (404) is empty, unless a wanted reference exists: then the registry has no list.
    pub async fn inventory(&self, wanted: &[Reference]) -> Result<Inventory, Error> {
        ListAndHead.inventory(self, wanted).await
    }
}

/// Reads the list, plain or Google's.
async fn list(repository: &RepositoryClient, wanted: &[Reference]) -> Result<Inventory, Error> {
    let mut inventory = Inventory::default();
    let asked_for = page_size(repository.host());
    let mut pages = match repository.tags_pages(asked_for).await {
        Ok(pages) => pages,
        Err(error) => {
            inventory.is_truncated = may_hold(repository, wanted, error).await?;
            inventory.is_empty = !inventory.is_truncated;
            return Ok(inventory);
        }
    };
    while let Some(page) = pages.next(inventory.tags.len()).await? {
        let listing = read_listing(&page.bytes).map_err(|cause| page.unreadable(cause))?;
        let longest = inventory.add(listing);
        // Google's list has one page; its `Link` is not followed.
        let is_googles = !inventory.manifests.is_empty() || !inventory.children.is_empty();
        if page.has_next {
            inventory.is_truncated = is_googles;
        } else {
            inventory.is_truncated = longest == asked_for || longest >= MAY_BE_CUT;
        }
        if is_googles {
            break;
        }
    }
    inventory.is_truncated |= inventory.has_stray_tags();
    inventory.connect();
    Ok(inventory)
}

/// Requests each of `references`, several at once. A listed reference must exist: a 404 is an error of that reference
/// alone.
async fn head(
    repository: &RepositoryClient,
    inventory: &mut Inventory,
    references: HashSet<Reference>,
) -> Result<(), Error> {
    let references: Vec<_> =
        references.into_iter().map(|reference| (inventory.lists(&reference), reference)).collect();
    let heads = stream::iter(references).map(|(is_listed, reference)| async move {
        let found = if is_listed {
            repository.find_listed_manifest(&reference).await.map(Some)
        } else {
            repository.find_manifest(&reference).await
        };
        (reference, found)
    });
    let mut heads = heads.buffer_unordered(HEADS_AT_ONCE);
    while let Some((reference, found)) = heads.next().await {
        match found {
            Ok(found) => inventory.note(reference, found.map(|found| found.digest)),
            // All others would fail in the same way.
            Err(error) if error.is_unreachable() || error.is_unauthorized() => return Err(error),
            Err(error) => drop(inventory.unread.insert(reference, Arc::new(error))),
        }
    }
    Ok(())
}

/// The page size to request. Only Google's registries are known to accept more than 1000.
fn page_size(host: &Host) -> usize {
    if credentials::is_google(host) { GOOGLE_PAGE_SIZE } else { PAGE_SIZE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(name: &str) -> Tag {
        name.parse().expect(name)
    }

    #[test]
    fn only_google_gets_requests_for_ten_thousand() {
        for (host, size) in [
            ("gcr.io", 10_000),
            ("eu.gcr.io", 10_000),
            ("us-docker.pkg.dev", 10_000),
            ("container.cloud.google.com", 10_000),
            ("marketplace.google.com", 1000),
            ("xgcr.io", 1000),
            ("pkg.dev.example", 1000),
            ("registry.example:5000", 1000),
        ] {
            assert_eq!(page_size(&host.parse().expect(host)), size, "{host}");
        }
    }

    #[test]
    fn what_is_forgotten_is_unknown_and_digest_tags_are_kept() {
        let digest = Digest::sha256(b"1");
        let signature = format!("sha256-{}.sig", digest.hex());
        let mut inventory = Inventory::default();
        inventory.add(Listing {
            tags: vec![tag("v1"), tag(&signature)],
            manifests: Some(BTreeMap::from([(
                digest,
                ListedManifest {
                    tags: vec![tag("v1"), tag(&signature)],
                    ..ListedManifest::default()
                },
            )])),
            ..Listing::default()
        });
        inventory.connect();
        inventory.keep_digest_tags();
        assert_eq!(inventory.tag(&tag("v1")), Existence::Unknown);
        assert_eq!(inventory.tag(&tag(&signature)), Existence::Present(&digest));
        assert_eq!(inventory.tag(&tag("sha256-00.sig")), Existence::Absent);
        assert_eq!(inventory.holds(&digest), Existence::Present(()));
        assert_eq!(inventory.holds(&Digest::sha256(b"2")), Existence::Absent);
    }

    #[test]
    fn a_tag_that_the_list_contradicts_itself_about_has_no_digest() {
        let digests = [Digest::sha256(b"1"), Digest::sha256(b"2")];
        let on = |names: &[&str]| ListedManifest {
            tags: names.iter().map(|name| tag(name)).collect(),
            ..ListedManifest::default()
        };
        let manifests = BTreeMap::from([
            (digests[0], on(&["both", "one", "one", "unlisted"])),
            (digests[1], on(&["both", "two"])),
        ]);
        let mut inventory = Inventory::default();
        inventory.add(Listing {
            tags: ["both", "one", "two"].map(tag).into(),
            manifests: Some(manifests.clone()),
            ..Listing::default()
        });
        inventory.connect();
        assert_eq!(inventory.tag(&tag("one")), Existence::Present(&digests[0]));
        assert_eq!(inventory.tag(&tag("two")), Existence::Present(&digests[1]));
        assert_eq!(inventory.tag(&tag("both")), Existence::Unknown);
        assert_eq!(inventory.tag(&tag("unlisted")), Existence::Unknown);
        assert_eq!(inventory.tag(&tag("none")), Existence::Absent);
        // A registry that has the tags at the manifests alone does not contradict itself.
        let mut inventory = Inventory::default();
        inventory.add(Listing { manifests: Some(manifests), ..Listing::default() });
        inventory.connect();
        assert_eq!(inventory.tag(&tag("unlisted")), Existence::Present(&digests[0]));
    }
}
