//! One destination of an image: what it lacks, what it got, and the writing of its manifests.
//!
//! Not here: the moving of blobs (`copy`), which is done for all destinations together.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use oci::{Descriptor, Digest};
use registry_client::{FoundBlob, RepositoryClient};

use crate::{
    BlobOutcome, Content, Copied, Destination, Error, Image, ImageNode, TransferState,
    destination::Absence,
    fan_out::{BlobTransfer, By, Way},
    lag::together,
    per_digest::BlobLocations,
};

/// How many manifests or blobs are looked up at one destination at the same time.
const LOOKUPS_AT_ONCE: usize = 8;

/// How often what a manifest lists is pushed again when a registry refuses the manifest because it does not know
/// something of that: first what HEAD says is absent, then everything, in case that HEAD is wrong.
pub const MAX_REPAIRS: u32 = 2;

/// A destination, and what it has got so far.
pub(crate) struct Recipient<'a> {
    pub(crate) destination: &'a Destination,
    transfer_state: &'a TransferState,
    /// How certain an absence must be.
    absence: Absence,
    state: Mutex<RecipientState>,
}

#[derive(Default)]
struct RecipientState {
    /// The manifests that it lacks.
    manifests: HashSet<Digest>,
    /// The blobs that it lacks, or that those manifests list.
    blobs: HashSet<Digest>,
    /// The blobs of another length than their descriptors say.
    damaged: HashSet<Digest>,
    /// The content that it reported as absent.
    absent: Vec<Content>,
    copied: Copied,
    /// Once it failed, nothing more is tried with it.
    failed: Option<Error>,
}

impl<'a> Recipient<'a> {
    pub(crate) fn new(
        destination: &'a Destination,
        transfer_state: &'a TransferState,
        absence: Absence,
    ) -> Self {
        Self { destination, transfer_state, absence, state: Mutex::default() }
    }

    /// Runs `work` for all recipients at once. It gives whether the recipient did the whole work; a recipient that is
    /// much slower than those is left behind, with an error that names `content`.
    pub(crate) async fn each<'r, W: Future<Output = bool>>(
        all: &'r [Self],
        content: Content,
        work: impl Fn(&'r Self) -> W,
    ) {
        let done = together(all.iter().map(work), |has_done_as_much| *has_done_as_much).await;
        for (recipient, _) in all.iter().zip(done).filter(|(_, done)| done.is_none()) {
            recipient.fail(recipient.destination.lags(content));
        }
    }

    fn has_failed(&self) -> bool {
        self.state().failed.is_some()
    }

    /// Finds what is absent. The root is looked up first. If it is absent, the manifest that is written first is looked
    /// up; if that is absent too, most likely nothing was written yet, and all others count as absent. One that is
    /// present after all is written again, which changes nothing, and the request that opens an upload shows that its
    /// blobs are present. If either is present, others may be: all are looked up, and the blobs of those that are
    /// present.
    ///
    /// Whether the image is absent.
    pub(crate) async fn survey(&self, image: &Image) -> bool {
        let Some(is_absent) = self.is_absent(&image.root).await else { return false };
        if let (true, Some((first, others))) = (is_absent, image.below.split_first()) {
            match self.is_absent(first).await {
                Some(true) => others.iter().for_each(|node| self.miss(node)),
                Some(false) => self.find_manifests(others).await,
                None => {}
            }
        } else {
            self.find_manifests(&image.below).await;
        }
        self.check_blobs(image).await;
        is_absent && !self.has_failed()
    }

    /// The content of the image that it lacks.
    pub(crate) async fn missing(self, image: &Image) -> Result<Vec<Content>, Error> {
        self.is_absent(&image.root).await;
        self.find_manifests(&image.below).await;
        self.check_blobs(image).await;
        let RecipientState { absent, failed, .. } =
            self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        failed.map_or(Ok(absent), Err)
    }

    async fn find_manifests(&self, nodes: &[ImageNode]) {
        let find = async |node| {
            self.is_absent(node).await;
        };
        stream::iter(nodes).for_each_concurrent(LOOKUPS_AT_ONCE, find).await;
    }

    /// Looks up a manifest. None if the look-up fails: then the destination has failed.
    async fn is_absent(&self, node: &ImageNode) -> Option<bool> {
        let digest = node.manifest.digest;
        let request = self.destination.has_manifest(&node.manifest, self.absence).boxed();
        let is_there = self.has(Content::Manifest(digest), request).await?;
        if !is_there {
            self.state().absent.push(Content::Manifest(digest));
            self.miss(node);
        }
        Some(!is_there)
    }

    /// Looks up the blobs of the manifests that are present. A registry that lost or deleted a blob still has the
    /// manifest.
    async fn check_blobs(&self, image: &Image) {
        let blobs: Vec<_> = {
            let state = self.state();
            let there =
                image.nodes().filter(|node| !state.manifests.contains(&node.manifest.digest));
            let mut seen = state.blobs.clone();
            there.flat_map(|node| &node.blobs).filter(|blob| seen.insert(blob.digest)).collect()
        };
        let check = async |blob: &Descriptor| {
            let (digest, request) = (blob.digest, self.has_blob(blob).boxed());
            if self.has(Content::Blob(digest), request).await == Some(false) {
                self.transfer_state.forget_blob(&digest, self.destination).await;
                let mut state = self.state();
                state.absent.push(Content::Blob(digest));
                state.blobs.insert(digest);
            }
        };
        stream::iter(blobs).for_each_concurrent(LOOKUPS_AT_ONCE, check).await;
    }

    /// Whether it has the blob. One of another length is noted, so that it is replaced.
    async fn has_blob(&self, blob: &Descriptor) -> Result<bool, Error> {
        let found = self.destination.find_blob(blob).await?;
        if let FoundBlob::OtherLength(_) = found {
            self.state().damaged.insert(blob.digest);
        }
        Ok(found.is_present())
    }

    /// Whether its registry has a damaged blob under this digest. Its other repositories may share that: the bytes
    /// are sent, and nothing is mounted.
    pub(crate) fn has_damaged(&self, blob: &Descriptor) -> bool {
        self.state().damaged.contains(&blob.digest)
    }

    /// Looks up content, unless it is known to be present. None if the look-up fails.
    async fn has(
        &self,
        content: Content,
        request: BoxFuture<'_, Result<bool, Error>>,
    ) -> Option<bool> {
        // It may fail while this waits for an equal request.
        let request = async { if self.has_failed() { Ok(false) } else { request.await } };
        let found = self.transfer_state.confirmed.once(content, self.destination, request).await;
        let found = found.map_err(|error| self.fail(error)).ok();
        found.filter(|_| !self.has_failed())
    }

    /// Notes that a manifest is absent.
    fn miss(&self, node: &ImageNode) {
        let mut state = self.state();
        state.manifests.insert(node.manifest.digest);
        state.blobs.extend(node.blobs.iter().map(|blob| blob.digest));
    }

    /// Whether the blob must be moved to it.
    pub(crate) async fn lacks(&self, blob: &Descriptor, locations: &BlobLocations) -> bool {
        let is_wanted = {
            let state = self.state();
            state.failed.is_none() && state.blobs.contains(&blob.digest)
        };
        if !is_wanted {
            return false;
        }
        // At a registry the request that opens an upload shows it, unless the check of another image has found the blob.
        if let Destination::Registry(repository) = self.destination {
            let is_known =
                self.transfer_state.confirmed.has(Content::Blob(blob.digest), self.destination);
            return !locations.has(repository) && !is_known;
        }
        match self.has_blob(blob).await {
            Ok(there) => !there,
            Err(error) => {
                self.fail(error);
                false
            }
        }
    }

    pub(crate) fn record(&self, blob: &Descriptor, outcome: Result<BlobOutcome, Error>) {
        if outcome.is_ok() {
            self.transfer_state.confirmed.note(Content::Blob(blob.digest), self.destination);
        }
        let mut state = self.state();
        match outcome {
            Ok(BlobOutcome::Sent) => {
                state.copied.blobs += 1;
                state.copied.bytes += blob.size;
            }
            Ok(BlobOutcome::Mounted) => state.copied.mounted += 1,
            Ok(BlobOutcome::AlreadyThere) => {}
            Err(error) => {
                state.failed.get_or_insert(error);
            }
        }
    }

    /// Whether it lacked manifests and has all of them now.
    pub(crate) async fn write_manifests(&self, image: &Image) -> bool {
        for node in image.nodes() {
            let is_wanted = {
                let state = self.state();
                state.failed.is_none() && state.manifests.contains(&node.manifest.digest)
            };
            if is_wanted && let Err(error) = self.put_once(image, node).await {
                self.fail(error);
            }
        }
        let state = self.state();
        state.failed.is_none() && state.copied.manifests > 0
    }

    /// Writes a manifest, unless another image of this run has written it. Never twice at the same time: distribution's
    /// file storage does not know a manifest while it is written again, and refuses an index that lists it.
    async fn put_once(&self, image: &Image, node: &ImageNode) -> Result<(), Error> {
        let content = Content::Manifest(node.manifest.digest);
        let put = async { self.put(image, node).await.map(|()| true) };
        self.transfer_state.confirmed.once(content, self.destination, put).await.map(drop)
    }

    /// Writes a manifest; if the registry does not know something that it lists, that content is written once more.
    /// Boxed, since what it lists may be manifests.
    fn put<'f>(
        &'f self,
        image: &'f Image,
        node: &'f ImageNode,
    ) -> BoxFuture<'f, Result<(), Error>> {
        let work = async move {
            let mut repairs = 0;
            while let Err(error) = self.destination.put_manifest(&node.manifest).await {
                if !error.is_unknown_content() || repairs == MAX_REPAIRS {
                    return Err(error);
                }
                repairs += 1;
                self.restore(image, node, repairs).await?;
            }
            self.state().copied.manifests += 1;
            Ok(())
        };
        work.boxed()
    }

    /// Writes what `node` lists once more: the first time only what is absent by HEAD, then everything.
    async fn restore(&self, image: &Image, node: &ImageNode, repairs: u32) -> Result<(), Error> {
        let is_listed = |child: &&ImageNode| {
            node.children.iter().any(|listed| listed.digest == child.manifest.digest)
        };
        for child in image.below.iter().filter(is_listed) {
            let digest = &child.manifest.digest;
            self.transfer_state.confirmed.forget(Content::Manifest(*digest), self.destination);
            if repairs > 1
                || !self.destination.has_manifest(&child.manifest, Absence::Hinted).await?
            {
                self.put_once(image, child).await?;
            }
        }
        for blob in &node.blobs {
            self.transfer_state.forget_blob(&blob.digest, self.destination).await;
            if repairs > 1 || !self.has_blob(blob).await? {
                self.push_again(&image.source, node, blob).await?;
            }
        }
        Ok(())
    }

    /// Sends a blob, whatever the registry says that it has.
    async fn push_again(
        &self,
        source: &RepositoryClient,
        node: &ImageNode,
        blob: &Descriptor,
    ) -> Result<(), Error> {
        let mut locations = self.transfer_state.lock(&blob.digest).await;
        let wanted = BlobTransfer { source, parent: &node.manifest.digest, blob };
        let way = Way { to: self.destination, by: By::Replace };
        for outcome in wanted.move_to(&[way]).await {
            let is_sent = outcome?;
            if let Destination::Registry(repository) = self.destination {
                locations.add(repository);
            }
            self.record(blob, Ok(is_sent));
        }
        Ok(())
    }

    /// Keeps the first fault: it is what the others follow from.
    pub(crate) fn fail(&self, error: Error) {
        self.state().failed.get_or_insert(error);
    }

    pub(crate) fn finish(self) -> Result<Copied, Error> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.failed {
            None => Ok(state.copied),
            Some(error) => Err(error),
        }
    }

    fn state(&self) -> MutexGuard<'_, RecipientState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
