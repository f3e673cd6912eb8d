//! One lock for each digest: equal work is done by one task, while the others wait and then find it
//! done.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use oci::Digest;
use tokio::sync::OwnedMutexGuard;

/// A value for each digest, each behind its own lock. Clones share the values.
///
/// Values stay for as long as the map: some 200 bytes for each digest that a run has met.
pub struct PerDigest<T>(Arc<Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<T>>>>>);

impl<T: Default> PerDigest<T> {
    /// Waits for whoever works on `digest`, and gives its value: the default one at first.
    pub async fn lock(&self, digest: &Digest) -> OwnedMutexGuard<T> {
        let value = {
            let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(values.entry(*digest).or_default())
        };
        value.lock_owned().await
    }
}

impl<T> Clone for PerDigest<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for PerDigest<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> fmt::Debug for PerDigest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PerDigest")
    }
}

/// The blobs that a run has in motion: none is moved by two images at the same time, so that the
/// second finds what the first has moved. One for each run; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct InFlight(PerDigest<()>);

impl InFlight {
    /// Nothing in motion yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) async fn lock(&self, digest: &Digest) -> OwnedMutexGuard<()> {
        self.0.lock(digest).await
    }
}
