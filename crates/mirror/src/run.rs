//! One run: from the prefix down to each digest, which is handled once.
//!
//! A digest is handled behind its own lock: whoever comes second waits, and shares the result. A
//! manifest waits for what it lists while it holds its lock; that ends, since no digest can list itself.

use std::sync::{Mutex, MutexGuard, PoisonError};

use blob_store::BlobStore;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use oci::{Descriptor, Digest, Reference, RegistryPrefix, Repository, Tag};
use registry_client::{Client, FetchedManifest, MAX_MANIFEST_BYTES, RepositoryClient};
use tokio::sync::Semaphore;
use transfer::{Content, Destination, MAX_DEPTH, Node, PerDigest, copy_blob};

use crate::{Event, Failure, Totals, list};

/// How many repositories are looked at, at the same time.
pub const REPOSITORIES_AT_ONCE: usize = 4;

/// How many tags of one repository are followed at the same time.
pub const TAGS_AT_ONCE: usize = 8;

/// How many manifests and blobs that one manifest lists are handled at the same time.
pub const LISTED_AT_ONCE: usize = 4;

/// How many blobs move at the same time in the whole run: connections, and pieces in memory.
pub const BLOBS_IN_MOTION: usize = 8;

/// What to mirror, and how.
#[derive(Clone, Debug)]
pub struct MirrorOptions {
    /// What lies below it is mirrored.
    pub from: RegistryPrefix,
    /// Where it goes.
    pub to: BlobStore,
    /// Whether to write.
    pub mode: Mode,
}

/// Whether a run writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It says what it would copy, and writes nothing at all.
    Plan,
    /// It copies.
    Copy,
}

/// Puts into the store what the tags below the prefix reach and the store lacks. What fails is named in
/// the totals, and stops nothing else.
pub async fn mirror(
    client: &Client,
    options: &MirrorOptions,
    progress: &(dyn Fn(Event<'_>) + Sync),
) -> Totals {
    let run = Run::new(client, options, progress);
    let (repositories, fault) = list::repositories(client, &options.from).await;
    if let Some(reason) = fault {
        run.fail(None, None, reason);
    }
    progress(Event::Repositories(repositories.len()));
    stream::iter(&repositories)
        .for_each_concurrent(REPOSITORIES_AT_ONCE, |name| run.repository(name))
        .await;
    run.finish()
}

struct Run<'a> {
    client: &'a Client,
    options: &'a MirrorOptions,
    destination: Destination,
    progress: &'a (dyn Fn(Event<'_>) + Sync),
    /// Apart from blobs: the same bytes may be listed as either, and only a manifest is followed.
    manifests: PerDigest<Known>,
    blobs: PerDigest<Known>,
    in_motion: Semaphore,
    totals: Mutex<Totals>,
}

/// What a run knows of a digest.
#[derive(Default)]
struct Known {
    /// It is in the store with all that it reaches, or would be.
    there: bool,
    /// The repositories that could not give it.
    failed: Vec<(Repository, NotMirrored)>,
}

/// The content that failed first, which a [`Failure`] names with its reason.
#[derive(Clone, Copy)]
struct NotMirrored(Content);

impl<'a> Run<'a> {
    fn new(
        client: &'a Client,
        options: &'a MirrorOptions,
        progress: &'a (dyn Fn(Event<'_>) + Sync),
    ) -> Self {
        Self {
            client,
            options,
            destination: Destination::Store(options.to.clone()),
            progress,
            manifests: PerDigest::default(),
            blobs: PerDigest::default(),
            in_motion: Semaphore::new(BLOBS_IN_MOTION),
            totals: Mutex::default(),
        }
    }

    async fn repository(&self, name: &Repository) {
        let from = self.client.repository(&self.options.from.host, name);
        let tags = match from.tags().await {
            Ok(tags) => tags,
            Err(error) => {
                return self.fail(Some(name), None, format!("cannot list its tags: {error}"));
            }
        };
        if tags.is_empty() {
            return;
        }
        self.totals().repositories += 1;
        self.totals().tags += tags.len() as u64;
        (self.progress)(Event::Tags(name, tags.len()));
        stream::iter(&tags).for_each_concurrent(TAGS_AT_ONCE, |tag| self.tag(&from, tag)).await;
    }

    async fn tag(&self, from: &RepositoryClient, tag: &Tag) {
        let reference = Reference::Tag(tag.clone());
        let mirrored = match from.head_manifest(&reference).await {
            Ok(Some(head)) => {
                let root = Descriptor::new(head.media_type, head.digest, head.size);
                let mirrored = self.manifest(from, &root, None, 1).await;
                mirrored.map_err(|NotMirrored(content)| {
                    format!("not mirrored, since {content} was not")
                })
            }
            Ok(None) => Err("it is listed, but not there".to_owned()),
            Err(error) => Err(format!("cannot be resolved: {error}")),
        };
        if let Err(reason) = mirrored {
            self.fail(Some(from.name()), Some(reference), reason);
        }
        (self.progress)(Event::TagDone);
    }

    /// Mirrors a manifest that `parent` lists, and what it reaches; boxed, since it calls itself.
    fn manifest<'f>(
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
        if self.options.mode == Mode::Copy {
            let put = self.options.to.put(&digest, bytes).await;
            put.map_err(|error| error.to_string())?;
        }
        self.totals().manifests += 1;
        self.copied(Content::Manifest(digest), size);
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
        if self.options.mode == Mode::Copy {
            let _in_motion = self.in_motion.acquire().await;
            let outcomes = copy_blob(from, parent, blob, &[&self.destination]).await;
            for outcome in outcomes {
                outcome.map_err(|error| error.to_string())?;
            }
        }
        self.totals().blobs += 1;
        self.copied(Content::Blob(blob.digest), blob.size);
        Ok(())
    }

    fn copied(&self, content: Content, size: u64) {
        self.totals().bytes += size;
        (self.progress)(Event::Copied(content, size));
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

    fn fail(&self, repository: Option<&Repository>, reference: Option<Reference>, reason: String) {
        let failure = Failure { repository: repository.cloned(), reference, reason };
        (self.progress)(Event::Failed(&failure));
        self.totals().failed.push(failure);
    }

    fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(self) -> Totals {
        if self.totals().repositories == 0 && self.totals().failed.is_empty() {
            let reason =
                format!("there is no repository with tags at or below {}", self.options.from);
            self.fail(None, None, reason);
        }
        self.totals.into_inner().unwrap_or_else(PoisonError::into_inner)
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
