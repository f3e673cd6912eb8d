//! One run, from the prefix to its totals.

use std::sync::{Mutex, MutexGuard, PoisonError};

use blob_store::BlobStore;
use futures_util::{StreamExt as _, stream};
use oci::{Descriptor, Reference, RegistryPrefix, Repository};
use registry_client::Client;
use tokio::sync::Semaphore;
use transfer::{Confirm, Destination, PerDigest, Progress, Stop};

use crate::{
    Failure, Totals,
    content::{Known, NotMirrored},
    list::Tagged,
};

/// How many tags are followed at the same time.
pub const TAGS_AT_ONCE: usize = 16;

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
    pub confirm: Confirm,
}

/// Puts into the store what the tags below the prefix reach and the store lacks. What fails is named in
/// the totals, and stops nothing else. When it is stopped, the totals are those so far, and say so.
pub async fn mirror(
    client: &Client,
    options: &MirrorOptions,
    stop: &Stop,
    progress: &dyn Progress,
) -> Totals {
    let run = Run {
        client,
        options,
        progress,
        destination: Destination::Store(options.to.clone()),
        manifests: PerDigest::default(),
        blobs: PerDigest::default(),
        in_motion: Semaphore::new(BLOBS_IN_MOTION),
        totals: Mutex::default(),
    };
    if stop.unless_stopped(run.all()).await.is_none() {
        run.fail(None, None, "interrupted; run again, and it goes on from there".to_owned());
    }
    run.totals.into_inner().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct Run<'a> {
    pub(crate) client: &'a Client,
    pub(crate) options: &'a MirrorOptions,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) destination: Destination,
    /// Apart from blobs: the same bytes may be listed as either, and only a manifest is followed.
    pub(crate) manifests: PerDigest<Known>,
    pub(crate) blobs: PerDigest<Known>,
    pub(crate) in_motion: Semaphore,
    totals: Mutex<Totals>,
}

impl Run<'_> {
    async fn all(&self) {
        let tags = self.list().await;
        self.progress.stage("mirroring tags", tags.len() as u64);
        stream::iter(&tags).for_each_concurrent(TAGS_AT_ONCE, |tag| self.follow(tag)).await;
    }

    /// Mirrors what a tag reaches.
    async fn follow(&self, (from, tag): &Tagged) {
        let reference = Reference::Tag(tag.clone());
        let mirrored = match from.head_manifest(&reference).await {
            Ok(Some(head)) => {
                let root = Descriptor::new(head.media_type, head.digest, head.size);
                let mirrored = self.manifest(from, &root, None, 1).await;
                mirrored.map_err(|NotMirrored(what)| format!("it is incomplete: {what} is missing"))
            }
            Ok(None) => Err("it is listed, but not there".to_owned()),
            Err(error) => Err(format!("it cannot be resolved: {error}")),
        };
        if let Err(reason) = mirrored {
            self.fail(Some(from.name()), Some(reference), reason);
        }
        self.progress.advance(1);
    }

    pub(crate) fn fail(
        &self,
        repository: Option<&Repository>,
        reference: Option<Reference>,
        reason: String,
    ) {
        let failure = Failure { repository: repository.cloned(), reference, reason };
        tracing::warn!(%failure, "not mirrored");
        self.totals().failed.push(failure);
    }

    pub(crate) fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
