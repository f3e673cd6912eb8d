//! One lock for each digest: equal work is done by one task, while the others wait and then find it
//! done.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use oci::{Digest, Host, Repository};
use registry_client::RepositoryClient;
use tokio::sync::OwnedMutexGuard;

use crate::{Content, Destination, confirmed::Confirmed};

/// A value for each digest, each behind its own lock. Clones share the values.
///
/// Values stay for as long as the map: some 200 bytes for each digest that a run has met.
pub struct PerDigest<T>(Arc<Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<T>>>>>);

impl<T: Default> PerDigest<T> {
    /// Waits until no other task works on `digest`, and gives its value: at first the default one.
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
/// second finds what the first has moved, and where; and what the run has confirmed to be there. One for each run;
/// clones are the same.
///
/// One location takes some 100 bytes: a blob that goes to 22 registries takes two kilobytes.
#[derive(Clone, Debug, Default)]
pub struct TransferState {
    blobs: PerDigest<BlobLocations>,
    pub(crate) confirmed: Arc<Confirmed>,
}

impl TransferState {
    /// Nothing in motion yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until no other task moves this blob, and gives its locations.
    pub(crate) async fn lock(&self, digest: &Digest) -> OwnedMutexGuard<BlobLocations> {
        self.blobs.lock(digest).await
    }

    /// Notes that a blob is not at `destination`, whatever was found before.
    pub(crate) async fn forget_blob(&self, digest: &Digest, destination: &Destination) {
        self.confirmed.forget(Content::Blob(*digest), destination);
        if let Destination::Registry(repository) = destination {
            self.lock(digest).await.forget_repository(repository);
        }
    }
}

/// The repositories that a run knows to have a blob.
#[derive(Debug, Default)]
pub(crate) struct BlobLocations(Vec<(Host, Repository)>);

impl BlobLocations {
    /// Notes that the blob is there.
    pub(crate) fn add(&mut self, repository: &RepositoryClient) {
        if !self.has(repository) {
            self.0.push((repository.host().clone(), repository.name().clone()));
        }
    }

    /// Notes that nothing is known of this host any more.
    pub(crate) fn forget(&mut self, host: &Host) {
        self.0.retain(|(at, _)| at != host);
    }

    /// Notes that it is not in this very repository.
    pub(crate) fn forget_repository(&mut self, repository: &RepositoryClient) {
        self.0.retain(|(host, name)| (host, name) != (repository.host(), repository.name()));
    }

    /// Whether the blob is known to be in this very repository.
    pub(crate) fn has(&self, repository: &RepositoryClient) -> bool {
        self.0.iter().any(|(host, name)| host == repository.host() && name == repository.name())
    }

    /// A repository that has it, at the host and in the name of `like`.
    pub(crate) fn at(&self, like: &RepositoryClient) -> Option<RepositoryClient> {
        let (host, name) = self.0.iter().find(|(host, _)| host == like.host())?;
        Some(like.client().repository(host, name))
    }
}
