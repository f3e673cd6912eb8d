//! One repository of one registry: manifests, tags, blobs.

use std::fmt;

use bytes::Bytes;
use oci::{Digest, Host, Reference, Repository, Tag};

use crate::{BlobReader, Client, Error, Mount, Upload};

/// The largest manifest that is read, in bytes. The specification asks registries to take 4 MiB;
/// indexes of attested multi-platform images come near it, and nothing in use is beyond four times that.
pub const MAX_MANIFEST_BYTES: usize = 16 << 20;

/// A manifest as it was served, its digest verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedManifest {
    /// The digest of `bytes`.
    pub digest: Digest,
    /// The media type it was served under, without parameters; empty when none was sent.
    pub media_type: String,
    /// The manifest.
    pub bytes: Bytes,
}

/// What a registry says about a manifest without sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestHead {
    /// The manifest's digest.
    pub digest: Digest,
    /// The media type it is served under, without parameters; empty when none was sent.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
}

/// A repository at a registry. Cheap to clone; prints as `host/name`.
#[derive(Clone, Debug)]
pub struct RepositoryClient {
    client: Client,
    host: Host,
    name: Repository,
}

impl RepositoryClient {
    pub(crate) fn new(client: Client, host: Host, name: Repository) -> Self {
        Self { client, host, name }
    }

    /// The registry.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The repository's name there.
    #[must_use]
    pub fn name(&self) -> &Repository {
        &self.name
    }

    /// Reads a manifest and verifies it: against `reference` when that is a digest, and against
    /// the digest that the registry sent with it.
    ///
    /// # Errors
    /// Also when it is longer than [`MAX_MANIFEST_BYTES`].
    pub async fn manifest(&self, reference: &Reference) -> Result<FetchedManifest, Error> {
        let _ = (reference, &self.client);
        todo!()
    }

    /// What `reference` is; none when it is not there. Where the registry does not send the digest
    /// with the answer to HEAD, the manifest is read.
    ///
    /// # Errors
    /// Any answer but success and 404.
    pub async fn head_manifest(
        &self,
        reference: &Reference,
    ) -> Result<Option<ManifestHead>, Error> {
        let _ = reference;
        todo!()
    }

    /// Writes a manifest under a tag or its digest, and returns its digest.
    ///
    /// # Errors
    /// Also, and before anything is sent, when `reference` is a digest that `bytes` does not have.
    pub async fn put_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Digest, Error> {
        let _ = (reference, media_type, bytes);
        todo!()
    }

    /// Deletes a manifest (by digest) or a tag.
    ///
    /// # Errors
    /// When it is not there, or the registry does not allow it.
    pub async fn delete_manifest(&self, reference: &Reference) -> Result<(), Error> {
        let _ = reference;
        todo!()
    }

    /// All tags, in the registry's order: none when it does not know the repository. Names outside
    /// the grammar are left out, since nothing can ask for them.
    ///
    /// # Errors
    /// When a page cannot be read, or there is no end of pages.
    pub async fn tags(&self) -> Result<Vec<Tag>, Error> {
        todo!()
    }

    /// Whether the blob is in this repository.
    ///
    /// # Errors
    /// Any answer but success and 404.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        let _ = digest;
        todo!()
    }

    /// Begins to read a blob.
    ///
    /// # Errors
    /// When it is not there, or cannot be read.
    pub async fn blob(&self, digest: &Digest) -> Result<BlobReader, Error> {
        let _ = digest;
        todo!()
    }

    /// Asks the registry to take the blob from its own repository `from`.
    ///
    /// # Errors
    /// When it neither does so nor opens an upload.
    pub async fn mount_blob(&self, digest: &Digest, from: &Repository) -> Result<Mount, Error> {
        let _ = (digest, from);
        todo!()
    }

    /// Opens an upload session.
    ///
    /// # Errors
    /// When the registry refuses, or its session lies at another host.
    pub async fn start_upload(&self) -> Result<Upload, Error> {
        todo!()
    }
}

impl fmt::Display for RepositoryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.name)
    }
}
