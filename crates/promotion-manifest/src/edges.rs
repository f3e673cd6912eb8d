//! Edges: every wish of every project at every destination, grouped by destination repository, the
//! same wish counted once and conflicts marked.
//!
//! Does not know what registries hold: edges are compared with each other only.
//!
//! Kept small: 720,456 edges of 8 bytes for the Kubernetes tree. Most of its destinations are
//! regions that get the same images, so their edges are worked out once and copied.

use std::{
    collections::{BTreeMap, HashMap},
    iter,
    ops::Range,
};

use oci::{Digest, Host, RegistryPrefix, Repository, RepositoryError, Tag};

use crate::{DigestEntry, Image, Position, Problem, PromotionManifest, Registry};

/// One wish at one destination repository: this digest, under this tag or none. Its meaning is in
/// the [`EdgeSet`] that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Edge {
    /// Index into `EdgeSet::wishes`.
    wish: u32,
    /// Index into the wish's tags or [`Edge::NO_TAG`], with [`Edge::CONFLICT`] above it.
    tag: u32,
}

impl Edge {
    /// Set when the same destination and tag have another digest as well.
    const CONFLICT: u32 = 1 << 31;
    /// Stands for no tag; beyond what fits into a file of [`MAX_FILE_BYTES`](crate::MAX_FILE_BYTES).
    const NO_TAG: u32 = Self::CONFLICT - 1;

    /// Whether its destination and tag are asked for with another digest as well.
    #[must_use]
    pub const fn is_conflict(self) -> bool {
        self.tag & Self::CONFLICT != 0
    }

    fn tag_index(self) -> Option<usize> {
        let index = self.tag & !Self::CONFLICT;
        (index != Self::NO_TAG).then_some(index as usize)
    }
}

/// Which wish of an [`EdgeSet`]; ordered as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WishId(u32);

/// A digest of an image of a project, as one of its sources has it.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Which one it is.
    pub id: WishId,
    /// The project.
    pub manifest: &'a PromotionManifest,
    /// The image.
    pub image: &'a Image,
    /// The digest and all its tags.
    pub entry: &'a DigestEntry,
}

impl<'a> Wish<'a> {
    /// The registry that the digest comes from.
    #[must_use]
    pub fn source_prefix(&self) -> &'a RegistryPrefix {
        &self.manifest.source.prefix
    }

    /// The repository at [`source_prefix`](Self::source_prefix)'s host that the digest comes from.
    ///
    /// # Errors
    /// Never for the wish of an edge: [`EdgeSet::new`] leaves out what has no such name.
    pub fn source_repository(&self) -> Result<Repository, RepositoryError> {
        self.source_prefix().repository(&self.image.name)
    }

    /// The file that asks for it.
    #[must_use]
    pub fn file(&self) -> &'a str {
        &self.manifest.images_file
    }

    /// Where in the file the digest stands.
    #[must_use]
    pub fn position(&self) -> Position {
        self.entry.position
    }
}

/// A repository that wishes end in.
#[derive(Clone, Debug)]
pub struct DestinationRepository {
    /// The destination registry, as a project that asks for this repository writes it: of several that
    /// lead here, the one with the longest path.
    pub prefix: RegistryPrefix,
    /// The whole name at `prefix.host`.
    pub repository: Repository,
    /// The name below `prefix`.
    pub name: Repository,
    /// What it shall hold, as far as that is [chosen](crate::EdgeSet::choose_projects): by tag, those without a tag
    /// first, and then by digest; no (tag, digest) twice.
    pub edges: Vec<Edge>,
    /// What else it shall hold, in the same order.
    pub(crate) others: Vec<Edge>,
    /// Which registry of which manifest has the prefix.
    registry: (u32, u32),
    /// Further wishes for what an edge asks for already, in the same order, then as written.
    repeated: Vec<Edge>,
}

impl DestinationRepository {
    /// What else is asked for here than what was chosen to be looked at.
    #[must_use]
    pub fn others(&self) -> &[Edge] {
        &self.others
    }
}

/// Why an edge is a conflict: another one like it but for the digest.
#[derive(Clone, Copy, Debug)]
pub struct Conflict<'a> {
    /// The project that asks for the other digest; it may be the same one.
    pub project: &'a str,
    /// Its file.
    pub file: &'a str,
    /// Where the tag stands on the other digest.
    pub position: Position,
    /// The other digest.
    pub digest: Digest,
}

/// All edges of all projects.
#[derive(Debug)]
pub struct EdgeSet {
    manifests: Vec<PromotionManifest>,
    wishes: Vec<WishIndex>,
    pub(crate) destinations: Vec<DestinationRepository>,
    problems: Vec<Problem>,
}

/// Where a wish is found: manifest, image and digest entry.
#[derive(Debug)]
struct WishIndex {
    manifest: u32,
    image: u32,
    entry: u32,
}

/// A destination repository while its images are gathered.
struct Gathered {
    registry: (u32, u32),
    name: Repository,
    /// The wishes of each image that ends here.
    images: Vec<Range<u32>>,
}

/// The edges of a repository, and the further wishes for the same.
type Collapsed = (Vec<Edge>, Vec<Edge>);

impl EdgeSet {
    /// Works out the edges of `manifests`. What cannot be an edge is a [problem](Self::problems).
    #[must_use]
    pub fn new(manifests: Vec<PromotionManifest>) -> Self {
        let (wishes, destinations, problems) = (Vec::new(), Vec::new(), Vec::new());
        let mut set = Self { manifests, wishes, destinations, problems };
        let gathered = set.gather();
        let mut known = HashMap::new();
        set.destinations = gathered
            .into_iter()
            .map(|((_, repository), Gathered { registry, name, images })| {
                let (edges, repeated) =
                    known.entry(images).or_insert_with_key(|images| set.collapse(images)).clone();
                let (prefix, others) = (set.registry(registry).prefix.clone(), Vec::new());
                DestinationRepository {
                    prefix,
                    repository,
                    name,
                    edges,
                    others,
                    registry,
                    repeated,
                }
            })
            .collect();
        set
    }

    /// The number of edges that are chosen.
    #[must_use]
    pub fn len(&self) -> usize {
        self.destinations.iter().map(|destination| destination.edges.len()).sum()
    }

    /// Whether nothing is asked for that is chosen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.destinations.iter().all(|destination| destination.edges.is_empty())
    }

    /// The manifests, in the order given.
    #[must_use]
    pub fn manifests(&self) -> &[PromotionManifest] {
        &self.manifests
    }

    /// The repositories concerned, one for each host and whole name, in that order; also those of whose edges
    /// none is chosen.
    #[must_use]
    pub fn destinations(&self) -> &[DestinationRepository] {
        &self.destinations
    }

    /// What is no edge although it is asked for: images whose whole name at the source or at a
    /// destination is too long for a repository.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The `service-account` of the registry whose prefix `destination` has.
    #[must_use]
    pub fn service_account(&self, destination: &DestinationRepository) -> Option<&str> {
        self.registry(destination.registry).service_account.as_deref()
    }

    fn registry(&self, (manifest, registry): (u32, u32)) -> &Registry {
        &self.manifests[manifest as usize].destinations[registry as usize]
    }

    /// What `edge` asks for, as the first project that asks for it writes it.
    #[must_use]
    pub fn wish(&self, edge: &Edge) -> Wish<'_> {
        self.wish_by_id(WishId(edge.wish))
    }

    /// The wish of that `id`, which came from this set.
    #[must_use]
    pub fn wish_by_id(&self, id: WishId) -> Wish<'_> {
        let index = &self.wishes[id.0 as usize];
        let manifest = &self.manifests[index.manifest as usize];
        let image = &manifest.images[index.image as usize];
        Wish { id, manifest, image, entry: &image.digests[index.entry as usize] }
    }

    /// Which manifest a wish is of.
    pub(crate) fn manifest_of(&self, wish: WishId) -> usize {
        self.wishes[wish.0 as usize].manifest as usize
    }

    /// The digest of `edge`.
    #[must_use]
    pub fn digest(&self, edge: &Edge) -> Digest {
        self.wish(edge).entry.digest
    }

    /// The tag of `edge`, unless it asks for the digest alone.
    #[must_use]
    pub fn tag(&self, edge: &Edge) -> Option<&Tag> {
        self.tag_at(edge).map(|(tag, _)| tag)
    }

    /// Where `edge` stands in its [file](Wish::file): the tag, or the digest if it has none.
    #[must_use]
    pub fn position(&self, edge: &Edge) -> Position {
        self.tag_at(edge).map_or_else(|| self.wish(edge).position(), |(_, position)| *position)
    }

    /// Every wish for what `edge`, one of `destination`'s, asks for: the first written first. They
    /// are the places to copy from, to be tried in this order.
    pub fn sources<'a>(
        &'a self,
        edge: &Edge,
        destination: &'a DestinationRepository,
    ) -> impl Iterator<Item = Wish<'a>> {
        let key = self.key(edge);
        let repeated = &destination.repeated;
        let start = repeated.partition_point(|other| self.key(other) < key);
        let again = repeated[start..].iter().take_while(move |other| self.key(other) == key);
        iter::once(self.wish(edge)).chain(again.map(|other| self.wish(other)))
    }

    /// What `edge`, one of `destination`'s, conflicts with: the first of `destination`'s edges, chosen ones
    /// before others, with the same tag and another digest.
    #[must_use]
    pub fn conflict(
        &self,
        edge: &Edge,
        destination: &DestinationRepository,
    ) -> Option<Conflict<'_>> {
        if !edge.is_conflict() {
            return None;
        }
        let (tag, digest) = self.key(edge);
        let find = |edges: &'_ [Edge]| {
            let start = edges.partition_point(|other| self.tag(other) < tag);
            let mut same = edges[start..].iter().take_while(|other| self.tag(other) == tag);
            same.find(|other| self.digest(other) != *digest).copied()
        };
        let other = &find(&destination.edges).or_else(|| find(&destination.others))?;
        let wish = self.wish(other);
        Some(Conflict {
            project: &wish.manifest.project,
            file: wish.file(),
            position: self.position(other),
            digest: wish.entry.digest,
        })
    }

    fn tag_at(&self, edge: &Edge) -> Option<&(Tag, Position)> {
        edge.tag_index().map(|index| &self.wish(edge).entry.tags[index])
    }

    /// What two edges of one repository are compared by.
    pub(crate) fn key(&self, edge: &Edge) -> (Option<&Tag>, &Digest) {
        let entry = self.wish(edge).entry;
        (edge.tag_index().map(|index| &entry.tags[index].0), &entry.digest)
    }

    /// Numbers the wishes and sorts the images to the repositories that they end in.
    fn gather(&mut self) -> BTreeMap<(Host, Repository), Gathered> {
        let mut gathered = BTreeMap::<_, Gathered>::new();
        for (manifest_index, manifest) in self.manifests.iter().enumerate() {
            for (image_index, image) in manifest.images.iter().enumerate() {
                let (ends, problem) = whole_names(manifest, image);
                self.problems.extend(problem);
                let start = index(self.wishes.len());
                self.wishes.extend((0..image.digests.len()).map(|entry| WishIndex {
                    manifest: index(manifest_index),
                    image: index(image_index),
                    entry: index(entry),
                }));
                let wishes = start..index(self.wishes.len());
                for (registry, repository) in ends {
                    let host = manifest.destinations[registry as usize].prefix.host.clone();
                    let registry = (index(manifest_index), registry);
                    let new =
                        || Gathered { registry, name: image.name.clone(), images: Vec::new() };
                    let place = gathered.entry((host, repository)).or_insert_with(new);
                    // Below a longer path the name is shorter.
                    if image.name.as_str().len() < place.name.as_str().len() {
                        (place.registry, place.name) = (registry, image.name.clone());
                    }
                    place.images.push(wishes.clone());
                }
            }
        }
        gathered
    }

    /// The edges of a repository that these images end in.
    fn collapse(&self, images: &[Range<u32>]) -> Collapsed {
        let mut all: Vec<Edge> =
            images.iter().flat_map(Clone::clone).flat_map(|wish| self.edges_of(wish)).collect();
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

    /// One edge a tag, or a single one without.
    fn edges_of(&self, wish: u32) -> impl Iterator<Item = Edge> + use<> {
        let tags = index(self.wish(&Edge { wish, tag: Edge::NO_TAG }).entry.tags.len());
        let untagged = (tags == 0).then_some(Edge::NO_TAG);
        (0..tags).chain(untagged).map(move |tag| Edge { wish, tag })
    }
}

/// The whole names of `image` at each destination, by the destination's index, and the problem with those that
/// are too long. One too long at the source has nothing to come from, so it goes nowhere.
fn whole_names(
    manifest: &PromotionManifest,
    image: &Image,
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
    image: &Image,
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
    Problem::new(project, file, Some(image.position), &message)
}

/// An index as edges hold it.
fn index(value: usize) -> u32 {
    #[expect(
        clippy::expect_used,
        reason = "each wish takes 70 bytes of text and more of memory: 2³² of them fit nowhere"
    )]
    u32::try_from(value).expect("fewer than 2³² wishes")
}
