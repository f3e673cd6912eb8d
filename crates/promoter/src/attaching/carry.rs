//! Bringing attachments along: from where their image comes from, to each destination that lacks them.
//!
//! One that is broken for good where it comes from is left out, unless all are required. One that cannot be had for the
//! moment fails the destinations that want it, and so does one that cannot be written there.

use std::sync::Arc;

use attachments::{Attachment, FoundBy, attach};
use oci::Digest;
use registry_client::RepositoryClient;
use transfer::{Destination, InFlight, together};

use super::{
    AttachmentFailure, Broken,
    origin::{Unreadable, fault_now, load},
    remote,
};
use crate::{BrokenAttachments, Settings, reason::AttachmentProblem};

/// Why an attachment did not arrive.
pub(crate) enum NotCarried {
    /// It could not be copied.
    Transfer(transfer::Error),
    /// It could not be attached to its subject.
    NotAttached(AttachmentFailure),
    /// It is broken for good at its source.
    Broken(Arc<AttachmentProblem>),
    /// The destination holds the others up.
    Lags,
}

impl NotCarried {
    /// What is wrong with the attachment where it comes from, if that is so for good.
    fn broken(&self) -> Option<Arc<AttachmentProblem>> {
        match self {
            Self::Transfer(error) => error.is_broken().then(|| remote(error.clone())),
            Self::Broken(problem) => Some(Arc::clone(problem)),
            Self::NotAttached(_) | Self::Lags => None,
        }
    }
}

impl From<attachments::Error> for NotCarried {
    fn from(error: attachments::Error) -> Self {
        match error {
            attachments::Error::Broken(defect) => Self::Broken(Arc::new((*defect).into())),
            error => Self::NotAttached(error.into()),
        }
    }
}

/// What came of the attachments at one destination.
#[derive(Default)]
pub(crate) struct Carried {
    /// Those that were left out, being broken.
    pub broken: Vec<Broken>,
    /// The one that failed, and why. Those after it were not tried.
    pub failed: Option<(usize, NotCarried)>,
    /// Those that are found by a tag.
    pub by_tag: Vec<(usize, OnTag)>,
}

/// What a tag was on once an attachment was found by it.
pub(crate) type OnTag = Option<Digest>;

/// Brings `attachments` from `from` to each of `to`, which lacks those at these places. The answers are in the
/// order of `to`.
pub(crate) async fn carry(
    in_flight: &InFlight,
    from: &RepositoryClient,
    (attachments, settings): (&[Attachment], &Settings),
    to: &[(RepositoryClient, Vec<usize>)],
) -> Vec<Carried> {
    let mut results: Vec<_> = to.iter().map(|_| Carried::default()).collect();
    for (at, attachment) in attachments.iter().enumerate() {
        let wanting = to.iter().enumerate().filter(|(index, (_, missing))| {
            results[*index].failed.is_none() && missing.binary_search(&at).is_ok()
        });
        let wanting: Vec<_> = wanting.map(|(index, (repository, _))| (index, repository)).collect();
        if wanting.is_empty() {
            continue;
        }
        let repositories: Vec<_> = wanting.iter().map(|(_, repository)| *repository).collect();
        let carried = carry_confirmed(in_flight, from, attachment, &repositories).await;
        for ((index, _), carried) in wanting.into_iter().zip(carried) {
            results[index].add(at, carried, settings.broken_attachments);
        }
    }
    results
}

impl Carried {
    fn add(&mut self, at: usize, carried: Result<FoundBy, NotCarried>, broken: BrokenAttachments) {
        let why = match carried {
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

/// As [`carry_one`], but what is broken is read again, and tried again if that finds nothing wrong: a response may be
/// damaged on its way, or a replica be late. What is broken twice costs no more writes.
async fn carry_confirmed(
    in_flight: &InFlight,
    from: &RepositoryClient,
    attachment: &Attachment,
    to: &[&RepositoryClient],
) -> Vec<Result<FoundBy, NotCarried>> {
    let mut carried = carry_one(in_flight, from, attachment, to).await;
    let is_broken = |carried: &Result<FoundBy, NotCarried>| {
        carried.as_ref().is_err_and(|why| why.broken().is_some())
    };
    let broken: Vec<_> = (0..to.len()).filter(|at| is_broken(&carried[*at])).collect();
    if broken.is_empty() {
        return carried;
    }
    let repositories: Vec<_> = broken.iter().map(|at| to[*at]).collect();
    let again = match fault_now(in_flight, from, attachment).await {
        Ok(None) => carry_one(in_flight, from, attachment, &repositories).await,
        Ok(Some(problem)) => {
            let problem = Arc::new(problem);
            let why = |_| Err(NotCarried::Broken(Arc::clone(&problem)));
            broken.iter().map(why).collect()
        }
        Err(error) => broken.iter().map(|_| Err(NotCarried::Transfer(error.clone()))).collect(),
    };
    for (at, result) in broken.into_iter().zip(again) {
        carried[at] = result;
    }
    carried
}

async fn carry_one(
    in_flight: &InFlight,
    from: &RepositoryClient,
    attachment: &Attachment,
    to: &[&RepositoryClient],
) -> Vec<Result<FoundBy, NotCarried>> {
    let image = match load(from, attachment).await {
        Ok(image) => image,
        Err(Unreadable::Transfer(error)) => {
            return to.iter().map(|_| Err(NotCarried::Transfer(error.clone()))).collect();
        }
        Err(Unreadable::Unrelated(problem)) => {
            let problem = Arc::new(problem);
            let why = |_| Err(NotCarried::Broken(Arc::clone(&problem)));
            return to.iter().map(why).collect();
        }
    };
    let destinations: Vec<_> =
        to.iter().map(|repository| Destination::Registry((*repository).clone())).collect();
    let copied = image.copy_to(in_flight, &destinations).await;
    let attached = to.iter().zip(copied).map(|(repository, copied)| async {
        match copied {
            Ok(_) => {
                let attached = attach(from, attachment, image.root(), repository).await;
                attached.map_err(NotCarried::from)
            }
            Err(error) => Err(NotCarried::Transfer(error)),
        }
    });
    let attached = together(attached, Result::is_ok).await;
    attached.into_iter().map(|attached| attached.unwrap_or(Err(NotCarried::Lags))).collect()
}
