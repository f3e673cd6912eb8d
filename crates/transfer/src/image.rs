//! An image as it is at its source: every manifest that its root reaches, read once and verified.
//!
//! What is followed, and what is refused, are the rows of `docs/internals/transfer.md`, "Reading an image".

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci::{Descriptor, Digest, Manifest, ManifestError, Reference, media_type};
use registry_client::{FetchedManifest, RepositoryClient};

use crate::{BoundExceeded, Content, Error, SourceError, WalkBounds, walk_bounds::MAX_DEPTH};

/// How many manifests of one image are read at the same time: enough for the platforms of a usual one.
const READS_AT_ONCE: usize = 8;

/// A manifest and what it lists, each once; what it lists with several sizes, once with each.
#[derive(Clone, Debug)]
pub struct Node {
    /// The manifest as it came. Its media type is one under which it can be put, even where it was
    /// served under none.
    pub manifest: FetchedManifest,
    /// The manifests that it lists.
    pub children: Vec<Descriptor>,
    /// The blobs that it lists: config and layers, and what an index lists that is no manifest.
    pub blobs: Vec<Descriptor>,
    /// The layers that it lists and that are left alone, since they are not distributable.
    pub not_distributable: Vec<Descriptor>,
}

impl Node {
    /// Reads a manifest of `source`, which `parent` lists; nobody lists the root of an image.
    ///
    /// # Errors
    /// When it is missing, unreadable, or not of a kind that can be copied.
    pub async fn read(
        source: &RepositoryClient,
        digest: &Digest,
        parent: Option<&Digest>,
    ) -> Result<Self, Error> {
        let fetched = Self::fetch(source, digest, parent).await?;
        let repository = source.to_string();
        let refused = |cause| SourceError::Manifest { repository, digest: *digest, cause };
        Ok(Self::parse(fetched).map_err(refused)?)
    }

    /// Only the bytes of what [`Node::read`] reads, so that a caller can count them first.
    ///
    /// # Errors
    /// When it is missing or unreadable.
    pub async fn fetch(
        source: &RepositoryClient,
        digest: &Digest,
        parent: Option<&Digest>,
    ) -> Result<FetchedManifest, Error> {
        let fetched = source.manifest(&Reference::Digest(*digest)).await;
        let unread = |error| SourceError::read(source, Content::Manifest(*digest), parent, error);
        Ok(fetched.map_err(unread)?)
    }

    /// Reads what `manifest` lists.
    ///
    /// # Errors
    /// When it is not a manifest of a kind that can be copied, such as Docker schema 1.
    pub fn parse(mut manifest: FetchedManifest) -> Result<Self, ManifestError> {
        let parsed = Manifest::parse(&manifest.media_type, &manifest.bytes)?;
        if !media_type::is_manifest(media_type::essence(&manifest.media_type)) {
            manifest.media_type = own_media_type(&parsed).to_owned();
        }
        let mut seen = HashSet::new();
        let listed = parsed.children().iter().chain(parsed.blobs());
        let once = listed.filter(|listed| seen.insert((listed.digest, listed.size)));
        let once: Vec<_> = once.cloned().collect();
        let is_manifest = |listed: &Descriptor| media_type::is_manifest(&listed.media_type);
        let lists_manifests = matches!(parsed, Manifest::Index(_));
        let (children, blobs) =
            once.into_iter().partition(|listed| lists_manifests && is_manifest(listed));
        let not_distributable = parsed.not_distributable().cloned().collect();
        Ok(Self { manifest, children, blobs, not_distributable })
    }
}

/// Checks the length of a manifest against the `size` with which `parent` lists it: clients that read it through that
/// one refuse another length, as they do of a blob.
///
/// # Errors
/// When they differ.
pub fn check_size(
    source: &RepositoryClient,
    parent: &Digest,
    listed: &Descriptor,
    found: u64,
) -> Result<(), Error> {
    if listed.size == found {
        return Ok(());
    }
    let (repository, content) = (source.to_string(), Content::Manifest(listed.digest));
    let (parent, described) = (*parent, listed.size);
    Err(SourceError::Size { repository, content, parent, described, found }.into())
}

/// The media type of a manifest that was served under a generic one.
fn own_media_type(manifest: &Manifest) -> &str {
    let (own, otherwise) = match manifest {
        Manifest::Image(image) => (&image.media_type, media_type::OCI_MANIFEST),
        Manifest::Index(index) => (&index.media_type, media_type::OCI_INDEX),
    };
    own.as_deref().filter(|own| !own.is_empty()).unwrap_or(otherwise)
}

/// An image at its source: what is to be copied.
#[derive(Clone, Debug)]
pub struct Image {
    pub(crate) source: RepositoryClient,
    /// Children before those that list them; the root is not among them.
    pub(crate) below: Vec<Node>,
    pub(crate) root: Node,
}

impl Image {
    /// Reads manifest `digest` of `source`, and every manifest that it reaches.
    ///
    /// # Errors
    /// When one of them is missing, unreadable, not of a kind that can be copied, or the whole is
    /// beyond [`WalkBounds::IMAGE`].
    pub async fn load(source: &RepositoryClient, digest: &Digest) -> Result<Self, Error> {
        let mut walk = Walk::new(source, *digest);
        let root = Node::read(source, digest, None).await?;
        let mut level = walk.enter(&root)?;
        for _ in 1..MAX_DEPTH {
            level = walk.descend(level).await?;
        }
        if !level.is_empty() {
            return Err(walk.refused(BoundExceeded::Levels));
        }
        walk.check_sizes(&root)?;
        let mut below = Vec::with_capacity(walk.nodes.len());
        place_children(&root, &mut walk.nodes, &mut below);
        Ok(Self { source: source.clone(), below, root })
    }

    /// Where it was read.
    #[must_use]
    pub fn source(&self) -> &RepositoryClient {
        &self.source
    }

    /// The same image as `repository` has it: its blobs are read there, no manifest is read again.
    #[must_use]
    pub fn at(&self, repository: RepositoryClient) -> Self {
        Self { source: repository, ..self.clone() }
    }

    /// The manifest that was asked for.
    #[must_use]
    pub fn root(&self) -> &FetchedManifest {
        &self.root.manifest
    }

    /// All its blobs, each once.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let mut seen = HashSet::new();
        let all = self.nodes().flat_map(|node| &node.blobs);
        all.filter(move |blob| seen.insert(blob.digest))
    }

    /// The layers that are not copied, since they are not distributable.
    pub fn not_distributable(&self) -> impl Iterator<Item = &Descriptor> {
        self.nodes().flat_map(|node| &node.not_distributable)
    }

    /// All its manifests, each once, children before those that list them, the root last.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.below.iter().chain(std::iter::once(&self.root))
    }
}

/// The walk from a root down, level by level.
struct Walk<'a> {
    source: &'a RepositoryClient,
    root: Digest,
    /// Every manifest met, read or about to be.
    met: HashSet<Digest>,
    nodes: HashMap<Digest, Node>,
    bytes: u64,
}

/// A manifest that is to be read, and which one lists it.
struct UnreadChild {
    digest: Digest,
    parent: Digest,
}

impl<'a> Walk<'a> {
    fn new(source: &'a RepositoryClient, root: Digest) -> Self {
        Self { source, root, met: HashSet::from([root]), nodes: HashMap::new(), bytes: 0 }
    }

    /// Counts a node, and returns what of its children is still to be read.
    fn enter(&mut self, node: &Node) -> Result<Vec<UnreadChild>, Error> {
        self.bytes += node.manifest.bytes.len() as u64;
        let bounds = WalkBounds::IMAGE;
        bounds.check_bytes(self.bytes).map_err(|bound| self.refused(bound))?;
        let parent = node.manifest.digest;
        let children = node.children.iter().map(|child| child.digest);
        let unmet = children.filter(|digest| self.met.insert(*digest));
        let unmet = unmet.map(|digest| UnreadChild { digest, parent }).collect();
        bounds.check_manifests(self.met.len()).map_err(|bound| self.refused(bound))?;
        Ok(unmet)
    }

    /// Reads a level, and returns the next.
    async fn descend(&mut self, level: Vec<UnreadChild>) -> Result<Vec<UnreadChild>, Error> {
        let mut next = Vec::new();
        let source = self.source;
        let mut reads =
            stream::iter(level)
                .map(|listed| async move {
                    Node::read(source, &listed.digest, Some(&listed.parent)).await
                })
                .buffer_unordered(READS_AT_ONCE);
        while let Some(node) = reads.try_next().await? {
            next.extend(self.enter(&node)?);
            self.nodes.insert(node.manifest.digest, node);
        }
        Ok(next)
    }

    /// Whether each manifest has the size that each one which lists it says.
    fn check_sizes(&self, root: &Node) -> Result<(), Error> {
        for parent in self.nodes.values().chain([root]) {
            for listed in &parent.children {
                let Some(child) = self.nodes.get(&listed.digest) else { continue };
                let found = child.manifest.bytes.len() as u64;
                check_size(self.source, &parent.manifest.digest, listed, found)?;
            }
        }
        Ok(())
    }

    fn refused(&self, bound: BoundExceeded) -> Error {
        SourceError::TooLarge { repository: self.source.to_string(), root: self.root, bound }.into()
    }
}

/// Moves the nodes below `node` from `nodes` to `placed`, each behind all that it lists. A digest
/// cannot list itself, at whatever distance, and what was placed is not met again: so it ends.
fn place_children(node: &Node, nodes: &mut HashMap<Digest, Node>, placed: &mut Vec<Node>) {
    for child in &node.children {
        if let Some(child) = nodes.remove(&child.digest) {
            place_children(&child, nodes, placed);
            placed.push(child);
        }
    }
}
