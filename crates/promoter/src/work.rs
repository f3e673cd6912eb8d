//! What a plan has to do for one digest: where it can be had, where it must be, and what else is to be there.

use std::sync::Arc;

use promotion_manifest::{EdgeSet, WishId};
use transfer::Image;

use crate::{EdgeRef, Outcome, Verdict, attachments::Attachment, hosts::Reason};

/// One digest to bring to some destinations.
#[derive(Debug)]
pub(crate) struct Work {
    /// Whose digest, and which.
    pub wish: WishId,
    /// Where it can be had, sources before destinations.
    pub origins: Vec<Origin>,
    /// Where it must be.
    pub targets: Vec<Target>,
    /// Where its attachments were found.
    pub reference: Option<Origin>,
    /// The image as the first origin has it, if some target lacks it and there is room to keep it.
    pub image: Option<Arc<Image>>,
    /// What hangs on it there, if that is wanted anywhere.
    pub attachments: Arc<[Attachment]>,
}

/// Where a digest can be read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The source registry of a wish.
    Source(WishId),
    /// Another destination, by its index: the source lost it (staging registries expire what is old).
    Destination(usize),
}

/// One destination repository of a [`Work`].
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Index into [`EdgeSet::destinations`].
    pub destination: usize,
    /// Whether the digest must be copied there first.
    pub lacks: Lacks,
    /// The edges that do not hold, by index into that destination's.
    pub edges: Vec<usize>,
    /// The edges that hold but for attachments.
    pub held: Vec<usize>,
    /// The attachments that it lacks, by their place in [`Work::attachments`].
    pub missing: Vec<usize>,
}

/// What a destination lacks of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lacks {
    /// It has the digest.
    Nothing,
    /// The digest itself.
    Digest,
}

impl Work {
    /// Nothing to do yet.
    pub(crate) fn of(wish: WishId) -> Self {
        let (origins, targets) = (Vec::new(), Vec::new());
        Self { wish, origins, targets, reference: None, image: None, attachments: Arc::default() }
    }

    /// Whether some target lacks the digest.
    pub(crate) fn lacks_digest(&self) -> bool {
        self.targets.iter().any(|target| target.lacks == Lacks::Digest)
    }

    /// What carrying it out would come to.
    pub(crate) fn would_be(&self, edges: &EdgeSet) -> Vec<Outcome> {
        let note = self.origins.first().and_then(|origin| self.backfilled_from(edges, *origin));
        self.targets.iter().flat_map(|target| target.outcomes(Done::would_be, &note)).collect()
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

impl Target {
    /// A destination of which no edge is known yet.
    pub(crate) fn new(destination: usize, lacks: Lacks) -> Self {
        let (edges, held, missing) = (Vec::new(), Vec::new(), Vec::new());
        Self { destination, lacks, edges, held, missing }
    }

    /// All its edges.
    pub(crate) fn all_edges(&self) -> impl Iterator<Item = EdgeRef> {
        self.edges.iter().chain(&self.held).map(|&edge| self.edge(edge))
    }

    /// The edges that hold but for attachments.
    pub(crate) fn held_edges(&self) -> impl Iterator<Item = EdgeRef> {
        self.held.iter().map(|&edge| self.edge(edge))
    }

    /// The edges that need their tag, or the digest.
    pub(crate) fn open_edges(&self) -> impl Iterator<Item = EdgeRef> {
        self.edges.iter().map(|&edge| self.edge(edge))
    }

    const fn edge(&self, edge: usize) -> EdgeRef {
        EdgeRef { destination: self.destination, edge }
    }

    /// What bringing an edge about that does not hold is called.
    pub(crate) const fn done(&self) -> Done {
        match self.lacks {
            Lacks::Digest => Done::Copied,
            Lacks::Nothing => Done::Tagged,
        }
    }

    fn outcomes(&self, verdict: fn(Done) -> Verdict, note: &Option<Reason>) -> Vec<Outcome> {
        let reason = match self.lacks {
            Lacks::Digest => note.clone(),
            Lacks::Nothing => None,
        };
        let open = self.open_edges().map(|edge| (edge, verdict(self.done()), reason.clone()));
        let held = self.held_edges().map(|edge| (edge, verdict(Done::Attached), None));
        let all = open.chain(held);
        all.map(|(edge, verdict, reason)| Outcome { edge, verdict, reason }).collect()
    }

    /// All its edges as failed, for one reason.
    pub(crate) fn failed(&self, reason: &Reason) -> Vec<Outcome> {
        self.all_edges().map(|edge| Outcome::failed(edge, Arc::clone(reason))).collect()
    }
}

/// What bringing an edge about is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// The digest was copied.
    Copied,
    /// The digest was there; the tag was added.
    Tagged,
    /// Digest and tag were there; attachments were added.
    Attached,
}

impl Done {
    /// As a plan has it.
    pub(crate) const fn would_be(self) -> Verdict {
        match self {
            Self::Copied => Verdict::ToCopy,
            Self::Tagged => Verdict::ToTag,
            Self::Attached => Verdict::ToAttach,
        }
    }

    /// Once it is done.
    pub(crate) const fn is(self) -> Verdict {
        match self {
            Self::Copied => Verdict::Copied,
            Self::Tagged => Verdict::Tagged,
            Self::Attached => Verdict::Attached,
        }
    }
}
