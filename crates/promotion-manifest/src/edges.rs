//! Edges: every digest and tag that a project requests, at each of its destinations; grouped by destination repository,
//! the same one counted once and conflicts marked.
//!
//! It does not know what registries hold.
//!
//! Kept small: 720,456 edges of 8 bytes for the Kubernetes tree. Most of its destinations are
//! regions that get the same images, so their edges are computed once and copied.

use std::{
    collections::{BTreeMap, HashMap},
    iter,
    ops::Range,
};

use oci::{Digest, Host, RegistryPrefix, Repository, RepositoryError, Tag};

use crate::{DigestEntry, ImageEntry, Position, Problem, PromotionManifest, RegistryEntry, Rule};

/// This digest, under this tag or none, at one destination repository: indices into the [`EdgeSet`] that it comes
/// from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Edge {
    /// Index into `EdgeSet::source_digests`.
    source_digest: u32,
    /// Index into the tags of the digest or [`Edge::NO_TAG`], with [`Edge::CONFLICT`] above it.
    tag: u32,
}

impl Edge {
    /// Set if the same tag is requested at its destination on another digest too.
    const CONFLICT: u32 = 1 << 31;
    /// Stands for no tag; beyond what fits into a file of [`MAX_FILE_BYTES`](crate::MAX_FILE_BYTES).
    const NO_TAG: u32 = Self::CONFLICT - 1;

    /// Whether the same tag is requested at its destination on another digest too.
    #[must_use]
    pub(crate) const fn is_conflict(self) -> bool {
        self.tag & Self::CONFLICT != 0
    }

    pub(crate) const fn source_digest(self) -> SourceDigestId {
        SourceDigestId(self.source_digest)
    }

    fn tag_index(self) -> Option<usize> {
        let index = self.tag & !Self::CONFLICT;
        (index != Self::NO_TAG).then_some(index as usize)
    }
}

/// Which digest of which image of which project of an [`EdgeSet`]; ordered as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceDigestId(u32);

/// A digest of an image of a project, as one of its sources has it.
#[derive(Clone, Copy, Debug)]
pub struct SourceDigest<'a> {
    /// Which one it is.
    pub id: SourceDigestId,
    /// The project.
    pub manifest: &'a PromotionManifest,
    /// The image.
    pub image: &'a ImageEntry,
    /// The digest and all its tags.
    pub entry: &'a DigestEntry,
}

impl<'a> SourceDigest<'a> {
    /// The registry that the digest comes from.
    #[must_use]
    pub fn source_prefix(&self) -> &'a RegistryPrefix {
        &self.manifest.source.prefix
    }

    /// The repository at [`source_prefix`](Self::source_prefix)'s host that the digest comes from.
    ///
    /// # Errors
    /// Never for a source of an edge: [`EdgeSet::new`] leaves out what has no such name.
    pub fn source_repository(&self) -> Result<Repository, RepositoryError> {
        self.source_prefix().repository(&self.image.name)
    }

    /// The file that requests it.
    #[must_use]
    pub fn file(&self) -> &'a str {
        &self.manifest.images_file
    }

    /// The position of the digest in that file.
    #[must_use]
    pub fn position(&self) -> Position {
        self.entry.position
    }
}

/// A destination repository.
#[derive(Clone, Debug)]
pub struct DestinationRepository {
    /// The destination registry, as a project that requests this repository writes it: the one with the longest path, if
    /// several contain the repository.
    pub prefix: RegistryPrefix,
    /// The whole name at `prefix.host`.
    pub repository: Repository,
    /// The name below `prefix`.
    pub name: Repository,
    /// Its edges: by tag, those without a tag first, and then by digest; no (tag, digest) twice.
    pub(crate) edges: Vec<Edge>,
    /// Which registry of which manifest has the prefix.
    registry: (u32, u32),
    /// Further requests for the same edges, in the same order, then as written.
    repeated: Vec<Edge>,
}

/// All edges of all projects.
#[derive(Debug)]
pub struct EdgeSet {
    manifests: Vec<PromotionManifest>,
    source_digests: Vec<SourceDigestIndex>,
    pub(crate) destinations: Vec<DestinationRepository>,
    problems: Vec<Problem>,
}

/// The indices of a digest of an image: manifest, image, and entry in the image.
#[derive(Debug)]
struct SourceDigestIndex {
    manifest: u32,
    image: u32,
    entry: u32,
}

/// A destination repository while its images are collected.
struct Gathered {
    registry: (u32, u32),
    name: Repository,
    /// The source digests of each of its images.
    images: Vec<Range<u32>>,
}

/// The edges of a repository, and the further requests for the same.
type Collapsed = (Vec<Edge>, Vec<Edge>);

impl EdgeSet {
    /// Computes the edges of `manifests`. Requests that cannot become edges are [problems](Self::problems).
    #[must_use]
    pub fn new(manifests: Vec<PromotionManifest>) -> Self {
        let (source_digests, destinations, problems) = (Vec::new(), Vec::new(), Vec::new());
        let mut set = Self { manifests, source_digests, destinations, problems };
        let gathered = set.gather();
        let mut known = HashMap::new();
        set.destinations = gathered
            .into_iter()
            .map(|((_, repository), Gathered { registry, name, images })| {
                let (edges, repeated) =
                    known.entry(images).or_insert_with_key(|images| set.collapse(images)).clone();
                let prefix = set.registry(registry).prefix.clone();
                DestinationRepository { prefix, repository, name, edges, registry, repeated }
            })
            .collect();
        set
    }

    /// The number of edges.
    #[must_use]
    pub fn len(&self) -> usize {
        self.destinations.iter().map(|destination| destination.edges.len()).sum()
    }

    /// Whether there is no edge.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.destinations.iter().all(|destination| destination.edges.is_empty())
    }

    /// The manifests, in the order given.
    #[must_use]
    pub fn manifests(&self) -> &[PromotionManifest] {
        &self.manifests
    }

    /// The destination repositories, one for each host and whole name, in that order.
    #[must_use]
    pub fn destinations(&self) -> &[DestinationRepository] {
        &self.destinations
    }

    /// The requests that cannot become edges: images whose whole name at the source or at a destination is too long for a
    /// repository.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The `service-account` of the registry that `destination` is in.
    #[must_use]
    pub fn service_account(&self, destination: &DestinationRepository) -> Option<&str> {
        self.registry(destination.registry).service_account.as_deref()
    }

    fn registry(&self, (manifest, registry): (u32, u32)) -> &RegistryEntry {
        &self.manifests[manifest as usize].destinations[registry as usize]
    }

    /// The digest of that `id`, which came from this set.
    #[must_use]
    pub fn source_digest(&self, id: SourceDigestId) -> SourceDigest<'_> {
        let index = &self.source_digests[id.0 as usize];
        let manifest = &self.manifests[index.manifest as usize];
        let image = &manifest.images[index.image as usize];
        SourceDigest { id, manifest, image, entry: &image.digests[index.entry as usize] }
    }

    /// The index of the manifest that requests a digest.
    pub(crate) fn manifest_of(&self, source_digest: SourceDigestId) -> usize {
        self.source_digests[source_digest.0 as usize].manifest as usize
    }

    /// Every source of `edge`, which is an edge of `destination`, in the order written.
    pub(crate) fn sources<'a>(
        &'a self,
        edge: &Edge,
        destination: &'a DestinationRepository,
    ) -> impl Iterator<Item = SourceDigest<'a>> {
        let key = self.key(edge);
        let repeated = &destination.repeated;
        let start = repeated.partition_point(|other| self.key(other) < key);
        let again = repeated[start..].iter().take_while(move |other| self.key(other) == key);
        iter::once(self.source_digest(edge.source_digest()))
            .chain(again.map(|other| self.source_digest(other.source_digest())))
    }

    pub(crate) fn tag_at(&self, edge: &Edge) -> Option<&(Tag, Position)> {
        edge.tag_index().map(|index| &self.source_digest(edge.source_digest()).entry.tags[index])
    }

    /// What the edges of one repository are sorted by.
    pub(crate) fn key(&self, edge: &Edge) -> (Option<&Tag>, &Digest) {
        let entry = self.source_digest(edge.source_digest()).entry;
        (edge.tag_index().map(|index| &entry.tags[index].0), &entry.digest)
    }

    /// Numbers the digests, and groups the images by destination repository.
    fn gather(&mut self) -> BTreeMap<(Host, Repository), Gathered> {
        let mut gathered = BTreeMap::<_, Gathered>::new();
        for (manifest_index, manifest) in self.manifests.iter().enumerate() {
            for (image_index, image) in manifest.images.iter().enumerate() {
                let (ends, problem) = whole_names(manifest, image);
                self.problems.extend(problem);
                let start = index(self.source_digests.len());
                self.source_digests.extend((0..image.digests.len()).map(|entry| {
                    SourceDigestIndex {
                        manifest: index(manifest_index),
                        image: index(image_index),
                        entry: index(entry),
                    }
                }));
                let source_digests = start..index(self.source_digests.len());
                for (registry, repository) in ends {
                    let host = manifest.destinations[registry as usize].prefix.host.clone();
                    let registry = (index(manifest_index), registry);
                    let new =
                        || Gathered { registry, name: image.name.clone(), images: Vec::new() };
                    let destination = gathered.entry((host, repository)).or_insert_with(new);
                    // The registry with the longest path has the shortest name below it.
                    if image.name.as_str().len() < destination.name.as_str().len() {
                        (destination.registry, destination.name) = (registry, image.name.clone());
                    }
                    destination.images.push(source_digests.clone());
                }
            }
        }
        gathered
    }

    /// The edges of a repository that gets these images.
    fn collapse(&self, images: &[Range<u32>]) -> Collapsed {
        let mut all: Vec<Edge> = images
            .iter()
            .flat_map(Clone::clone)
            .flat_map(|source_digest| self.edges_from(source_digest))
            .collect();
        all.sort_by(|a, b| self.key(a).cmp(&self.key(b))); // stable: the first written stays first
        let (mut edges, mut repeated) = (Vec::with_capacity(all.len()), Vec::new());
        for mut edge in all {
            let Some(last) = edges.last_mut() else {
                edges.push(edge);
                continue;
            };
            let ((tag, digest), (last_tag, last_digest)) = (self.key(&edge), self.key(last));
            if tag == last_tag && digest == last_digest {
                repeated.push(edge);
                continue;
            }
            if tag.is_some() && tag == last_tag {
                last.tag |= Edge::CONFLICT;
                edge.tag |= Edge::CONFLICT;
            }
            edges.push(edge);
        }
        edges.shrink_to_fit();
        (edges, repeated)
    }

    /// One edge for each tag, or a single edge without a tag.
    fn edges_from(&self, source_digest: u32) -> impl Iterator<Item = Edge> + use<> {
        let tags = index(self.source_digest(SourceDigestId(source_digest)).entry.tags.len());
        let untagged = (tags == 0).then_some(Edge::NO_TAG);
        (0..tags).chain(untagged).map(move |tag| Edge { source_digest, tag })
    }
}

/// The whole names of `image` at each destination, by the destination's index, and the problem with those that are too
/// long. An image whose name is too long at the source has no destinations.
fn whole_names(
    manifest: &PromotionManifest,
    image: &ImageEntry,
) -> (Vec<(u32, Repository)>, Option<Problem>) {
    let source = &manifest.source.prefix;
    if let Err(error) = source.repository(&image.name) {
        return (Vec::new(), Some(too_long(manifest, image, &[(source, error)])));
    }
    let (mut ends, mut faults) = (Vec::with_capacity(manifest.destinations.len()), Vec::new());
    for (at, destination) in manifest.destinations.iter().enumerate() {
        let prefix = &destination.prefix;
        match prefix.repository(&image.name) {
            Ok(repository) => ends.push((index(at), repository)),
            Err(error) => faults.push((prefix, error)),
        }
    }
    let problem = (!faults.is_empty()).then(|| too_long(manifest, image, &faults));
    (ends, problem)
}

fn too_long(
    manifest: &PromotionManifest,
    image: &ImageEntry,
    faults: &[(&RegistryPrefix, RepositoryError)],
) -> Problem {
    let (prefix, error) = &faults[0];
    let more = match faults.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!(
        "image `{}` cannot be below `{prefix}`{more}: {error}; shorten the image's name or the \
         registry's path",
        image.name
    );
    let (project, file) = (Some(&*manifest.project), &manifest.images_file);
    Problem::new(project, file, (Rule::NameTooLong, Some(image.position.into())), &message)
}

/// An index as edges hold it.
pub(crate) fn index(value: usize) -> u32 {
    #[expect(
        clippy::expect_used,
        reason = "each digest takes 70 bytes of text and more of memory: 2³² of them fit nowhere"
    )]
    u32::try_from(value).expect("fewer than 2³² digests")
}
