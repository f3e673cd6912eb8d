//! Reading a whole image: the walk that keeps every manifest.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, future::BoxFuture, stream};
use oci::Digest;
use registry_client::RepositoryClient;
use tokio::sync::Semaphore;

use crate::{
    Error, Image, ImageNode, SourceError, Walk, WalkBounds, WalkEntry, WalkError, image::check_size,
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
    nodes: Mutex<HashMap<Digest, ImageNode>>,
}

impl<'a> Load<'a> {
    fn new(source: &'a RepositoryClient, root: Digest) -> Self {
        Self {
            source,
            root,
            walk: Walk::new(WalkBounds::IMAGE),
            reads: Semaphore::new(READS_AT_ONCE),
            nodes: Mutex::default(),
        }
    }

    /// Reads everything that `node` reaches; boxed, since it calls itself.
    fn below<'f>(
        &'f self,
        node: &'f ImageNode,
        entry: WalkEntry,
    ) -> BoxFuture<'f, Result<(), Error>> {
        let read = async move {
            let unmet = self.walk.meet(entry, node).map_err(|bound| self.failed(bound.into()))?;
            let unmet: Vec<_> = unmet.into_iter().map(|(_, child)| child).collect();
            let unread = stream::iter(unmet).map(|entry| async move {
                let node = self.node(entry).await?;
                self.below(&node, entry).await?;
                self.nodes().insert(entry.digest, node);
                Ok(())
            });
            unread.buffer_unordered(READS_AT_ONCE).try_collect().await
        };
        read.boxed()
    }

    async fn node(&self, entry: WalkEntry) -> Result<ImageNode, Error> {
        // It is never closed.
        let _permit = self.reads.acquire().await;
        let fetched = self.walk.fetch(self.source, entry).await;
        let fetched = fetched.map_err(|error| self.failed(error))?;
        ImageNode::parse(fetched).map_err(|cause| {
            let repository = self.source.to_string();
            SourceError::Manifest { repository, digest: entry.digest, cause }.into()
        })
    }

    /// The image, once all is read.
    fn into_image(self, root: ImageNode) -> Result<Image, Error> {
        let mut nodes = std::mem::take(&mut *self.nodes());
        self.check_sizes(&root, &nodes)?;
        let mut below = Vec::with_capacity(nodes.len());
        place_children(&root, &mut nodes, &mut below);
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

    fn failed(&self, error: WalkError) -> Error {
        error.of_walk(self.source, self.root)
    }

    fn nodes(&self) -> MutexGuard<'_, HashMap<Digest, ImageNode>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
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
