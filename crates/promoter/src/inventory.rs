//! Reading from the registries what the plan needs to know, and no more: of each destination
//! repository the wanted tags and digests, and of each source the digests that some destination lacks.
//!
//! Works with any OCI registry: `tags/list`, then HEADs.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci::{Digest, Host, Reference, Tag};
use promotion_manifest::{DestinationRepository, EdgeSet, WishId};
use registry_client::RepositoryClient;

use crate::{Run, hosts::Reason, interrupted};

/// Repositories read at once from one host. Registries count requests per user: Artifact Registry,
/// as Kubernetes sets it, takes 83 a second.
const REPOSITORIES_AT_ONCE: usize = 8;

/// Requests at once within one repository.
const REQUESTS_AT_ONCE: usize = 8;

/// What a destination repository holds of one edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The tag on the digest; for an edge without a tag, the digest.
    Here,
    /// The digest, but not the tag.
    Untagged,
    /// Neither.
    Nothing,
    /// The tag, on another digest.
    Elsewhere(Box<Elsewhere>),
}

/// What a destination holds of an edge whose tag is on another digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// Where the tag is.
    pub tag_on: Digest,
    /// Whether the wanted digest is there too.
    has_digest: bool,
}

impl Seen {
    /// Whether the destination holds the wanted digest, under whatever tag.
    pub(crate) fn has_digest(&self) -> bool {
        match self {
            Self::Here | Self::Untagged => true,
            Self::Nothing => false,
            Self::Elsewhere(found) => found.has_digest,
        }
    }
}

/// What was seen of each edge of a destination, in the order of its edges; or why it cannot be said.
pub(crate) type SeenAt = Result<Vec<Seen>, Reason>;

/// What every destination repository holds, in the order of [`EdgeSet::destinations`].
pub(crate) async fn read_destinations(run: &Run<'_>) -> Vec<SeenAt> {
    let edges = run.edges;
    let mut by_host: BTreeMap<&Host, Vec<usize>> = BTreeMap::new();
    for (index, place) in edges.destinations().iter().enumerate() {
        by_host.entry(&place.prefix.host).or_default().push(index);
    }
    let read = by_host.into_iter().map(|(host, places)| {
        stream::iter(places)
            .map(move |index| async move {
                let place = &edges.destinations()[index];
                let seen = run.stop.unless_stopped(read_destination(run, host, place)).await;
                run.progress.advance(1);
                (index, seen.unwrap_or_else(|| Err(interrupted())))
            })
            .buffer_unordered(REPOSITORIES_AT_ONCE)
    });
    let mut seen: Vec<(usize, SeenAt)> = stream::select_all(read).collect().await;
    seen.sort_unstable_by_key(|(index, _)| *index);
    seen.into_iter().map(|(_, seen)| seen).collect()
}

async fn read_destination(run: &Run<'_>, host: &Host, place: &DestinationRepository) -> SeenAt {
    let (hosts, edges) = (&run.hosts, run.edges);
    hosts.check(host).await?;
    let repository = hosts.client().repository(host, &place.repository);
    let facts = read_repository(&repository, edges, place).await;
    let facts = facts.map_err(|error| hosts.explain(host, &error))?;
    Ok(place.edges.iter().map(|edge| facts.see(edges.digest(edge), edges.tag(edge))).collect())
}

/// What one repository holds of what is wanted there.
#[derive(Debug, Default)]
struct Facts {
    tags: HashMap<Tag, Digest>,
    digests: HashSet<Digest>,
}

impl Facts {
    fn see(&self, digest: Digest, tag: Option<&Tag>) -> Seen {
        let has_digest = self.digests.contains(&digest);
        match tag.and_then(|tag| self.tags.get(tag)) {
            Some(there) if *there == digest => Seen::Here,
            Some(&tag_on) => Seen::Elsewhere(Box::new(Elsewhere { tag_on, has_digest })),
            None if !has_digest => Seen::Nothing,
            None if tag.is_none() => Seen::Here,
            None => Seen::Untagged,
        }
    }
}

async fn read_repository(
    repository: &RepositoryClient,
    edges: &EdgeSet,
    place: &DestinationRepository,
) -> Result<Facts, registry_client::Error> {
    let mut facts = Facts::default();
    let wanted_tags: HashSet<&Tag> =
        place.edges.iter().filter_map(|edge| edges.tag(edge)).collect();
    if !wanted_tags.is_empty() {
        let listed = repository.tags().await?;
        let there = listed.into_iter().filter(|tag| wanted_tags.contains(tag));
        facts.tags = heads(repository, there).await?;
        facts.digests.extend(facts.tags.values());
    }
    let wanted = place.edges.iter().map(|edge| edges.digest(edge));
    let unknown: HashSet<Digest> =
        wanted.filter(|digest| !facts.digests.contains(digest)).collect();
    facts.digests.extend(heads(repository, unknown).await?.into_keys());
    Ok(facts)
}

/// Asks for each of `references`; those that are not there are left out.
async fn heads<R: Into<Reference> + Clone + Eq + std::hash::Hash>(
    repository: &RepositoryClient,
    references: impl IntoIterator<Item = R>,
) -> Result<HashMap<R, Digest>, registry_client::Error> {
    stream::iter(references)
        .map(|wanted| async move {
            let head = repository.head_manifest(&wanted.clone().into()).await?;
            Ok(head.map(|head| (wanted, head.digest)))
        })
        .buffer_unordered(REQUESTS_AT_ONCE)
        .try_filter_map(|found| async move { Ok(found) })
        .try_collect()
        .await
}

/// Whether a source has a digest, or why that cannot be said.
pub(crate) type InSource = Result<bool, Reason>;

/// Whether the source of each of `wishes` has its digest.
pub(crate) async fn read_sources(run: &Run<'_>, wishes: Vec<WishId>) -> HashMap<WishId, InSource> {
    let mut by_host: BTreeMap<Host, Vec<WishId>> = BTreeMap::new();
    for id in wishes {
        by_host.entry(run.edges.wish_by_id(id).source_prefix().host.clone()).or_default().push(id);
    }
    let read = by_host.into_values().map(|wishes| {
        stream::iter(wishes)
            .map(move |id| async move {
                let there = run.stop.unless_stopped(read_source(run, id)).await;
                run.progress.advance(1);
                (id, there.unwrap_or_else(|| Err(interrupted())))
            })
            .buffer_unordered(REPOSITORIES_AT_ONCE)
    });
    stream::select_all(read).collect().await
}

async fn read_source(run: &Run<'_>, id: WishId) -> InSource {
    let hosts = &run.hosts;
    let wish = run.edges.wish_by_id(id);
    let host = &wish.source_prefix().host;
    hosts.check(host).await?;
    let repository = source_repository(run, id)?;
    let head = repository.head_manifest(&wish.entry.digest.into()).await;
    head.map(|head| head.is_some()).map_err(|error| hosts.explain(host, &error))
}

/// The repository that the source of `id` names.
pub(crate) fn source_repository(run: &Run<'_>, id: WishId) -> Result<RepositoryClient, Reason> {
    let wish = run.edges.wish_by_id(id);
    let prefix = wish.source_prefix();
    match wish.source_repository() {
        Ok(name) => Ok(run.hosts.client().repository(&prefix.host, &name)),
        Err(error) => Err(Arc::from(format!("{prefix}/{}: {error}", wish.image.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_of_an_edge() {
        let (a, b) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let tag = |text: &str| text.parse::<Tag>().expect("a tag");
        let facts = Facts { tags: HashMap::from([(tag("v1"), a)]), digests: HashSet::from([a]) };
        for (digest, name, seen) in [
            (a, Some("v1"), Seen::Here),
            (b, Some("v1"), Seen::Elsewhere(Box::new(Elsewhere { tag_on: a, has_digest: false }))),
            (a, Some("v2"), Seen::Untagged),
            (b, Some("v2"), Seen::Nothing),
            (a, None, Seen::Here),
            (b, None, Seen::Nothing),
        ] {
            assert_eq!(facts.see(digest, name.map(tag).as_ref()), seen, "{digest} {name:?}");
        }
    }
}
