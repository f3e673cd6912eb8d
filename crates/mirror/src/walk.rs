//! One way down from a tag, and how far it may go: the bounds of `transfer` on one image, and a lower one
//! on how much is held in memory while several tags are followed.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

use registry_client::RepositoryClient;
use transfer::{MAX_DEPTH, MAX_MANIFESTS, MAX_TREE_BYTES};

use crate::run::Run;

/// How many bytes of manifests a tag may reach to be followed beside others; with more it waits until the
/// others are done, and is followed alone. Nearly all have less than a hundredth of it.
pub const LIGHT_TREE_BYTES: usize = 4 << 20;

/// Whether a tag is followed beside others, or alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Light,
    Heavy,
}

/// Which bound was passed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// That of [`Weight::Light`]: no failure yet.
    Light,
    Levels,
    Manifests,
    Bytes,
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Light => write!(f, "more than {LIGHT_TREE_BYTES} bytes of manifests"),
            Self::Levels => write!(f, "more than {MAX_DEPTH} levels of manifests"),
            Self::Manifests => write!(f, "more than {MAX_MANIFESTS} manifests"),
            Self::Bytes => write!(f, "more than {MAX_TREE_BYTES} bytes of manifests"),
        }
    }
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
    pub(crate) fn expect(&self, size: u64) -> Result<(), Beyond> {
        let bytes = self.bytes.load(Ordering::Relaxed) as u64;
        match self.weight {
            Weight::Light if bytes.saturating_add(size) > LIGHT_TREE_BYTES as u64 => {
                Err(Beyond::Light)
            }
            Weight::Light | Weight::Heavy => Ok(()),
        }
    }

    /// Counts a manifest that was read.
    pub(crate) fn count(&self, length: usize) -> Result<(), Beyond> {
        let manifests = self.manifests.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(length, Ordering::Relaxed) + length;
        match self.weight {
            _ if manifests > MAX_MANIFESTS => Err(Beyond::Manifests),
            Weight::Light if bytes > LIGHT_TREE_BYTES => Err(Beyond::Light),
            Weight::Heavy if bytes > MAX_TREE_BYTES => Err(Beyond::Bytes),
            Weight::Light | Weight::Heavy => Ok(()),
        }
    }
}
