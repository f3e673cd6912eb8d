//! The execution of planned writes. A dry run ends at the plan.

use std::sync::Arc;

use job::Confirm;
use oci::{Descriptor, Digest};
use registry_client::{FetchedManifest, RepositoryClient};
use transfer::{Content, copy_blob, together};

use crate::{
    FailureCause, PlannedWrite,
    run::MirrorRun,
    state::{ContentFailure, StoreFailures},
    stored::StorePlan,
};

/// A blob, and where it comes from.
#[derive(Clone, Copy)]
pub(crate) struct WantedBlob<'a> {
    pub(crate) from: &'a RepositoryClient,
    /// A manifest that lists it.
    pub(crate) parent: &'a Digest,
    pub(crate) blob: &'a Descriptor,
}

impl MirrorRun<'_> {
    /// Writes a blob to the stores that lack it, from one read of the registry. Gives the stores that do not have it
    /// afterwards.
    pub(crate) async fn execute_blob(
        &self,
        mut plan: StorePlan,
        WantedBlob { from, parent, blob }: WantedBlob<'_>,
    ) -> StoreFailures<ContentFailure> {
        if self.options.confirm == Confirm::Write && !plan.writes.is_empty() {
            let _permit = self.in_motion.acquire().await;
            if let Err(lost) = self.host_responds() {
                plan.destinations().into_iter().for_each(|store| plan.fail(store, lost));
            }
            self.leave_out_lost(&mut plan);
            let stores = plan.destinations();
            let destinations: Vec<_> = stores.iter().map(|at| self.destination(*at)).collect();
            let outcomes = copy_blob(from, parent, blob, &destinations).await;
            for (store, outcome) in stores.into_iter().zip(outcomes) {
                if let Err(error) = outcome {
                    plan.fail(store, self.not_copied(store, error));
                }
            }
        }
        self.count(&plan, Content::Blob(blob.digest), blob.size);
        plan.failures
    }

    /// Writes a manifest to the stores that lack it. Gives the stores that do not have it afterwards.
    pub(crate) async fn execute_manifest(
        &self,
        mut plan: StorePlan,
        FetchedManifest { digest, bytes, .. }: FetchedManifest,
    ) -> StoreFailures<ContentFailure> {
        let size = bytes.len() as u64;
        if self.options.confirm == Confirm::Write {
            self.leave_out_lost(&mut plan);
            let stores = plan.destinations();
            let puts = stores.iter().map(|store| self.store(*store).put(&digest, bytes.clone()));
            let puts = together(puts, Result::is_ok).await;
            for (store, put) in stores.into_iter().zip(puts) {
                match put {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => plan.fail(store, self.not_stored(store, error)),
                    None => plan.fail(store, self.leave_behind(store)),
                }
            }
        }
        self.count(&plan, Content::Manifest(digest), size);
        plan.failures
    }

    /// Leaves out the stores that nothing more is written to.
    pub(crate) fn leave_out_lost(&self, plan: &mut StorePlan) {
        for store in plan.destinations() {
            if let Err(lost) = self.may_write(store) {
                plan.fail(store, lost);
            }
        }
    }

    /// Counts an object in each store that has it or, in a dry run, would have it.
    fn count(&self, plan: &StorePlan, content: Content, size: u64) {
        let mut totals = self.totals();
        for store in plan.present.iter() {
            totals.stores[store].counts.already_there += 1;
        }
        for (store, action) in &plan.writes {
            let write = PlannedWrite { content, size, action: *action };
            let totals = &mut totals.stores[*store];
            totals.counts.count(write);
            if self.options.confirm == Confirm::DryRun {
                totals.plan.add(write);
            }
        }
    }

    /// The failure of content that the registry did not deliver.
    pub(crate) fn not_read(&self, error: transfer::Error) -> ContentFailure {
        if error.is_source() && error.is_unreachable() {
            return self.lose_host(error).into();
        }
        ContentFailure::Unrecorded(FailureCause::NotCopied(error))
    }

    fn not_copied(&self, store: usize, error: transfer::Error) -> ContentFailure {
        if error.is_lagging() {
            return self.leave_behind(store).into();
        }
        match error.of_store() {
            Some(cause) if cause.is_of_whole_store() => {
                self.lose_store(store, Arc::clone(cause)).into()
            }
            _ => self.not_read(error),
        }
    }

    pub(crate) fn not_stored(&self, store: usize, error: blob_store::Error) -> ContentFailure {
        let error = Arc::new(error);
        if error.is_of_whole_store() {
            self.lose_store(store, error).into()
        } else {
            ContentFailure::Unrecorded(FailureCause::NotStored(error))
        }
    }
}
