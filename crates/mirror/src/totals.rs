//! The totals of a run: what it did in each store, and what failed.

use std::{fmt, ops::Add};

use blob_store::BlobStore;
use oci::{Reference, Repository};
use transfer::Content;

use crate::{FailureCause, MirrorPlan, PlannedWrite, StoreSet, WriteAction};

/// What a run did or, without [`Confirm::Write`](job::Confirm::Write), would do.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Repositories that have tags.
    pub repositories: u64,
    /// Tags seen.
    pub tags: u64,
    /// Each store, in the order of [`Stores`](crate::Stores).
    pub stores: Vec<StoreTotals>,
    /// What was not mirrored, each with its cause. Empty when every store is complete.
    pub failed: Vec<Failure>,
}

/// What a run did, or would do, in one store.
#[derive(Clone, Debug)]
pub struct StoreTotals {
    /// The store's URL.
    pub store: String,
    /// How much was written, or would be.
    pub counts: WriteCounts,
    /// What a dry run would write; empty in a run that writes, whose memory it would need.
    pub plan: MirrorPlan,
}

/// How many objects were written or, in a dry run, would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteCounts {
    /// Manifests put that the store did not have.
    pub manifests: u64,
    /// Blobs put that the store did not have.
    pub blobs: u64,
    /// Blobs and manifests that were damaged in the store and were replaced.
    pub repaired: u64,
    /// Bytes of all those blobs and manifests.
    pub bytes: u64,
    /// Blobs and manifests that the store had.
    pub already_there: u64,
}

impl Totals {
    pub(crate) fn of(stores: &[BlobStore]) -> Self {
        let stores = stores.iter().map(|store| StoreTotals {
            store: store.to_string(),
            counts: WriteCounts::default(),
            plan: MirrorPlan::default(),
        });
        Self { stores: stores.collect(), ..Self::default() }
    }

    /// The counts of all stores together.
    #[must_use]
    pub fn counts(&self) -> WriteCounts {
        self.stores.iter().fold(WriteCounts::default(), |all, store| all + store.counts)
    }

    /// The URLs of the stores that a failure concerns.
    #[must_use]
    pub fn stores_of(&self, failure: &Failure) -> Vec<&str> {
        failure.stores.iter().filter_map(|at| Some(&*self.stores.get(at)?.store)).collect()
    }

    /// How many failures concern this store, given by its position.
    #[must_use]
    pub fn failures_of(&self, store: usize) -> usize {
        self.failed.iter().filter(|failure| failure.stores.contains(store)).count()
    }
}

impl WriteCounts {
    /// How many blobs and manifests were written or, in a dry run, are planned.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.manifests + self.blobs + self.repaired
    }

    /// Counts a write that was executed or, in a dry run, planned.
    pub(crate) fn count(&mut self, write: PlannedWrite) {
        let counter = match (write.action, write.content) {
            (WriteAction::Repair, _) => &mut self.repaired,
            (WriteAction::Copy, Content::Manifest(_)) => &mut self.manifests,
            (WriteAction::Copy, Content::Blob(_)) => &mut self.blobs,
        };
        *counter += 1;
        self.bytes += write.size;
    }
}

impl Add for WriteCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            manifests: self.manifests + other.manifests,
            blobs: self.blobs + other.blobs,
            repaired: self.repaired + other.repaired,
            bytes: self.bytes + other.bytes,
            already_there: self.already_there + other.already_there,
        }
    }
}

/// Something that was not mirrored.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The stores that lack it.
    pub stores: StoreSet,
    /// Of which repository; none when it concerns the whole prefix.
    pub repository: Option<Repository>,
    /// Which tag, or which content; none when it concerns the whole repository.
    pub reference: Option<Reference>,
    /// Why.
    pub cause: FailureCause,
}
impl Failure {
    /// What was not mirrored; nothing when it concerns the whole prefix.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        let repository = self.repository.as_ref()?;
        Some(match &self.reference {
            Some(Reference::Tag(tag)) => format!("{repository}:{tag}"),
            Some(Reference::Digest(digest)) => format!("{repository}@{digest}"),
            None => repository.to_string(),
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.name() {
            write!(f, "{name}: ")?;
        }
        self.cause.fmt(f)
    }
}
