//! Where an image goes.

use std::{fmt, sync::Arc};

use blob_store::BlobStore;
use oci::{Descriptor, Digest, Reference};
use registry_client::{FetchedManifest, FoundBlob, RepositoryClient};

use crate::{Content, DestinationError, Error};

/// A repository or store that content is written to.
#[derive(Clone, Debug)]
pub enum Destination {
    /// A repository of a registry.
    Registry(RepositoryClient),
    /// A blob store.
    Store(BlobStore),
}

/// How certain it must be that a registry does not have a manifest. The absence of a blob is always confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// By HEAD alone: a wrong 404 costs only that the manifest is written again under its digest.
    Hinted,
    /// A HEAD with status 404 is confirmed by GET, since a verdict or a report depends on it.
    Confirmed,
}

impl Destination {
    /// Whether the manifest is there.
    pub(crate) async fn has_manifest(
        &self,
        manifest: &FetchedManifest,
        absence: Absence,
    ) -> Result<bool, Error> {
        let FetchedManifest { digest, bytes, .. } = manifest;
        let content = Content::Manifest(*digest);
        let repository = match self {
            Self::Registry(repository) => repository,
            Self::Store(store) => {
                return self.store_has(store, content, digest, bytes.len() as u64).await;
            }
        };
        let reference = Reference::Digest(*digest);
        let found = match absence {
            Absence::Hinted => {
                repository.hint_manifest(&reference).await.map(|head| head.is_present())
            }
            Absence::Confirmed => {
                repository.find_manifest(&reference).await.map(|head| head.is_some())
            }
        };
        found.map_err(|cause| self.registry_failed("look for", content, cause))
    }

    /// Whether the blob is there, with the length that its descriptor says.
    pub(crate) async fn find_blob(&self, blob: &Descriptor) -> Result<FoundBlob, Error> {
        let digest = &blob.digest;
        let content = Content::Blob(*digest);
        match self {
            Self::Registry(repository) => repository
                .find_blob(digest, blob.size)
                .await
                .map_err(|cause| self.registry_failed("look for", content, cause)),
            Self::Store(store) => {
                let is_there = self.store_has(store, content, digest, blob.size).await?;
                Ok(if is_there { FoundBlob::Present } else { FoundBlob::Absent })
            }
        }
    }

    /// Whether a store has the content in the right size. Content of another size is damaged, and is written again.
    async fn store_has(
        &self,
        store: &BlobStore,
        content: Content,
        digest: &Digest,
        size: u64,
    ) -> Result<bool, Error> {
        blob_store::found(store.head(digest).await)
            .map(|head| head.is_some_and(|head| head.length == size))
            .map_err(|cause| self.store_failed("look for", content, cause))
    }

    /// Writes a manifest, under its digest only.
    pub(crate) async fn put_manifest(&self, manifest: &FetchedManifest) -> Result<(), Error> {
        let FetchedManifest { digest, media_type, bytes } = manifest;
        let content = Content::Manifest(*digest);
        match self {
            Self::Registry(repository) => repository
                .put_manifest(&Reference::Digest(*digest), media_type, bytes.clone())
                .await
                .map(|_its_digest| ())
                .map_err(|cause| self.registry_failed("write", content, cause)),
            Self::Store(store) => store
                .put(digest, bytes.clone())
                .await
                .map(|_written_or_there| ())
                .map_err(|cause| self.store_failed("write", content, cause)),
        }
    }

    pub(crate) fn registry_failed(
        &self,
        action: &'static str,
        content: Content,
        cause: registry_client::Error,
    ) -> Error {
        let destination = self.to_string();
        DestinationError::Registry { destination, action, content, cause }.into()
    }

    pub(crate) fn lags(&self, content: Content) -> Error {
        DestinationError::Lags { destination: self.to_string(), content }.into()
    }

    pub(crate) fn store_failed(
        &self,
        action: &'static str,
        content: Content,
        cause: blob_store::Error,
    ) -> Error {
        let (destination, cause) = (self.to_string(), Arc::new(cause));
        DestinationError::Store { destination, action, content, cause }.into()
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(repository) => repository.fmt(f),
            Self::Store(store) => store.fmt(f),
        }
    }
}
