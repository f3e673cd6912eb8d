//! The plan: a decision for each edge, from the requested edges and what the registries hold. Pure. The rules are the rows
//! of `docs/reference/promotion.md`, "What becomes of an edge".

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use oci::{Digest, RegistryPrefix, Tag, is_digest_tag};
use promotion_manifest::{EdgeId, EdgeSet, EdgeView, Position, Selection, SourceDigestId};

use crate::{
    Outcome, OutcomeKind, PromotionRun, PromotionSettings,
    edge_presence::{EdgePresence, OtherDigest},
    holders::{Holders, destination_holders},
    inventory::DestinationResult,
    planned::{ImageOrigin, ImageOrigins, Lacks, Planned, PlannedTarget},
    reason::{Reason, TagMoveRemedy},
    sources::Sources,
};

/// What a run does, and the edges that it does nothing for.
#[derive(Debug, Default)]
pub(crate) struct PromotionPlan {
    /// The outcomes of edges that hold already or cannot be promoted.
    pub settled: Vec<Outcome>,
    /// The other edges, grouped by requested digest.
    pub planned: Vec<Planned>,
    /// The edges whose digest no registry seems to have, although all that were read could be read. They are searched for
    /// before they are reported as lost.
    pub to_find: Vec<EdgeId>,
}

/// What the plan is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Knowledge<'a> {
    pub edges: &'a EdgeSet,
    pub selection: &'a Selection,
    pub settings: &'a PromotionSettings,
    /// What each destination holds.
    pub destinations: &'a [DestinationResult],
    /// What the sources hold.
    pub sources: &'a Sources,
    /// The registries that were found to have the digests that were searched for.
    pub searched: &'a HashMap<Digest, Holders>,
}

/// The requested digests that are looked up in their sources: those that some readable destination lacks, those whose
/// attachments are compared, and those whose tag is on another digest, since such a digest may be a typo.
pub(crate) fn source_digests_to_read(
    run: &PromotionRun<'_>,
    destinations: &[DestinationResult],
) -> Vec<SourceDigestId> {
    let PromotionRun { edges, selection, settings, .. } = run;
    let mut source_digests = Vec::new();
    for (index, (repository, content)) in edges.destinations().iter().zip(destinations).enumerate()
    {
        let Ok(content) = content else { continue };
        let attaches = settings.attaches_to(repository);
        let selected = selection.edges_of(edges, index).zip(&content.edges);
        let to_read = selected.filter(|(_, presence)| match presence {
            EdgePresence::Absent | EdgePresence::OnOtherDigest(_) => true,
            EdgePresence::Present | EdgePresence::Untagged => attaches,
            EdgePresence::Unread(_) => false,
        });
        source_digests.extend(to_read.flat_map(|(edge, _)| edge.sources()).map(|source| source.id));
    }
    source_digests.sort_unstable();
    source_digests.dedup();
    source_digests
}

/// Decides about every edge.
pub(crate) fn plan(knowledge: Knowledge<'_>) -> PromotionPlan {
    let Knowledge { edges, selection, settings, destinations, .. } = knowledge;
    let planner = Planner {
        knowledge,
        holders: destination_holders(edges, selection, settings, destinations),
    };
    let mut plan = PromotionPlan::default();
    let mut planned: BTreeMap<SourceDigestId, Planned> = BTreeMap::new();
    for (destination, content) in destinations.iter().enumerate() {
        let note = content.as_ref().ok().and_then(|content| content.basis.note());
        for (index, edge) in selection.edges_of(edges, destination).enumerate() {
            let presence = content.as_ref().map(|content| &content.edges[index]);
            match planner.decide(edge, presence) {
                Decision::Settled(kind, reason) => {
                    plan.settled.push(Outcome::new(edge.id(), kind, reason));
                }
                Decision::FindLost => plan.to_find.push(edge.id()),
                Decision::Do(task) => {
                    let source_digest = edge.source_digest().id;
                    let planned = planned.entry(source_digest).or_insert_with(|| Planned {
                        source_digest,
                        origins: task.origins.clone(),
                        source_failure: None,
                        targets: Vec::new(),
                    });
                    planned.add(edge.id(), &task, note);
                }
            }
        }
    }
    plan.planned = planned.into_values().collect();
    plan
}

impl Planned {
    fn add(&mut self, edge: EdgeId, task: &Task, note: Option<&Arc<Reason>>) {
        task.origins.iter().for_each(|origin| self.origins.add(origin));
        self.source_failure = self.source_failure.take().or_else(|| task.source_failure.clone());
        // Edges come destination by destination, so only the last target can be that of this edge.
        if self.targets.last().is_none_or(|last| last.destination != edge.destination()) {
            self.targets.push(PlannedTarget::new(edge.destination(), task.lacks, note.cloned()));
        }
        if let Some(target) = self.targets.last_mut() {
            match task.need {
                Need::DigestOrTag => target.open.push(edge),
                Need::AttachmentsOnly => target.held.push(edge),
            }
        }
    }
}

/// What to do for one edge.
struct Task {
    lacks: Lacks,
    need: Need,
    origins: ImageOrigins,
    /// Why a source of the edge could not be read.
    source_failure: Option<Arc<Reason>>,
}

/// What an edge needs.
#[derive(Clone, Copy)]
enum Need {
    DigestOrTag,
    /// Its digest and its tag are in place. Attachments, or content below the digest, may be missing.
    AttachmentsOnly,
}

enum Decision {
    Settled(OutcomeKind, Option<Arc<Reason>>),
    FindLost,
    Do(Task),
}

struct Planner<'a> {
    knowledge: Knowledge<'a>,
    /// The destinations that have each digest.
    holders: HashMap<Digest, Holders>,
}

/// What is known of a digest in the sources of an edge.
#[derive(Default)]
struct SourceLookup {
    /// The sources that have it.
    having: Vec<ImageOrigin>,
    /// Why other sources could not be read.
    unread: Vec<Arc<Reason>>,
}

impl Planner<'_> {
    fn decide(
        &self,
        edge: EdgeView<'_>,
        presence: Result<&EdgePresence, &Arc<Reason>>,
    ) -> Decision {
        use Decision::{Do, Settled};
        let settings = self.knowledge.settings;
        if let Some(other) = edge.conflict() {
            let Position { line, column } = other.position();
            let (file, digest) = (other.file().to_owned(), other.digest());
            let reason = Reason::Conflict { file, line, column, digest };
            return Settled(OutcomeKind::Refused, Some(reason.into()));
        }
        let attaches = settings.attaches_to(edge.destination());
        match presence {
            Err(reason) | Ok(EdgePresence::Unread(reason)) => {
                Settled(OutcomeKind::Failed, Some(Arc::clone(reason)))
            }
            Ok(EdgePresence::OnOtherDigest(other)) => {
                Settled(OutcomeKind::Refused, Some(self.refused_move(edge, other)))
            }
            Ok(EdgePresence::Present | EdgePresence::Untagged)
                if attaches && let Some(reason) = self.attachments_unread(edge) =>
            {
                Settled(OutcomeKind::Failed, Some(reason))
            }
            Ok(EdgePresence::Present) if !attaches && !settings.verify.checks_present() => {
                Settled(OutcomeKind::Present, None)
            }
            Ok(EdgePresence::Present) => Do(self.keep(edge, Need::AttachmentsOnly)),
            Ok(EdgePresence::Untagged) => Do(self.keep(edge, Need::DigestOrTag)),
            Ok(EdgePresence::Absent) => self.copy(edge),
        }
    }

    fn look_up_sources(&self, edge: EdgeView<'_>) -> SourceLookup {
        let mut found = SourceLookup::default();
        for source in edge.sources() {
            match self.knowledge.sources.has(source.id) {
                Some(Ok(true)) => found.having.push(ImageOrigin::Source(source.id)),
                Some(Ok(false)) | None => {}
                Some(Err(reason)) => found.unread.push(Arc::clone(reason)),
            }
        }
        found
    }

    /// Why a tag is not moved from the digest that it is on. What the user should do depends on whether the requested
    /// digest exists.
    fn refused_move(&self, edge: EdgeView<'_>, other: &OtherDigest) -> Arc<Reason> {
        let SourceLookup { having, unread } = self.look_up_sources(edge);
        let holders = self.holders.get(&edge.digest());
        let may_exist = !having.is_empty()
            || !unread.is_empty()
            || holders.is_some_and(|it| !it.origins.is_empty() || it.unread.is_some());
        if may_exist {
            return tag_move(other.tag_on, edge.tag());
        }
        let source = edge.source_digest().source_prefix().clone();
        let remedy = TagMoveRemedy::CheckDigest { source };
        Arc::new(Reason::TagMove { current: other.tag_on, remedy })
    }

    /// The sources that have the digest of `edge`, then the destinations that have it.
    fn origins(&self, edge: EdgeView<'_>, sources: &SourceLookup) -> Vec<ImageOrigin> {
        let mut origins = sources.having.clone();
        let holders = self.holders.get(&edge.digest());
        origins.extend(holders.into_iter().flat_map(|holders| &holders.origins).copied());
        origins
    }

    /// Why the attachments of a digest that is present cannot be compared with those at its source.
    fn attachments_unread(&self, edge: EdgeView<'_>) -> Option<Arc<Reason>> {
        let SourceLookup { having, unread } = self.look_up_sources(edge);
        let cause = having.is_empty().then(|| unread.into_iter().next())??;
        Some(Arc::new(Reason::AttachmentsNotCompared { cause }))
    }

    /// The task for an edge whose destination has the digest.
    fn keep(&self, edge: EdgeView<'_>, need: Need) -> Task {
        let itself = || ImageOrigins::of(ImageOrigin::Destination(edge.id().destination()));
        let sources = self.look_up_sources(edge);
        let origins = ImageOrigins::collect(self.origins(edge, &sources)).unwrap_or_else(itself);
        let source_failure = sources.unread.into_iter().next();
        Task { lacks: Lacks::Nothing, need, origins, source_failure }
    }

    /// The task of copying the digest of `edge` from a registry that has it, or why there is none.
    fn copy(&self, edge: EdgeView<'_>) -> Decision {
        let digest = edge.digest();
        let searched = self.knowledge.searched.get(&digest);
        let found = searched.into_iter().flat_map(|holders| &holders.origins).copied();
        let sources = self.look_up_sources(edge);
        let origins = self.origins(edge, &sources).into_iter().chain(found);
        let mut unread = sources.unread;
        if let Some(origins) = ImageOrigins::collect(origins) {
            let (lacks, need) = (Lacks::Digest, Need::DigestOrTag);
            let source_failure = unread.into_iter().next();
            return Decision::Do(Task { lacks, need, origins, source_failure });
        }
        unread.extend(self.holders.get(&digest).and_then(|holders| holders.unread.clone()));
        unread.extend(searched.and_then(|holders| holders.unread.clone()));
        match (&unread[..], searched) {
            ([], None) => Decision::FindLost,
            ([], Some(_)) => {
                let reason = lost(edge.source_digest().source_prefix());
                Decision::Settled(OutcomeKind::Lost, Some(reason))
            }
            ([reason], _) => Decision::Settled(OutcomeKind::Failed, Some(Arc::clone(reason))),
            ([reason, more @ ..], _) => {
                let reason = Reason::Unread { first: Arc::clone(reason), more: more.len() };
                Decision::Settled(OutcomeKind::Failed, Some(reason.into()))
            }
        }
    }
}

/// The reason of a tag that is on another digest and stays there.
pub(crate) fn tag_move(current: Digest, tag: Option<&Tag>) -> Arc<Reason> {
    let remedy = match tag.is_some_and(|tag| is_digest_tag(tag.as_str())) {
        true => TagMoveRemedy::RemoveTag,
        false => TagMoveRemedy::NewTag,
    };
    Arc::new(Reason::TagMove { current, remedy })
}

fn lost(source: &RegistryPrefix) -> Arc<Reason> {
    Arc::new(Reason::Lost { source: source.clone() })
}
