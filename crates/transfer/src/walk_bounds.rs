//! The bounds of a walk: levels, manifests, and bytes of manifests below one root.

use std::fmt;

/// How deep indexes may nest, the root and the images counted. Real ones have two levels, rarely three.
pub const MAX_DEPTH: usize = 8;

/// How many manifests one image may reach. The largest indexes in use list a few hundred.
pub const MAX_MANIFESTS: usize = 2_048;

/// How many bytes the manifests of one image may have together, since they are held in memory while
/// it is copied: sixteen times what registries must accept as one manifest.
pub const MAX_TREE_BYTES: usize = 64 << 20;

/// How much one walk may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkBounds {
    max_bytes: usize,
}

impl WalkBounds {
    /// The bounds on an image.
    pub const IMAGE: Self = Self { max_bytes: MAX_TREE_BYTES };

    /// The bounds on an image, with at most `max_bytes` of manifests.
    #[must_use]
    pub const fn with_bytes(max_bytes: usize) -> Self {
        Self { max_bytes: if max_bytes < MAX_TREE_BYTES { max_bytes } else { MAX_TREE_BYTES } }
    }

    /// Checks a level, which is 1 for the root.
    ///
    /// # Errors
    /// When it is too deep.
    pub const fn check_level(self, level: usize) -> Result<(), BoundExceeded> {
        if level > MAX_DEPTH { Err(BoundExceeded::Levels) } else { Ok(()) }
    }

    /// Checks how many manifests were reached.
    ///
    /// # Errors
    /// When there are too many.
    pub const fn check_manifests(self, manifests: usize) -> Result<(), BoundExceeded> {
        if manifests > MAX_MANIFESTS { Err(BoundExceeded::Manifests) } else { Ok(()) }
    }

    /// Checks how many bytes these manifests have together.
    ///
    /// # Errors
    /// When there are too many.
    pub const fn check_bytes(self, bytes: u64) -> Result<(), BoundExceeded> {
        if bytes > self.max_bytes as u64 {
            Err(BoundExceeded::Bytes { max: self.max_bytes })
        } else {
            Ok(())
        }
    }
}

/// Which bound was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BoundExceeded {
    /// [`MAX_DEPTH`].
    Levels,
    /// [`MAX_MANIFESTS`].
    Manifests,
    /// [`MAX_TREE_BYTES`], or fewer where a walk has to be lighter.
    Bytes {
        /// How many bytes of manifests were allowed.
        max: usize,
    },
}

impl fmt::Display for BoundExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Levels => write!(f, "more than {MAX_DEPTH} levels of manifests"),
            Self::Manifests => write!(f, "more than {MAX_MANIFESTS} manifests"),
            Self::Bytes { max } => write!(f, "more than {max} bytes of manifests"),
        }
    }
}
