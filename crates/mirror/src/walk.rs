//! One way down from a tag, and how far it may go: the bounds of `transfer` on one image, and a lower one
//! on how much is held in memory while several tags are followed.

use std::sync::atomic::{AtomicUsize, Ordering};

use registry_client::RepositoryClient;
use transfer::{MAX_MANIFESTS, MAX_TREE_BYTES};

use crate::{
    bound::{BoundExceeded, LIGHT_TREE_BYTES},
    run::Run,
};

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
    weight: Weight,
    manifests: AtomicUsize,
    bytes: AtomicUsize,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(run: &'a Run<'a>, from: &'a RepositoryClient, weight: Weight) -> Self {
        Self { run, from, weight, manifests: AtomicUsize::new(0), bytes: AtomicUsize::new(0) }
    }

    /// Whether a manifest of this length may be read: only a walk that can be repeated believes it.
    pub(crate) fn expect(&self, size: u64) -> Result<(), BoundExceeded> {
        let bytes = self.bytes.load(Ordering::Relaxed) as u64;
        match self.weight {
            Weight::Light if bytes.saturating_add(size) > LIGHT_TREE_BYTES as u64 => {
                Err(BoundExceeded::Light)
            }
            Weight::Light | Weight::Heavy => Ok(()),
        }
    }

    /// Counts a manifest that was read.
    pub(crate) fn count(&self, length: usize) -> Result<(), BoundExceeded> {
        let manifests = self.manifests.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(length, Ordering::Relaxed) + length;
        match self.weight {
            _ if manifests > MAX_MANIFESTS => Err(BoundExceeded::Manifests),
            Weight::Light if bytes > LIGHT_TREE_BYTES => Err(BoundExceeded::Light),
            Weight::Heavy if bytes > MAX_TREE_BYTES => Err(BoundExceeded::Bytes),
            Weight::Light | Weight::Heavy => Ok(()),
        }
    }
}
