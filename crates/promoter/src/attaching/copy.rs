//! Copies attachments from their source to each destination that lacks them.
//!
//! An attachment that is permanently broken at its source is left out, unless all attachments are required. One that
//! cannot be read for the moment fails the destinations that lack it. One that cannot be written fails its destination.

use std::sync::Arc;

use attachments::{Attachment, FoundBy, attach};
use oci::Digest;
use registry_client::RepositoryClient;
use transfer::{Destination, TransferState, together};

use super::{
    AttachmentFailure, Broken,
    origin::{Unreadable, fault_now, load},
    remote,
};
use crate::{BrokenAttachments, PromotionSettings, reason::AttachmentProblem};

/// Why an attachment was not copied.
pub(crate) enum CopyFailure {
    /// Its content could not be copied.
    Transfer(transfer::Error),
    /// It could not be attached to its subject.
    NotAttached(AttachmentFailure),
    /// It is permanently broken at its source.
    Broken(Arc<AttachmentProblem>),
    /// The destination is much slower than the others.
    Slow,
}

impl CopyFailure {
    /// What is wrong with the attachment at its source, if it is permanently broken.
    fn broken(&self) -> Option<Arc<AttachmentProblem>> {
        match self {
            Self::Transfer(error) => error.is_broken().then(|| remote(error.clone())),
            Self::Broken(problem) => Some(Arc::clone(problem)),
            Self::NotAttached(_) | Self::Slow => None,
        }
    }
}

impl From<attachments::Error> for CopyFailure {
    fn from(error: attachments::Error) -> Self {
        match error {
            attachments::Error::Broken(defect) => Self::Broken(Arc::new((*defect).into())),
            error => Self::NotAttached(error.into()),
        }
    }
}

/// What copying attachments to one destination came to.
#[derive(Default)]
pub(crate) struct CopiedAttachments {
    /// The attachments that were left out because they are broken.
    pub broken: Vec<Broken>,
    /// The attachment that failed, and why. Those after it were not tried.
    pub failed: Option<(usize, CopyFailure)>,
    /// The attachments that are found by a tag.
    pub by_tag: Vec<(usize, OnTag)>,
}

/// The digest that a digest tag was left on, if the registry stated it.
pub(crate) type OnTag = Option<Digest>;

/// Copies `attachments` from `from` to each of `to`, which lacks those at these indices. The results are in the order of
/// `to`.
pub(crate) async fn copy(
    transfer_state: &TransferState,
    from: &RepositoryClient,
    (attachments, settings): (&[Attachment], &PromotionSettings),
    to: &[(RepositoryClient, Vec<usize>)],
) -> Vec<CopiedAttachments> {
    let mut results: Vec<_> = to.iter().map(|_| CopiedAttachments::default()).collect();
    for (at, attachment) in attachments.iter().enumerate() {
        let wanting = to.iter().enumerate().filter(|(index, (_, missing))| {
            results[*index].failed.is_none() && missing.binary_search(&at).is_ok()
        });
        let wanting: Vec<_> = wanting.map(|(index, (repository, _))| (index, repository)).collect();
        if wanting.is_empty() {
            continue;
        }
        let repositories: Vec<_> = wanting.iter().map(|(_, repository)| *repository).collect();
        let copied = copy_confirmed(transfer_state, from, attachment, &repositories).await;
        for ((index, _), copied) in wanting.into_iter().zip(copied) {
            results[index].add(at, copied, settings.broken_attachments);
        }
    }
    results
}

impl CopiedAttachments {
    fn add(&mut self, at: usize, copied: Result<FoundBy, CopyFailure>, broken: BrokenAttachments) {
        let why = match copied {
            Ok(FoundBy::Registry) => return,
            Ok(FoundBy::ReferrersTag) => return self.by_tag.push((at, None)),
            Ok(FoundBy::DigestTag(on)) => return self.by_tag.push((at, on)),
            Err(why) => why,
        };
        match why.broken() {
            Some(problem) if broken == BrokenAttachments::Reported => {
                self.broken.push(Broken { at, problem });
            }
            _ => self.failed = Some((at, why)),
        }
    }
}

/// As [`copy_one`], but an attachment that seems broken is read again, and copied again if it is not: a response may be
/// damaged on its way, or a replica may be late.
async fn copy_confirmed(
    transfer_state: &TransferState,
    from: &RepositoryClient,
    attachment: &Attachment,
    to: &[&RepositoryClient],
) -> Vec<Result<FoundBy, CopyFailure>> {
    let mut copied = copy_one(transfer_state, from, attachment, to).await;
    let is_broken = |copied: &Result<FoundBy, CopyFailure>| {
        copied.as_ref().is_err_and(|why| why.broken().is_some())
    };
    let broken: Vec<_> = (0..to.len()).filter(|at| is_broken(&copied[*at])).collect();
    if broken.is_empty() {
        return copied;
    }
    let repositories: Vec<_> = broken.iter().map(|at| to[*at]).collect();
    let again = match fault_now(transfer_state, from, attachment).await {
        Ok(None) => copy_one(transfer_state, from, attachment, &repositories).await,
        Ok(Some(problem)) => {
            let problem = Arc::new(problem);
            let why = |_| Err(CopyFailure::Broken(Arc::clone(&problem)));
            broken.iter().map(why).collect()
        }
        Err(error) => broken.iter().map(|_| Err(CopyFailure::Transfer(error.clone()))).collect(),
    };
    for (at, result) in broken.into_iter().zip(again) {
        copied[at] = result;
    }
    copied
}

async fn copy_one(
    transfer_state: &TransferState,
    from: &RepositoryClient,
    attachment: &Attachment,
    to: &[&RepositoryClient],
) -> Vec<Result<FoundBy, CopyFailure>> {
    let image = match load(from, attachment).await {
        Ok(image) => image,
        Err(Unreadable::Transfer(error)) => {
            return to.iter().map(|_| Err(CopyFailure::Transfer(error.clone()))).collect();
        }
        Err(Unreadable::Unrelated(problem)) => {
            let problem = Arc::new(problem);
            let why = |_| Err(CopyFailure::Broken(Arc::clone(&problem)));
            return to.iter().map(why).collect();
        }
    };
    let destinations: Vec<_> =
        to.iter().map(|repository| Destination::Registry((*repository).clone())).collect();
    let copied = image.copy_to(transfer_state, &destinations).await;
    let attached = to.iter().zip(copied).map(|(repository, copied)| async {
        match copied {
            Ok(_) => {
                let attached = attach(from, attachment, image.root(), repository).await;
                attached.map_err(CopyFailure::from)
            }
            Err(error) => Err(CopyFailure::Transfer(error)),
        }
    });
    let attached = together(attached, Result::is_ok).await;
    attached.into_iter().map(|attached| attached.unwrap_or(Err(CopyFailure::Slow))).collect()
}
