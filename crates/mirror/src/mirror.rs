//! The flow of a run: list the tags, follow each, and those that are too heavy one by one at the end.

use std::sync::Arc;

use futures_util::{StreamExt as _, future, stream};
use job::{Progress, Stop};
use oci::{Descriptor, Reference};
use registry_client::Client;
use transfer::BoundExceeded;

use crate::{
    FailureCause, Totals,
    content_fault::ContentFault,
    run::{MirrorOptions, Run, Tagged},
    state::{Fault, NotMirrored},
    walk::{LIGHT_TREE_BYTES, Walk, Weight},
};

/// How many tags are followed at the same time.
pub const TAGS_AT_ONCE: usize = 16;

/// Puts into the store what the tags below the prefix reach and the store lacks. What fails is named in
/// the totals, and stops nothing else. When it is stopped, the totals are those so far, and say so.
pub async fn mirror(
    client: &Client,
    options: &MirrorOptions,
    stop: &Stop,
    progress: &dyn Progress,
) -> Totals {
    let run = Run::new(client, options, progress);
    if stop.unless_stopped(run.all()).await.is_none() {
        run.fail(None, None, FailureCause::Interrupted);
    }
    run.finish()
}

impl Run<'_> {
    async fn all(&self) {
        let tags = self.list().await;
        self.progress.stage("mirroring tags", tags.len() as u64);
        let light = stream::iter(&tags).map(|tagged| self.follow(tagged));
        let heavy = light.buffer_unordered(TAGS_AT_ONCE).filter_map(future::ready);
        for (tagged, root) in heavy.collect::<Vec<_>>().await {
            let walk = Walk::new(self, &tagged.0, Weight::Heavy);
            let mirrored = walk.manifest(&root, None, 1).await;
            self.settle(tagged, mirrored.map(drop).map_err(Fault::Recorded));
        }
    }

    /// Mirrors what a tag reaches; or gives its root, when that is too heavy to be done beside others.
    async fn follow<'t>(&self, tagged: &'t Tagged) -> Option<(&'t Tagged, Descriptor)> {
        let mirrored = match self.resolve(tagged).await {
            Ok(root) => {
                let walk = Walk::new(self, &tagged.0, Weight::Light);
                match walk.manifest(&root, None, 1).await {
                    Err(NotMirrored::Bound(BoundExceeded::Bytes { max: LIGHT_TREE_BYTES })) => {
                        return Some((tagged, root));
                    }
                    mirrored => mirrored.map(drop).map_err(Fault::Recorded),
                }
            }
            Err(fault) => Err(fault),
        };
        self.settle(tagged, mirrored);
        None
    }

    async fn resolve(&self, (from, tag): &Tagged) -> Result<Descriptor, Fault> {
        self.host_responds()?;
        match from.find_listed_manifest(&Reference::Tag(tag.clone())).await {
            Ok(head) => Ok(Descriptor::new(head.media_type, head.digest, head.size)),
            Err(error) if error.is_unreachable() => Err(self.lose_host(error).into()),
            Err(error) => Err(Fault::Unrecorded(
                ContentFault::Unreadable,
                FailureCause::TagNotResolved { error: Arc::new(error) },
            )),
        }
    }
}
