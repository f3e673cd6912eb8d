//! The bounded walk of an image: from its root down to every manifest that it reaches.
//!
//! Promotion and mirroring walk with it. What is done with a manifest is the caller's decision: [`Image::load`] keeps
//! all of them, and a mirror run writes each as soon as everything that it lists is in place.
//!
//! [`Image::load`]: crate::Image::load

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use oci::{Descriptor, Digest};
use registry_client::{FetchedManifest, RepositoryClient};

use crate::{BoundExceeded, Error, ImageNode, SourceError, WalkBounds};

/// A walk, and how much it has read so far.
#[derive(Debug)]
pub struct Walk {
    bounds: WalkBounds,
    manifests: AtomicUsize,
    bytes: AtomicU64,
    met: Mutex<HashMap<Digest, MetManifest>>,
}

/// A manifest that a walk has met.
#[derive(Debug, Default)]
struct MetManifest {
    /// The level by the longest path to it that is known.
    level: usize,
    /// The manifests that it lists; none before it is read.
    children: Arc<[Digest]>,
}

/// A manifest on the path of a walk.
#[derive(Clone, Copy, Debug)]
pub struct WalkEntry {
    /// Its digest.
    pub digest: Digest,
    /// The manifest that lists it; none for the root.
    pub parent: Option<Digest>,
    /// How many manifests the path from the root has, both ends included.
    level: usize,
}

/// Why a walk could not read a manifest.
#[derive(Debug)]
pub enum WalkError {
    /// The walk would exceed a bound.
    Bound(BoundExceeded),
    /// The repository did not deliver the manifest, or not its bytes.
    Source(Error),
}

impl From<BoundExceeded> for WalkError {
    fn from(bound: BoundExceeded) -> Self {
        Self::Bound(bound)
    }
}

impl WalkError {
    /// The error of the walk from `root` of `source`.
    pub(crate) fn of_walk(self, source: &RepositoryClient, root: Digest) -> Error {
        match self {
            Self::Bound(bound) => {
                SourceError::TooLarge { repository: source.to_string(), root, bound }.into()
            }
            Self::Source(error) => error,
        }
    }
}

impl WalkEntry {
    /// The root of a walk.
    #[must_use]
    pub const fn root(digest: Digest) -> Self {
        Self { digest, parent: None, level: 1 }
    }

    /// The manifests that this one lists, each with its descriptor.
    pub fn children(self, node: &ImageNode) -> impl Iterator<Item = (&Descriptor, Self)> {
        let below = move |listed: &Descriptor| Self {
            digest: listed.digest,
            parent: Some(self.digest),
            level: self.level + 1,
        };
        node.children.iter().map(move |listed| (listed, below(listed)))
    }
}

impl Walk {
    /// A walk that has read nothing yet.
    #[must_use]
    pub fn new(bounds: WalkBounds) -> Self {
        let (manifests, bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self { bounds, manifests, bytes, met: Mutex::default() }
    }

    /// The manifests that `node` lists and that the walk did not meet before, so that each is read once. A walk that
    /// follows every path has no use for it.
    ///
    /// # Errors
    /// When there are too many, or one is too deep. The longest path to a manifest counts, whichever path was met first:
    /// the result must not depend on which response came first.
    pub fn meet<'n>(
        &self,
        entry: WalkEntry,
        node: &'n ImageNode,
    ) -> Result<Vec<(&'n Descriptor, WalkEntry)>, BoundExceeded> {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let parent = met.entry(entry.digest).or_default();
        parent.level = parent.level.max(entry.level);
        parent.children = node.children.iter().map(|listed| listed.digest).collect();
        let entry = WalkEntry { level: parent.level, ..entry };
        let mut is_new = |digest| match met.entry(digest) {
            Entry::Occupied(_) => false,
            Entry::Vacant(unmet) => {
                unmet.insert(MetManifest::default());
                true
            }
        };
        let unmet = entry.children(node).filter(|(_, child)| is_new(child.digest)).collect();
        self.bounds.check_manifests(met.len())?;
        self.deepen(&mut met, entry.digest)?;
        Ok(unmet)
    }

    /// Gives all manifests below this one at least the level that follows from its own. None rises more often than there
    /// are levels.
    fn deepen(
        &self,
        met: &mut HashMap<Digest, MetManifest>,
        from: Digest,
    ) -> Result<(), BoundExceeded> {
        let mut deeper = vec![from];
        while let Some(parent) = deeper.pop().and_then(|parent| met.get(&parent)) {
            let (level, children) = (parent.level + 1, Arc::clone(&parent.children));
            for child in children.iter() {
                let Some(below) = met.get_mut(child).filter(|below| below.level < level) else {
                    continue;
                };
                self.bounds.check_level(level)?;
                below.level = level;
                deeper.push(*child);
            }
        }
        Ok(())
    }

    /// Checks how deep a manifest is. A caller does this before it reads the manifest.
    ///
    /// # Errors
    /// When it is too deep.
    pub const fn check_level(&self, entry: WalkEntry) -> Result<(), BoundExceeded> {
        self.bounds.check_level(entry.level)
    }

    /// Checks whether so many bytes of manifests may be read besides those that were.
    ///
    /// # Errors
    /// When there would be too many.
    pub fn expect_bytes(&self, bytes: u64) -> Result<(), BoundExceeded> {
        self.bounds.check_bytes(self.bytes.load(Ordering::Relaxed).saturating_add(bytes))
    }

    /// Reads a manifest from a repository, verified against its digest, and counts it.
    ///
    /// # Errors
    /// When the repository does not deliver it, or the walk exceeds a bound with it.
    pub async fn fetch(
        &self,
        source: &RepositoryClient,
        entry: WalkEntry,
    ) -> Result<FetchedManifest, WalkError> {
        self.check_level(entry)?;
        let fetched = ImageNode::fetch(source, &entry.digest, entry.parent.as_ref()).await;
        let fetched = fetched.map_err(WalkError::Source)?;
        self.count(fetched.bytes.len())?;
        Ok(fetched)
    }

    /// Counts a manifest that was read, from wherever.
    ///
    /// # Errors
    /// When the walk exceeds a bound with it.
    pub fn count(&self, length: usize) -> Result<(), BoundExceeded> {
        let length = length as u64;
        let manifests = self.manifests.fetch_add(1, Ordering::Relaxed) + 1;
        self.bounds.check_manifests(manifests)?;
        self.bounds.check_bytes(self.bytes.fetch_add(length, Ordering::Relaxed) + length)
    }
}
