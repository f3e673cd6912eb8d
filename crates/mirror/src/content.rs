//! What a tag reaches, digest by digest, each handled once in a run.
//!
//! A digest is handled behind its own lock: whoever comes second waits, and shares the result. A
//! manifest waits for what it lists while it holds its lock; that ends, since no digest can list itself.
//! What is wrong with content is remembered; what is wrong with the way to it is not.

use std::sync::Arc;

use blob_store::{Part, found};
use bytes::Bytes;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{self, BoxFuture},
    stream::{self, BoxStream},
};
use job::Confirm;
use oci::{Descriptor, Digest, ManifestError, Reference};
use registry_client::{FetchedManifest, MAX_MANIFEST_BYTES};
use transfer::{Content, MAX_DEPTH, Node, PerDigest, check_size, copy_blob};

use crate::{
    FailureCause,
    bound::BoundExceeded,
    content_fault::{ContentFault, FailedContent},
    run::Run,
    state::{ContentState, Fault, NotMirrored},
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
        if level > MAX_DEPTH {
            return Err(BoundExceeded::Levels.into());
        }
        let (node, place) = self.read(manifest, parent).await?;
        // All are tried, even if one fails: what arrives need not be moved again.
        let listed = self.listed_by(&node, level);
        listed.fold(Ok(()), |so_far, next| future::ready(together(so_far, next))).await?;
        let length = node.manifest.bytes.len() as u64;
        match place {
            Place::Store => self.run.totals().already_there += 1,
            Place::Registry(replaces) => self.run.put(node.manifest, replaces).await?,
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

    /// A manifest from the store, else from the registry: where the store has none, and where it has a damaged one.
    async fn read(
        &self,
        manifest: &Descriptor,
        parent: Option<&Digest>,
    ) -> Result<(Node, Place), Fault> {
        self.expect(manifest.size)?;
        let _one_of_few = self.run.reads.acquire().await;
        let digest = &manifest.digest;
        let replaces = match found(
            self.run.options.to.get(digest, Part::Whole, MAX_MANIFEST_BYTES as u64).await,
        ) {
            Ok(Some(bytes)) => {
                self.count(bytes.len())?;
                return Ok((parse_stored(manifest, &bytes)?, Place::Store));
            }
            Ok(None) => Replaces::Nothing,
            Err(error) if error.is_damaged() => Replaces::Damaged,
            Err(error) => return Err(self.run.not_stored(error)),
        };
        self.run.may_go_on()?;
        let fetched = Node::fetch(self.from, digest, parent).await;
        let fetched = fetched.map_err(|error| self.run.not_copied(error))?;
        self.count(fetched.bytes.len())?;
        Ok((Node::parse(fetched)?, Place::Registry(replaces)))
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
        let run = self.run;
        let head = found(run.options.to.head(&blob.digest).await);
        let replaces = match head.map_err(|error| run.not_stored(error))? {
            Some(head) if head.length == blob.size => {
                run.totals().already_there += 1;
                return Ok(());
            }
            Some(_) => Replaces::Damaged,
            None => Replaces::Nothing,
        };
        if run.options.confirm == Confirm::Write {
            let _in_motion = run.in_motion.acquire().await;
            run.may_go_on()?;
            for outcome in copy_blob(self.from, parent, blob, &[&run.destination]).await {
                outcome.map_err(|error| run.not_copied(error))?;
            }
        }
        let mut totals = run.totals();
        match replaces {
            Replaces::Nothing => totals.blobs += 1,
            Replaces::Damaged => totals.repaired += 1,
        }
        totals.bytes += blob.size;
        Ok(())
    }

    /// Does `work` on content, which gives its length, unless it was done, or was tried in vain with the same
    /// repository.
    async fn once(
        &self,
        known: &PerDigest<ContentState>,
        content: Content,
        work: impl Future<Output = Result<u64, Fault>>,
    ) -> Result<u64, NotMirrored> {
        let (Content::Manifest(digest) | Content::Blob(digest)) = content;
        let from = self.from.name();
        let mut known = known.lock(&digest).await;
        if let Some(length) = known.length {
            return Ok(length);
        }
        if let Some((_, first)) = known.failed.iter().find(|(repository, _)| repository == from) {
            return Err(NotMirrored::Failed(*first));
        }
        let not_mirrored = match work.await {
            Ok(length) => {
                known.length = Some(length);
                return Ok(length);
            }
            Err(Fault::Recorded(not_mirrored)) => not_mirrored,
            Err(Fault::Unrecorded(fault, cause)) => {
                self.run.fail(Some(from), Some(Reference::Digest(digest)), cause);
                NotMirrored::Failed(FailedContent { content, fault })
            }
        };
        if let NotMirrored::Failed(first) = not_mirrored {
            known.failed.push((from.clone(), first));
        }
        Err(not_mirrored)
    }
}

impl Run<'_> {
    async fn put(&self, manifest: FetchedManifest, replaces: Replaces) -> Result<(), Fault> {
        let FetchedManifest { digest, bytes, .. } = manifest;
        let size = bytes.len() as u64;
        if self.options.confirm == Confirm::Write {
            self.may_go_on()?;
            let put = self.options.to.put(&digest, bytes).await;
            put.map_err(|error| self.not_stored(error))?;
        }
        let mut totals = self.totals();
        match replaces {
            Replaces::Nothing => totals.manifests += 1,
            Replaces::Damaged => totals.repaired += 1,
        }
        totals.bytes += size;
        Ok(())
    }

    fn not_copied(&self, error: transfer::Error) -> Fault {
        if error.is_source() && error.is_unreachable() {
            return self.lose_host(error).into();
        }
        match error.of_store() {
            Some(cause) if cause.is_of_whole_store() => self.lose_store(Arc::clone(cause)).into(),
            _ => Fault::Unrecorded(ContentFault::of(&error), FailureCause::NotCopied(error)),
        }
    }

    fn not_stored(&self, error: blob_store::Error) -> Fault {
        let error = Arc::new(error);
        if error.is_of_whole_store() {
            self.lose_store(error).into()
        } else {
            Fault::Unrecorded(ContentFault::NotStored, FailureCause::NotStored(error))
        }
    }
}

/// Where a manifest was read.
enum Place {
    Store,
    Registry(Replaces),
}

/// What the store has under the digest of content that is read from the registry.
#[derive(Clone, Copy)]
enum Replaces {
    Nothing,
    /// A file of another size or, for a manifest, with other bytes.
    Damaged,
}

/// The first failure; but one of the way, which is not remembered, before one of the content, which is.
fn together(
    so_far: Result<(), NotMirrored>,
    next: Result<(), NotMirrored>,
) -> Result<(), NotMirrored> {
    match (so_far, next) {
        (Ok(()), next) => next,
        (
            Err(NotMirrored::Failed(_)),
            Err(NotMirrored::HostLost | NotMirrored::StoreLost | NotMirrored::Bound(_)),
        ) => next,
        (failed, _) => failed,
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
