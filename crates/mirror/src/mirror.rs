//! The flow of a run: list the tags, follow each, and those that are too heavy one by one at the end.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use job::{Progress, Stop};
use oci::{Descriptor, Reference};
use registry_client::RegistryClient;
use transfer::{BoundExceeded, WalkEntry};

use crate::{
    FailureCause, StoreSet, Totals,
    run::{MirrorOptions, MirrorRun, Tagged},
    state::{ContentFailure, NotMirrored},
    tag_walk::{LIGHT_TREE_BYTES, TagWalk, Weight},
};

/// How many tags are followed at the same time.
pub const TAGS_AT_ONCE: usize = 16;

/// Puts into each store what the tags below the prefix reach and the store lacks; the registry is read once for all
/// stores. What fails is named in the totals, and stops nothing else. When it is stopped, the totals are those so far,
/// and say so.
pub async fn mirror(
    client: &RegistryClient,
    options: &MirrorOptions,
    stop: &Stop,
    progress: &dyn Progress,
) -> Totals {
    let run = MirrorRun::new(client, options, progress);
    if stop.unless_stopped(run.all()).await.is_none() {
        run.fail(run.stores(), None, None, FailureCause::Interrupted);
    }
    run.finish()
}

/// A tag that is followed, and its root once that is known.
#[derive(Clone)]
struct WantedTag<'t> {
    tagged: &'t Tagged,
    root: Option<Descriptor>,
}

/// What became of a tag.
enum Followed<'t> {
    /// It is in the stores, or a failure says why not.
    Settled,
    /// It reaches too much to be followed beside others.
    TooHeavy(WantedTag<'t>),
    /// These stores were too slow for the others.
    LeftBehind(WantedTag<'t>, StoreSet),
}

impl MirrorRun<'_> {
    async fn all(&self) {
        let tags = self.list().await;
        self.progress.stage("mirroring tags", tags.len() as u64);
        let wanted = tags.iter().map(|tagged| WantedTag { tagged, root: None }).collect();
        let left_behind = self.follow_all(wanted, self.stores()).await;
        // Alone, a store is not left behind again.
        for store in self.take_left_behind().iter() {
            let of_store = left_behind.iter().filter(|(_, stores)| stores.contains(store));
            let of_store: Vec<_> = of_store.map(|(tag, _)| tag.clone()).collect();
            self.progress.stage("mirroring to a slower store", of_store.len() as u64);
            self.follow_all(of_store, StoreSet::one(store)).await;
        }
    }

    /// Mirrors what these tags reach to these stores. Gives the tags that stores were left behind with.
    async fn follow_all<'t>(
        &self,
        wanted: Vec<WantedTag<'t>>,
        stores: StoreSet,
    ) -> Vec<(WantedTag<'t>, StoreSet)> {
        let (mut heavy, mut left_behind) = (Vec::new(), Vec::new());
        let light = stream::iter(wanted).map(|tag| self.follow(tag, stores, Weight::Light));
        let mut light = light.buffer_unordered(TAGS_AT_ONCE);
        while let Some(followed) = light.next().await {
            match followed {
                Followed::Settled => {}
                Followed::TooHeavy(tag) => heavy.push(tag),
                Followed::LeftBehind(tag, stores) => left_behind.push((tag, stores)),
            }
        }
        for tag in heavy {
            if let Followed::LeftBehind(tag, stores) = self.follow(tag, stores, Weight::Heavy).await
            {
                left_behind.push((tag, stores));
            }
        }
        left_behind
    }

    /// Mirrors what a tag reaches.
    async fn follow<'t>(
        &self,
        WantedTag { tagged, root }: WantedTag<'t>,
        stores: StoreSet,
        weight: Weight,
    ) -> Followed<'t> {
        let root = match root {
            Some(root) => Ok(root),
            None => self.resolve(tagged).await,
        };
        let root = match root {
            Ok(root) => root,
            Err(failure) => {
                self.settle_unfollowed(tagged, stores, failure);
                return Followed::Settled;
            }
        };
        let walk = TagWalk::new(self, &tagged.0, stores, weight);
        let failures = walk.manifest(&root, WalkEntry::root(root.digest)).await.failures;
        let tag = WantedTag { tagged, root: Some(root) };
        let too_heavy = NotMirrored::Bound(BoundExceeded::Bytes { max: LIGHT_TREE_BYTES });
        if !failures.stores_with(too_heavy).is_empty() {
            return Followed::TooHeavy(tag);
        }
        let left_behind = failures.stores_with(NotMirrored::LeftBehind);
        self.settle(tagged, failures);
        match left_behind.is_empty() {
            true => Followed::Settled,
            false => Followed::LeftBehind(tag, left_behind),
        }
    }

    async fn resolve(&self, (from, tag): &Tagged) -> Result<Descriptor, ContentFailure> {
        self.host_responds()?;
        match from.find_listed_manifest(&Reference::Tag(tag.clone())).await {
            Ok(head) => Ok(Descriptor::new(head.media_type, head.digest, head.size)),
            Err(error) if error.is_unreachable() => Err(self.lose_host(error).into()),
            Err(error) => Err(ContentFailure::Unrecorded(FailureCause::TagNotResolved {
                error: Arc::new(error),
            })),
        }
    }
}
