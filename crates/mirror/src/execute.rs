//! The execution of planned writes. A dry run ends at the plan.

use std::sync::Arc;

use job::Confirm;
use oci::{Descriptor, Digest};
use registry_client::{FetchedManifest, RepositoryClient};
use transfer::copy_blob;

use crate::{FailureCause, PlannedWrite, content_fault::ContentFault, run::Run, state::Fault};

/// A blob, and where it comes from.
#[derive(Clone, Copy)]
pub(crate) struct WantedBlob<'a> {
    pub(crate) from: &'a RepositoryClient,
    /// A manifest that lists it.
    pub(crate) parent: &'a Digest,
    pub(crate) blob: &'a Descriptor,
}

impl Run<'_> {
    pub(crate) async fn execute_blob(
        &self,
        write: PlannedWrite,
        WantedBlob { from, parent, blob }: WantedBlob<'_>,
    ) -> Result<(), Fault> {
        if self.options.confirm == Confirm::Write {
            let _in_motion = self.in_motion.acquire().await;
            self.may_go_on()?;
            for outcome in copy_blob(from, parent, blob, &[&self.destination]).await {
                outcome.map_err(|error| self.not_copied(error))?;
            }
        }
        self.count_write(write);
        Ok(())
    }

    pub(crate) async fn execute_manifest(
        &self,
        write: PlannedWrite,
        FetchedManifest { digest, bytes, .. }: FetchedManifest,
    ) -> Result<(), Fault> {
        if self.options.confirm == Confirm::Write {
            self.may_go_on()?;
            let put = self.options.to.put(&digest, bytes).await;
            put.map_err(|error| self.not_stored(error))?;
        }
        self.count_write(write);
        Ok(())
    }

    fn count_write(&self, write: PlannedWrite) {
        let mut totals = self.totals();
        totals.count(write);
        if self.options.confirm == Confirm::DryRun {
            totals.plan.add(write);
        }
    }

    pub(crate) fn not_copied(&self, error: transfer::Error) -> Fault {
        if error.is_source() && error.is_unreachable() {
            return self.lose_host(error).into();
        }
        match error.of_store() {
            Some(cause) if cause.is_of_whole_store() => self.lose_store(Arc::clone(cause)).into(),
            _ => Fault::Unrecorded(ContentFault::of(&error), FailureCause::NotCopied(error)),
        }
    }

    pub(crate) fn not_stored(&self, error: blob_store::Error) -> Fault {
        let error = Arc::new(error);
        if error.is_of_whole_store() {
            self.lose_store(error).into()
        } else {
            Fault::Unrecorded(ContentFault::NotStored, FailureCause::NotStored(error))
        }
    }
}
