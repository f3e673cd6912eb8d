//! Copying an image: what is absent at each destination, blobs first, then manifests, children first.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{StreamExt as _, future::join_all, stream};
use oci::{Descriptor, Digest};

use crate::{BlobOutcome, Destination, Error, Image, InFlight, Node, copy_blob};

/// How many blobs of one image are in motion at the same time.
pub const BLOBS_AT_ONCE: usize = 4;

/// How many manifests one destination is asked for at the same time.
const QUESTIONS_AT_ONCE: usize = 8;

/// What one destination got of an image; all zero when it had everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Blobs whose bytes were sent.
    pub blobs: u64,
    /// The bytes of those blobs.
    pub bytes: u64,
    /// Blobs that the registry took from a repository of its own, without bytes being sent.
    pub mounted: u64,
    /// Manifests written.
    pub manifests: u64,
}

impl Image {
    /// Puts the image, with all that it reaches, where it is absent. Writes no tag. The answers are in
    /// the order of `destinations`; each destination fails for itself.
    pub async fn copy_to(
        &self,
        in_flight: &InFlight,
        destinations: &[Destination],
    ) -> Vec<Result<Copied, Error>> {
        let recipients: Vec<_> = destinations.iter().map(Recipient::new).collect();
        join_all(recipients.iter().map(|recipient| recipient.survey(self))).await;
        stream::iter(self.blobs())
            .for_each_concurrent(BLOBS_AT_ONCE, |blob| self.move_blob(in_flight, blob, &recipients))
            .await;
        join_all(recipients.iter().map(|recipient| recipient.write_manifests(self))).await;
        recipients.into_iter().map(Recipient::finish).collect()
    }

    /// Every blob once, with a manifest that lists it.
    fn blobs(&self) -> Vec<Listed<'_>> {
        let mut seen = HashSet::new();
        let all = self.nodes().flat_map(|node| {
            node.blobs.iter().map(|blob| Listed { blob, parent: &node.manifest.digest })
        });
        all.filter(|listed| seen.insert(listed.blob.digest)).collect()
    }

    async fn move_blob(&self, in_flight: &InFlight, listed: Listed<'_>, all: &[Recipient<'_>]) {
        let Listed { blob, parent } = listed;
        let _sole_mover = in_flight.lock(&blob.digest).await;
        let asked = join_all(all.iter().map(|recipient| recipient.lacks(blob))).await;
        let lacking: Vec<_> = all
            .iter()
            .zip(asked)
            .filter_map(|(recipient, lacks)| lacks.then_some(recipient))
            .collect();
        let destinations: Vec<_> = lacking.iter().map(|recipient| recipient.destination).collect();
        if destinations.is_empty() {
            return;
        }
        let outcomes = copy_blob(&self.source, parent, blob, &destinations).await;
        for (recipient, outcome) in lacking.into_iter().zip(outcomes) {
            recipient.record(blob, outcome);
        }
    }
}

/// A blob, and a manifest that lists it.
#[derive(Clone, Copy)]
struct Listed<'a> {
    blob: &'a Descriptor,
    parent: &'a Digest,
}

/// A destination, and how far it is.
struct Recipient<'a> {
    destination: &'a Destination,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The manifests that it lacks.
    manifests: HashSet<Digest>,
    /// The blobs that those list.
    blobs: HashSet<Digest>,
    copied: Copied,
    /// Once it failed, nothing more is tried with it.
    failed: Option<Error>,
}

impl<'a> Recipient<'a> {
    fn new(destination: &'a Destination) -> Self {
        Self { destination, state: Mutex::default() }
    }

    /// Finds what is absent. A manifest that is present is so with all that it reaches, since manifests
    /// are written after their content; so the root is asked for alone, and first. Then the one that is
    /// written first: where not even that is there, most likely nobody has begun, and the others are
    /// taken for absent. One that is there after all is written again, which changes nothing; its blobs
    /// are begun, and found there where the registry tells.
    async fn survey(&self, image: &Image) {
        let Some(true) = self.is_absent(&image.root).await else { return };
        let Some((first, others)) = image.below.split_first() else { return };
        match self.is_absent(first).await {
            Some(true) => others.iter().for_each(|node| self.miss(node)),
            Some(false) => {
                stream::iter(others)
                    .for_each_concurrent(QUESTIONS_AT_ONCE, |node| self.ask(node))
                    .await;
            }
            None => {}
        }
    }

    async fn ask(&self, node: &Node) {
        self.is_absent(node).await;
    }

    /// Asks for a manifest. None where there is no answer: then the destination has failed.
    async fn is_absent(&self, node: &Node) -> Option<bool> {
        match self.destination.has_manifest(&node.manifest.digest).await {
            Ok(true) => Some(false),
            Ok(false) => {
                self.miss(node);
                Some(true)
            }
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    /// Notes that a manifest is absent.
    fn miss(&self, node: &Node) {
        let mut state = self.state();
        state.manifests.insert(node.manifest.digest);
        state.blobs.extend(node.blobs.iter().map(|blob| blob.digest));
    }

    /// Whether the blob must be moved to it.
    async fn lacks(&self, blob: &Descriptor) -> bool {
        let is_wanted = {
            let state = self.state();
            state.failed.is_none() && state.blobs.contains(&blob.digest)
        };
        if !is_wanted {
            return false;
        }
        // A registry is asked by the request that opens an upload.
        let Destination::Store(_) = self.destination else { return true };
        match self.destination.has_blob(&blob.digest).await {
            Ok(there) => !there,
            Err(error) => {
                self.fail(error);
                false
            }
        }
    }

    fn record(&self, blob: &Descriptor, outcome: Result<BlobOutcome, Error>) {
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

    async fn write_manifests(&self, image: &Image) {
        for node in image.nodes() {
            let is_wanted = {
                let state = self.state();
                state.failed.is_none() && state.manifests.contains(&node.manifest.digest)
            };
            if is_wanted {
                match self.destination.put_manifest(&node.manifest).await {
                    Ok(()) => self.state().copied.manifests += 1,
                    Err(error) => self.fail(error),
                }
            }
        }
    }

    /// Keeps the first fault: it is what the others follow from.
    fn fail(&self, error: Error) {
        self.state().failed.get_or_insert(error);
    }

    fn finish(self) -> Result<Copied, Error> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.failed {
            None => Ok(state.copied),
            Some(error) => Err(error),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
