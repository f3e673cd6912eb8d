//! The walk from one tag: the bounded walk of `transfer`, and a tighter bound on memory while several tags are
//! followed.

use registry_client::RepositoryClient;
use transfer::{BoundExceeded, Walk, WalkBounds};

use crate::{StoreSet, run::MirrorRun};

/// How many bytes of manifests a tag may reach to be followed beside others; with more it waits until the
/// others are done, and is followed alone. Nearly all have less than a hundredth of it.
pub const LIGHT_TREE_BYTES: usize = 4 << 20;

/// Whether a tag is followed beside others, or alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Light,
    Heavy,
}

/// The walk from one tag. Manifests that the walk from another tag has read are not counted again.
pub(crate) struct TagWalk<'a> {
    pub(crate) run: &'a MirrorRun<'a>,
    pub(crate) from: &'a RepositoryClient,
    /// The stores that it is for.
    pub(crate) stores: StoreSet,
    pub(crate) walk: Walk,
    weight: Weight,
}

impl<'a> TagWalk<'a> {
    pub(crate) fn new(
        run: &'a MirrorRun<'a>,
        from: &'a RepositoryClient,
        stores: StoreSet,
        weight: Weight,
    ) -> Self {
        let bounds = match weight {
            Weight::Light => WalkBounds::with_bytes(LIGHT_TREE_BYTES),
            Weight::Heavy => WalkBounds::IMAGE,
        };
        Self { run, from, stores, walk: Walk::new(bounds), weight }
    }

    /// Whether a manifest of this described length may be read. Only a light walk trusts the description, since it can
    /// be repeated.
    pub(crate) fn expect(&self, size: u64) -> Result<(), BoundExceeded> {
        match self.weight {
            Weight::Light => self.walk.expect_bytes(size),
            Weight::Heavy => Ok(()),
        }
    }
}
