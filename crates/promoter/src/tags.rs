//! Writing tags: never moving one, and telling when somebody else wrote it at the same time. The rules, and
//! the window that remains, are `docs/promotion.md`, "Tags".

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use oci::{Digest, Reference, Tag};
use registry_client::{Error, RepositoryClient, TagWrite};

use crate::{
    Outcome, Run, Verdict,
    hosts::Reason,
    plan::tag_move,
    reading_back::{self, MAX_REREADS},
};

/// Requests at once to one repository when all written tags are read again.
const LOOKS_AT_ONCE: usize = 8;

/// What is said of a tag that was written and read back, and cannot be read at the end of the run.
const DELETED: &str = "the tag was written and read back, and the registry does not return it any more (404): it was deleted, or a \
     replica does not have it yet";

/// A manifest as it is written under tags.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub digest: Digest,
    pub media_type: String,
    pub bytes: Bytes,
}

/// Why a tag was not written.
pub(crate) type NotWritten = (Verdict, Reason);

fn failed(reason: impl Into<Reason>) -> NotWritten {
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
    let broken = |error| failed(hosts.explain(repository.host(), &error));
    hosts.check(repository.host()).await.map_err(failed)?;
    let by_tag = Reference::Tag(tag.clone());
    // GET, since the write relies on it, and costs no more than HEAD where there is no tag.
    match repository.find_manifest_by_get(&by_tag).await.map_err(broken)? {
        Some(head) if head.digest == root.digest => return Ok(()),
        Some(head) => return Err((Verdict::Refused, tag_move(&head.digest))),
        None => {}
    }
    let written = repository.put_tag_if_absent(tag, &root.media_type, root.bytes.clone()).await;
    let written = written.map_err(broken)?;
    match written {
        TagWrite::Written(stored) if stored != root.digest => {
            return Err(failed(format!("the registry stored the tag on {stored}")));
        }
        TagWrite::Written(_) | TagWrite::Taken => {}
    }
    let unreadable = match written {
        TagWrite::Written(_) => "the registry accepted the tag, but does not return it (404)",
        TagWrite::Taken => {
            "the registry says that the tag exists (412), but does not return it (404)"
        }
    };
    let there = read_back(run, repository, &by_tag).await.map_err(broken)?;
    match not_as_written(&root.digest, there, unreadable) {
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

/// What is to be said of a tag that was written, by what it is on now; `unreadable` if it is on nothing.
fn not_as_written(wanted: &Digest, there: Option<Digest>, unreadable: &str) -> Option<Reason> {
    match there {
        Some(there) if there == *wanted => None,
        Some(there) => {
            let reason = format!(
                "lost the race: somebody else put the tag on {there} at the same time; find out who, and \
                 promote under a new tag"
            );
            Some(reason.into())
        }
        None => Some(format!("{unreadable}; run again").into()),
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
    let corrected: Vec<Vec<(usize, Reason)>> =
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
) -> Vec<(usize, Reason)> {
    let repository = &run.destination(destination);
    let read = async |tag: &Tag| {
        run.hosts.check(repository.host()).await?;
        let there = read_back(run, repository, &Reference::Tag(tag.clone())).await;
        there.map_err(|error| run.hosts.explain(repository.host(), &error))
    };
    let looks = stream::iter(indices).map(|&index| async move {
        let edge = run.edges.edge(outcomes[index].edge);
        let reason = match read(edge.tag()?).await {
            Ok(there) => not_as_written(&edge.digest(), there, DELETED)?,
            Err(why) => format!("written, but it could not be read again: {why}").into(),
        };
        Some((index, reason))
    });
    looks.buffer_unordered(LOOKS_AT_ONCE).filter_map(std::future::ready).collect().await
}
