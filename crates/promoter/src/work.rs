//! What a plan has to do for one digest: where it can be had, where it must be, and what else is to be there.

use std::sync::Arc;

use attachments::Attachment;
use promotion_manifest::{EdgeId, EdgeSet, SourceDigestId};
use transfer::Image;

use crate::{
    Outcome, Verdict, Verify,
    attaching::Broken,
    reason::{AttachmentName, AttachmentProblem, AttachmentStep, Reason},
};

/// One digest to bring to some destinations.
#[derive(Debug)]
pub(crate) struct Work {
    /// Whose digest, and which.
    pub source_digest: SourceDigestId,
    /// Where it can be had, sources before destinations.
    pub origins: Vec<Origin>,
    /// Where it must be.
    pub targets: Vec<Target>,
    /// Where its attachments were found.
    pub reference: Option<Origin>,
    /// The image as the first origin has it, if some target lacks any of it and there is room to keep it.
    pub image: Option<Arc<Image>>,
    /// What is not copied of the image, since it may not be distributed.
    pub left_out: Option<Arc<Reason>>,
    /// What hangs on it there, if that is wanted anywhere.
    pub attachments: Arc<[Attachment]>,
}

/// Where a digest can be read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The source registry of a requested digest.
    Source(SourceDigestId),
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
    /// The edges that do not hold.
    pub edges: Vec<EdgeId>,
    /// The edges that hold but for attachments.
    pub held: Vec<EdgeId>,
    /// The attachments that it lacks, by their place in [`Work::attachments`].
    pub missing: Vec<usize>,
    /// What it lacks of an image whose digest it has, or why something cannot be said of it.
    pub note: Option<Arc<Reason>>,
}

/// What a destination lacks of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lacks {
    /// It has the digest, and all that was checked of what it reaches.
    Nothing,
    /// It has the digest, and not all that it reaches.
    Parts,
    /// The digest itself.
    Digest,
}

impl Work {
    /// Nothing to do yet.
    pub(crate) fn of(source_digest: SourceDigestId) -> Self {
        Self {
            source_digest,
            origins: Vec::new(),
            targets: Vec::new(),
            reference: None,
            image: None,
            left_out: None,
            attachments: Arc::default(),
        }
    }

    /// Whether the image is to be copied to some target, or the rest of it.
    pub(crate) fn is_copied(&self) -> bool {
        self.targets.iter().any(Target::is_copied)
    }

    /// What carrying it out would come to.
    pub(crate) fn would_be(&self, edges: &EdgeSet) -> Vec<Outcome> {
        let origin = self.origins.first().copied();
        let outcomes = self.targets.iter().flat_map(|target| {
            let note = self.note(edges, origin, target);
            target.outcomes(&note, &self.names(&target.missing))
        });
        outcomes.collect()
    }

    /// What is to be said of edges at `target` whose image comes from `origin`.
    pub(crate) fn note(
        &self,
        edges: &EdgeSet,
        origin: Option<Origin>,
        target: &Target,
    ) -> Option<Arc<Reason>> {
        let copied = target.is_copied();
        let from = origin.filter(|_| copied).and_then(|origin| self.backfilled_from(edges, origin));
        let left_out = self.left_out.clone().filter(|_| copied);
        Reason::several([target.note.clone(), from, left_out].into_iter().flatten().collect())
    }

    /// Attachments, by their places, as reports name them.
    pub(crate) fn names<'p>(&self, places: impl IntoIterator<Item = &'p usize>) -> Arc<[String]> {
        places.into_iter().map(|&at| self.attachments[at].name()).collect()
    }

    /// What is to be said of edges whose digest comes from `origin`, if it is not their source.
    fn backfilled_from(&self, edges: &EdgeSet, origin: Origin) -> Option<Arc<Reason>> {
        let Origin::Destination(holder) = origin else { return None };
        let from = &edges.destinations()[holder].prefix;
        let source = edges.source_digest(self.source_digest).source_prefix();
        Some(Arc::new(Reason::Backfilled { from: from.clone(), source: source.clone() }))
    }
}

impl Target {
    /// A destination of which no edge is known yet.
    pub(crate) fn new(destination: usize, lacks: Lacks, note: Option<Arc<Reason>>) -> Self {
        let (edges, held, missing) = (Vec::new(), Vec::new(), Vec::new());
        Self { destination, lacks, edges, held, missing, note }
    }

    /// Whether the image is to be copied there, or the rest of it.
    pub(crate) const fn is_copied(&self) -> bool {
        !matches!(self.lacks, Lacks::Nothing)
    }

    /// All its edges.
    pub(crate) fn all_edges(&self) -> impl Iterator<Item = EdgeId> {
        self.edges.iter().chain(&self.held).copied()
    }

    /// The edges that hold but for attachments.
    pub(crate) fn held_edges(&self) -> impl Iterator<Item = EdgeId> {
        self.held.iter().copied()
    }

    /// The edges that need their tag, or the digest.
    pub(crate) fn open_edges(&self) -> impl Iterator<Item = EdgeId> {
        self.edges.iter().copied()
    }

    /// Whether what the image reaches is checked there: a tag is written only after everything that it reaches is in
    /// place, and a deep verification checks all.
    pub(crate) fn is_checked(&self, verify: Verify) -> bool {
        self.lacks == Lacks::Nothing && (verify.checks_present() || !self.edges.is_empty())
    }

    /// The edges that hold, as it turned out.
    pub(crate) fn settle_held(&mut self) -> Vec<Outcome> {
        let note = self.note.clone();
        let present = |edge| Outcome { reason: note.clone(), ..Outcome::present(edge) };
        let settled = self.held_edges().map(present).collect();
        self.held.clear();
        settled
    }

    /// What bringing an edge about that does not hold is called.
    pub(crate) const fn done(&self) -> Done {
        match self.lacks {
            Lacks::Digest | Lacks::Parts => Done::Copied,
            Lacks::Nothing => Done::Tagged,
        }
    }

    /// What bringing about is called of an edge that holds but for attachments, or for what the image reaches.
    pub(crate) const fn held_done(&self) -> Done {
        match self.lacks {
            Lacks::Digest | Lacks::Parts => Done::Copied,
            Lacks::Nothing => Done::Attached,
        }
    }

    /// All its edges as a plan tells them.
    fn outcomes(&self, note: &Option<Arc<Reason>>, attachments: &Arc<[String]>) -> Vec<Outcome> {
        let open = self.open_edges().map(|edge| (edge, self.done()));
        let held = self.held_edges().map(|edge| (edge, self.held_done()));
        let outcome = |(edge, done): (EdgeId, Done)| Outcome {
            attachments: Arc::clone(attachments),
            ..Outcome::new(edge, done.would_be(), note.clone())
        };
        open.chain(held).map(outcome).collect()
    }

    /// An attachment of it that is broken where it comes from. It concerns all edges of the image there, and is told
    /// once.
    pub(crate) fn broken(
        &self,
        attachment: AttachmentName,
        problem: &Arc<AttachmentProblem>,
    ) -> Option<Outcome> {
        let edge = self.all_edges().next()?;
        let (failed, problem) = (AttachmentStep::BrokenAtSource, Arc::clone(problem));
        let reason = Arc::new(Reason::Attachment { attachment, failed, problem });
        Some(Outcome::new(edge, Verdict::AttachmentBroken, Some(reason)))
    }

    /// The same of one of `attachments`.
    pub(crate) fn lacks_broken(
        &self,
        broken: &Broken,
        attachments: &[Attachment],
    ) -> Option<Outcome> {
        self.broken((&attachments[broken.at]).into(), &broken.problem)
    }

    /// All its edges as failed, for one reason.
    pub(crate) fn failed(&self, reason: &Arc<Reason>) -> Vec<Outcome> {
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
