//! Attachments that cannot be read at their source, and what follows for the images that should get them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use attachments::Attachment;
use futures_util::{StreamExt as _, stream};
use job::Confirm;
use registry_client::RepositoryClient;

use crate::{
    BrokenAttachments, PromotionRun, PromotionSettings,
    attaching::{self, Broken},
    reason::{AttachmentName, AttachmentProblem, AttachmentStep, Reason},
};

/// Attachments of one image that a plan reads at their source at once.
const ATTACHMENTS_AT_ONCE: usize = 4;

/// What follows from an attachment that cannot be read at its source.
pub(super) enum AttachmentFault {
    /// It is left out, and reported with this problem.
    LeftOut(Arc<AttachmentProblem>),
    /// The image is not tagged, for this reason.
    Fatal(Arc<Reason>),
}

impl AttachmentFault {
    pub(super) const fn fatal(&self) -> Option<&Arc<Reason>> {
        match self {
            Self::LeftOut(_) => None,
            Self::Fatal(reason) => Some(reason),
        }
    }

    pub(super) fn left_out(&self, at: usize) -> Option<Broken> {
        match self {
            Self::LeftOut(problem) => Some(Broken { at, problem: Arc::clone(problem) }),
            Self::Fatal(_) => None,
        }
    }
}

/// Whether attachments are read at their source before anything is written. A run that writes finds their faults as it
/// copies them. A dry run reads them to predict that, and a run that requires all attachments reads them to name each
/// broken one.
pub(super) fn are_read_first(settings: &PromotionSettings) -> bool {
    settings.confirm == Confirm::DryRun || settings.broken_attachments == BrokenAttachments::Fatal
}

/// The faults of the `lacked` ones of `attachments`, by their indices, at their source.
pub(super) async fn faults(
    run: &PromotionRun<'_>,
    from: &RepositoryClient,
    attachments: &[Attachment],
    lacked: BTreeSet<usize>,
) -> HashMap<usize, AttachmentFault> {
    let read = stream::iter(lacked)
        .map(|at| async move { (at, fault(run, from, &attachments[at]).await) });
    let read = read.buffer_unordered(ATTACHMENTS_AT_ONCE);
    read.filter_map(async |(at, fault)| Some((at, fault?))).collect().await
}

async fn fault(
    run: &PromotionRun<'_>,
    from: &RepositoryClient,
    attachment: &Attachment,
) -> Option<AttachmentFault> {
    let problem = match attaching::fault(&run.transfer_state, from, attachment).await {
        Ok(None) => return None,
        Ok(Some(problem)) => match run.settings.broken_attachments {
            BrokenAttachments::Reported => {
                return Some(AttachmentFault::LeftOut(Arc::new(problem)));
            }
            BrokenAttachments::Fatal => problem,
        },
        Err(error) => AttachmentProblem::Reason(run.hosts.explain(from.host(), error)),
    };
    Some(AttachmentFault::Fatal(cannot_copy(attachment.into(), Arc::new(problem))))
}

/// The reason of an image whose attachment cannot be copied.
pub(super) fn cannot_copy(
    attachment: AttachmentName,
    problem: Arc<AttachmentProblem>,
) -> Arc<Reason> {
    Arc::new(Reason::Attachment { attachment, failed: AttachmentStep::CannotCopy, problem })
}
