//! Reading from the destination registries what the plan needs: the requested tags and digests of each repository, and
//! its digest tags if it gets attachments.
//!
//! `registry-client` chooses the requests: one request where the registry lists digests, `tags/list` and HEADs
//! elsewhere.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use futures_util::{StreamExt as _, stream};
use job::Confirm;
use oci::{Host, Reference};
use promotion_manifest::EdgeView;
use registry_client::{Error, Inventory};

use crate::{PromotionRun, Unchecked, edge_presence::EdgePresence, reason::Reason};

/// Repositories read at once from one host. Registries count requests per user: Artifact Registry,
/// as Kubernetes sets it, takes 83 a second.
pub(crate) const REPOSITORIES_AT_ONCE: usize = 8;

/// What a destination repository holds.
#[derive(Debug)]
pub(crate) struct DestinationContent {
    /// Of each of its selected edges, in their order.
    pub edges: Vec<EdgePresence>,
    /// What is known of its attachments, if it gets any.
    pub attachments: Option<Inventory>,
    /// How this is known.
    pub basis: Basis,
}

/// How the content of a destination repository is known.
#[derive(Debug)]
pub(crate) enum Basis {
    /// It was read.
    Read,
    /// The repository cannot be read and may not exist yet, for this reason. It is taken for empty.
    AssumedEmpty(Arc<Reason>),
}

impl Basis {
    /// What the outcomes of its edges should say.
    pub(crate) const fn note(&self) -> Option<&Arc<Reason>> {
        match self {
            Self::Read => None,
            Self::AssumedEmpty(reason) => Some(reason),
        }
    }
}

/// What a destination repository holds, or why that is unknown.
pub(crate) type DestinationResult = Result<DestinationContent, Arc<Reason>>;

/// What every destination repository holds, in the order of
/// [`EdgeSet::destinations`](promotion_manifest::EdgeSet::destinations). Repositories without selected edges are not
/// read.
pub(crate) async fn read_destinations(run: &PromotionRun<'_>) -> Vec<DestinationResult> {
    let repositories = run.edges.destinations();
    let mut results: Vec<DestinationResult> = Vec::new();
    results.resize_with(repositories.len(), || Ok(DestinationContent::without_edges()));
    let mut by_host: BTreeMap<&Host, Vec<usize>> = BTreeMap::new();
    let selected = repositories.iter().enumerate();
    let selected = selected.filter(|(index, _)| run.selection.len_of(*index) > 0);
    for (index, repository) in selected {
        by_host.entry(&repository.prefix.host).or_default().push(index);
    }
    let count = by_host.values().map(Vec::len).sum::<usize>() as u64;
    run.progress.stage("reading destination repositories", count);
    let read = by_host.into_values().map(|indices| {
        stream::iter(indices)
            .map(move |index| async move {
                let result = run.stop.unless_stopped(read_destination(run, index)).await;
                run.progress.advance(1);
                let host = || run.edges.destinations()[index].prefix.host.clone();
                (index, result.unwrap_or_else(|| Err(run.interrupted(&[host()]))))
            })
            .buffer_unordered(REPOSITORIES_AT_ONCE)
    });
    let mut read = stream::select_all(read);
    while let Some((index, result)) = read.next().await {
        results[index] = result;
    }
    results
}

/// The edges of the repositories that could not be read and may not exist yet.
pub(crate) fn unchecked(run: &PromotionRun<'_>, destinations: &[DestinationResult]) -> Unchecked {
    let mut unchecked = Unchecked::default();
    let repositories = run.edges.destinations().iter().zip(destinations);
    for (index, (repository, content)) in repositories.enumerate() {
        if let Ok(DestinationContent { basis: Basis::AssumedEmpty(_), .. }) = content {
            unchecked.edges += run.selection.len_of(index) as u64;
            unchecked.hosts.insert(repository.prefix.host.clone());
        }
    }
    unchecked
}

async fn read_destination(run: &PromotionRun<'_>, index: usize) -> DestinationResult {
    let repository = &run.edges.destinations()[index];
    let host = &repository.prefix.host;
    run.hosts.check(host).await?;
    let requested = requested(run, index);
    let mut inventory = match run.destination(index).inventory(&requested).await {
        Err(error) if error.is_login_rejected() => return Err(run.hosts.explain(host, error)),
        Err(error) if error.is_unauthorized() => match run.settings.confirm {
            Confirm::DryRun => return Ok(DestinationContent::assumed_empty(run, index, error)),
            // With pull access only, a run can still find that everything is in place.
            Confirm::Write => {
                let read = run.readable_destination(index).inventory(&requested).await;
                read.map_err(|with_pull| both_refused(run, host, error, with_pull))?
            }
        },
        inventory => inventory.map_err(|error| run.hosts.explain(host, error))?,
    };
    let presence = |edge: EdgeView<'_>| {
        let (digest, tag) = (edge.digest(), edge.tag());
        match EdgePresence::error(&inventory, &digest, tag) {
            Some(error) => EdgePresence::Unread(run.hosts.explain(host, Arc::clone(error))),
            None => EdgePresence::of(&inventory, &digest, tag),
        }
    };
    let edges = run.selected(index).map(presence).collect();
    let attachments = run.settings.attaches_to(repository).then(|| {
        inventory.keep_digest_tags();
        inventory
    });
    Ok(DestinationContent { edges, attachments, basis: Basis::Read })
}

/// Why a repository can be read neither with push access nor with pull access. Two refusals have the same cause, and are
/// reported as one.
fn both_refused(
    run: &PromotionRun<'_>,
    host: &Host,
    with_push: Error,
    with_pull: Error,
) -> Arc<Reason> {
    let is_same = with_pull.is_unauthorized();
    let first = run.hosts.explain(host, with_push);
    if is_same {
        return first;
    }
    let others = vec![run.hosts.explain(host, with_pull)];
    Arc::new(Reason::Several { first, others })
}

impl DestinationContent {
    /// Of a repository that has no selected edges.
    const fn without_edges() -> Self {
        Self { edges: Vec::new(), attachments: None, basis: Basis::Read }
    }

    /// A dry run requests pull access only, and many registries refuse that for a repository that does not exist yet.
    /// The plan is what a confirmed run does if it does not exist.
    fn assumed_empty(run: &PromotionRun<'_>, index: usize, error: Error) -> Self {
        let repository = &run.edges.destinations()[index];
        let reason = Reason::NotKnownBeforeWriting {
            host: repository.prefix.host.clone(),
            repository: repository.repository.clone(),
            error: error.into(),
        };
        let edges = run.selected(index).map(|_| EdgePresence::Absent).collect();
        let attachments = run.settings.attaches_to(repository).then(Inventory::default);
        Self { edges, attachments, basis: Basis::AssumedEmpty(Arc::new(reason)) }
    }
}

/// The tags and digests of the edges, each once.
fn requested(run: &PromotionRun<'_>, index: usize) -> Vec<Reference> {
    let of = |edge: EdgeView<'_>| {
        let tag = edge.tag().cloned().map(Reference::Tag);
        tag.into_iter().chain([Reference::Digest(edge.digest())])
    };
    let mut found = HashSet::new();
    run.selected(index).flat_map(of).filter(|reference| found.insert(reference.clone())).collect()
}
