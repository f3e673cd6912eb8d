//! The attachments of one digest, and what each destination lacks of them.

use std::{collections::HashMap, sync::Arc};

use attachments::{
    Attachment, Comparison, DanglingTag, Defect, DestinationImage, Discovered, discover,
};
use futures_util::future::join_all;
use oci::Digest;
use registry_client::{Inventory, RepositoryClient};
use transfer::{Image, reachable_manifests};

use super::attachment_faults::{AttachmentFault, are_read_first, cannot_copy, faults};
use crate::{
    BrokenAttachments, Outcome, PromotionRun,
    attaching::{self, AttachmentFailure, Missing},
    inventory::DestinationResult,
    planned::{ImageOrigin, Lacks, PlannedTarget},
    ready::ReadyTarget,
    reason::{AttachmentName, AttachmentProblem, Reason},
    sources::Sources,
};

/// The attachments of one digest.
pub(super) struct PreparedAttachments {
    /// Those that any destination should have.
    pub attachments: Arc<[Attachment]>,
    /// The destinations that can get what they must have, each with what it lacks.
    pub targets: Vec<ReadyTarget>,
}

/// Prepares the attachments of one digest.
pub(super) struct AttachmentPreparer<'a> {
    pub run: &'a PromotionRun<'a>,
    pub destinations: &'a [DestinationResult],
    pub sources: &'a Sources,
    /// The digest of the image.
    pub image: Digest,
    /// Where its attachments are found and copied from.
    pub origin: ImageOrigin,
}

impl AttachmentPreparer<'_> {
    /// Finds the attachments, and which of them each target lacks. Targets that cannot get what they must have are
    /// settled. `image` is the image, if it was read.
    pub(super) async fn prepare(
        &self,
        mut targets: Vec<PlannedTarget>,
        image: Option<&Image>,
        settled: &mut Vec<Outcome>,
    ) -> PreparedAttachments {
        let wants = |target: &PlannedTarget| self.attachments_at(target.destination).is_some();
        let (mut attachments, mut fatal) = (Arc::default(), Vec::new());
        if targets.iter().any(wants) {
            match self.find(image).await {
                Ok(discovered) => {
                    attachments = discovered.attachments.into();
                    fatal = self.report_dangling(&targets, &discovered.dangling, settled);
                }
                Err(reason) => {
                    let failed = targets.extract_if(.., |target| wants(target));
                    settled.extend(failed.flat_map(|target| target.failed(&reason)));
                }
            }
        }
        let targets = self.compare(&attachments, targets, &fatal, settled).await;
        PreparedAttachments { attachments, targets }
    }

    /// Finds the attachments of the image where they are copied from.
    async fn find(&self, image: Option<&Image>) -> Result<Discovered, Arc<Reason>> {
        let (repository, inventory) = self.copied_from()?;
        let found = async {
            let subjects = match image {
                Some(image) => image.nodes().map(|node| node.manifest.digest).collect(),
                None => reachable_manifests(&repository, self.image).await?,
            };
            Ok(discover(&repository, inventory, subjects).await?)
        };
        found.await.map_err(|failure| self.explain(&repository, failure))
    }

    /// The repository that attachments are copied from, and what is known of its attachments.
    fn copied_from(&self) -> Result<(RepositoryClient, Option<&Inventory>), Arc<Reason>> {
        let inventory = match self.origin {
            ImageOrigin::Source(source_digest) => self.sources.attachments(source_digest),
            ImageOrigin::Destination(destination) => self.attachments_at(destination),
        };
        Ok((self.run.origin(self.origin)?, inventory))
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
        attachments: &[Attachment],
        targets: Vec<PlannedTarget>,
        fatal: &[Arc<Reason>],
        settled: &mut Vec<Outcome>,
    ) -> Vec<ReadyTarget> {
        let compared = targets.iter().map(|target| self.missing(attachments, target));
        let compared = join_all(compared).await;
        let lacked = compared.iter().flatten().flat_map(|missing| &missing.at).copied();
        let faults = match self.copied_from() {
            Ok((from, _)) if are_read_first(self.run.settings) => {
                faults(self.run, &from, attachments, lacked.collect()).await
            }
            _ => HashMap::new(),
        };
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
                target.broken((&attachments[broken.at]).into(), &broken.problem)
            }));
            ready.push(ReadyTarget { planned: target, missing: copied });
        }
        ready
    }

    /// What a target lacks of the attachments.
    async fn missing(
        &self,
        attachments: &[Attachment],
        target: &PlannedTarget,
    ) -> Result<Missing, Arc<Reason>> {
        let Some(inventory) = self.attachments_at(target.destination) else {
            return Ok(Missing::default());
        };
        let is_origin = self.origin == ImageOrigin::Destination(target.destination);
        if attachments.is_empty() || is_origin {
            return Ok(Missing::default());
        }
        let (from, _) = self.copied_from()?;
        let to = self.run.destination(target.destination);
        self.run.hosts.check(to.host()).await?;
        let image = match target.lacks {
            Lacks::Digest => DestinationImage::Missing,
            Lacks::Parts | Lacks::Nothing => DestinationImage::Exists,
        };
        let comparison = Comparison { from: &from, to: &to, inventory, image };
        let (transfer_state, settings) = (&self.run.transfer_state, self.run.settings);
        let missing = attaching::missing(transfer_state, settings, &comparison, attachments);
        missing.await.map_err(|failure| self.explain(&to, failure))
    }

    fn explain(&self, at: &RepositoryClient, failure: AttachmentFailure) -> Arc<Reason> {
        let problem = match failure {
            AttachmentFailure::Remote(error) => {
                Arc::new(AttachmentProblem::Reason(self.run.hosts.explain(at.host(), error)))
            }
            AttachmentFailure::Problem(problem) => problem,
        };
        Arc::new(Reason::AttachmentsUnreadable { image: self.image, problem })
    }
}
