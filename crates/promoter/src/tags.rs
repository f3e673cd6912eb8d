//! Writing tags: never moving one, and telling when somebody else wrote it at the same time. The rules, and
//! the window that remains, are `docs/reference/promotion.md`, "Tags".

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use oci::{Digest, Reference, Tag};
use registry_client::{Error, RepositoryClient, TagWrite};

use crate::{
    Outcome, Run, Verdict,
    plan::tag_move,
    reading_back::{self, MAX_REREADS},
    reason::{Reason, TagWas},
};

/// Requests at once to one repository when all written tags are read again.
const LOOKS_AT_ONCE: usize = 8;

/// A manifest as it is written under tags.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub digest: Digest,
    pub media_type: String,
    pub bytes: Bytes,
}

/// Why a tag was not written.
pub(crate) type NotWritten = (Verdict, Arc<Reason>);

fn failed(reason: impl Into<Arc<Reason>>) -> NotWritten {
    (Verdict::Failed, reason.into())
}

/// Puts `tag` on the digest of `root`, unless it is there by now, on whatever digest.
pub(crate) async fn write(
    run: &Run<'_>,
    repository: &RepositoryClient,
    tag: &Tag,
    root: &Root,
) -> Result<(), NotWritten> {
    let hosts = &run.hosts;
    let broken = |error: Error| failed(hosts.explain(repository.host(), error));
    hosts.check(repository.host()).await.map_err(failed)?;
    let by_tag = Reference::Tag(tag.clone());
    // GET, since the write relies on it, and costs no more than HEAD where there is no tag.
    match repository.find_manifest_by_get(&by_tag).await.map_err(broken)? {
        Some(head) if head.digest == root.digest => return Ok(()),
        Some(head) => return Err((Verdict::Refused, tag_move(head.digest))),
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
    let there = read_back(run, repository, &by_tag).await.map_err(broken)?;
    match not_as_written(&root.digest, there, was) {
        None => Ok(()),
        Some(reason) => Err(failed(reason)),
    }
}

/// What a tag is on that exists as far as is known. A registry may not return it shortly after its write, so that it is
/// read several times before it is taken for absent.
async fn read_back(
    run: &Run<'_>,
    repository: &RepositoryClient,
    tag: &Reference,
) -> Result<Option<Digest>, Error> {
    for rereads in 0..MAX_REREADS {
        if let Some(head) = repository.find_manifest(tag).await? {
            return Ok(Some(head.digest));
        }
        reading_back::wait(run, rereads).await;
    }
    Ok(repository.find_manifest(tag).await?.map(|head| head.digest))
}

/// Why a written tag is not on the wanted digest, by what it is on now; `was` is what was known of it before.
fn not_as_written(wanted: &Digest, there: Option<Digest>, was: TagWas) -> Option<Arc<Reason>> {
    match there {
        Some(there) if there == *wanted => None,
        Some(current) => Some(Arc::new(Reason::LostRace { current })),
        None => Some(Arc::new(Reason::TagUnreadable(was))),
    }
}

/// Reads all tags again that `outcomes` say were written, and corrects those that are not so any more.
pub(crate) async fn look_again(run: &Run<'_>, outcomes: &mut [Outcome]) {
    let mut by_repository: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        let has_tag = run.edges.edge(outcome.edge).tag().is_some();
        if has_tag && matches!(outcome.verdict, Verdict::Copied | Verdict::Tagged) {
            by_repository.entry(outcome.edge.destination()).or_default().push(index);
        }
    }
    run.progress.stage("verifying written tags", by_repository.len() as u64);
    let told: &[Outcome] = outcomes;
    let looks = stream::iter(by_repository).map(|(destination, indices)| async move {
        let looked = run.stop.unless_stopped(look_at(run, destination, &indices, told)).await;
        run.progress.advance(1);
        looked.unwrap_or_default()
    });
    let corrected: Vec<Vec<(usize, Arc<Reason>)>> =
        looks.buffer_unordered(LOOKS_AT_ONCE).collect().await;
    for (index, reason) in corrected.into_iter().flatten() {
        outcomes[index] = Outcome::failed(outcomes[index].edge, reason);
    }
}

/// Which of the outcomes at `indices`, all of one destination, do not hold any more, and why.
async fn look_at(
    run: &Run<'_>,
    destination: usize,
    indices: &[usize],
    outcomes: &[Outcome],
) -> Vec<(usize, Arc<Reason>)> {
    let repository = &run.destination(destination);
    let read = async |tag: &Tag| {
        run.hosts.check(repository.host()).await?;
        let there = read_back(run, repository, &Reference::Tag(tag.clone())).await;
        there.map_err(|error| run.hosts.explain(repository.host(), error))
    };
    let looks = stream::iter(indices).map(|&index| async move {
        let edge = run.edges.edge(outcomes[index].edge);
        let reason = match read(edge.tag()?).await {
            Ok(there) => not_as_written(&edge.digest(), there, TagWas::ReadBack)?,
            Err(cause) => Arc::new(Reason::TagNotVerified { cause }),
        };
        Some((index, reason))
    });
    looks.buffer_unordered(LOOKS_AT_ONCE).filter_map(std::future::ready).collect().await
}
