//! What a confirmed run will cost: about how many requests and bytes at each host, and the shortest time that the quotas
//! allow. It does not count reading the registries again, the bytes of manifests and attachments, and retries. It assumes
//! that the destinations have nothing of the images but what this run copies.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{BuildHasher as _, Hash, RandomState},
    time::Duration,
};

use oci::{Digest, Host};
use registry_client::{RegistryClient, RequestKind, SMALL_BLOB_BYTES};
use transfer::Image;

use crate::{
    PromotionRun,
    ready::{ImageManifests, Ready, ReadyTarget},
};

/// Requests that read a tag that is written: before the write, after it, and at the end of the run.
const READS_OF_A_TAG: u64 = 3;

/// Requests that read, at the destination, for one attachment that is copied: its manifest, and its tag or list.
const READS_OF_AN_ATTACHMENT: u64 = 6;

/// Requests that write one attachment: two blobs, its manifest, and its tag or its entry in a list.
const WRITES_OF_AN_ATTACHMENT: u64 = 8;

/// What a plan will cost, about.
#[derive(Clone, Debug, Default)]
pub struct Estimate {
    /// Each host's share, by name.
    pub hosts: Vec<HostEstimate>,
}

/// What a plan will cost at one host, about.
#[derive(Clone, Debug)]
pub struct HostEstimate {
    /// The host.
    pub host: Host,
    /// Requests that read.
    pub reads: u64,
    /// Requests that write.
    pub writes: u64,
    /// Bytes of blobs that are read from the host.
    pub bytes_received: u64,
    /// Bytes of blobs that are written to the host.
    pub bytes_sent: u64,
    /// The shortest time that the quota allows for that.
    pub time: Duration,
}

impl Estimate {
    /// The shortest time that the quotas allow, if all hosts are used at once.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.hosts.iter().map(|host| host.time).max().unwrap_or_default()
    }
}

/// What the cost of copying an image depends on.
#[derive(Debug)]
pub(crate) struct ImageSize {
    /// The number of its manifests.
    manifests: u64,
    /// The digest and the length of each blob.
    blobs: Vec<(Digest, u64)>,
}

impl ImageSize {
    pub(crate) fn of(image: &Image) -> Self {
        let blobs = image.blobs().map(|blob| (blob.digest, blob.size)).collect();
        Self { manifests: image.nodes().count() as u64, blobs }
    }
}

/// Adds up what the promotion of each digest costs.
#[derive(Debug, Default)]
pub(crate) struct Estimator {
    hosts: BTreeMap<Host, Cost>,
    /// Which blobs will be at which hosts and repositories by then, each as a hash of 8 bytes. The whole Kubernetes tree
    /// has millions of them, and an estimate may be wrong by the few that collide.
    copied: HashSet<u64>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    reads: u64,
    writes: u64,
    received: u64,
    sent: u64,
}

impl Estimator {
    /// Adds what `ready` costs, which copies `image` to the destinations that lack it.
    pub(crate) fn add(&mut self, run: &PromotionRun<'_>, ready: &Ready, image: Option<&ImageSize>) {
        let origin = run.origin(ready.attachments_origin).ok();
        let origin = origin.map(|repository| repository.host().clone());
        if let (Some(image), Some(origin)) = (image, &origin) {
            let to: Vec<_> = ready.targets.iter().filter(|it| it.is_copied()).collect();
            if matches!(ready.manifests, ImageManifests::NotKept) && !to.is_empty() {
                self.at(origin).reads += image.manifests;
            }
            self.copy(run, image, origin, &to);
        }
        for target in &ready.targets {
            self.tags(run, target);
            let attachments = target.missing.len() as u64;
            let host = &run.edges.destinations()[target.destination()].prefix.host;
            let cost = self.at(host);
            cost.reads += READS_OF_AN_ATTACHMENT * attachments;
            cost.writes += WRITES_OF_AN_ATTACHMENT * attachments;
        }
        let missing: HashSet<_> = ready.targets.iter().flat_map(|target| &target.missing).collect();
        if let Some(origin) = &origin {
            // A manifest and two blobs each.
            self.at(origin).reads += 3 * missing.len() as u64;
        }
    }

    fn tags(&mut self, run: &PromotionRun<'_>, target: &ReadyTarget) {
        let repository = &run.edges.destinations()[target.destination()];
        let tags = target.planned.open.iter();
        let tags = tags.filter(|edge| run.edges.edge(**edge).tag().is_some()).count() as u64;
        let cost = self.at(&repository.prefix.host);
        cost.reads += READS_OF_A_TAG * tags;
        cost.writes += tags;
        if !target.is_copied() && tags > 0 {
            cost.reads += 1; // of the manifest
        }
    }

    fn copy(
        &mut self,
        run: &PromotionRun<'_>,
        image: &ImageSize,
        origin: &Host,
        to: &[&ReadyTarget],
    ) {
        for target in to {
            let host = &run.edges.destinations()[target.destination()].prefix.host;
            let cost = self.at(host);
            cost.reads += image.manifests.min(2);
            cost.writes += image.manifests;
        }
        for &(digest, size) in &image.blobs {
            let mut is_read = false;
            for target in to {
                let repository = &run.edges.destinations()[target.destination()];
                let host = &repository.prefix.host;
                if !self.is_new(&(host, &repository.repository, digest)) {
                    continue;
                }
                let is_moved = host != origin && self.is_new(&(host, digest));
                let cost = self.at(host);
                cost.writes += match (is_moved, size <= SMALL_BLOB_BYTES) {
                    (false, _) => 1, // mounted
                    (true, true) => 2,
                    (true, false) => 3,
                };
                if is_moved {
                    cost.sent += size;
                    is_read = true;
                }
            }
            if is_read {
                let cost = self.at(origin);
                cost.reads += 1;
                cost.received += size;
            }
        }
    }

    /// Whether this is the first time that the key is added.
    fn is_new(&mut self, key: &impl Hash) -> bool {
        self.copied.insert(self.hasher.hash_one(key))
    }

    fn at(&mut self, host: &Host) -> &mut Cost {
        self.hosts.entry(host.clone()).or_default()
    }

    /// The number of bytes that will be written.
    pub(crate) fn bytes_to_send(&self) -> u64 {
        self.hosts.values().map(|cost| cost.sent).sum()
    }

    /// The sum, with the time that the quotas of `client` allow for it.
    pub(crate) fn finish(self, client: &RegistryClient) -> Estimate {
        let hosts = self.hosts.into_iter().filter(|(_, cost)| cost.reads + cost.writes > 0);
        let hosts = hosts.map(|(host, cost)| {
            let of = |kind, requests| client.estimate(&host, kind, requests);
            let (all, bytes) = (cost.reads + cost.writes, cost.received + cost.sent);
            let time = of(RequestKind::Read, cost.reads)
                .max(of(RequestKind::Write, cost.writes))
                .max(of(RequestKind::Read, all).min(of(RequestKind::Write, all)))
                .max(client.estimate_bytes(&host, bytes));
            HostEstimate {
                time,
                reads: cost.reads,
                writes: cost.writes,
                bytes_received: cost.received,
                bytes_sent: cost.sent,
                host,
            }
        });
        Estimate { hosts: hosts.collect() }
    }
}
