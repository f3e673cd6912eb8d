//! Copying an image: what is absent at each destination, blobs first, then manifests, children first.

use std::collections::HashSet;

use futures_util::{StreamExt as _, future::join_all, stream};
use oci::{Descriptor, Digest};
use registry_client::RepositoryClient;

use crate::{
    BlobOutcome, Content, Copied, Destination, Error, Image, TransferState,
    destination::Absence,
    fan_out::{BlobTransfer, By, Way},
    lag::together,
    per_digest::BlobLocations,
    recipient::Recipient,
};

/// How many blobs of one image are in motion at the same time.
pub const BLOBS_AT_ONCE: usize = 4;

impl Image {
    /// Copies the image, with everything that it reaches, to the destinations that lack any part of it. Writes no tag.
    /// The results are in the order of `destinations`; each destination fails by itself.
    pub async fn copy_to(
        &self,
        transfer_state: &TransferState,
        destinations: &[Destination],
    ) -> Vec<Result<Copied, Error>> {
        let recipients: Vec<_> = destinations
            .iter()
            .map(|to| Recipient::new(to, transfer_state, Absence::Hinted))
            .collect();
        let root = Content::Manifest(self.root.manifest.digest);
        Recipient::each(&recipients, root, |recipient| recipient.survey(self)).await;
        stream::iter(self.listed_blobs())
            .for_each_concurrent(BLOBS_AT_ONCE, |blob| {
                self.move_blob(transfer_state, blob, &recipients)
            })
            .await;
        Recipient::each(&recipients, root, |recipient| recipient.write_manifests(self)).await;
        recipients.into_iter().map(Recipient::finish).collect()
    }

    /// The content of the image that is absent at `destination`: manifests, and the blobs of the manifests that are
    /// present. Each is looked up (HEAD, and GET where HEAD fails) unless `transfer_state` has found it before.
    ///
    /// # Errors
    /// When the destination cannot be queried.
    pub async fn missing_at(
        &self,
        transfer_state: &TransferState,
        destination: &Destination,
    ) -> Result<Vec<Content>, Error> {
        Recipient::new(destination, transfer_state, Absence::Confirmed).missing(self).await
    }

    /// The same for the repository that the image was read from.
    ///
    /// # Errors
    /// Those of a source, when it cannot be queried.
    pub async fn missing_at_source(
        &self,
        transfer_state: &TransferState,
    ) -> Result<Vec<Content>, Error> {
        let source = Destination::Registry(self.source.clone());
        self.missing_at(transfer_state, &source).await.map_err(Error::into_of_source)
    }

    /// Every blob once, with a manifest that lists it.
    fn listed_blobs(&self) -> Vec<BlobOfManifest<'_>> {
        let mut seen = HashSet::new();
        let all = self.nodes().flat_map(|node| {
            node.blobs.iter().map(|blob| BlobOfManifest { blob, parent: &node.manifest.digest })
        });
        all.filter(|listed| seen.insert(listed.blob.digest)).collect()
    }

    async fn move_blob(
        &self,
        transfer_state: &TransferState,
        listed: BlobOfManifest<'_>,
        all: &[Recipient<'_>],
    ) {
        let BlobOfManifest { blob, parent } = listed;
        let mut locations = transfer_state.lock(&blob.digest).await;
        let lacks = join_all(all.iter().map(|recipient| recipient.lacks(blob, &locations))).await;
        let lacking =
            all.iter().zip(lacks).filter_map(|(recipient, lacks)| lacks.then_some(recipient));
        let wanted = BlobTransfer { source: &self.source, parent, blob };
        Moving { wanted, locations: &mut locations }.to(lacking.collect()).await;
    }
}

/// One blob that is moved to the recipients that lack it.
struct Moving<'a> {
    wanted: BlobTransfer<'a>,
    locations: &'a mut BlobLocations,
}

impl Moving<'_> {
    /// Sends the bytes to each registry once, and has its other repositories mount them; sends them to each store.
    async fn to<'r>(mut self, mut lacking: Vec<&'r Recipient<'r>>) {
        while !lacking.is_empty() {
            let (mountable, mut unmounted): (Vec<_>, Vec<_>) =
                lacking.into_iter().partition(|recipient| self.mount_source(recipient).is_some());
            unmounted.extend(self.mount(mountable).await);
            let mut hosts = HashSet::new();
            let is_first = |recipient: &&'r Recipient<'r>| match recipient.destination {
                Destination::Registry(repository) => hosts.insert(repository.host()),
                Destination::Store(_) => true,
            };
            let (first, others): (Vec<_>, Vec<_>) = unmounted.into_iter().partition(is_first);
            lacking = others;
            if !first.is_empty() {
                self.send(first, &mut lacking).await;
            }
        }
    }

    /// A repository of the same registry that has the blob.
    fn mount_source(&self, recipient: &Recipient<'_>) -> Option<RepositoryClient> {
        match recipient.destination {
            Destination::Registry(_) if recipient.has_damaged(self.wanted.blob) => None,
            Destination::Registry(repository) => self.locations.at(repository),
            Destination::Store(_) => None,
        }
    }

    fn way<'r>(&self, recipient: &'r Recipient<'_>) -> Way<'r> {
        match recipient.has_damaged(self.wanted.blob) {
            true => Way { to: recipient.destination, by: By::Replace },
            false => Way::to(recipient.destination),
        }
    }

    /// Has the blob mounted from a repository of the same registry; where the mount is refused, copies it from there.
    /// Returns the recipients that could not get it because that repository no longer has the blob.
    async fn mount<'r>(&mut self, mountable: Vec<&'r Recipient<'r>>) -> Vec<&'r Recipient<'r>> {
        let mut unmounted = Vec::new();
        let mounts = mountable.iter().map(|recipient| {
            let (from, BlobTransfer { source, parent, blob }) =
                (self.mount_source(recipient), self.wanted);
            async move {
                let wanted = BlobTransfer { source: from.as_ref().unwrap_or(source), parent, blob };
                let from = from.as_ref().map(RepositoryClient::name);
                let by = By::Mount(from);
                wanted.move_to(&[Way { to: recipient.destination, by }]).await.pop()
            }
        });
        let outcomes = together(mounts, |outcome| matches!(outcome, Some(Ok(_)))).await;
        for (recipient, outcome) in mountable.into_iter().zip(outcomes) {
            match outcome.flatten() {
                Some(Err(error)) if error.is_source() => unmounted.push(recipient),
                outcome => {
                    self.record(recipient, outcome.unwrap_or_else(|| Err(self.lags(recipient))));
                }
            }
        }
        for recipient in &unmounted {
            if let Destination::Registry(repository) = recipient.destination {
                self.locations.forget(repository.host());
            }
        }
        unmounted
    }

    /// Reads the blob from its source for the first recipient of each registry. If that one is left behind, the other
    /// recipients of its registry are left behind too.
    async fn send<'r>(
        &mut self,
        first: Vec<&'r Recipient<'r>>,
        others: &mut Vec<&'r Recipient<'r>>,
    ) {
        let ways: Vec<_> = first.iter().map(|recipient| self.way(recipient)).collect();
        let outcomes = self.wanted.move_to(&ways).await;
        for (recipient, outcome) in first.into_iter().zip(outcomes) {
            let error =
                outcome.as_ref().err().filter(|error| error.is_lagging() || error.is_source());
            if let (Some(error), Destination::Registry(lagging)) = (error, recipient.destination) {
                let is_there = |other: &&Recipient<'_>| match other.destination {
                    Destination::Registry(repository) => repository.host() == lagging.host(),
                    Destination::Store(_) => false,
                };
                for other in others.extract_if(.., |other| is_there(other)) {
                    other.fail(error.clone());
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
            self.locations.add(repository);
        }
        recipient.record(self.wanted.blob, outcome);
    }
}

/// A blob, and a manifest that lists it.
#[derive(Clone, Copy)]
struct BlobOfManifest<'a> {
    blob: &'a Descriptor,
    parent: &'a Digest,
}
