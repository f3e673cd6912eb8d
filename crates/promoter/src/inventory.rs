//! Reading from the destination registries what the plan needs to know, and no more: of each repository
//! concerned the wanted tags and digests, and its digest tags if attachments go there.
//!
//! By the ladder of `registry-client`: one request where the registry lists digests, `tags/list` and HEADs
//! elsewhere.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use futures_util::{StreamExt as _, stream};
use job::Confirm;
use oci::{Digest, Host, Reference, Tag};
use promotion_manifest::EdgeView;
use registry_client::{Error, Existence, Inventory};

use crate::{Run, Unchecked, reason::Reason};

/// Repositories read at once from one host. Registries count requests per user: Artifact Registry,
/// as Kubernetes sets it, takes 83 a second.
pub(crate) const REPOSITORIES_AT_ONCE: usize = 8;

/// What a destination repository holds of one edge.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    /// The tag on the digest; for an edge without a tag, the digest.
    Here,
    /// The digest, but not the tag.
    Untagged,
    /// Neither.
    Nothing,
    /// The tag, on another digest.
    Elsewhere(Box<Elsewhere>),
    /// It cannot be said, for this reason.
    Unread(Arc<Reason>),
}

/// What a destination holds of an edge whose tag is on another digest.
#[derive(Clone, Debug)]
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
            Self::Nothing | Self::Unread(_) => false,
            Self::Elsewhere(found) => found.has_digest,
        }
    }

    /// Why it is not known: the tag cannot be read, or the digest where that matters.
    fn unread<'a>(
        inventory: &'a Inventory,
        digest: &Digest,
        tag: Option<&Tag>,
    ) -> Option<&'a Arc<Error>> {
        let by_tag = tag.and_then(|tag| inventory.unread(&Reference::Tag(tag.clone())));
        let has_tag = tag.is_some_and(|tag| inventory.tag(tag).is_present());
        by_tag.or_else(|| inventory.unread(&Reference::Digest(*digest)).filter(|_| !has_tag))
    }

    fn of(inventory: &Inventory, digest: &Digest, tag: Option<&Tag>) -> Self {
        let has_digest = inventory.holds(digest).is_present();
        match tag.map_or(Existence::Absent, |tag| inventory.tag(tag)) {
            Existence::Present(there) if there == digest => Self::Here,
            Existence::Present(&tag_on) => {
                Self::Elsewhere(Box::new(Elsewhere { tag_on, has_digest }))
            }
            // What was wanted is known.
            Existence::Absent | Existence::Unknown if !has_digest => Self::Nothing,
            Existence::Absent | Existence::Unknown if tag.is_none() => Self::Here,
            Existence::Absent | Existence::Unknown => Self::Untagged,
        }
    }
}

/// What was seen at a destination.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    /// Of each of its edges, in their order.
    pub edges: Vec<Seen>,
    /// What is known of its attachments, if any shall be there.
    pub hanging: Option<Inventory>,
    /// What is to be said of its edges, where it could not be read and that may be because it does not exist yet.
    pub note: Option<Arc<Reason>>,
}

/// What was seen at a destination, or why it cannot be said.
pub(crate) type SeenAt = Result<Sight, Arc<Reason>>;

/// What every destination repository holds, in the order of
/// [`EdgeSet::destinations`](promotion_manifest::EdgeSet::destinations).
pub(crate) async fn read_destinations(run: &Run<'_>) -> Vec<SeenAt> {
    let edges = run.edges;
    let mut seen: Vec<SeenAt> = Vec::new();
    seen.resize_with(edges.destinations().len(), || Ok(Sight::default()));
    let mut by_host: BTreeMap<&Host, Vec<usize>> = BTreeMap::new();
    let concerned = edges.destinations().iter().enumerate();
    let concerned = concerned.filter(|(index, _)| run.selection.len_of(*index) > 0);
    for (index, place) in concerned {
        by_host.entry(&place.prefix.host).or_default().push(index);
    }
    let count = by_host.values().map(Vec::len).sum::<usize>() as u64;
    run.progress.stage("reading destination repositories", count);
    let read = by_host.into_values().map(|places| {
        stream::iter(places)
            .map(move |index| async move {
                let seen = run.stop.unless_stopped(read_destination(run, index)).await;
                run.progress.advance(1);
                let host = || run.edges.destinations()[index].prefix.host.clone();
                (index, seen.unwrap_or_else(|| Err(run.interrupted(&[host()]))))
            })
            .buffer_unordered(REPOSITORIES_AT_ONCE)
    });
    let mut read = stream::select_all(read);
    while let Some((index, sight)) = read.next().await {
        seen[index] = sight;
    }
    seen
}

/// The edges of the destinations that could not be read and may not exist yet.
pub(crate) fn unchecked(run: &Run<'_>, seen: &[SeenAt]) -> Unchecked {
    let mut unchecked = Unchecked::default();
    for (index, (place, seen)) in run.edges.destinations().iter().zip(seen).enumerate() {
        if seen.as_ref().is_ok_and(|sight| sight.note.is_some()) {
            unchecked.edges += run.selection.len_of(index) as u64;
            unchecked.hosts.insert(place.prefix.host.clone());
        }
    }
    unchecked
}

async fn read_destination(run: &Run<'_>, index: usize) -> SeenAt {
    let place = &run.edges.destinations()[index];
    let host = &place.prefix.host;
    run.hosts.check(host).await?;
    let wanted = wanted(run, index);
    let mut inventory = match run.destination(index).inventory(&wanted).await {
        Err(error) if error.is_login_rejected() => return Err(run.hosts.explain(host, error)),
        Err(error) if error.is_unauthorized() => match run.settings.confirm {
            Confirm::DryRun => return Ok(Sight::unknown(run, index, error)),
            // Who may only read can still see that nothing is to be written.
            Confirm::Write => {
                let read = run.readable_destination(index).inventory(&wanted).await;
                read.map_err(|_refused_too| run.hosts.explain(host, error))?
            }
        },
        inventory => inventory.map_err(|error| run.hosts.explain(host, error))?,
    };
    let see = |edge: EdgeView<'_>| {
        let (digest, tag) = (edge.digest(), edge.tag());
        let unread = Seen::unread(&inventory, &digest, tag);
        let unread = unread.map(|error| Seen::Unread(run.hosts.explain(host, Arc::clone(error))));
        unread.unwrap_or_else(|| Seen::of(&inventory, &digest, tag))
    };
    let edges = run.selected(index).map(see).collect();
    let hanging = run.settings.attaches_to(place).then(|| {
        inventory.keep_digest_tags();
        inventory
    });
    Ok(Sight { edges, hanging, note: None })
}

impl Sight {
    /// A dry run asks with the right to read only, and many registries refuse that of a repository that does not
    /// exist yet. So it may be there or not, and what is planned is what to do if it is not.
    fn unknown(run: &Run<'_>, index: usize, error: Error) -> Self {
        let place = &run.edges.destinations()[index];
        let note = Reason::NotKnownBeforeWriting {
            host: place.prefix.host.clone(),
            repository: place.repository.clone(),
            error: error.into(),
        };
        let edges = run.selected(index).map(|_| Seen::Nothing).collect();
        let hanging = run.settings.attaches_to(place).then(Inventory::default);
        Self { edges, hanging, note: Some(note.into()) }
    }
}

/// The tags and digests of the edges, each once.
fn wanted(run: &Run<'_>, index: usize) -> Vec<Reference> {
    let of = |edge: EdgeView<'_>| {
        let tag = edge.tag().cloned().map(Reference::Tag);
        tag.into_iter().chain([Reference::Digest(edge.digest())])
    };
    let mut met = HashSet::new();
    run.selected(index).flat_map(of).filter(|wanted| met.insert(wanted.clone())).collect()
}
