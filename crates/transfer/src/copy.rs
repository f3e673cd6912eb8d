//! Copying an image: what is absent at each destination, blobs first, then manifests, children first.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::{StreamExt as _, future::join_all, stream};
use oci::{Descriptor, Digest};
use registry_client::RepositoryClient;

use crate::{
    BlobOutcome, Content, Destination, Error, Image, InFlight, Node,
    fan_out::{Wanted, Way},
    patience::together,
    per_digest::Places,
};

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
        let root = Content::Manifest(self.root.manifest.digest);
        Recipient::each(&recipients, root, |recipient| recipient.survey(self)).await;
        stream::iter(self.listed_blobs())
            .for_each_concurrent(BLOBS_AT_ONCE, |blob| self.move_blob(in_flight, blob, &recipients))
            .await;
        Recipient::each(&recipients, root, |recipient| recipient.write_manifests(self)).await;
        recipients.into_iter().map(Recipient::finish).collect()
    }

    /// Every blob once, with a manifest that lists it.
    fn listed_blobs(&self) -> Vec<Listed<'_>> {
        let mut seen = HashSet::new();
        let all = self.nodes().flat_map(|node| {
            node.blobs.iter().map(|blob| Listed { blob, parent: &node.manifest.digest })
        });
        all.filter(|listed| seen.insert(listed.blob.digest)).collect()
    }

    async fn move_blob(&self, in_flight: &InFlight, listed: Listed<'_>, all: &[Recipient<'_>]) {
        let Listed { blob, parent } = listed;
        let mut places = in_flight.lock(&blob.digest).await;
        let asked = join_all(all.iter().map(|recipient| recipient.lacks(blob, &places))).await;
        let lacking =
            all.iter().zip(asked).filter_map(|(recipient, lacks)| lacks.then_some(recipient));
        let wanted = Wanted { source: &self.source, parent, blob };
        Moving { wanted, places: &mut places }.to(lacking.collect()).await;
    }
}

/// One blob on its way to those that lack it.
struct Moving<'a> {
    wanted: Wanted<'a>,
    places: &'a mut Places,
}

impl Moving<'_> {
    /// Moves the bytes to each registry once, and within it by mounting; to each store for itself.
    async fn to<'r>(mut self, mut lacking: Vec<&'r Recipient<'r>>) {
        while !lacking.is_empty() {
            let (near, mut far): (Vec<_>, Vec<_>) =
                lacking.into_iter().partition(|recipient| self.near(recipient).is_some());
            far.extend(self.spread(near).await);
            let mut hosts = HashSet::new();
            let is_first = |recipient: &&'r Recipient<'r>| match recipient.destination {
                Destination::Registry(repository) => hosts.insert(repository.host()),
                Destination::Store(_) => true,
            };
            let (leading, following): (Vec<_>, Vec<_>) = far.into_iter().partition(is_first);
            lacking = following;
            if !leading.is_empty() {
                self.lead(leading, &mut lacking).await;
            }
        }
    }

    /// A repository of the same registry that has the blob.
    fn near(&self, recipient: &Recipient<'_>) -> Option<RepositoryClient> {
        match recipient.destination {
            Destination::Registry(repository) => self.places.at(repository),
            Destination::Store(_) => None,
        }
    }

    /// Has the blob mounted from where their registry has it; what refuses that is fed from there. Gives those back
    /// that could not be, since it is not there any more.
    async fn spread<'r>(&mut self, near: Vec<&'r Recipient<'r>>) -> Vec<&'r Recipient<'r>> {
        let mut far = Vec::new();
        let spread = near.iter().map(|recipient| {
            let (from, Wanted { source, parent, blob }) = (self.near(recipient), self.wanted);
            async move {
                let wanted = Wanted { source: from.as_ref().unwrap_or(source), parent, blob };
                let from = from.as_ref().map(RepositoryClient::name);
                wanted.move_to(&[Way { to: recipient.destination, from }]).await.pop()
            }
        });
        let outcomes = together(spread, |outcome| matches!(outcome, Some(Ok(_)))).await;
        for (recipient, outcome) in near.into_iter().zip(outcomes) {
            match outcome.flatten() {
                Some(Err(error)) if error.is_source() => far.push(recipient),
                outcome => {
                    self.record(recipient, outcome.unwrap_or_else(|| Err(self.lags(recipient))));
                }
            }
        }
        for recipient in &far {
            if let Destination::Registry(repository) = recipient.destination {
                self.places.forget(repository.host());
            }
        }
        far
    }

    /// Reads the blob from its source for the first of each registry. The others of one that is left behind are
    /// left behind too.
    async fn lead<'r>(
        &mut self,
        leading: Vec<&'r Recipient<'r>>,
        following: &mut Vec<&'r Recipient<'r>>,
    ) {
        let ways: Vec<_> =
            leading.iter().map(|recipient| Way { to: recipient.destination, from: None }).collect();
        let outcomes = self.wanted.move_to(&ways).await;
        for (recipient, outcome) in leading.into_iter().zip(outcomes) {
            let error =
                outcome.as_ref().err().filter(|error| error.is_lagging() || error.is_source());
            if let (Some(error), Destination::Registry(leader)) = (error, recipient.destination) {
                let is_there = |follower: &&Recipient<'_>| match follower.destination {
                    Destination::Registry(repository) => repository.host() == leader.host(),
                    Destination::Store(_) => false,
                };
                for follower in following.extract_if(.., |follower| is_there(follower)) {
                    follower.fail(error.clone());
                }
            }
            self.record(recipient, outcome);
        }
    }

    fn lags(&self, recipient: &Recipient<'_>) -> Error {
        recipient.destination.lags(Content::Blob(self.wanted.blob.digest))
    }

    fn record(&mut self, recipient: &Recipient<'_>, outcome: Result<BlobOutcome, Error>) {
        if let (Ok(_), Destination::Registry(repository)) = (&outcome, recipient.destination) {
            self.places.add(repository);
        }
        recipient.record(self.wanted.blob, outcome);
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

    /// Does something with all of them at once. Who is much slower than those that did as much, which `work` tells, is
    /// left behind with `content` wanting.
    async fn each<'r, W: Future<Output = bool>>(
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

    /// Finds what is absent. A manifest that is present is so with all that it reaches, since manifests
    /// are written after their content; so the root is asked for alone, and first. Then the one that is
    /// written first: where not even that is there, most likely nobody has begun, and the others are
    /// taken for absent. One that is there after all is written again, which changes nothing; its blobs
    /// are begun, and found there where the registry tells.
    ///
    /// Whether the image is absent.
    async fn survey(&self, image: &Image) -> bool {
        let Some(true) = self.is_absent(&image.root).await else { return false };
        let Some((first, others)) = image.below.split_first() else { return true };
        match self.is_absent(first).await {
            Some(true) => others.iter().for_each(|node| self.miss(node)),
            Some(false) => {
                stream::iter(others)
                    .for_each_concurrent(QUESTIONS_AT_ONCE, |node| self.ask(node))
                    .await;
            }
            None => {}
        }
        !self.has_failed()
    }

    async fn ask(&self, node: &Node) {
        self.is_absent(node).await;
    }

    /// Asks for a manifest. None where there is no answer: then the destination has failed.
    async fn is_absent(&self, node: &Node) -> Option<bool> {
        match self.destination.has_manifest(&node.manifest).await {
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
    async fn lacks(&self, blob: &Descriptor, places: &Places) -> bool {
        let is_wanted = {
            let state = self.state();
            state.failed.is_none() && state.blobs.contains(&blob.digest)
        };
        if !is_wanted {
            return false;
        }
        // A registry is asked by the request that opens an upload.
        if let Destination::Registry(repository) = self.destination {
            return !places.has(repository);
        }
        match self.destination.has_blob(blob).await {
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

    /// Whether all that were lacking, if any, are there now.
    async fn write_manifests(&self, image: &Image) -> bool {
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
        let state = self.state();
        state.failed.is_none() && state.copied.manifests > 0
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
