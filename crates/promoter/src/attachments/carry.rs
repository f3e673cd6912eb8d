//! Bringing attachments along: from where their image comes from, to each destination that lacks them.
//!
//! One that is broken for good where it comes from is left out, unless all are required. One that cannot be had for the
//! moment fails the destinations that want it, and so does one that cannot be written there.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use oci::{Digest, Tag};
use registry_client::{FetchedManifest, Merge, Push, RepositoryClient, Via};
use transfer::{Destination, InFlight, together};

use super::{
    Attachment, Broken, By, Tagged, Trouble,
    origin::{Unreadable, fault_now, load},
    remote,
};
use crate::{BrokenAttachments, Settings, reason::AttachmentProblem};

/// The largest config that is merged, in bytes: cosign's have a hundred for each signature.
const MAX_CONFIG_BYTES: usize = 1 << 20;

/// Why an attachment did not arrive.
pub(crate) enum NotCarried {
    /// It could not be copied.
    Transfer(transfer::Error),
    /// It could not be tied to its subject.
    Trouble(Trouble),
    /// The destination holds the others up.
    Lags,
}

impl NotCarried {
    /// What is wrong with the attachment where it comes from, if that is so for good.
    fn broken(&self) -> Option<Arc<AttachmentProblem>> {
        match self {
            Self::Transfer(error) => error.is_broken().then(|| remote(error.clone())),
            Self::Trouble(Trouble::Broken(problem)) => Some(Arc::clone(problem)),
            Self::Trouble(_) | Self::Lags => None,
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

/// How an attachment is found from its subject at a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundBy {
    /// The registry itself lists it.
    Registry,
    /// By a tag: its digest tag, or that of the index of referrers. Other clients write such tags, too.
    Tag(OnTag),
}

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
            Ok(FoundBy::Tag(on)) => return self.by_tag.push((at, on)),
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
            let why = |_| Err(NotCarried::Trouble(Trouble::Broken(Arc::clone(&problem))));
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
            let why = |_| Err(NotCarried::Trouble(Trouble::Broken(Arc::clone(&problem))));
            return to.iter().map(why).collect();
        }
    };
    let destinations: Vec<_> =
        to.iter().map(|repository| Destination::Registry((*repository).clone())).collect();
    let copied = image.copy_to(in_flight, &destinations).await;
    let tied = to.iter().zip(copied).map(|(repository, copied)| async {
        match copied {
            Ok(_) => {
                let tied = tie(from, attachment, image.root(), repository).await;
                tied.map_err(NotCarried::Trouble)
            }
            Err(error) => Err(NotCarried::Transfer(error)),
        }
    });
    let tied = together(tied, Result::is_ok).await;
    tied.into_iter().map(|tied| tied.unwrap_or(Err(NotCarried::Lags))).collect()
}

/// Ties an attachment that is there by its digest to its subject.
pub(super) async fn tie(
    from: &RepositoryClient,
    attachment: &Attachment,
    manifest: &FetchedManifest,
    to: &RepositoryClient,
) -> Result<FoundBy, Trouble> {
    match &attachment.by {
        By::Referrer => {
            let put = to
                .put_referrer(attachment.digest, &manifest.media_type, manifest.bytes.clone())
                .await?;
            Ok(if put.via == Via::Api { FoundBy::Registry } else { FoundBy::Tag(None) })
        }
        By::Tag(tag) => merge(from, tag, manifest, to).await.map(FoundBy::Tag),
    }
}

/// Puts a digest tag on a manifest that has all layers of this one, and of all that it was ever found on; gives what it is
/// on then.
async fn merge(
    from: &RepositoryClient,
    tag: &Tag,
    manifest: &FetchedManifest,
    to: &RepositoryClient,
) -> Result<OnTag, Trouble> {
    let wanted = Mutex::new((from.clone(), manifest.clone()));
    let merged = to.merge_at_tag(tag, |there| {
        let (at, all) = wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let wanted = &wanted;
        async move {
            let there = match there {
                None => return Ok(Merge::Write(all)),
                Some(there) if there.digest == all.digest => return Ok(Merge::Enough),
                Some(there) => there,
            };
            let merged = unite(&at, tag, &all, (to, &there)).await?;
            if let Merge::Write(union) = &merged {
                let union = (to.clone(), union.clone());
                *wanted.lock().unwrap_or_else(PoisonError::into_inner) = union;
            }
            Ok(merged)
        }
    });
    merged.await
}

/// The union of what a digest tag is on and of what is to be there, its config being in place.
async fn unite(
    from: &RepositoryClient,
    tag: &Tag,
    manifest: &FetchedManifest,
    (to, there): (&RepositoryClient, &FetchedManifest),
) -> Result<Merge, Trouble> {
    let read = |found: &FetchedManifest, at: &RepositoryClient| {
        Tagged::read(found.digest, &found.media_type, &found.bytes)
            .map_err(|cause| Trouble::no_union(tag, at, cause))
    };
    let (old, new) = (read(there, to)?, read(manifest, from).map_err(Trouble::of_origin)?);
    if old.covers(&new) {
        return Ok(Merge::Enough);
    }
    let others = config(from, &new).await.map_err(Trouble::of_origin)?;
    let config = config(to, &old).await?;
    let union = old.with(&config, &new, &others);
    let union = union.map_err(|cause| Trouble::no_union(tag, to, cause))?;
    if let Some(config) = union.config {
        let push = Push::new(Digest::sha256(&config), config.len() as u64);
        to.push_blob(&push, &Bytes::from(config)).await?;
    }
    let (bytes, media_type) = (Bytes::from(union.manifest), union.media_type);
    Ok(Merge::Write(FetchedManifest { digest: Digest::sha256(&bytes), media_type, bytes }))
}

/// The config of a manifest, whole.
async fn config(at: &RepositoryClient, of: &Tagged) -> Result<Vec<u8>, Trouble> {
    let Some(digest) = of.config() else { return Ok(Vec::new()) };
    let mut reader = at.blob(&digest).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next().await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_CONFIG_BYTES {
            let (manifest, repository) = (of.digest(), at.to_string());
            let max = MAX_CONFIG_BYTES;
            let problem = AttachmentProblem::ConfigTooLarge { manifest, repository, max };
            return Err(Trouble::content(problem));
        }
    }
    Ok(bytes)
}
