//! What a plan wants for one digest of one image: its edges at each destination, and the registries that the digest can
//! be read from. `prepare` turns it into what can be done.

use std::{mem, sync::Arc};

use promotion_manifest::{EdgeId, SourceDigestId};

use crate::{
    Outcome, OutcomeKind, VerifyDepth,
    reason::{AttachmentName, AttachmentProblem, AttachmentStep, Reason},
};

/// One digest and the destinations that need something of it.
#[derive(Debug)]
pub(crate) struct Planned {
    /// The requested digest.
    pub source_digest: SourceDigestId,
    /// Where it can be read.
    pub origins: ImageOrigins,
    /// Why its source could not be read, if that was tried and failed.
    pub source_failure: Option<Arc<Reason>>,
    /// The destinations, each once.
    pub targets: Vec<PlannedTarget>,
}

/// A registry that a digest can be read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImageOrigin {
    /// The source registry of a requested digest.
    Source(SourceDigestId),
    /// Another destination, by its index. Staging registries expire old content, so the source may not have it any more.
    Destination(usize),
}

/// The origins of a digest in the order in which they are tried: at least one, and each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageOrigins {
    first: ImageOrigin,
    others: Vec<ImageOrigin>,
}

/// One destination repository of a [`Planned`] digest.
#[derive(Clone, Debug)]
pub(crate) struct PlannedTarget {
    /// Index into [`EdgeSet::destinations`](promotion_manifest::EdgeSet::destinations).
    pub destination: usize,
    /// What it lacks of the image.
    pub lacks: Lacks,
    /// The edges that need the digest or the tag.
    pub open: Vec<EdgeId>,
    /// The edges whose digest and tag are in place. Attachments, or content below the digest, may be missing.
    pub held: Vec<EdgeId>,
    /// What the outcome of its edges should say: what was missing, or what could not be checked.
    pub note: Option<Arc<Reason>>,
}

/// What a destination lacks of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lacks {
    /// Nothing, as far as that was checked.
    Nothing,
    /// Content below the digest.
    Parts,
    /// The digest itself.
    Digest,
}

impl ImageOrigin {
    pub(crate) const fn is_source(self) -> bool {
        matches!(self, Self::Source(_))
    }
}

impl ImageOrigins {
    /// A single origin.
    pub(crate) const fn of(origin: ImageOrigin) -> Self {
        Self { first: origin, others: Vec::new() }
    }

    /// These origins; `None` if there are none.
    pub(crate) fn collect(origins: impl IntoIterator<Item = ImageOrigin>) -> Option<Self> {
        let mut origins = origins.into_iter();
        let mut all = Self::of(origins.next()?);
        origins.for_each(|origin| all.add(origin));
        Some(all)
    }

    /// The one that is tried first.
    pub(crate) const fn first(&self) -> ImageOrigin {
        self.first
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ImageOrigin> {
        [self.first].into_iter().chain(self.others.iter().copied())
    }

    /// All but the first; `None` if that is the only one.
    pub(crate) fn without_first(&self) -> Option<Self> {
        Self::collect(self.others.iter().copied())
    }

    /// Adds an origin unless it is one of these: a source before all destinations.
    pub(crate) fn add(&mut self, origin: ImageOrigin) {
        if self.iter().any(|other| other == origin) {
            return;
        }
        match (origin.is_source(), self.first.is_source()) {
            (true, false) => self.add_first(origin),
            (true, true) => {
                let sources = self.others.partition_point(|other| other.is_source());
                self.others.insert(sources, origin);
            }
            (false, _) => self.others.push(origin),
        }
    }

    /// Puts an origin before all others.
    pub(crate) fn add_first(&mut self, origin: ImageOrigin) {
        if origin != self.first {
            self.others.retain(|other| *other != origin);
            self.others.insert(0, mem::replace(&mut self.first, origin));
        }
    }
}

impl PlannedTarget {
    /// A destination without edges.
    pub(crate) const fn new(destination: usize, lacks: Lacks, note: Option<Arc<Reason>>) -> Self {
        Self { destination, lacks, open: Vec::new(), held: Vec::new(), note }
    }

    /// Whether the image, or a part of it, is copied to this destination.
    pub(crate) const fn is_copied(&self) -> bool {
        !matches!(self.lacks, Lacks::Nothing)
    }

    /// All its edges.
    pub(crate) fn edges(&self) -> impl Iterator<Item = EdgeId> {
        self.open.iter().chain(&self.held).copied()
    }

    /// Whether the content below the digest is checked at this destination: a tag is written only after everything that
    /// it reaches is in place, and a deep verification checks all images.
    pub(crate) fn is_checked(&self, verify: VerifyDepth) -> bool {
        self.lacks == Lacks::Nothing && (verify.checks_present() || !self.open.is_empty())
    }

    /// Removes the edges that hold; their outcomes.
    pub(crate) fn settle_held(&mut self) -> Vec<Outcome> {
        let note = self.note.clone();
        let present = |edge| Outcome { reason: note.clone(), ..Outcome::present(edge) };
        mem::take(&mut self.held).into_iter().map(present).collect()
    }

    /// The outcomes of all edges if they fail for this reason.
    pub(crate) fn failed(&self, reason: &Arc<Reason>) -> Vec<Outcome> {
        self.edges().map(|edge| Outcome::failed(edge, Arc::clone(reason))).collect()
    }

    /// The outcome of an attachment that is broken at its source. It concerns all edges of the image at this
    /// destination, and is reported once.
    pub(crate) fn broken(
        &self,
        attachment: AttachmentName,
        problem: &Arc<AttachmentProblem>,
    ) -> Option<Outcome> {
        let edge = self.edges().next()?;
        let (failed, problem) = (AttachmentStep::BrokenAtSource, Arc::clone(problem));
        let reason = Arc::new(Reason::Attachment { attachment, failed, problem });
        Some(Outcome::new(edge, OutcomeKind::AttachmentBroken, Some(reason)))
    }
}

#[cfg(test)]
mod tests {
    use promotion_manifest::EdgeSet;

    use super::*;

    /// The ids of two digests of a manifest.
    fn two_sources() -> [SourceDigestId; 2] {
        let registries =
            "registries:\n- {name: a.example/staging, src: true}\n- name: b.example/images\n";
        let [one, two] = ["1", "2"].map(|digit| format!("sha256:{}", digit.repeat(64)));
        let images =
            format!("- name: app\n  dmap:\n    \"{one}\": [\"1\"]\n    \"{two}\": [\"2\"]\n");
        let parsed = promotion_manifest::parse_thin("app", ("r", registries), ("i", &images));
        let edges = EdgeSet::new(vec![parsed.manifest.expect("valid")]);
        let ids: Vec<_> = edges.edges_of(0).map(|edge| edge.source_digest().id).collect();
        ids.try_into().expect("two digests")
    }

    #[test]
    fn sources_are_tried_before_destinations_in_the_order_in_which_they_came() {
        use ImageOrigin::{Destination, Source};
        let [first, second] = two_sources();
        let mut origins =
            ImageOrigins::collect([Destination(1), Source(first), Destination(2)]).expect("three");
        origins.add(Source(second));
        origins.add(Source(first));
        let expected = [Source(first), Source(second), Destination(1), Destination(2)];
        assert_eq!(origins.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_origin_is_tried_once() {
        use ImageOrigin::Destination;
        assert_eq!(ImageOrigins::collect([]), None);
        let mut origins = ImageOrigins::collect([Destination(1), Destination(2)]).expect("two");
        origins.add(Destination(1));
        assert_eq!(origins.iter().collect::<Vec<_>>(), [Destination(1), Destination(2)]);
        origins.add_first(Destination(3));
        assert_eq!(origins.first(), Destination(3));
        assert_eq!(
            origins.without_first(),
            ImageOrigins::collect([Destination(1), Destination(2)])
        );
        origins.add_first(Destination(2));
        let expected = [Destination(2), Destination(3), Destination(1)];
        assert_eq!(origins.iter().collect::<Vec<_>>(), expected);
        assert_eq!(ImageOrigins::of(Destination(1)).without_first(), None);
    }
}
