//! Writes tags. A tag is never moved, and a write by another client at the same time is detected. The rules, and the race
//! that remains possible, are in `docs/internals/promotion.md`, "Tags".

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use oci::{Digest, Reference, Tag};
use registry_client::{Error, RepositoryClient, TagWrite};

use crate::{
    Outcome, OutcomeKind, PromotionRun,
    plan::tag_move,
    reason::{Reason, TagWas},
    reread_delay::{self, MAX_REREADS},
};

/// Requests at once to one repository when all written tags are read again.
const REQUESTS_AT_ONCE: usize = 8;

/// A manifest as it is written under tags.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub digest: Digest,
    pub media_type: String,
    pub bytes: Bytes,
}

/// Why a tag was not written.
pub(crate) type NotWritten = (OutcomeKind, Arc<Reason>);

fn failed(reason: impl Into<Arc<Reason>>) -> NotWritten {
    (OutcomeKind::Failed, reason.into())
}

/// Puts `tag` on the digest of `root`, unless the tag exists by now, on any digest.
pub(crate) async fn write(
    run: &PromotionRun<'_>,
    repository: &RepositoryClient,
    tag: &Tag,
    root: &Root,
) -> Result<(), NotWritten> {
    let hosts = &run.hosts;
    let broken = |error: Error| failed(hosts.explain(repository.host(), error));
    hosts.check(repository.host()).await.map_err(failed)?;
    let by_tag = Reference::Tag(tag.clone());
    // A GET, since the write depends on it. For a tag that does not exist it costs no more than a HEAD.
    match repository.find_manifest_by_get(&by_tag).await.map_err(broken)? {
        Some(head) if head.digest == root.digest => return Ok(()),
        Some(head) => return Err((OutcomeKind::Refused, tag_move(head.digest, Some(tag)))),
        None => {}
    }
    let written = repository.put_tag_if_absent(tag, &root.media_type, root.bytes.clone()).await;
    let written = written.map_err(broken)?;
    match written {
        TagWrite::Written(stored) if stored != root.digest => {
            return Err(failed(Reason::StoredOnOtherDigest { stored }));
        }
        TagWrite::Written(_) | TagWrite::Taken => {}
    }
    let was = match written {
        TagWrite::Written(_) => TagWas::Accepted,
        TagWrite::Taken => TagWas::Existing,
    };
    let current = read_back(run, repository, &by_tag).await.map_err(broken)?;
    match not_as_written((tag, &root.digest), current, was) {
        None => Ok(()),
        Some(reason) => Err(failed(reason)),
    }
}

/// The digest that an existing tag is on. A registry may not return a tag shortly after its write, so a missing tag is read
/// several times.
async fn read_back(
    run: &PromotionRun<'_>,
    repository: &RepositoryClient,
    tag: &Reference,
) -> Result<Option<Digest>, Error> {
    for rereads in 0..MAX_REREADS {
        if let Some(head) = repository.find_manifest(tag).await? {
            return Ok(Some(head.digest));
        }
        reread_delay::wait(run, rereads).await;
    }
    Ok(repository.find_manifest(tag).await?.map(|head| head.digest))
}

/// Why a written tag is not on the requested digest, if it is on another digest or none now. `was` is what was known of
/// it before.
fn not_as_written(
    (tag, requested): (&Tag, &Digest),
    current: Option<Digest>,
    was: TagWas,
) -> Option<Arc<Reason>> {
    match current {
        Some(current) if current == *requested => None,
        Some(current) => Some(Arc::new(Reason::LostRace { current, subject: tag.attached_to() })),
        None => Some(Arc::new(Reason::TagUnreadable(was))),
    }
}

/// Reads all tags again that were written according to `outcomes`, and corrects the outcomes of those that changed.
pub(crate) async fn reread(run: &PromotionRun<'_>, outcomes: &mut [Outcome]) {
    let mut by_repository: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        let has_tag = run.edges.edge(outcome.edge).tag().is_some();
        if has_tag && matches!(outcome.kind, OutcomeKind::Copied | OutcomeKind::Tagged) {
            by_repository.entry(outcome.edge.destination()).or_default().push(index);
        }
    }
    run.progress.stage("verifying written tags", by_repository.len() as u64);
    let written: &[Outcome] = outcomes;
    let rereads = stream::iter(by_repository).map(|(destination, indices)| async move {
        let reread = reread_repository(run, destination, &indices, written);
        let changed = run.stop.unless_stopped(reread).await;
        run.progress.advance(1);
        changed.unwrap_or_default()
    });
    let changed: Vec<Vec<(usize, Arc<Reason>)>> =
        rereads.buffer_unordered(REQUESTS_AT_ONCE).collect().await;
    for (index, reason) in changed.into_iter().flatten() {
        outcomes[index] = Outcome::failed(outcomes[index].edge, reason);
    }
}

/// Which of the outcomes at `indices`, all of one destination, no longer hold, and why.
async fn reread_repository(
    run: &PromotionRun<'_>,
    destination: usize,
    indices: &[usize],
    outcomes: &[Outcome],
) -> Vec<(usize, Arc<Reason>)> {
    let repository = &run.destination(destination);
    let read = async |tag: &Tag| {
        run.hosts.check(repository.host()).await?;
        let current = read_back(run, repository, &Reference::Tag(tag.clone())).await;
        current.map_err(|error| run.hosts.explain(repository.host(), error))
    };
    let rereads = stream::iter(indices).map(|&index| async move {
        let edge = run.edges.edge(outcomes[index].edge);
        let tag = edge.tag()?;
        let reason = match read(tag).await {
            Ok(current) => not_as_written((tag, &edge.digest()), current, TagWas::ReadBack)?,
            Err(cause) => Arc::new(Reason::TagNotVerified { cause }),
        };
        Some((index, reason))
    });
    rereads.buffer_unordered(REQUESTS_AT_ONCE).filter_map(std::future::ready).collect().await
}
