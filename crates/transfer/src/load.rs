//! Reading a whole image: the walk that keeps every manifest.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, future::BoxFuture, stream};
use oci::Digest;
use registry_client::RepositoryClient;
use tokio::sync::Semaphore;

use crate::{
    BoundExceeded, Error, Image, ImageNode, SourceError, Walk, WalkBounds, WalkEntry, WalkError,
    image::check_size, walk_bounds::MAX_DEPTH,
};

/// How many manifests of one image are read at the same time: enough for the platforms of a usual one.
const READS_AT_ONCE: usize = 8;

impl Image {
    /// Reads manifest `digest` of `source`, and every manifest that it reaches, each once.
    ///
    /// # Errors
    /// When one of them is missing, unreadable, not of a kind that can be copied, or the whole is
    /// beyond [`WalkBounds::IMAGE`].
    pub async fn load(source: &RepositoryClient, digest: &Digest) -> Result<Self, Error> {
        let load = Load::new(source, *digest);
        let entry = WalkEntry::root(*digest);
        let root = load.node(entry).await?;
        load.below(&root, entry).await?;
        load.into_image(root)
    }
}

/// An image that is being read.
struct Load<'a> {
    source: &'a RepositoryClient,
    root: Digest,
    walk: Walk,
    reads: Semaphore,
    state: Mutex<Loaded>,
}

/// What was read of it.
#[derive(Default)]
struct Loaded {
    /// Every manifest that was met: it was read, or is about to be.
    met: HashSet<Digest>,
    nodes: HashMap<Digest, ImageNode>,
}

impl<'a> Load<'a> {
    fn new(source: &'a RepositoryClient, root: Digest) -> Self {
        let state = Loaded { met: HashSet::from([root]), nodes: HashMap::new() };
        Self {
            source,
            root,
            walk: Walk::new(WalkBounds::IMAGE),
            reads: Semaphore::new(READS_AT_ONCE),
            state: Mutex::new(state),
        }
    }

    /// Reads everything that `node` reaches; boxed, since it calls itself.
    fn below<'f>(
        &'f self,
        node: &'f ImageNode,
        entry: WalkEntry,
    ) -> BoxFuture<'f, Result<(), Error>> {
        let read = async move {
            let unread = stream::iter(self.meet(node, entry)?).map(|entry| async move {
                let node = self.node(entry).await?;
                self.below(&node, entry).await?;
                self.state().nodes.insert(entry.digest, node);
                Ok(())
            });
            unread.buffer_unordered(READS_AT_ONCE).try_collect().await
        };
        read.boxed()
    }

    async fn node(&self, entry: WalkEntry) -> Result<ImageNode, Error> {
        // It is never closed.
        let _permit = self.reads.acquire().await;
        let fetched = self.walk.fetch(self.source, entry).await.map_err(|error| match error {
            WalkError::Bound(bound) => self.refused(bound),
            WalkError::Source(error) => error,
        })?;
        ImageNode::parse(fetched).map_err(|cause| {
            let repository = self.source.to_string();
            SourceError::Manifest { repository, digest: entry.digest, cause }.into()
        })
    }

    /// The children that were not met before. Too many are refused before any of them is read.
    fn meet(&self, node: &ImageNode, entry: WalkEntry) -> Result<Vec<WalkEntry>, Error> {
        let mut state = self.state();
        let children = entry.children(node).map(|(_, child)| child);
        let unmet = children.filter(|child| state.met.insert(child.digest)).collect();
        let checked = WalkBounds::IMAGE.check_manifests(state.met.len());
        checked.map(|()| unmet).map_err(|bound| self.refused(bound))
    }

    /// The image, once all is read.
    fn into_image(self, root: ImageNode) -> Result<Image, Error> {
        let mut nodes = std::mem::take(&mut self.state().nodes);
        self.check_sizes(&root, &nodes)?;
        let mut below = Vec::with_capacity(nodes.len());
        place_children(&root, &mut nodes, &mut below);
        if depth(&root, &below) > MAX_DEPTH {
            return Err(self.refused(BoundExceeded::Levels));
        }
        Ok(Image { source: self.source.clone(), below, root })
    }

    /// Whether each manifest has the size that each one which lists it says.
    fn check_sizes(
        &self,
        root: &ImageNode,
        nodes: &HashMap<Digest, ImageNode>,
    ) -> Result<(), Error> {
        for parent in nodes.values().chain([root]) {
            for listed in &parent.children {
                let Some(child) = nodes.get(&listed.digest) else { continue };
                let found = child.manifest.bytes.len() as u64;
                check_size(self.source, &parent.manifest.digest, listed, found)?;
            }
        }
        Ok(())
    }

    fn refused(&self, bound: BoundExceeded) -> Error {
        SourceError::TooLarge { repository: self.source.to_string(), root: self.root, bound }.into()
    }

    fn state(&self) -> MutexGuard<'_, Loaded> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves the nodes below `node` from `nodes` to `placed`, each behind all that it lists. A digest
/// cannot list itself, at whatever distance, and what was placed is not met again: so it ends.
fn place_children(
    node: &ImageNode,
    nodes: &mut HashMap<Digest, ImageNode>,
    placed: &mut Vec<ImageNode>,
) {
    for child in &node.children {
        if let Some(child) = nodes.remove(&child.digest) {
            place_children(&child, nodes, placed);
            placed.push(child);
        }
    }
}

/// How many manifests the longest path from the root has. The walk took one path to each manifest, which may have been
/// a shorter one; the result must not depend on which response came first.
fn depth(root: &ImageNode, below: &[ImageNode]) -> usize {
    let mut levels = HashMap::from([(root.manifest.digest, 1)]);
    for node in std::iter::once(root).chain(below.iter().rev()) {
        let level = levels.get(&node.manifest.digest).copied().unwrap_or(1) + 1;
        for child in &node.children {
            let known = levels.entry(child.digest).or_insert(level);
            *known = level.max(*known);
        }
    }
    levels.into_values().max().unwrap_or(1)
}
