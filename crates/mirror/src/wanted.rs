//! The wanted content: the manifests and blobs that a tag reaches. Each is planned and executed as it is found.

use bytes::Bytes;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{self, BoxFuture},
    stream::{self, BoxStream},
};
use oci::{Descriptor, Digest, ManifestError, Reference};
use registry_client::FetchedManifest;
use transfer::{Content, ImageNode, WalkEntry, WalkError, check_size};

use crate::{
    FailedContent, FailureCause, FailureCode,
    execute::WantedBlob,
    once::Lacking,
    state::{ContentFailure, Mirrored, NotMirrored, StoreFailures},
    stored::StorePlan,
    tag_walk::TagWalk,
};

/// How many manifests and blobs that one manifest lists are handled at the same time.
pub const LISTED_AT_ONCE: usize = 4;

impl TagWalk<'_> {
    /// Mirrors a manifest and everything that it reaches; boxed, since it calls itself.
    pub(crate) fn manifest<'f>(
        &'f self,
        manifest: &'f Descriptor,
        entry: WalkEntry,
    ) -> BoxFuture<'f, Mirrored<NotMirrored>> {
        let work = move |lacking| self.new_manifest(manifest, entry, lacking);
        self.once(&self.run.manifests, Content::Manifest(manifest.digest), work).boxed()
    }

    async fn new_manifest(
        &self,
        manifest: &Descriptor,
        entry: WalkEntry,
        lacking: Lacking,
    ) -> Result<Mirrored<ContentFailure>, ContentFailure> {
        self.walk.check_level(entry)?;
        let (node, mut plan) = self.read(manifest, entry, lacking).await?;
        let Some(node) = node else {
            return Ok(Mirrored { length: None, failures: plan.failures });
        };
        let length = Some(node.manifest.bytes.len() as u64);
        // All are tried even if one fails: what arrives need not be copied again.
        let listed = self.listed_by(&node, entry);
        let below =
            listed.fold(StoreFailures::default(), |so_far, next| future::ready(so_far.join(next)));
        for (store, incomplete) in below.await.within(lacking.stores) {
            plan.fail(store, incomplete);
        }
        let failures = self.run.execute_manifest(plan, node.manifest).await;
        Ok(Mirrored { length, failures })
    }

    /// Mirrors everything that a manifest lists. Each entry starts in its turn, since there may be a hundred thousand.
    fn listed_by<'f>(
        &'f self,
        node: &'f ImageNode,
        entry: WalkEntry,
    ) -> BoxStream<'f, StoreFailures<NotMirrored>> {
        let parent = &node.manifest.digest;
        let children = stream::iter(entry.children(node));
        let children = children.map(move |(child, entry)| self.child(child, entry, parent).boxed());
        let blobs = stream::iter(&node.blobs).map(move |blob| self.blob(blob, parent));
        children.chain(blobs).buffer_unordered(LISTED_AT_ONCE).boxed()
    }

    /// Mirrors a manifest that an index lists. If its size is not what the index says, the index is broken.
    async fn child(
        &self,
        listed: &Descriptor,
        entry: WalkEntry,
        parent: &Digest,
    ) -> StoreFailures<NotMirrored> {
        let Mirrored { length, failures } = self.manifest(listed, entry).await;
        let stores = self.stores.without(failures.stores());
        let Some(found) = length.filter(|_| !stores.is_empty()) else { return failures };
        let Err(error) = check_size(self.from, parent, listed, found) else { return failures };
        let reference = Some(Reference::Digest(*parent));
        self.run.fail(stores, Some(self.from.name()), reference, FailureCause::NotCopied(error));
        let content = Content::Manifest(*parent);
        let code = FailureCode::ContentInvalid;
        let invalid = NotMirrored::Failed(FailedContent { content, code });
        failures.join(StoreFailures::all(stores, &invalid))
    }

    /// Reads a manifest from a store, or from the registry if no store has it, and plans it in each store. No manifest
    /// if no store can be written to.
    async fn read(
        &self,
        manifest: &Descriptor,
        entry: WalkEntry,
        lacking: Lacking,
    ) -> Result<(Option<ImageNode>, StorePlan), ContentFailure> {
        self.expect(manifest.size)?;
        let _permit = self.run.reads.acquire().await;
        let (mut plan, stored) = self.run.plan_manifest(&manifest.digest, lacking).await;
        if let Some(bytes) = stored {
            self.walk.count(bytes.len())?;
            return Ok((Some(parse_stored(manifest, &bytes)?), plan));
        }
        self.run.host_responds()?;
        self.run.leave_out_lost(&mut plan);
        if plan.writes.is_empty() {
            return Ok((None, plan));
        }
        let fetched = self.walk.fetch(self.from, entry).await.map_err(|error| match error {
            WalkError::Bound(bound) => bound.into(),
            WalkError::Source(error) => self.run.not_read(error),
        })?;
        Ok((Some(ImageNode::parse(fetched)?), plan))
    }

    /// Mirrors a blob that `parent` lists.
    fn blob<'f>(
        &'f self,
        blob: &'f Descriptor,
        parent: &'f Digest,
    ) -> BoxFuture<'f, StoreFailures<NotMirrored>> {
        let work = async move |lacking: Lacking| {
            let plan = self.run.plan_blob(blob, lacking.stores).await;
            let wanted = WantedBlob { from: self.from, parent, blob };
            let failures = self.run.execute_blob(plan, wanted).await;
            Ok(Mirrored { length: Some(blob.size), failures })
        };
        let once = self.once(&self.run.blobs, Content::Blob(blob.digest), work);
        once.map(|mirrored| mirrored.failures).boxed()
    }
}

/// The media type in the manifest decides, as it does when a registry serves it; the descriptor that lists it may
/// contradict it.
fn parse_stored(listed: &Descriptor, bytes: &Bytes) -> Result<ImageNode, ManifestError> {
    let digest = listed.digest;
    let served_as = |media_type: &str| FetchedManifest {
        digest,
        media_type: media_type.to_owned(),
        bytes: bytes.clone(),
    };
    match ImageNode::parse(served_as("")) {
        Err(ManifestError::UnknownMediaType(_)) => ImageNode::parse(served_as(&listed.media_type)),
        parsed => parsed,
    }
}
