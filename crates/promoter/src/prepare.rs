//! Reading before the first write: the manifests of the images that are copied or checked, and the attachments. Turns
//! what the plan wants into what can be done, and adds up what that will cost.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use attachments::{
    Attachment, Comparison, DanglingTag, Defect, DestinationImage, Discovered, discover,
};
use futures_util::{StreamExt as _, future::join_all, stream};
use job::Confirm;
use oci::Digest;
use promotion_manifest::SourceDigestId;
use registry_client::{Inventory, RepositoryClient};
use transfer::{Image, reachable_manifests};

use crate::{
    BrokenAttachments, Outcome, PromotionRun, Unloaded,
    attaching::{self, AttachmentFailure, Broken, Missing},
    completeness,
    estimate::Estimator,
    inventory::DestinationResult,
    not_copied,
    plan::PromotionPlan,
    planned::{ImageOrigin, ImageOrigins, Lacks, Planned, PlannedTarget},
    ready::{ImageManifests, Ready, ReadyTarget},
    reason::{AttachmentName, AttachmentProblem, AttachmentStep, Reason},
    sources::Sources,
};

/// Images whose manifests are read at once. Each image reads some manifests at once itself.
const IMAGES_AT_ONCE: usize = 8;

/// Attachments of one image that a plan reads at their source at once.
const ATTACHMENTS_AT_ONCE: usize = 4;

/// How many bytes of manifests are kept in memory until their images are copied. A run of usual size keeps all of them;
/// the first run of a whole registry would need gigabytes, and reads the others again.
const MAX_KEPT_BYTES: usize = 32 << 20;

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
    let preparer = Preparer { run, destinations, sources, kept_bytes: AtomicUsize::new(0) };
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
    while let Some(PreparedDigest { ready, settled, image }) = prepared.next().await {
        all.settled.extend(settled);
        if let Some(ready) = ready {
            all.estimator.add(run, &ready, image.as_deref());
            all.ready.push(ready);
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

/// The attachments of one digest, and where they were found.
struct FoundAttachments {
    root: Digest,
    attachments_origin: ImageOrigin,
    attachments: Arc<[Attachment]>,
}

/// What follows from an attachment that cannot be read at its source.
enum AttachmentFault {
    /// It is left out, and reported with this problem.
    LeftOut(Arc<AttachmentProblem>),
    /// The image is not tagged, for this reason.
    Fatal(Arc<Reason>),
}

impl AttachmentFault {
    const fn fatal(&self) -> Option<&Arc<Reason>> {
        match self {
            Self::LeftOut(_) => None,
            Self::Fatal(reason) => Some(reason),
        }
    }

    fn left_out(&self, at: usize) -> Option<Broken> {
        match self {
            Self::LeftOut(problem) => Some(Broken { at, problem: Arc::clone(problem) }),
            Self::Fatal(_) => None,
        }
    }
}

struct Preparer<'a> {
    run: &'a PromotionRun<'a>,
    destinations: &'a [DestinationResult],
    sources: &'a Sources,
    kept_bytes: AtomicUsize,
}

impl Preparer<'_> {
    async fn prepare(&self, mut planned: Planned) -> PreparedDigest {
        let mut settled = Vec::new();
        let image = self.load_image(&mut planned, &mut settled).await;
        if let Some(image) = &image {
            completeness::check(self.run, &mut planned, image, &mut settled).await;
        }
        let Planned { source_digest, origins, targets } = planned;
        let root = self.run.edges.source_digest(source_digest).entry.digest;
        let attachments_origin = origins.first();
        let mut found = FoundAttachments { root, attachments_origin, attachments: Arc::default() };
        let mut targets =
            self.add_attachments(&mut found, targets, image.as_deref(), &mut settled).await;
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
            manifests: self.keep(image.as_ref()),
            not_copied,
            attachments_origin,
            attachments: found.attachments,
            targets,
        });
        PreparedDigest { ready, settled, image }
    }

    /// The image, if it is copied or checked. If it cannot be read, the targets that need it are settled.
    async fn load_image(
        &self,
        planned: &mut Planned,
        settled: &mut Vec<Outcome>,
    ) -> Option<Arc<Image>> {
        let verify = self.run.settings.verify;
        let is_needed = |target: &PlannedTarget| target.is_copied() || target.is_checked(verify);
        if !planned.targets.iter().any(is_needed) {
            return None;
        }
        let Unloaded { is_kind, reason } = match self.load(planned).await {
            Ok((image, origins)) => {
                planned.origins = origins;
                return Some(image);
            }
            Err(unloaded) => unloaded,
        };
        // A manifest of an unknown kind cannot be checked. It can be tagged all the same, since its bytes are there.
        let is_failed =
            |target: &PlannedTarget| target.is_copied() || !is_kind && is_needed(target);
        let failed = planned.targets.extract_if(.., |target| is_failed(target));
        settled.extend(failed.flat_map(|target| target.failed(&reason)));
        let note = Arc::new(Reason::NotChecked { cause: reason });
        for target in planned.targets.iter_mut().filter(|target| is_needed(target)) {
            target.note = Some(Arc::clone(&note));
        }
        None
    }

    /// The image at the first origin that has all its manifests, and the origins from that one on; or why each origin
    /// cannot be used.
    async fn load(&self, planned: &Planned) -> Result<(Arc<Image>, ImageOrigins), Unloaded> {
        let mut origins = planned.origins.clone();
        let mut failure = match self.run.load(planned.source_digest, origins.first()).await {
            Ok(image) => return Ok((Arc::new(image), origins)),
            Err(failure) => failure,
        };
        let mut reasons = vec![Arc::clone(&failure.reason)];
        while let Some(others) = origins.without_first() {
            origins = others;
            match self.run.load(planned.source_digest, origins.first()).await {
                Ok(image) => return Ok((Arc::new(image), origins)),
                Err(other) => reasons.push(other.reason),
            }
        }
        failure.reason = Reason::several(reasons).unwrap_or(failure.reason);
        Err(failure)
    }

    /// Keeps the manifests of an image that is copied, if there is room for them.
    fn keep(&self, image: Option<&Arc<Image>>) -> ImageManifests {
        let Some(image) = image else { return ImageManifests::NotKept };
        let bytes = image.nodes().map(|node| node.manifest.bytes.len()).sum();
        match self.kept_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes {
            ..=MAX_KEPT_BYTES => ImageManifests::Kept(Arc::clone(image)),
            _ => ImageManifests::NotKept,
        }
    }

    /// Finds the attachments, and which of them each target lacks. Targets that cannot get what they must have are
    /// settled.
    async fn add_attachments(
        &self,
        found: &mut FoundAttachments,
        mut targets: Vec<PlannedTarget>,
        image: Option<&Image>,
        settled: &mut Vec<Outcome>,
    ) -> Vec<ReadyTarget> {
        let wants = |target: &PlannedTarget| self.attachments_at(target.destination).is_some();
        let mut fatal = Vec::new();
        if targets.iter().any(wants) {
            match self.find(found, image).await {
                Ok(Discovered { attachments, dangling }) => {
                    found.attachments = attachments.into();
                    fatal = self.report_dangling(&targets, &dangling, settled);
                }
                Err(reason) => {
                    let failed = targets.extract_if(.., |target| wants(target));
                    settled.extend(failed.flat_map(|target| target.failed(&reason)));
                }
            }
        }
        self.compare(found, targets, &fatal, settled).await
    }

    /// Finds the attachments of the image where they are copied from.
    async fn find(
        &self,
        of: &FoundAttachments,
        image: Option<&Image>,
    ) -> Result<Discovered, Arc<Reason>> {
        let (repository, inventory) = self.repository_and_attachments(of.attachments_origin)?;
        let found = async {
            let subjects = match image {
                Some(image) => image.nodes().map(|node| node.manifest.digest).collect(),
                None => reachable_manifests(&repository, of.root).await?,
            };
            Ok(discover(&repository, inventory, subjects).await?)
        };
        found.await.map_err(|failure| self.explain(&repository, of.root, failure))
    }

    /// The repository that attachments are copied from, and what is known of its attachments.
    fn repository_and_attachments(
        &self,
        origin: ImageOrigin,
    ) -> Result<(RepositoryClient, Option<&Inventory>), Arc<Reason>> {
        let inventory = match origin {
            ImageOrigin::Source(source_digest) => self.sources.attachments(source_digest),
            ImageOrigin::Destination(destination) => self.attachments_at(destination),
        };
        Ok((self.run.origin(origin)?, inventory))
    }

    /// What is known of the attachments at a destination; `None` if it gets none.
    fn attachments_at(&self, destination: usize) -> Option<&Inventory> {
        self.destinations[destination].as_ref().ok()?.attachments.as_ref()
    }

    /// Settles the digest tags that their origin lists without having their manifests, for each target that gets
    /// attachments. If all attachments are required, returns the reasons why these targets fail instead.
    fn report_dangling(
        &self,
        targets: &[PlannedTarget],
        dangling: &[DanglingTag],
        settled: &mut Vec<Outcome>,
    ) -> Vec<Arc<Reason>> {
        let name = |tag: &DanglingTag| AttachmentName::Tag(tag.tag.clone());
        let problem = |tag: &DanglingTag| {
            Arc::new(AttachmentProblem::Defect(Defect::Dangling(Arc::clone(&tag.error))))
        };
        if self.run.settings.broken_attachments == BrokenAttachments::Fatal {
            let reason = |tag| cannot_copy(name(tag), problem(tag));
            return dangling.iter().map(reason).collect();
        }
        let wants = |target: &&PlannedTarget| self.attachments_at(target.destination).is_some();
        for target in targets.iter().filter(wants) {
            let broken = dangling.iter();
            settled.extend(broken.filter_map(|tag| target.broken(name(tag), &problem(tag))));
        }
        Vec::new()
    }

    /// Compares the attachments with those of each target. Broken attachments are settled and not copied. A target
    /// fails if it lacks an attachment that may not be left out, or gets attachments and there are `fatal` reasons.
    async fn compare(
        &self,
        found: &FoundAttachments,
        targets: Vec<PlannedTarget>,
        fatal: &[Arc<Reason>],
        settled: &mut Vec<Outcome>,
    ) -> Vec<ReadyTarget> {
        let compared = targets.iter().map(|target| self.missing(found, target));
        let compared = join_all(compared).await;
        let faults = self.faults(found, &compared).await;
        let mut ready = Vec::with_capacity(targets.len());
        for (target, compared) in targets.into_iter().zip(compared) {
            let wants = self.attachments_at(target.destination).is_some();
            let mut reasons = if wants { fatal.to_vec() } else { Vec::new() };
            let mut missing = compared.unwrap_or_else(|reason| {
                reasons.push(reason);
                Missing::default()
            });
            let lacked = missing.at.iter().filter_map(|at| faults.get(at));
            reasons.extend(lacked.filter_map(AttachmentFault::fatal).cloned());
            if let Some(reason) = Reason::several(reasons) {
                settled.extend(target.failed(&reason));
                continue;
            }
            let (left_out, copied): (Vec<_>, Vec<_>) =
                missing.at.into_iter().partition(|at| faults.contains_key(at));
            missing.broken.extend(left_out.iter().filter_map(|at| faults.get(at)?.left_out(*at)));
            settled.extend(missing.broken.iter().filter_map(|broken| {
                target.broken((&found.attachments[broken.at]).into(), &broken.problem)
            }));
            ready.push(ReadyTarget { planned: target, missing: copied });
        }
        ready
    }

    /// The faults of the attachments that some target lacks, at their source. A run that writes finds them as it copies
    /// the attachments. A dry run reads them to predict that, and a run that requires all attachments reads them to
    /// name each broken one.
    async fn faults(
        &self,
        found: &FoundAttachments,
        compared: &[Result<Missing, Arc<Reason>>],
    ) -> HashMap<usize, AttachmentFault> {
        let settings = self.run.settings;
        let reads_first = settings.confirm == Confirm::DryRun
            || settings.broken_attachments == BrokenAttachments::Fatal;
        let Some(Ok((from, _))) =
            reads_first.then(|| self.repository_and_attachments(found.attachments_origin))
        else {
            return HashMap::new();
        };
        let lacked = compared.iter().flatten().flat_map(|missing| &missing.at).copied();
        let lacked: BTreeSet<usize> = lacked.collect();
        let read = stream::iter(lacked).map(|at| {
            let (from, attachment) = (&from, &found.attachments[at]);
            async move { (at, self.fault(from, attachment).await) }
        });
        let read = read.buffer_unordered(ATTACHMENTS_AT_ONCE);
        read.filter_map(async |(at, fault)| Some((at, fault?))).collect().await
    }

    async fn fault(
        &self,
        from: &RepositoryClient,
        attachment: &Attachment,
    ) -> Option<AttachmentFault> {
        let problem = match attaching::fault(&self.run.transfer_state, from, attachment).await {
            Ok(None) => return None,
            Ok(Some(problem)) => match self.run.settings.broken_attachments {
                BrokenAttachments::Reported => {
                    return Some(AttachmentFault::LeftOut(Arc::new(problem)));
                }
                BrokenAttachments::Fatal => problem,
            },
            Err(error) => AttachmentProblem::Reason(self.run.hosts.explain(from.host(), error)),
        };
        Some(AttachmentFault::Fatal(cannot_copy(attachment.into(), Arc::new(problem))))
    }

    /// What a target lacks of the attachments.
    async fn missing(
        &self,
        found: &FoundAttachments,
        target: &PlannedTarget,
    ) -> Result<Missing, Arc<Reason>> {
        let Some(inventory) = self.attachments_at(target.destination) else {
            return Ok(Missing::default());
        };
        let is_origin = found.attachments_origin == ImageOrigin::Destination(target.destination);
        if found.attachments.is_empty() || is_origin {
            return Ok(Missing::default());
        }
        let (from, _) = self.repository_and_attachments(found.attachments_origin)?;
        let to = self.run.destination(target.destination);
        self.run.hosts.check(to.host()).await?;
        let image = match target.lacks {
            Lacks::Digest => DestinationImage::Missing,
            Lacks::Parts | Lacks::Nothing => DestinationImage::Exists,
        };
        let comparison = Comparison { from: &from, to: &to, inventory, image };
        let (transfer_state, settings) = (&self.run.transfer_state, self.run.settings);
        let missing = attaching::missing(transfer_state, settings, &comparison, &found.attachments);
        missing.await.map_err(|failure| self.explain(&to, found.root, failure))
    }

    fn explain(
        &self,
        at: &RepositoryClient,
        image: Digest,
        failure: AttachmentFailure,
    ) -> Arc<Reason> {
        let problem = match failure {
            AttachmentFailure::Remote(error) => {
                Arc::new(AttachmentProblem::Reason(self.run.hosts.explain(at.host(), error)))
            }
            AttachmentFailure::Problem(problem) => problem,
        };
        Arc::new(Reason::AttachmentsUnreadable { image, problem })
    }
}

/// The reason of an image whose attachment cannot be copied.
fn cannot_copy(attachment: AttachmentName, problem: Arc<AttachmentProblem>) -> Arc<Reason> {
    Arc::new(Reason::Attachment { attachment, failed: AttachmentStep::CannotCopy, problem })
}
