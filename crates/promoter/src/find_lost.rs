//! The last search for digests that no registry seems to have, before they are reported as lost. It requests each of
//! them from its sources and from every destination that any project lists for it, whether or not these were read in this
//! run: by HEAD, and by GET where HEAD does not find it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use futures_util::{StreamExt as _, stream};
use oci::{Digest, Reference};
use promotion_manifest::{EdgeId, EdgeView, SourceDigestId};

use crate::{PromotionRun, holders::Holders, planned::ImageOrigin, reason::Reason};

/// Requests at once. The client keeps to the quota of each host.
const REQUESTS_AT_ONCE: usize = 32;

/// The registries that have the digests of these edges: an entry for each digest.
pub(crate) async fn find_lost(
    run: &PromotionRun<'_>,
    edges: &[EdgeId],
) -> HashMap<Digest, Holders> {
    let mut holders: HashMap<Digest, Holders> = HashMap::new();
    // Sources come after all destinations.
    let mut requests: BTreeSet<(Digest, usize, Option<SourceDigestId>)> = BTreeSet::new();
    for id in edges {
        let edge = run.edges.edge(*id);
        let digest = edge.digest();
        holders.entry(digest).or_default();
        let sources = edge.sources();
        requests.extend(sources.map(|source| (digest, usize::MAX, Some(source.id))));
    }
    for index in 0..run.edges.destinations().len() {
        let digests = run.edges.edges_of(index).map(EdgeView::digest);
        let missing = digests.filter(|digest| holders.contains_key(digest));
        requests.extend(missing.map(|digest| (digest, index, None)));
    }
    run.progress.stage("looking for missing digests in all registries", requests.len() as u64);
    let responses = stream::iter(requests).map(|(digest, destination, source)| async move {
        let origin = source.map_or(ImageOrigin::Destination(destination), ImageOrigin::Source);
        let has = run.stop.unless_stopped(has(run, origin, digest)).await;
        run.progress.advance(1);
        let host = || run.origin(origin).map(|repository| repository.host().clone());
        let interrupted = || run.interrupted(&host().into_iter().collect::<Vec<_>>());
        (digest, origin, has.unwrap_or_else(|| Err(interrupted())))
    });
    let mut responses = responses.buffered(REQUESTS_AT_ONCE);
    while let Some((digest, origin, has)) = responses.next().await {
        let holders = holders.entry(digest).or_default();
        match has {
            Ok(true) => holders.add(origin),
            Ok(false) => {}
            Err(reason) => holders.add_unread(&reason),
        }
    }
    holders
}

/// Whether `origin` has the digest.
pub(crate) async fn has(
    run: &PromotionRun<'_>,
    origin: ImageOrigin,
    digest: Digest,
) -> Result<bool, Arc<Reason>> {
    let repository = run.origin(origin)?;
    run.hosts.check(repository.host()).await?;
    let head = repository.find_manifest(&Reference::Digest(digest)).await;
    head.map(|head| head.is_some()).map_err(|error| run.hosts.explain(repository.host(), error))
}
