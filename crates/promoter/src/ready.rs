//! What can be done for one digest: where the image is read from, its attachments, and what each destination gets.
//! Everything that was to be read before the first write has been read.

use std::sync::Arc;

use attachments::Attachment;
use promotion_manifest::{EdgeId, EdgeSet, SourceDigestId};
use transfer::Image;

use crate::{
    Outcome, OutcomeKind,
    attaching::Broken,
    planned::{ImageOrigin, ImageOrigins, Lacks, PlannedTarget},
    reason::{Reason, SourceFault},
};

/// One digest that is promoted.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The requested digest.
    pub source_digest: SourceDigestId,
    /// Where the image is read, if it is copied.
    pub origins: ImageOrigins,
    /// Why its source could not be read, if that was tried and failed.
    pub source_failure: Option<Arc<Reason>>,
    /// Its manifests.
    pub manifests: ImageManifests,
    /// Which layers are not copied because they are not distributable.
    pub not_copied: Option<Arc<Reason>>,
    /// Where the attachments were found.
    pub attachments_origin: ImageOrigin,
    /// The attachments that any destination should have.
    pub attachments: Arc<[Attachment]>,
    /// The destinations: at least one.
    pub targets: Vec<ReadyTarget>,
}

/// Whether the manifests of an image are in memory.
#[derive(Clone, Debug)]
pub(crate) enum ImageManifests {
    /// They are, as the first origin has them.
    Kept(Arc<Image>),
    /// They are read again, if the image is copied.
    NotKept,
}

/// Where an image was copied from, or would be.
#[derive(Clone, Debug)]
pub(crate) struct CopiedFrom {
    /// The registry.
    pub origin: ImageOrigin,
    /// Why it could not be copied from its source, if that was tried.
    pub source_failure: Option<Arc<Reason>>,
}

/// One destination repository of a [`Ready`] digest.
#[derive(Clone, Debug)]
pub(crate) struct ReadyTarget {
    /// What the plan wants there.
    pub planned: PlannedTarget,
    /// The attachments that it lacks: indices into [`Ready::attachments`].
    pub missing: Vec<usize>,
}

impl Ready {
    /// The outcomes of a confirmed run, if nothing fails.
    pub(crate) fn expected(&self, edges: &EdgeSet) -> Vec<Outcome> {
        let outcomes = self.targets.iter().flat_map(|target| {
            let (origin, source_failure) = (self.origins.first(), self.source_failure.clone());
            let note = self.note(edges, Some(CopiedFrom { origin, source_failure }), target);
            target.expected(&note, &self.names(&target.missing))
        });
        outcomes.collect()
    }

    /// What the outcomes of the edges at `target` should say if the image was copied `from` there.
    pub(crate) fn note(
        &self,
        edges: &EdgeSet,
        from: Option<CopiedFrom>,
        target: &ReadyTarget,
    ) -> Option<Arc<Reason>> {
        let copied = target.is_copied();
        let from = from.filter(|_| copied).and_then(|from| self.backfilled(edges, from));
        let not_copied = self.not_copied.clone().filter(|_| copied);
        let notes = [target.planned.note.clone(), from, not_copied];
        Reason::several(notes.into_iter().flatten())
    }

    /// The names of attachments, by their indices, as reports print them.
    pub(crate) fn names<'i>(&self, indices: impl IntoIterator<Item = &'i usize>) -> Arc<[String]> {
        indices.into_iter().map(|&index| self.attachments[index].name()).collect()
    }

    /// The outcome of a broken attachment at `target`.
    pub(crate) fn broken(&self, target: &ReadyTarget, broken: &Broken) -> Option<Outcome> {
        let attachment = &self.attachments[broken.at];
        target.planned.broken(attachment.into(), &broken.problem)
    }

    /// The note on an image that is copied from another destination, since the source does not have it or failed. A slow
    /// destination is fed from one that is done before the source is tried at all.
    fn backfilled(&self, edges: &EdgeSet, copied: CopiedFrom) -> Option<Arc<Reason>> {
        let ImageOrigin::Destination(holder) = copied.origin else { return None };
        let mut later = self.origins.iter().skip_while(|other| *other != copied.origin);
        if later.any(ImageOrigin::is_source) {
            return None;
        }
        let from = &edges.destinations()[holder].prefix;
        let source = edges.source_digest(self.source_digest).source_prefix();
        let fault = SourceFault::of(copied.source_failure);
        Some(Arc::new(Reason::Backfilled { from: from.clone(), source: source.clone(), fault }))
    }
}

impl ReadyTarget {
    /// Index into [`EdgeSet::destinations`].
    pub(crate) const fn destination(&self) -> usize {
        self.planned.destination
    }

    /// Whether the image, or a part of it, is copied to this destination.
    pub(crate) const fn is_copied(&self) -> bool {
        self.planned.is_copied()
    }

    /// What a run does for the edges that do not hold.
    pub(crate) const fn change(&self) -> ChangeKind {
        match self.planned.lacks {
            Lacks::Digest | Lacks::Parts => ChangeKind::Copy,
            Lacks::Nothing => ChangeKind::Tag,
        }
    }

    /// What a run does for the edges that hold but for attachments or content below the digest.
    pub(crate) const fn change_of_held(&self) -> ChangeKind {
        match self.planned.lacks {
            Lacks::Digest | Lacks::Parts => ChangeKind::Copy,
            Lacks::Nothing => ChangeKind::Attach,
        }
    }

    fn expected(&self, note: &Option<Arc<Reason>>, attachments: &Arc<[String]>) -> Vec<Outcome> {
        let open = self.planned.open.iter().map(|edge| (*edge, self.change()));
        let held = self.planned.held.iter().map(|edge| (*edge, self.change_of_held()));
        let outcome = |(edge, change): (EdgeId, ChangeKind)| Outcome {
            attachments: Arc::clone(attachments),
            ..Outcome::new(edge, change.planned(), note.clone())
        };
        open.chain(held).map(outcome).collect()
    }
}

/// What a run does for an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// It copies the digest, or a part of its content.
    Copy,
    /// It adds the tag to a digest that is present.
    Tag,
    /// It adds attachments.
    Attach,
}

impl ChangeKind {
    /// The outcome in a dry run.
    pub(crate) const fn planned(self) -> OutcomeKind {
        match self {
            Self::Copy => OutcomeKind::ToCopy,
            Self::Tag => OutcomeKind::ToTag,
            Self::Attach => OutcomeKind::ToAttach,
        }
    }

    /// The outcome once it is done.
    pub(crate) const fn done(self) -> OutcomeKind {
        match self {
            Self::Copy => OutcomeKind::Copied,
            Self::Tag => OutcomeKind::Tagged,
            Self::Attach => OutcomeKind::Attached,
        }
    }
}
