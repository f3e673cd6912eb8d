//! One way down from a tag, and how far it may go: the bounds of `transfer` on one image, and a lower one
//! on how much is held in memory while several tags are followed.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use registry_client::RepositoryClient;
use transfer::{BoundExceeded, WalkBounds};

use crate::{StoreSet, run::Run};

/// How many bytes of manifests a tag may reach to be followed beside others; with more it waits until the
/// others are done, and is followed alone. Nearly all have less than a hundredth of it.
pub const LIGHT_TREE_BYTES: usize = 4 << 20;

/// Whether a tag is followed beside others, or alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Light,
    Heavy,
}

/// The way down from one tag. What another one has been through is not counted again.
pub(crate) struct Walk<'a> {
    pub(crate) run: &'a Run<'a>,
    pub(crate) from: &'a RepositoryClient,
    /// The stores that it is for.
    pub(crate) stores: StoreSet,
    weight: Weight,
    manifests: AtomicUsize,
    bytes: AtomicU64,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        run: &'a Run<'a>,
        from: &'a RepositoryClient,
        stores: StoreSet,
        weight: Weight,
    ) -> Self {
        Self { run, from, stores, weight, manifests: AtomicUsize::new(0), bytes: AtomicU64::new(0) }
    }

    /// How much it may reach.
    pub(crate) const fn bounds(&self) -> WalkBounds {
        match self.weight {
            Weight::Light => WalkBounds::with_bytes(LIGHT_TREE_BYTES),
            Weight::Heavy => WalkBounds::IMAGE,
        }
    }

    /// Whether a manifest of this length may be read: only a walk that can be repeated believes it.
    pub(crate) fn expect(&self, size: u64) -> Result<(), BoundExceeded> {
        match self.weight {
            Weight::Light => {
                let bytes = self.bytes.load(Ordering::Relaxed);
                self.bounds().check_bytes(bytes.saturating_add(size))
            }
            Weight::Heavy => Ok(()),
        }
    }

    /// Counts a manifest that was read.
    pub(crate) fn count(&self, length: usize) -> Result<(), BoundExceeded> {
        let (bounds, length) = (self.bounds(), length as u64);
        bounds.check_manifests(self.manifests.fetch_add(1, Ordering::Relaxed) + 1)?;
        bounds.check_bytes(self.bytes.fetch_add(length, Ordering::Relaxed) + length)
    }
}
