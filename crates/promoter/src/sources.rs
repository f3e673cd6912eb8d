//! Reading from the source registries which of the requested digests they have, and their digest tags if attachments are
//! compared. A source repository is read only if some destination lacks a digest of it, or for its attachments.

use std::{
    collections::{BTreeMap, HashMap},
    slice,
    sync::Arc,
};

use futures_util::{StreamExt as _, stream};
use oci::{Host, Reference, Repository};
use promotion_manifest::SourceDigestId;
use registry_client::{Inventory, RepositoryClient};

use crate::{PromotionRun, inventory::REPOSITORIES_AT_ONCE, reason::Reason};

/// What the sources hold.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Whether the source of a requested digest has it, or why that is unknown.
    has: HashMap<SourceDigestId, Result<bool, Arc<Reason>>>,
    /// What is known of the attachments at the source of a requested digest.
    attachments: HashMap<SourceDigestId, Arc<Inventory>>,
}

/// A source repository, and the digests to look up in it.
struct SourceRequest {
    repository: RepositoryClient,
    source_digests: Vec<SourceDigestId>,
}

/// What a source repository holds.
struct SourceContent {
    /// Whether it has each of the digests, in the order of the request, or why that is unknown.
    has: Vec<Result<bool, Arc<Reason>>>,
    attachments: Arc<Inventory>,
}

/// What the sources of `source_digests` hold of them.
pub(crate) async fn read_sources(
    run: &PromotionRun<'_>,
    source_digests: Vec<SourceDigestId>,
) -> Sources {
    let mut sources = Sources::default();
    let mut requests: BTreeMap<(Host, Repository), SourceRequest> = BTreeMap::new();
    for source_digest in source_digests {
        match run.source(source_digest) {
            Ok(repository) => {
                let key = (repository.host().clone(), repository.name().clone());
                let new = || SourceRequest { repository, source_digests: Vec::new() };
                requests.entry(key).or_insert_with(new).source_digests.push(source_digest);
            }
            Err(reason) => drop(sources.has.insert(source_digest, Err(reason))),
        }
    }
    run.progress.stage("reading source repositories", requests.len() as u64);
    let mut by_host: BTreeMap<Host, Vec<SourceRequest>> = BTreeMap::new();
    for ((host, _), request) in requests {
        by_host.entry(host).or_default().push(request);
    }
    let read = by_host.into_values().map(|requests| {
        stream::iter(requests)
            .map(|request| async move {
                let content = run.stop.unless_stopped(read_source(run, &request)).await;
                run.progress.advance(1);
                let host = request.repository.host();
                let interrupted = || Err(run.interrupted(slice::from_ref(host)));
                let content = content.unwrap_or_else(interrupted);
                (request.source_digests, content)
            })
            .buffer_unordered(REPOSITORIES_AT_ONCE)
    });
    let mut read = stream::select_all(read);
    while let Some((source_digests, content)) = read.next().await {
        sources.add(source_digests, content);
    }
    sources
}

impl Sources {
    /// Whether the source of a requested digest has it, or why that is unknown; `None` if it was not read.
    pub(crate) fn has(&self, source_digest: SourceDigestId) -> Option<Result<bool, &Arc<Reason>>> {
        self.has.get(&source_digest).map(|has| has.as_ref().copied())
    }

    /// What is known of the attachments at the source of a requested digest.
    pub(crate) fn attachments(&self, source_digest: SourceDigestId) -> Option<&Inventory> {
        self.attachments.get(&source_digest).map(|inventory| &**inventory)
    }

    fn add(
        &mut self,
        source_digests: Vec<SourceDigestId>,
        content: Result<SourceContent, Arc<Reason>>,
    ) {
        match content {
            Ok(SourceContent { has, attachments }) => {
                let with = |id: &SourceDigestId| (*id, Arc::clone(&attachments));
                self.attachments.extend(source_digests.iter().map(with));
                self.has.extend(source_digests.into_iter().zip(has));
            }
            Err(reason) => {
                let unread = |source_digest| (source_digest, Err(Arc::clone(&reason)));
                self.has.extend(source_digests.into_iter().map(unread));
            }
        }
    }
}

async fn read_source(
    run: &PromotionRun<'_>,
    request: &SourceRequest,
) -> Result<SourceContent, Arc<Reason>> {
    let host = request.repository.host();
    run.hosts.check(host).await?;
    let digests = request.source_digests.iter();
    let digests = digests.map(|id| run.edges.source_digest(*id).entry.digest);
    let digests: Vec<_> = digests.collect();
    let mut references: Vec<_> = digests.iter().copied().map(Reference::Digest).collect();
    references.sort_unstable();
    references.dedup();
    let read = request.repository.inventory(&references).await;
    let mut inventory = read.map_err(|error| run.hosts.explain(host, error))?;
    let has = digests.iter().map(|digest| match inventory.unread(&Reference::Digest(*digest)) {
        Some(error) => Err(run.hosts.explain(host, Arc::clone(error))),
        None => Ok(inventory.holds(digest).is_present()),
    });
    let has = has.collect();
    inventory.keep_digest_tags();
    Ok(SourceContent { has, attachments: Arc::new(inventory) })
}
