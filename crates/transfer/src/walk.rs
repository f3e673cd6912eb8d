//! The bounded walk of an image: from its root down to every manifest that it reaches.
//!
//! Promotion and mirroring walk with it. What is done with a manifest is the caller's decision: [`Image::load`] keeps
//! all of them, and a mirror run writes each as soon as everything that it lists is in place.
//!
//! [`Image::load`]: crate::Image::load

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use oci::{Descriptor, Digest};
use registry_client::{FetchedManifest, RepositoryClient};

use crate::{BoundExceeded, Error, ImageNode, WalkBounds};

/// A walk, and how much it has read so far.
#[derive(Debug)]
pub struct Walk {
    bounds: WalkBounds,
    manifests: AtomicUsize,
    bytes: AtomicU64,
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
    pub const fn new(bounds: WalkBounds) -> Self {
        Self { bounds, manifests: AtomicUsize::new(0), bytes: AtomicU64::new(0) }
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
