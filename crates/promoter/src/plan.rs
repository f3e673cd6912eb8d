//! The plan: edges and what the registries hold in, one decision an edge and the work to do out.
//! Pure. The rules are the rows of `docs/promotion.md`, "What becomes of an edge".

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use oci::{Digest, RegistryPrefix};
use promotion_manifest::{DestinationRepository, Edge, EdgeSet, WishId, one_line};

use crate::{
    EdgeRef, Outcome, Verdict,
    hosts::Reason,
    inventory::{InSource, Seen, SeenAt},
};

/// What is to be done, and what needs nothing or cannot be done.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The edges that no work will change.
    pub settled: Vec<Outcome>,
    /// The rest, grouped by wish: one digest of one image.
    pub work: Vec<Work>,
}

/// One digest to bring to some destinations.
#[derive(Debug)]
pub(crate) struct Work {
    /// Whose digest, and which.
    pub wish: WishId,
    /// Where it can be had, sources before destinations; none when no destination lacks it.
    pub origins: Vec<Origin>,
    /// Where it must be.
    pub targets: Vec<Target>,
}

/// Where a digest can be read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// The source registry of a wish.
    Source(WishId),
    /// Another destination, by its index: the source lost it (staging registries expire what is old).
    Destination(usize),
}

/// One destination repository of a [`Work`].
#[derive(Debug)]
pub(crate) struct Target {
    /// Index into [`EdgeSet::destinations`].
    pub destination: usize,
    /// Whether the digest must be copied there first.
    pub lacks: Lacks,
    /// The edges, by index into that destination's.
    pub edges: Vec<usize>,
}

impl Target {
    /// The edges.
    pub(crate) fn edges(&self) -> impl Iterator<Item = EdgeRef> {
        self.edges.iter().map(|&edge| EdgeRef { destination: self.destination, edge })
    }
}

/// What a destination lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lacks {
    /// Only tags.
    Tags,
    /// The digest itself.
    Digest,
}

/// The wishes whose digest some readable destination lacks: what the sources are asked for.
pub(crate) fn lacking(edges: &EdgeSet, seen: &[SeenAt]) -> Vec<WishId> {
    let mut wishes = Vec::new();
    for (place, seen) in edges.destinations().iter().zip(seen) {
        let Ok(seen) = seen else { continue };
        let missing = place.edges.iter().zip(seen).filter(|(_, seen)| **seen == Seen::Nothing);
        wishes.extend(missing.flat_map(|(edge, _)| edges.sources(edge, place)).map(|wish| wish.id));
    }
    wishes.sort_unstable();
    wishes.dedup();
    wishes
}

/// Decides about every edge.
pub(crate) fn plan(edges: &EdgeSet, seen: &[SeenAt], sources: &HashMap<WishId, InSource>) -> Plan {
    let holders = Holders::of(edges, seen);
    let mut plan = Plan::default();
    let mut work: BTreeMap<WishId, Work> = BTreeMap::new();
    for (destination, (place, seen)) in edges.destinations().iter().zip(seen).enumerate() {
        for (index, edge) in place.edges.iter().enumerate() {
            let at = EdgeRef { destination, edge: index };
            let seen = seen.as_ref().map(|seen| &seen[index]);
            match decide(edges, place, edge, seen, sources, &holders) {
                Decision::Settled(verdict, reason) => {
                    plan.settled.push(Outcome { edge: at, verdict, reason });
                }
                Decision::Do(task) => {
                    let wish = edges.wish(edge).id;
                    let new = || Work { wish, origins: Vec::new(), targets: Vec::new() };
                    work.entry(wish).or_insert_with(new).add(at, task);
                }
            }
        }
    }
    plan.work = work.into_values().collect();
    plan
}

impl Work {
    fn add(&mut self, at: EdgeRef, task: Task) {
        self.origins.extend(task.origins);
        self.origins.sort_unstable();
        self.origins.dedup();
        // Edges come destination by destination, so that only the last target can be this one.
        match self.targets.last_mut() {
            Some(target) if target.destination == at.destination => target.edges.push(at.edge),
            _ => self.targets.push(Target {
                destination: at.destination,
                lacks: task.lacks,
                edges: vec![at.edge],
            }),
        }
    }

    /// What is to be said of edges whose digest comes from `origin`, if it is not their source.
    pub(crate) fn backfilled_from(&self, edges: &EdgeSet, origin: Origin) -> Option<Reason> {
        let Origin::Destination(holder) = origin else { return None };
        let from = &edges.destinations()[holder].prefix;
        let source = edges.wish_by_id(self.wish).source_prefix();
        let why = format!("backfilled from {from}: it is not to be had from {source} any more");
        Some(why.into())
    }
}

/// What to do for one edge.
struct Task {
    lacks: Lacks,
    origins: Vec<Origin>,
}

enum Decision {
    Settled(Verdict, Option<Reason>),
    Do(Task),
}

fn decide(
    edges: &EdgeSet,
    place: &DestinationRepository,
    edge: &Edge,
    seen: Result<&Seen, &Reason>,
    sources: &HashMap<WishId, InSource>,
    holders: &Holders,
) -> Decision {
    use Decision::{Do, Settled};
    if let Some(other) = edges.conflict(edge, place) {
        let reason = format!(
            "conflict: {}:{} asks for the same tag on {}; keep one of the two",
            one_line(other.file),
            other.position.line,
            other.digest
        );
        return Settled(Verdict::Refused, Some(reason.into()));
    }
    match seen {
        Err(reason) => Settled(Verdict::Failed, Some(Arc::clone(reason))),
        Ok(Seen::Here) => Settled(Verdict::Present, None),
        Ok(Seen::Elsewhere(found)) => Settled(Verdict::Refused, Some(tag_move(&found.tag_on))),
        Ok(Seen::Untagged) => Do(Task { lacks: Lacks::Tags, origins: Vec::new() }),
        Ok(Seen::Nothing) => match copy_task(edges, place, edge, sources, holders) {
            Ok(task) => Do(task),
            Err((verdict, reason)) => Settled(verdict, Some(reason)),
        },
    }
}

/// Why a tag that is there already stays where it is.
pub(crate) fn tag_move(there: &Digest) -> Reason {
    format!("tag move: the tag is on {there} there, and tags never move; promote under a new tag")
        .into()
}

/// The task of copying the digest of `edge` from wherever it can be had, or why that is nowhere.
fn copy_task(
    edges: &EdgeSet,
    place: &DestinationRepository,
    edge: &Edge,
    sources: &HashMap<WishId, InSource>,
    holders: &Holders,
) -> Result<Task, (Verdict, Reason)> {
    let mut origins = Vec::new();
    let mut unasked: Vec<Reason> = Vec::new();
    for wish in edges.sources(edge, place) {
        match sources.get(&wish.id) {
            Some(Ok(true)) => origins.push(Origin::Source(wish.id)),
            Some(Ok(false)) | None => {}
            Some(Err(reason)) => unasked.push(Arc::clone(reason)),
        }
    }
    let elsewhere = holders.0.get(&edges.digest(edge));
    let holding = elsewhere.into_iter().flat_map(|known| &known.has);
    origins.extend(holding.copied().map(Origin::Destination));
    if !origins.is_empty() {
        return Ok(Task { lacks: Lacks::Digest, origins });
    }
    unasked.extend(elsewhere.and_then(|known| known.unread.clone()));
    Err(nowhere(edges.wish(edge).source_prefix(), &unasked))
}

/// The verdict on a digest that nobody who answered has; `unasked` is why others did not answer.
fn nowhere(source: &RegistryPrefix, unasked: &[Reason]) -> (Verdict, Reason) {
    match unasked {
        [] => {
            let reason = format!(
                "the digest is neither in {source} nor in any destination; check it for a slip, \
                 or push the image to staging again"
            );
            (Verdict::Lost, reason.into())
        }
        [reason] => (Verdict::Failed, Arc::clone(reason)),
        [reason, more @ ..] => {
            let reason =
                format!("{reason} (nor could {} more that may have the digest)", more.len());
            (Verdict::Failed, reason.into())
        }
    }
}

/// How many destinations that have a digest are remembered as its origins, besides the source.
const MAX_HOLDERS: usize = 3;

/// What the destinations know about each digest.
#[derive(Default)]
struct Holders(HashMap<Digest, Known>);

#[derive(Default)]
struct Known {
    /// The first destinations that have the digest.
    has: Vec<usize>,
    /// Why some destination could not say.
    unread: Option<Reason>,
}

impl Holders {
    fn of(edges: &EdgeSet, seen: &[SeenAt]) -> Self {
        let mut holders = Self::default();
        for (destination, (place, seen)) in edges.destinations().iter().zip(seen).enumerate() {
            for (index, edge) in place.edges.iter().enumerate() {
                let known = holders.0.entry(edges.digest(edge)).or_default();
                match seen.as_ref().map(|seen| &seen[index]) {
                    Ok(seen) if seen.has_digest() => known.add(destination),
                    Ok(_) => {}
                    Err(reason) => drop(known.unread.get_or_insert_with(|| Arc::clone(reason))),
                }
            }
        }
        holders
    }
}

impl Known {
    fn add(&mut self, destination: usize) {
        if self.has.len() < MAX_HOLDERS && !self.has.contains(&destination) {
            self.has.push(destination);
        }
    }
}
