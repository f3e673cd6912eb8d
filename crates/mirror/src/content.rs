//! What a tag reaches, digest by digest, each handled once in a run.
//!
//! A digest is handled behind its own lock: whoever comes second waits, and shares the result. A
//! manifest waits for what it lists while it holds its lock; that ends, since no digest can list itself.

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use oci::{Descriptor, Digest, Reference, Repository};
use registry_client::{FetchedManifest, MAX_MANIFEST_BYTES, RepositoryClient};
use transfer::{Confirm, Content, MAX_DEPTH, Node, PerDigest, copy_blob};

use crate::run::Run;

/// How many manifests and blobs that one manifest lists are handled at the same time.
pub const LISTED_AT_ONCE: usize = 4;

/// What a run knows of a digest.
#[derive(Default)]
pub(crate) struct Known {
    /// It is in the store with all that it reaches, or would be.
    there: bool,
    /// The repositories that could not give it.
    failed: Vec<(Repository, NotMirrored)>,
}

/// The content that failed first, which a [`Failure`](crate::Failure) names with its reason.
#[derive(Clone, Copy)]
pub(crate) struct NotMirrored(pub(crate) Content);

impl Run<'_> {
    /// Mirrors a manifest that `parent` lists, and what it reaches; boxed, since it calls itself.
    pub(crate) fn manifest<'f>(
        &'f self,
        from: &'f RepositoryClient,
        manifest: &'f Descriptor,
        parent: Option<&'f Digest>,
        level: usize,
    ) -> BoxFuture<'f, Result<(), NotMirrored>> {
        let work = self.new_manifest(from, manifest, parent, level);
        once(&self.manifests, from, &manifest.digest, work).boxed()
    }

    async fn new_manifest(
        &self,
        from: &RepositoryClient,
        manifest: &Descriptor,
        parent: Option<&Digest>,
        level: usize,
    ) -> Result<(), NotMirrored> {
        let content = Content::Manifest(manifest.digest);
        let failed = |reason| self.content_failed(from, content, reason);
        if level > MAX_DEPTH {
            return Err(failed(format!("it lies more than {MAX_DEPTH} levels deep")));
        }
        let (node, place) = self.read(from, manifest, parent).await.map_err(failed)?;
        let mut listed = Vec::with_capacity(node.children.len() + node.blobs.len());
        for child in &node.children {
            listed.push(self.manifest(from, child, Some(&manifest.digest), level + 1));
        }
        for blob in &node.blobs {
            listed.push(self.blob(from, blob, &manifest.digest));
        }
        // All are tried, even if one fails: what arrives need not be moved again.
        let listed: Vec<_> = stream::iter(listed).buffer_unordered(LISTED_AT_ONCE).collect().await;
        listed.into_iter().collect::<Result<(), _>>()?;
        match place {
            Place::Store => self.totals().already_there += 1,
            Place::Registry => self.put(node.manifest).await.map_err(failed)?,
        }
        Ok(())
    }

    /// A manifest from the store, else from the registry.
    async fn read(
        &self,
        from: &RepositoryClient,
        manifest: &Descriptor,
        parent: Option<&Digest>,
    ) -> Result<(Node, Place), String> {
        let digest = manifest.digest;
        let stored = self.options.to.read(&digest, MAX_MANIFEST_BYTES as u64).await;
        match stored.map_err(|error| error.to_string())? {
            Some(bytes) => {
                let media_type = manifest.media_type.clone();
                let node = Node::parse(FetchedManifest { digest, media_type, bytes });
                Ok((node.map_err(|error| error.to_string())?, Place::Store))
            }
            None => {
                let node = Node::read(from, &digest, parent).await;
                Ok((node.map_err(|error| error.to_string())?, Place::Registry))
            }
        }
    }

    async fn put(&self, manifest: FetchedManifest) -> Result<(), String> {
        let FetchedManifest { digest, bytes, .. } = manifest;
        let size = bytes.len() as u64;
        if self.options.confirm == Confirm::Write {
            let put = self.options.to.put(&digest, bytes).await;
            put.map_err(|error| error.to_string())?;
        }
        self.totals().manifests += 1;
        self.totals().bytes += size;
        Ok(())
    }

    /// Mirrors a blob that `parent` lists.
    fn blob<'f>(
        &'f self,
        from: &'f RepositoryClient,
        blob: &'f Descriptor,
        parent: &'f Digest,
    ) -> BoxFuture<'f, Result<(), NotMirrored>> {
        let work = async move {
            let moved = self.new_blob(from, blob, parent).await;
            moved.map_err(|reason| self.content_failed(from, Content::Blob(blob.digest), reason))
        };
        once(&self.blobs, from, &blob.digest, work).boxed()
    }

    async fn new_blob(
        &self,
        from: &RepositoryClient,
        blob: &Descriptor,
        parent: &Digest,
    ) -> Result<(), String> {
        let there = self.options.to.contains(&blob.digest).await;
        if there.map_err(|error| error.to_string())? {
            self.totals().already_there += 1;
            return Ok(());
        }
        if self.options.confirm == Confirm::Write {
            let _in_motion = self.in_motion.acquire().await;
            let outcomes = copy_blob(from, parent, blob, &[&self.destination]).await;
            for outcome in outcomes {
                outcome.map_err(|error| error.to_string())?;
            }
        }
        self.totals().blobs += 1;
        self.totals().bytes += blob.size;
        Ok(())
    }

    fn content_failed(
        &self,
        from: &RepositoryClient,
        content: Content,
        reason: String,
    ) -> NotMirrored {
        let (Content::Manifest(digest) | Content::Blob(digest)) = content;
        self.fail(Some(from.name()), Some(Reference::Digest(digest)), reason);
        NotMirrored(content)
    }
}

/// Where a manifest was read.
enum Place {
    Store,
    Registry,
}

/// Does `work` on a digest unless it was done, or was tried in vain with the same repository.
async fn once(
    known: &PerDigest<Known>,
    from: &RepositoryClient,
    digest: &Digest,
    work: impl Future<Output = Result<(), NotMirrored>>,
) -> Result<(), NotMirrored> {
    let mut known = known.lock(digest).await;
    if known.there {
        return Ok(());
    }
    if let Some((_, fault)) = known.failed.iter().find(|(repository, _)| repository == from.name())
    {
        return Err(*fault);
    }
    let result = work.await;
    match result {
        Ok(()) => known.there = true,
        Err(fault) => known.failed.push((from.name().clone(), fault)),
    }
    result
}
