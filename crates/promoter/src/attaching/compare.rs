//! Which attachments of an image a destination lacks.

use std::sync::Arc;

use attachments::{AttachedBy, Attachment, Compared, Comparison, SUBJECTS_AT_ONCE};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use transfer::{Content, Destination, Image, TransferState};

use super::{AttachmentFailure, Broken, remote};
use crate::{BrokenAttachments, PromotionSettings, reason::AttachmentProblem};

/// The attachments that a destination lacks.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    /// Their indices.
    pub at: Vec<usize>,
    /// The attachments that cannot be compared because they are broken at their source.
    pub broken: Vec<Broken>,
}

/// Which of `wanted` the destination lacks. A deep verification counts an attachment as missing if any of its blobs is.
pub(crate) async fn missing(
    transfer_state: &TransferState,
    settings: &PromotionSettings,
    comparison: &Comparison<'_>,
    wanted: &[Attachment],
) -> Result<Missing, AttachmentFailure> {
    let (mut missing, mut present) = (Missing::default(), Vec::new());
    for (at, compared) in comparison.compare(wanted).await?.into_iter().enumerate() {
        match compared {
            Compared::Present => present.push(at),
            Compared::Missing => missing.at.push(at),
            Compared::Broken(defect) => {
                let problem = Arc::new(AttachmentProblem::from(defect));
                if settings.broken_attachments == BrokenAttachments::Fatal {
                    return Err(AttachmentFailure::Problem(problem));
                }
                missing.broken.push(Broken { at, problem });
            }
        }
    }
    if settings.verify.checks_present() {
        let checked = stream::iter(present).map(|at| async move {
            let is_complete = is_complete(transfer_state, comparison, &wanted[at]).await?;
            Ok::<_, AttachmentFailure>((!is_complete).then_some(at))
        });
        let incomplete = checked.buffer_unordered(SUBJECTS_AT_ONCE);
        missing.at.extend(incomplete.try_collect::<Vec<_>>().await?.into_iter().flatten());
        missing.at.sort_unstable();
    }
    Ok(missing)
}

/// Whether an attachment at the destination has its blobs. An attachment that is broken at its source counts as complete,
/// since it can be neither checked nor copied.
async fn is_complete(
    transfer_state: &TransferState,
    comparison: &Comparison<'_>,
    attachment: &Attachment,
) -> Result<bool, AttachmentFailure> {
    let failed = |error: transfer::Error| AttachmentFailure::Problem(remote(error));
    let image = match Image::load(comparison.from, &attachment.digest).await {
        Ok(image) => image,
        Err(error) if error.is_broken() => return Ok(true),
        Err(error) => return Err(failed(error)),
    };
    let to = Destination::Registry(comparison.to.clone());
    let missing = image.missing_at(transfer_state, &to).await.map_err(failed)?;
    // A digest tag may be on a merged manifest instead.
    let counts = |missing: &Content| match (&attachment.by, missing) {
        (AttachedBy::Referrer, _) | (AttachedBy::Tag(_), Content::Blob(_)) => true,
        (AttachedBy::Tag(_), Content::Manifest(_)) => false,
    };
    Ok(!missing.iter().any(counts))
}
