//! The plan: edges and what the registries hold in, one decision an edge and the work to do out.
//! Pure. The rules are the rows of `docs/reference/promotion.md`, "What becomes of an edge".

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use oci::{Digest, RegistryPrefix};
use promotion_manifest::{EdgeId, EdgeSet, EdgeView, Selection, SourceDigestId};

use crate::{
    Outcome, Run, Settings, Verdict,
    inventory::{Elsewhere, Seen, SeenAt},
    reason::Reason,
    sources::Sources,
    work::{Lacks, Origin, Target, Work},
};

/// What is to be done, and what needs nothing or cannot be done.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The edges that no work will change.
    pub settled: Vec<Outcome>,
    /// The rest, grouped by requested digest: one digest of one image.
    pub work: Vec<Work>,
    /// The edges whose digest nobody is known to have, though all were asked: to be asked once more.
    pub doubtful: Vec<EdgeId>,
}

/// What the plan is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Knowledge<'a> {
    pub edges: &'a EdgeSet,
    pub selection: &'a Selection,
    pub settings: &'a Settings,
    /// What every destination holds.
    pub seen: &'a [SeenAt],
    /// What the sources hold.
    pub sources: &'a Sources,
    /// What asking everybody about doubtful digests came to.
    pub asked_again: &'a HashMap<Digest, Known>,
}

/// What is known of who has a digest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Where it is, besides where the sources and the inventories say so.
    pub has: Vec<Origin>,
    /// Why somebody could not say.
    pub unread: Option<Arc<Reason>>,
}

/// The requested digests whose sources must be asked: those whose digest some readable destination lacks, those whose attachments
/// are compared, and those whose tag is on another digest, since theirs may be a typo.
pub(crate) fn to_ask(run: &Run<'_>, seen: &[SeenAt]) -> Vec<SourceDigestId> {
    let Run { edges, selection, settings, .. } = run;
    let mut source_digests = Vec::new();
    for (at, (place, seen)) in edges.destinations().iter().zip(seen).enumerate() {
        let Ok(seen) = seen else { continue };
        let attaches = settings.attaches_to(place);
        let selected = selection.edges_of(edges, at);
        let concerned = selected.zip(&seen.edges).filter(|(_, seen)| match seen {
            Seen::Nothing | Seen::Elsewhere(_) => true,
            Seen::Here | Seen::Untagged => attaches,
            Seen::Unread(_) => false,
        });
        source_digests.extend(
            concerned.flat_map(|(edge, _)| edge.sources()).map(|source_digest| source_digest.id),
        );
    }
    source_digests.sort_unstable();
    source_digests.dedup();
    source_digests
}

/// Decides about every edge.
pub(crate) fn plan(knowledge: Knowledge<'_>) -> Plan {
    let Knowledge { edges, selection, seen, .. } = knowledge;
    let planner = Planner { knowledge, holders: Holders::of(knowledge) };
    let mut plan = Plan::default();
    let mut work: BTreeMap<SourceDigestId, Work> = BTreeMap::new();
    for (destination, seen) in seen.iter().enumerate() {
        for (index, edge) in selection.edges_of(edges, destination).enumerate() {
            let at = edge.id();
            match planner.decide(edge, seen.as_ref().map(|seen| &seen.edges[index])) {
                Decision::Settled(verdict, reason) => {
                    plan.settled.push(Outcome::new(at, verdict, reason));
                }
                Decision::Doubtful => plan.doubtful.push(at),
                Decision::Do(task) => {
                    let source_digest = edge.source_digest().id;
                    let note = seen.as_ref().ok().and_then(|sight| sight.note.as_ref());
                    work.entry(source_digest)
                        .or_insert_with(|| Work::of(source_digest))
                        .add(at, task, note);
                }
            }
        }
    }
    plan.work = work.into_values().collect();
    for work in &mut plan.work {
        work.origins.sort_by_key(|origin| matches!(origin, Origin::Destination(_)));
    }
    plan
}

impl Work {
    fn add(&mut self, at: EdgeId, task: Task, note: Option<&Arc<Reason>>) {
        for origin in task.origins {
            if !self.origins.contains(&origin) {
                self.origins.push(origin);
            }
        }
        // Edges come destination by destination, so that only the last target can be this one.
        if self.targets.last().is_none_or(|last| last.destination != at.destination()) {
            self.targets.push(Target::new(at.destination(), task.lacks, note.cloned()));
        }
        if let Some(target) = self.targets.last_mut() {
            match task.holds {
                Holds::Yes => target.held.push(at),
                Holds::No => target.edges.push(at),
            }
        }
    }
}

/// What to do for one edge.
struct Task {
    lacks: Lacks,
    holds: Holds,
    origins: Vec<Origin>,
}

/// Whether an edge holds but perhaps for its attachments.
enum Holds {
    Yes,
    No,
}

enum Decision {
    Settled(Verdict, Option<Arc<Reason>>),
    Doubtful,
    Do(Task),
}

struct Planner<'a> {
    knowledge: Knowledge<'a>,
    holders: Holders,
}

impl Planner<'_> {
    fn decide(&self, edge: EdgeView<'_>, seen: Result<&Seen, &Arc<Reason>>) -> Decision {
        use Decision::{Do, Settled};
        let settings = self.knowledge.settings;
        if let Some(other) = edge.conflict() {
            let reason = Reason::Conflict {
                file: other.file().to_owned(),
                line: other.position().line,
                digest: other.digest(),
            };
            return Settled(Verdict::Refused, Some(reason.into()));
        }
        let attaches = settings.attaches_to(edge.destination());
        let there = |holds| Task { lacks: Lacks::Nothing, holds, origins: self.reference(edge) };
        match seen {
            Err(reason) | Ok(Seen::Unread(reason)) => {
                Settled(Verdict::Failed, Some(Arc::clone(reason)))
            }
            Ok(Seen::Elsewhere(found)) => {
                Settled(Verdict::Refused, Some(self.refused_move(edge, found)))
            }
            Ok(Seen::Here | Seen::Untagged) if attaches && let Some(reason) = self.unseen(edge) => {
                Settled(Verdict::Failed, Some(reason))
            }
            Ok(Seen::Here) if !attaches && !settings.verify.checks_present() => {
                Settled(Verdict::Present, None)
            }
            Ok(Seen::Here) => Do(there(Holds::Yes)),
            Ok(Seen::Untagged) => Do(there(Holds::No)),
            Ok(Seen::Nothing) => self.copy(edge),
        }
    }

    /// The sources that have the digest of `edge`, and why others could not say.
    fn sources(&self, edge: EdgeView<'_>) -> (Vec<Origin>, Vec<Arc<Reason>>) {
        let (mut having, mut unasked) = (Vec::new(), Vec::new());
        for source_digest in edge.sources() {
            match self.knowledge.sources.has(source_digest.id) {
                Some(Ok(true)) => having.push(Origin::Source(source_digest.id)),
                Some(Ok(false)) | None => {}
                Some(Err(reason)) => unasked.push(Arc::clone(reason)),
            }
        }
        (having, unasked)
    }

    /// Why a tag stays on the digest that it is on. What to do depends on whether the wanted digest exists.
    fn refused_move(&self, edge: EdgeView<'_>, found: &Elsewhere) -> Arc<Reason> {
        let (having, unasked) = self.sources(edge);
        let holders = self.holders.0.get(&edge.digest());
        let is_held = holders.is_some_and(|known| !known.has.is_empty() || known.unread.is_some());
        if !having.is_empty() || !unasked.is_empty() || is_held {
            return tag_move(found.tag_on);
        }
        let source = edge.source_digest().source_prefix();
        Arc::new(Reason::TagMove { current: found.tag_on, missing_in: Some(source.clone()) })
    }

    /// Where the attachments of a digest that is there are compared with: its source, or who else has it.
    fn reference(&self, edge: EdgeView<'_>) -> Vec<Origin> {
        let (mut origins, _) = self.sources(edge);
        let holders = self.holders.0.get(&edge.digest());
        origins.extend(holders.into_iter().flat_map(|known| &known.has).copied());
        origins
    }

    /// Why it cannot be said what hangs on a digest that is there.
    fn unseen(&self, edge: EdgeView<'_>) -> Option<Arc<Reason>> {
        let (having, unasked) = self.sources(edge);
        let cause = having.is_empty().then(|| unasked.into_iter().next())??;
        Some(Arc::new(Reason::AttachmentsNotCompared { cause }))
    }

    /// The task of copying the digest of `edge` from wherever it can be had, or why that is nowhere.
    fn copy(&self, edge: EdgeView<'_>) -> Decision {
        let asked_again = self.knowledge.asked_again;
        let digest = edge.digest();
        let (_, mut unasked) = self.sources(edge);
        let again = asked_again.get(&digest);
        let mut origins = self.reference(edge);
        origins.extend(again.into_iter().flat_map(|known| &known.has).copied());
        if !origins.is_empty() {
            return Decision::Do(Task { lacks: Lacks::Digest, holds: Holds::No, origins });
        }
        unasked.extend(self.holders.0.get(&digest).and_then(|known| known.unread.clone()));
        unasked.extend(again.and_then(|known| known.unread.clone()));
        match (&unasked[..], again) {
            ([], None) => Decision::Doubtful,
            ([], Some(_)) => {
                let reason = lost(edge.source_digest().source_prefix());
                Decision::Settled(Verdict::Lost, Some(reason))
            }
            ([reason], _) => Decision::Settled(Verdict::Failed, Some(Arc::clone(reason))),
            ([reason, more @ ..], _) => {
                let reason = Reason::Unread { first: Arc::clone(reason), more: more.len() };
                Decision::Settled(Verdict::Failed, Some(reason.into()))
            }
        }
    }
}

/// Why a tag that is there already stays where it is.
pub(crate) fn tag_move(current: Digest) -> Arc<Reason> {
    Arc::new(Reason::TagMove { current, missing_in: None })
}

fn lost(source: &RegistryPrefix) -> Arc<Reason> {
    Arc::new(Reason::Lost { source: source.clone() })
}

/// How many destinations that have a digest are remembered as its origins, besides the source.
const MAX_HOLDERS: usize = 3;

/// What the destinations know about each digest.
struct Holders(HashMap<Digest, Known>);

impl Holders {
    fn of(knowledge: Knowledge<'_>) -> Self {
        let Knowledge { edges, selection, settings, seen, .. } = knowledge;
        let mut holders: HashMap<Digest, Known> = HashMap::new();
        // The canonical registry comes first: it has all attachments.
        let mut order: Vec<_> = edges.destinations().iter().zip(seen).enumerate().collect();
        order.sort_by_key(|(_, (place, _))| !settings.is_canonical(place));
        for (destination, (_, seen)) in order {
            for (index, edge) in selection.edges_of(edges, destination).enumerate() {
                let known = holders.entry(edge.digest()).or_default();
                match seen.as_ref().map(|seen| &seen.edges[index]) {
                    Ok(seen) if seen.has_digest() => known.add(Origin::Destination(destination)),
                    Err(reason) | Ok(Seen::Unread(reason)) => {
                        known.unread.get_or_insert_with(|| Arc::clone(reason));
                    }
                    Ok(_) => {}
                }
            }
        }
        Self(holders)
    }
}

impl Known {
    /// Notes that it is there, unless enough are known already.
    pub(crate) fn add(&mut self, origin: Origin) {
        if self.has.len() < MAX_HOLDERS && !self.has.contains(&origin) {
            self.has.push(origin);
        }
    }
}
