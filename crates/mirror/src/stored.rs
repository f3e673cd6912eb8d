//! What the store has of wanted content, and so what is to be written.

use blob_store::{Part, found};
use bytes::Bytes;
use oci::{Descriptor, Digest};
use registry_client::MAX_MANIFEST_BYTES;
use transfer::Content;

use crate::{PlannedWrite, WriteAction, run::Run, state::Fault};

/// What the store has of a manifest.
pub(crate) enum StoredManifest {
    /// All of it, verified.
    Whole(Bytes),
    /// Nothing, or something else: this is to be done.
    Lacking(WriteAction),
}

impl Run<'_> {
    /// Plans a blob: nothing where the store has it.
    pub(crate) async fn plan_blob(&self, blob: &Descriptor) -> Result<Option<PlannedWrite>, Fault> {
        let head = found(self.options.to.head(&blob.digest).await);
        let action = match head.map_err(|error| self.not_stored(error))? {
            Some(head) if head.length == blob.size => return Ok(None),
            Some(_) => WriteAction::Repair,
            None => WriteAction::Copy,
        };
        let content = Content::Blob(blob.digest);
        Ok(Some(PlannedWrite { content, size: blob.size, action }))
    }

    /// Plans a manifest, which the store is read for: what it has is followed from there.
    pub(crate) async fn stored_manifest(&self, digest: &Digest) -> Result<StoredManifest, Fault> {
        let max = MAX_MANIFEST_BYTES as u64;
        match found(self.options.to.get(digest, Part::Whole, max).await) {
            Ok(Some(bytes)) => Ok(StoredManifest::Whole(bytes)),
            Ok(None) => Ok(StoredManifest::Lacking(WriteAction::Copy)),
            Err(error) if error.is_damaged() => Ok(StoredManifest::Lacking(WriteAction::Repair)),
            Err(error) => Err(self.not_stored(error)),
        }
    }
}
