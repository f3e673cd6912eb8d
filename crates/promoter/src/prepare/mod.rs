//! Reading before the first write: the manifests of the images that are copied or checked, and the attachments. Turns
//! what the plan wants into what can be done, and adds up what that will cost.

mod attachment_faults;
mod attachments;
mod digest_tag_conflicts;
mod image;

use std::{collections::HashMap, sync::Arc};

use futures_util::{StreamExt as _, stream};
use promotion_manifest::SourceDigestId;
use transfer::Image;

use self::{
    attachments::{AttachmentPreparer, PreparedAttachments},
    image::{KeptManifests, load_needed},
};
use crate::{
    Outcome, PromotionRun, completeness,
    estimate::{Estimator, ImageSize},
    inventory::DestinationResult,
    not_copied,
    plan::PromotionPlan,
    planned::{Lacks, Planned, PlannedTarget},
    ready::{Ready, ReadyTarget},
    sources::Sources,
};

/// Images whose manifests are read at once. Each image reads some manifests at once itself.
const IMAGES_AT_ONCE: usize = 8;

/// What can be done.
pub(crate) struct Preparation {
    /// The digests that are promoted.
    pub ready: Vec<Ready>,
    /// The outcomes of all other edges.
    pub settled: Vec<Outcome>,
    /// What it will cost.
    pub estimator: Estimator,
}

/// Reads what `plan` needs.
pub(crate) async fn prepare(
    run: &PromotionRun<'_>,
    destinations: &[DestinationResult],
    sources: &Sources,
    plan: PromotionPlan,
) -> Preparation {
    let preparer = Preparer { run, destinations, sources, kept: KeptManifests::default() };
    let PromotionPlan { planned, settled, .. } = plan;
    run.progress.stage("reading images", planned.len() as u64);
    let prepared = stream::iter(planned).map(|planned| {
        let preparer = &preparer;
        async move {
            let (source_digest, targets) = (planned.source_digest, planned.targets.clone());
            let prepared = run.stop.unless_stopped(preparer.prepare(planned)).await;
            run.progress.advance(1);
            prepared.unwrap_or_else(|| PreparedDigest::interrupted(run, source_digest, &targets))
        }
    });
    let mut prepared = prepared.buffered(IMAGES_AT_ONCE);
    let mut all = Preparation { ready: Vec::new(), settled, estimator: Estimator::default() };
    // The images whose edges may be refused at the end, so that they cost nothing.
    let mut uncertain = HashMap::new();
    while let Some(PreparedDigest { ready, settled, image }) = prepared.next().await {
        all.settled.extend(settled);
        let Some(ready) = ready else { continue };
        let size = image.as_deref().map(ImageSize::of);
        if digest_tag_conflicts::may_refuse(run, &ready) {
            uncertain.insert(ready.source_digest, size);
        } else {
            all.estimator.add(run, &ready, size.as_ref());
        }
        all.ready.push(ready);
    }
    digest_tag_conflicts::refuse(run, &mut all).await;
    for ready in &all.ready {
        if let Some(size) = uncertain.remove(&ready.source_digest) {
            all.estimator.add(run, ready, size.as_ref());
        }
    }
    all
}

/// What can be done for one digest.
struct PreparedDigest {
    /// `None` if nothing is left to do.
    ready: Option<Ready>,
    settled: Vec<Outcome>,
    /// The image if it is copied, whether its manifests are kept or not.
    image: Option<Arc<Image>>,
}

impl PreparedDigest {
    fn interrupted(
        run: &PromotionRun<'_>,
        source_digest: SourceDigestId,
        targets: &[PlannedTarget],
    ) -> Self {
        let settled = targets.iter().flat_map(|target| {
            target.failed(&run.interrupted(&run.hosts_of(target.destination, source_digest)))
        });
        Self { ready: None, settled: settled.collect(), image: None }
    }
}

struct Preparer<'a> {
    run: &'a PromotionRun<'a>,
    destinations: &'a [DestinationResult],
    sources: &'a Sources,
    kept: KeptManifests,
}

impl Preparer<'_> {
    async fn prepare(&self, mut planned: Planned) -> PreparedDigest {
        let mut settled = Vec::new();
        let image = load_needed(self.run, &mut planned, &mut settled).await;
        if let Some(image) = &image {
            completeness::check(self.run, &mut planned, image, &mut settled).await;
        }
        let Planned { source_digest, origins, source_failure, targets } = planned;
        let Self { run, destinations, sources, .. } = *self;
        let digest = run.edges.source_digest(source_digest).entry.digest;
        let attachments_origin = origins.first();
        let preparer = AttachmentPreparer {
            run,
            destinations,
            sources,
            image: digest,
            origin: attachments_origin,
        };
        let PreparedAttachments { attachments, mut targets } =
            preparer.prepare(targets, image.as_deref(), &mut settled).await;
        let is_done = |target: &&mut ReadyTarget| {
            target.missing.is_empty() && target.planned.lacks == Lacks::Nothing
        };
        for target in targets.iter_mut().filter(is_done) {
            settled.extend(target.planned.settle_held());
        }
        targets.retain(|target| target.planned.edges().next().is_some());
        let not_copied = image.as_deref().and_then(not_copied::note);
        let image = image.filter(|_| targets.iter().any(ReadyTarget::is_copied));
        let ready = (!targets.is_empty()).then(|| Ready {
            source_digest,
            origins,
            source_failure,
            manifests: self.kept.keep(image.as_ref()),
            not_copied,
            attachments_origin,
            attachments,
            targets,
        });
        PreparedDigest { ready, settled, image }
    }
}
