//! What is wanted: the manifests and blobs that a tag reaches. Each is planned and executed as it is found.

use bytes::Bytes;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{self, BoxFuture},
    stream::{self, BoxStream},
};
use oci::{Descriptor, Digest, ManifestError, Reference};
use registry_client::FetchedManifest;
use transfer::{Content, Node, check_size};

use crate::{
    FailureCause, PlannedWrite, WriteAction,
    content_fault::{ContentFault, FailedContent},
    execute::WantedBlob,
    once::together,
    state::{Fault, NotMirrored},
    stored::StoredManifest,
    walk::Walk,
};

/// How many manifests and blobs that one manifest lists are handled at the same time.
pub const LISTED_AT_ONCE: usize = 4;

impl Walk<'_> {
    /// Mirrors a manifest that `parent` lists, and what it reaches, and gives its length; boxed, since it calls itself.
    pub(crate) fn manifest<'f>(
        &'f self,
        manifest: &'f Descriptor,
        parent: Option<&'f Digest>,
        level: usize,
    ) -> BoxFuture<'f, Result<u64, NotMirrored>> {
        let work = self.new_manifest(manifest, parent, level);
        self.once(&self.run.manifests, Content::Manifest(manifest.digest), work).boxed()
    }

    async fn new_manifest(
        &self,
        manifest: &Descriptor,
        parent: Option<&Digest>,
        level: usize,
    ) -> Result<u64, Fault> {
        self.bounds().check_level(level)?;
        let (node, action) = self.read(manifest, parent).await?;
        // All are tried, even if one fails: what arrives need not be moved again.
        let listed = self.listed_by(&node, level);
        listed.fold(Ok(()), |so_far, next| future::ready(together(so_far, next))).await?;
        let length = node.manifest.bytes.len() as u64;
        match action {
            None => self.run.totals().already_there += 1,
            Some(action) => {
                let content = Content::Manifest(manifest.digest);
                let write = PlannedWrite { content, size: length, action };
                self.run.execute_manifest(write, node.manifest).await?;
            }
        }
        Ok(length)
    }

    /// What becomes of all that a manifest lists. Each begins when it is its turn: there may be a hundred
    /// thousand.
    fn listed_by<'f>(
        &'f self,
        node: &'f Node,
        level: usize,
    ) -> BoxStream<'f, Result<(), NotMirrored>> {
        let parent = &node.manifest.digest;
        let children = stream::iter(&node.children);
        let children = children.map(move |child| self.child(child, parent, level + 1).boxed());
        let blobs = stream::iter(&node.blobs).map(move |blob| self.blob(blob, parent));
        children.chain(blobs).buffer_unordered(LISTED_AT_ONCE).boxed()
    }

    /// Mirrors a manifest that an index lists. With another size than the index says, it is the index that is broken.
    async fn child(
        &self,
        listed: &Descriptor,
        parent: &Digest,
        level: usize,
    ) -> Result<(), NotMirrored> {
        let found = self.manifest(listed, Some(parent), level).await?;
        check_size(self.from, parent, listed, found).map_err(|error| {
            let reference = Some(Reference::Digest(*parent));
            self.run.fail(Some(self.from.name()), reference, FailureCause::NotCopied(error));
            let content = Content::Manifest(*parent);
            NotMirrored::Failed(FailedContent { content, fault: ContentFault::Invalid })
        })
    }

    /// A manifest from the store, or from the registry where the store lacks it; then with what is to be done.
    async fn read(
        &self,
        manifest: &Descriptor,
        parent: Option<&Digest>,
    ) -> Result<(Node, Option<WriteAction>), Fault> {
        self.expect(manifest.size)?;
        let _one_of_few = self.run.reads.acquire().await;
        let digest = &manifest.digest;
        let action = match self.run.stored_manifest(digest).await? {
            StoredManifest::Whole(bytes) => {
                self.count(bytes.len())?;
                return Ok((parse_stored(manifest, &bytes)?, None));
            }
            StoredManifest::Lacking(action) => action,
        };
        self.run.may_go_on()?;
        let fetched = Node::fetch(self.from, digest, parent).await;
        let fetched = fetched.map_err(|error| self.run.not_copied(error))?;
        self.count(fetched.bytes.len())?;
        Ok((Node::parse(fetched)?, Some(action)))
    }

    /// Mirrors a blob that `parent` lists.
    fn blob<'f>(
        &'f self,
        blob: &'f Descriptor,
        parent: &'f Digest,
    ) -> BoxFuture<'f, Result<(), NotMirrored>> {
        let work = async move { self.new_blob(blob, parent).await.map(|()| blob.size) };
        let once = self.once(&self.run.blobs, Content::Blob(blob.digest), work);
        once.map(|length| length.map(drop)).boxed()
    }

    async fn new_blob(&self, blob: &Descriptor, parent: &Digest) -> Result<(), Fault> {
        match self.run.plan_blob(blob).await? {
            Some(write) => {
                let wanted = WantedBlob { from: self.from, parent, blob };
                self.run.execute_blob(write, wanted).await
            }
            None => {
                self.run.totals().already_there += 1;
                Ok(())
            }
        }
    }
}

/// What a manifest says of itself decides, as it did when a registry served it; what lists it may
/// contradict that.
fn parse_stored(listed: &Descriptor, bytes: &Bytes) -> Result<Node, ManifestError> {
    let digest = listed.digest;
    let served_as = |media_type: &str| FetchedManifest {
        digest,
        media_type: media_type.to_owned(),
        bytes: bytes.clone(),
    };
    match Node::parse(served_as("")) {
        Err(ManifestError::UnknownMediaType(_)) => Node::parse(served_as(&listed.media_type)),
        parsed => parsed,
    }
}
