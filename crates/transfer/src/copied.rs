//! What a copy did.

/// What one destination got of an image; all zero when it had everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Blobs whose bytes were sent.
    pub blobs: u64,
    /// The bytes of those blobs.
    pub bytes: u64,
    /// Blobs that the registry took from a repository of its own, without bytes being sent.
    pub mounted: u64,
    /// Manifests written.
    pub manifests: u64,
}
