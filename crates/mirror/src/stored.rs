//! Which stores have content, and so which ones it must be written to.

use std::{collections::BTreeMap, sync::OnceLock};

use blob_store::{Part, found};
use bytes::Bytes;
use oci::{Descriptor, Digest};
use registry_client::MAX_MANIFEST_BYTES;
use transfer::together;

use crate::{
    StoreSet, WriteAction,
    once::Lacking,
    run::MirrorRun,
    state::{ContentFailure, NotMirrored, StoreFailures},
};

/// The plan for one object in each store.
#[derive(Default)]
pub(crate) struct StorePlan {
    /// The stores that have it.
    pub(crate) present: StoreSet,
    /// The stores to write it to.
    pub(crate) writes: BTreeMap<usize, WriteAction>,
    /// The stores that could not be read or written.
    pub(crate) failures: StoreFailures<ContentFailure>,
}

impl StorePlan {
    /// Leaves a store out.
    pub(crate) fn fail(&mut self, store: usize, failure: impl Into<ContentFailure>) {
        self.present = self.present.without(StoreSet::one(store));
        self.writes.remove(&store);
        self.failures.add(store, failure.into());
    }

    /// The stores to write it to.
    pub(crate) fn destinations(&self) -> Vec<usize> {
        self.writes.keys().copied().collect()
    }
}

impl MirrorRun<'_> {
    /// Looks for a blob in these stores, by its length.
    pub(crate) async fn plan_blob(&self, blob: &Descriptor, stores: StoreSet) -> StorePlan {
        let head = async |store: usize| match found(self.store(store).head(&blob.digest).await) {
            Ok(Some(head)) if head.length == blob.size => Ok(None),
            Ok(Some(_)) => Ok(Some(WriteAction::Repair)),
            Ok(None) => Ok(Some(WriteAction::Copy)),
            Err(error) => Err(self.not_stored(store, error)),
        };
        self.plan(stores, head).await
    }

    /// Looks for a manifest in the stores that are not known to have it. Gives its verified bytes too, if any store
    /// has them.
    pub(crate) async fn plan_manifest(
        &self,
        digest: &Digest,
        lacking: Lacking,
    ) -> (StorePlan, Option<Bytes>) {
        // The bytes are the same in each store, and are held once.
        let content = OnceLock::new();
        let plan = self
            .plan(lacking.stores, async |store| self.read_stored(store, digest, &content).await)
            .await;
        for store in lacking.complete.iter() {
            if content.get().is_none() {
                // The registry has it, if this store does not. The store was complete, so this is not its failure.
                if let Err(ContentFailure::Unrecorded(error)) =
                    self.read_stored(store, digest, &content).await
                {
                    let store = self.store(store);
                    tracing::warn!(%store, %digest, %error, "cannot read a stored manifest; reading the registry instead");
                }
            }
        }
        (plan, content.into_inner())
    }

    /// Reads a manifest of a store. Gives the action that is needed if the store does not have it whole.
    async fn read_stored(
        &self,
        store: usize,
        digest: &Digest,
        content: &OnceLock<Bytes>,
    ) -> Result<Option<WriteAction>, ContentFailure> {
        let max = MAX_MANIFEST_BYTES as u64;
        match found(self.store(store).get(digest, Part::Whole, max).await) {
            Ok(Some(bytes)) => {
                content.get_or_init(|| bytes);
                Ok(None)
            }
            Ok(None) => Ok(Some(WriteAction::Copy)),
            Err(error) if error.is_damaged() => Ok(Some(WriteAction::Repair)),
            Err(error) => Err(self.not_stored(store, error)),
        }
    }

    /// Does `look` in all of these stores at once. A store that is much slower than the others is left behind.
    async fn plan<L>(&self, stores: StoreSet, look: impl Fn(usize) -> L) -> StorePlan
    where
        L: Future<Output = Result<Option<WriteAction>, ContentFailure>>,
    {
        let mut plan = StorePlan::default();
        let left_behind = self.left_behind().intersection(stores);
        left_behind.iter().for_each(|store| plan.fail(store, NotMirrored::LeftBehind));
        let stores: Vec<_> = stores.without(left_behind).iter().collect();
        let looked = together(stores.iter().map(|store| look(*store)), Result::is_ok).await;
        for (store, found) in stores.into_iter().zip(looked) {
            match found {
                Some(Ok(None)) => plan.present = plan.present.with(store),
                Some(Ok(Some(action))) => drop(plan.writes.insert(store, action)),
                Some(Err(failure)) => plan.fail(store, failure),
                None => plan.fail(store, self.leave_behind(store)),
            }
        }
        plan
    }
}
