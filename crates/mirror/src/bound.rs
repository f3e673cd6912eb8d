//! The bounds on what one tag reaches.

use std::fmt;

use transfer::{MAX_DEPTH, MAX_MANIFESTS, MAX_TREE_BYTES};

/// How many bytes of manifests a tag may reach to be followed beside others; with more it waits until the
/// others are done, and is followed alone. Nearly all have less than a hundredth of it.
pub const LIGHT_TREE_BYTES: usize = 4 << 20;

/// Which bound was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BoundExceeded {
    /// That of tags that are followed beside others: no failure yet.
    Light,
    /// [`MAX_DEPTH`].
    Levels,
    /// [`MAX_MANIFESTS`].
    Manifests,
    /// [`MAX_TREE_BYTES`].
    Bytes,
}

impl fmt::Display for BoundExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Light => write!(f, "more than {LIGHT_TREE_BYTES} bytes of manifests"),
            Self::Levels => write!(f, "more than {MAX_DEPTH} levels of manifests"),
            Self::Manifests => write!(f, "more than {MAX_MANIFESTS} manifests"),
            Self::Bytes => write!(f, "more than {MAX_TREE_BYTES} bytes of manifests"),
        }
    }
}
