//! Asking everybody once more about digests that nobody seems to have, before they are called lost: the source
//! and every destination that any project asks for it, looked at in this run or not, by HEAD and, where that
//! does not find it, by GET.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use futures_util::{StreamExt as _, stream};
use oci::{Digest, Reference};
use promotion_manifest::{EdgeId, EdgeView, SourceDigestId};

use crate::{Run, plan::Known, reason::Reason, work::Origin};

/// Questions at once. The client keeps each host's quota.
const QUESTIONS_AT_ONCE: usize = 32;

/// What is known of the digests of these edges, once everybody was asked.
pub(crate) async fn ask_everybody(run: &Run<'_>, doubtful: &[EdgeId]) -> HashMap<Digest, Known> {
    let mut known: HashMap<Digest, Known> = HashMap::new();
    let mut questions: BTreeSet<(Digest, usize, Option<SourceDigestId>)> = BTreeSet::new();
    for at in doubtful {
        let edge = run.edges.edge(*at);
        let digest = edge.digest();
        known.entry(digest).or_default();
        questions.extend(
            edge.sources().map(|source_digest| (digest, usize::MAX, Some(source_digest.id))),
        );
    }
    for index in 0..run.edges.destinations().len() {
        let wanted = run.edges.edges_of(index).map(EdgeView::digest);
        let doubtful = wanted.filter(|digest| known.contains_key(digest));
        questions.extend(doubtful.map(|digest| (digest, index, None)));
    }
    run.progress.stage("looking for missing digests in all registries", questions.len() as u64);
    let asked = stream::iter(questions).map(|(digest, destination, source_digest)| async move {
        let origin = source_digest.map_or(Origin::Destination(destination), Origin::Source);
        let has = run.stop.unless_stopped(has(run, origin, digest)).await;
        run.progress.advance(1);
        let host = || run.origin(origin).map(|repository| repository.host().clone());
        let interrupted = || run.interrupted(&host().into_iter().collect::<Vec<_>>());
        (digest, origin, has.unwrap_or_else(|| Err(interrupted())))
    });
    let mut asked = asked.buffered(QUESTIONS_AT_ONCE);
    while let Some((digest, origin, has)) = asked.next().await {
        let known = known.entry(digest).or_default();
        match has {
            Ok(true) => known.add(origin),
            Ok(false) => {}
            Err(reason) => drop(known.unread.get_or_insert(reason)),
        }
    }
    known
}

/// Whether `origin` has the digest.
pub(crate) async fn has(
    run: &Run<'_>,
    origin: Origin,
    digest: Digest,
) -> Result<bool, Arc<Reason>> {
    let repository = run.origin(origin)?;
    run.hosts.check(repository.host()).await?;
    let head = repository.find_manifest(&Reference::Digest(digest)).await;
    head.map(|head| head.is_some()).map_err(|error| run.hosts.explain(repository.host(), error))
}
