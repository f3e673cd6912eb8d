//! What is read before anything is written, once it is known what is to be done: the manifests of the images
//! that will be copied, and what hangs on all that attachments are compared of.
//!
//! It turns a plan of what is wanted into one of what can be done, and tells what that will cost.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use attachments::{
    Attachment, Comparison, DanglingTag, Defect, DestinationImage, Discovered, discover,
    reachable_manifests,
};
use futures_util::{StreamExt as _, future::join_all, stream};
use job::Confirm;
use oci::Digest;
use promotion_manifest::SourceDigestId;
use registry_client::{Inventory, RepositoryClient};
use transfer::Image;

use crate::{
    BrokenAttachments, Outcome, Run, Unloaded,
    attaching::{self, AttachmentFailure, Broken, Missing},
    completeness,
    estimate::Estimator,
    inventory::SeenAt,
    not_copied,
    plan::Plan,
    reason::{AttachmentName, AttachmentProblem, AttachmentStep, Reason},
    sources::Sources,
    work::{Lacks, Origin, Target, Work},
};

/// Images whose manifests are read at once. Each reads some at once itself.
const IMAGES_AT_ONCE: usize = 8;

/// Attachments of one image that a plan asks for at their origin at once.
const ATTACHMENTS_AT_ONCE: usize = 4;

/// How many bytes of manifests are kept until their images are copied. A run of usual size needs all of
/// it once; the first one of a whole registry would need gigabytes, and reads them again.
const MAX_KEPT_BYTES: usize = 32 << 20;

/// Reads what `plan` needs, settles what turns out to be done or impossible, and reckons what the rest costs.
pub(crate) async fn read(
    run: &Run<'_>,
    seen: &[SeenAt],
    sources: &Sources,
    plan: &mut Plan,
) -> Estimator {
    let reader = Reader { run, seen, sources, kept_bytes: AtomicUsize::new(0) };
    run.progress.stage("reading images", plan.work.len() as u64);
    let mut estimator = Estimator::default();
    let works = std::mem::take(&mut plan.work);
    let read = stream::iter(works).map(|work| {
        let reader = &reader;
        async move {
            let (source_digest, targets) = (work.source_digest, work.targets.clone());
            let read = run.stop.unless_stopped(reader.read(work)).await;
            run.progress.advance(1);
            read.unwrap_or_else(|| Read::interrupted(run, source_digest, &targets))
        }
    });
    let mut read = read.buffered(IMAGES_AT_ONCE);
    while let Some(Read { work, settled, image }) = read.next().await {
        plan.settled.extend(settled);
        if let Some(work) = work {
            estimator.add(run, &work, image.as_deref());
            plan.work.push(work);
        }
    }
    estimator
}

/// What reading for one work came to.
struct Read {
    /// What is left to do, if anything is.
    work: Option<Work>,
    settled: Vec<Outcome>,
    /// The image that is to be copied, kept or not.
    image: Option<Arc<Image>>,
}

impl Read {
    fn interrupted(run: &Run<'_>, source_digest: SourceDigestId, targets: &[Target]) -> Self {
        let settled = targets.iter().flat_map(|target| {
            target.failed(&run.interrupted(&run.hosts_of(target.destination, source_digest)))
        });
        Self { work: None, settled: settled.collect(), image: None }
    }
}

/// What follows from an attachment that cannot be copied from where it comes from.
enum Fault {
    /// It is left out, and reported with this problem.
    OfAttachment(Arc<AttachmentProblem>),
    /// The image does not get its tags, for this reason.
    OfImage(Arc<Reason>),
}

impl Fault {
    const fn of_image(&self) -> Option<&Arc<Reason>> {
        match self {
            Self::OfAttachment(_) => None,
            Self::OfImage(reason) => Some(reason),
        }
    }

    fn left_out(&self, at: usize) -> Option<Broken> {
        match self {
            Self::OfAttachment(problem) => Some(Broken { at, problem: Arc::clone(problem) }),
            Self::OfImage(_) => None,
        }
    }
}

struct Reader<'a> {
    run: &'a Run<'a>,
    seen: &'a [SeenAt],
    sources: &'a Sources,
    kept_bytes: AtomicUsize,
}

impl Reader<'_> {
    async fn read(&self, mut work: Work) -> Read {
        let mut settled = Vec::new();
        let image = self.load_image(&mut work, &mut settled).await;
        if let Some(image) = &image {
            completeness::check(self.run, &mut work, image, &mut settled).await;
            work.left_out = not_copied::note(image);
        }
        work.reference = work.origins.first().copied();
        if work.targets.iter().any(|target| self.hanging(target.destination).is_some()) {
            match self.find(&work, image.as_deref()).await {
                Ok(found) => {
                    work.attachments = found.attachments.into();
                    let fatal = self.report_dangling(&work, &found.dangling, &mut settled);
                    self.compare(&mut work, &fatal, &mut settled).await;
                }
                Err(reason) => {
                    let wanting = |target: &Target| self.hanging(target.destination).is_some();
                    let lost = work.targets.extract_if(.., |target| wanting(target));
                    settled.extend(lost.flat_map(|target| target.failed(&reason)));
                }
            }
        }
        for target in work
            .targets
            .iter_mut()
            .filter(|target| target.missing.is_empty() && target.lacks == Lacks::Nothing)
        {
            settled.extend(target.settle_held());
        }
        work.targets.retain(|target| target.all_edges().next().is_some());
        let image = image.filter(|_| work.is_copied());
        work.image = image.clone().filter(|image| self.is_kept(image));
        let work = (!work.targets.is_empty()).then_some(work);
        Read { work, settled, image }
    }

    /// The image, where it is to be copied or checked. Where it cannot be had, the targets that need it are settled.
    async fn load_image(&self, work: &mut Work, settled: &mut Vec<Outcome>) -> Option<Arc<Image>> {
        let verify = self.run.settings.verify;
        let is_needed = |target: &Target| target.is_copied() || target.is_checked(verify);
        if !work.targets.iter().any(is_needed) {
            return None;
        }
        let origins = work.origins.clone();
        let Unloaded { is_kind, reason } = match self.load(work).await {
            Ok(image) => return Some(image),
            Err(unloaded) => unloaded,
        };
        // What is of a kind that cannot be checked can be tagged all the same, since its bytes are there.
        let is_lost = |target: &Target| target.is_copied() || !is_kind && is_needed(target);
        let lost = work.targets.extract_if(.., |target| is_lost(target));
        settled.extend(lost.flat_map(|target| target.failed(&reason)));
        let note = Arc::new(Reason::NotChecked { cause: reason });
        for target in work.targets.iter_mut().filter(|target| is_needed(target)) {
            target.note = Some(Arc::clone(&note));
        }
        work.origins = origins;
        None
    }

    /// The image at its first origin that has all its manifests; those that have not are left out.
    async fn load(&self, work: &mut Work) -> Result<Arc<Image>, Unloaded> {
        let mut why = None;
        while let Some(&origin) = work.origins.first() {
            match self.run.load(work.source_digest, origin).await {
                Ok(image) => return Ok(Arc::new(image)),
                Err(unloaded) => drop(why.get_or_insert(unloaded)),
            }
            work.origins.remove(0);
        }
        Err(why.unwrap_or_else(|| Arc::new(Reason::NoOrigin).into()))
    }

    /// Whether there is room to keep the manifests of one more image.
    fn is_kept(&self, image: &Image) -> bool {
        let bytes = image.nodes().map(|node| node.manifest.bytes.len()).sum();
        self.kept_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= MAX_KEPT_BYTES
    }

    /// What hangs on the image at its first origin.
    async fn find(&self, work: &Work, image: Option<&Image>) -> Result<Discovered, Arc<Reason>> {
        let (at, inventory) = self.reference(work)?;
        let root = self.run.edges.source_digest(work.source_digest).entry.digest;
        let found = async {
            let subjects = match image {
                Some(image) => image.nodes().map(|node| node.manifest.digest).collect(),
                None => reachable_manifests(&at, root).await?,
            };
            discover(&at, inventory, subjects).await
        };
        found.await.map_err(|error: attachments::Error| self.explain(&at, root, error.into()))
    }

    /// Where attachments are taken from, and what is known of it.
    fn reference(
        &self,
        work: &Work,
    ) -> Result<(RepositoryClient, Option<&Inventory>), Arc<Reason>> {
        let origin = work.reference.ok_or_else(|| Arc::new(Reason::NoOrigin))?;
        let inventory = match origin {
            Origin::Source(source_digest) => self.sources.hanging(source_digest),
            Origin::Destination(at) => self.hanging(at),
        };
        Ok((self.run.origin(origin)?, inventory))
    }

    fn hanging(&self, destination: usize) -> Option<&Inventory> {
        self.seen[destination].as_ref().ok()?.hanging.as_ref()
    }

    /// Settles the digest tags that are on nothing where attachments come from, for each target that is to have them.
    /// What they were on is not known, so it cannot be compared. Where all attachments are required, gives the reasons
    /// for which these targets fail.
    fn report_dangling(
        &self,
        work: &Work,
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
        let wanting = |target: &&Target| self.hanging(target.destination).is_some();
        for target in work.targets.iter().filter(wanting) {
            let broken = dangling.iter();
            settled.extend(broken.filter_map(|tag| target.broken(name(tag), &problem(tag))));
        }
        Vec::new()
    }

    /// Finds what each target lacks of the attachments. What is broken for good is settled, and not brought along; a
    /// target that needs what cannot be left out is settled as failed, as is one that is to have attachments where there
    /// are `fatal` reasons.
    async fn compare(&self, work: &mut Work, fatal: &[Arc<Reason>], settled: &mut Vec<Outcome>) {
        let compared = work.targets.iter().map(|target| self.missing(work, target));
        let compared = join_all(compared).await;
        let faults = self.faults(work, &compared).await;
        let mut compared = compared.into_iter();
        let attachments = Arc::clone(&work.attachments);
        work.targets.retain_mut(|target| {
            let Some(compared) = compared.next() else { return true };
            let is_wanting = self.hanging(target.destination).is_some();
            let mut reasons = if is_wanting { fatal.to_vec() } else { Vec::new() };
            let mut missing = compared.unwrap_or_else(|reason| {
                reasons.push(reason);
                Missing::default()
            });
            let lacked = missing.at.iter().filter_map(|at| faults.get(at));
            reasons.extend(lacked.filter_map(Fault::of_image).cloned());
            if let Some(reason) = Reason::several(reasons) {
                settled.extend(target.failed(&reason));
                return false;
            }
            let (lost, found): (Vec<_>, Vec<_>) =
                missing.at.into_iter().partition(|at| faults.contains_key(at));
            target.missing = found;
            missing.broken.extend(lost.iter().filter_map(|at| faults.get(at)?.left_out(*at)));
            let broken = missing.broken.iter();
            settled.extend(broken.filter_map(|it| target.lacks_broken(it, &attachments)));
            true
        });
    }

    /// The faults of the attachments that some target lacks, where they come from. A run that writes finds them as
    /// it brings the attachments along; a plan reads them, to say what that run would, and so does a run that requires
    /// all, to name each that is broken.
    async fn faults(
        &self,
        work: &Work,
        compared: &[Result<Missing, Arc<Reason>>],
    ) -> HashMap<usize, Fault> {
        let settings = self.run.settings;
        let reads_first = settings.confirm == Confirm::DryRun
            || settings.broken_attachments == BrokenAttachments::Fatal;
        let Some(Ok((from, _))) = reads_first.then(|| self.reference(work)) else {
            return HashMap::new();
        };
        let lacked = compared.iter().flatten().flat_map(|missing| &missing.at).copied();
        let lacked: BTreeSet<usize> = lacked.collect();
        let read = stream::iter(lacked).map(|at| {
            let (from, attachment) = (&from, &work.attachments[at]);
            async move { (at, self.fault(from, attachment).await) }
        });
        let read = read.buffer_unordered(ATTACHMENTS_AT_ONCE);
        read.filter_map(async |(at, fault)| Some((at, fault?))).collect().await
    }

    async fn fault(&self, from: &RepositoryClient, attachment: &Attachment) -> Option<Fault> {
        let problem = match attaching::fault(&self.run.in_flight, from, attachment).await {
            Ok(None) => return None,
            Ok(Some(problem)) => match self.run.settings.broken_attachments {
                BrokenAttachments::Reported => {
                    return Some(Fault::OfAttachment(Arc::new(problem)));
                }
                BrokenAttachments::Fatal => problem,
            },
            Err(error) => AttachmentProblem::Reason(self.run.hosts.explain(from.host(), error)),
        };
        Some(Fault::OfImage(cannot_copy(attachment.into(), Arc::new(problem))))
    }

    async fn missing(&self, work: &Work, target: &Target) -> Result<Missing, Arc<Reason>> {
        let Some(inventory) = self.hanging(target.destination) else {
            return Ok(Missing::default());
        };
        let is_reference = work.reference == Some(Origin::Destination(target.destination));
        if work.attachments.is_empty() || is_reference {
            return Ok(Missing::default());
        }
        let (from, _) = self.reference(work)?;
        let to = self.run.destination(target.destination);
        self.run.hosts.check(to.host()).await?;
        let image = match target.lacks {
            Lacks::Digest => DestinationImage::Missing,
            Lacks::Parts | Lacks::Nothing => DestinationImage::Exists,
        };
        let comparison = Comparison { from: &from, to: &to, inventory, image };
        let (in_flight, settings) = (&self.run.in_flight, self.run.settings);
        let missing = attaching::missing(in_flight, settings, &comparison, &work.attachments).await;
        let root = self.run.edges.source_digest(work.source_digest).entry.digest;
        missing.map_err(|failure| self.explain(&to, root, failure))
    }

    fn explain(
        &self,
        at: &RepositoryClient,
        image: Digest,
        failure: AttachmentFailure,
    ) -> Arc<Reason> {
        let problem = match failure {
            AttachmentFailure::Registry(error) => {
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
