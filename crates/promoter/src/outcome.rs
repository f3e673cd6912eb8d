//! The outcome of an edge, and the counts of a run.

use std::sync::Arc;

use job::Confirm;
use promotion_manifest::{EdgeId, EdgeSet};

use crate::{Reason, ReasonCode};

wording::report_codes! {
    /// How an edge ended, as the report spells it.
    pub enum OutcomeKind {
        Present = "present": "It held already.",
        ToCopy = "to_copy": "A run with `--confirm` would copy the digest, and tag it.",
        ToTag = "to_tag": "A run with `--confirm` would add the tag to a digest that is present.",
        ToAttach = "to_attach": "A run with `--confirm` would add attachments to an image that is present.",
        Copied = "copied": "The digest was copied, and tagged if the edge has a tag.",
        Tagged = "tagged": "The tag was added to a digest that was present.",
        Attached = "attached": "Attachments were added to an image that was present.",
        Lost = "lost": "The digest is neither in its source nor in any destination.",
        Refused = "refused": "It would move a tag, or two entries request the same tag on different digests.",
        Failed = "failed": "A registry could not be read or reached, or a transfer failed.",
        AttachmentBroken = "attachment-broken":
            "Beside the outcome of an edge: an attachment of its image is permanently broken at its source, and was left out.",
    }
}

impl OutcomeKind {
    /// The outcomes that edges can have, with or without `--confirm`, in the order of reports.
    #[must_use]
    pub const fn all(confirm: Confirm) -> [Self; 7] {
        let (copied, tagged, attached) = match confirm {
            Confirm::Write => (Self::Copied, Self::Tagged, Self::Attached),
            Confirm::DryRun => (Self::ToCopy, Self::ToTag, Self::ToAttach),
        };
        [Self::Present, copied, tagged, attached, Self::Lost, Self::Refused, Self::Failed]
    }

    /// Whether an edge with this outcome does not hold.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Lost | Self::Refused | Self::Failed | Self::AttachmentBroken)
    }
}

/// The outcome of one edge.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The edge.
    pub edge: EdgeId,
    /// How it ended.
    pub kind: OutcomeKind,
    /// The reason, if the kind alone does not explain it. All edges of one cause share it.
    pub reason: Option<Arc<Reason>>,
    /// The attachments that were copied, or would be: digest tags, and digests of referrers.
    pub attachments: Arc<[String]>,
}

impl Outcome {
    /// An outcome without attachments.
    #[must_use]
    pub fn new(edge: EdgeId, kind: OutcomeKind, reason: Option<Arc<Reason>>) -> Self {
        Self { edge, kind, reason, attachments: Arc::default() }
    }

    /// The code of its reason.
    #[must_use]
    pub fn code(&self) -> Option<ReasonCode> {
        self.reason.as_ref().map(|reason| reason.code())
    }

    pub(crate) fn present(edge: EdgeId) -> Self {
        Self::new(edge, OutcomeKind::Present, None)
    }

    pub(crate) fn failed(edge: EdgeId, reason: Arc<Reason>) -> Self {
        Self::new(edge, OutcomeKind::Failed, Some(reason))
    }

    /// Logs the outcome: at `info` if something was written, at `debug` otherwise, since the report names every failure.
    pub(crate) fn log(&self, edges: &EdgeSet) {
        let edge = edges.edge(self.edge);
        let destination = edge.destination();
        let (digest, tag) = (edge.digest(), edge.tag().map(ToString::to_string));
        let (destination, outcome) = (
            format_args!("{}/{}", destination.prefix.host, destination.repository),
            self.kind.as_str(),
        );
        let code = self.code().map(ReasonCode::as_str);
        let reason = self.reason.as_deref().map(tracing::field::display);
        match self.kind {
            OutcomeKind::Copied | OutcomeKind::Tagged | OutcomeKind::Attached => {
                tracing::info!(%destination, %digest, tag, outcome, code, reason);
            }
            _ => tracing::debug!(%destination, %digest, tag, outcome, code, reason),
        }
    }
}

/// The number of edges with each outcome, and of broken attachments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    counts: [u64; OutcomeKind::ALL.len()],
}

impl Summary {
    /// Counts one outcome.
    pub fn add(&mut self, kind: OutcomeKind) {
        self.counts[kind as usize] += 1;
    }

    /// The number of edges with this outcome.
    #[must_use]
    pub const fn count(&self, kind: OutcomeKind) -> u64 {
        self.counts[kind as usize]
    }

    /// The number of edges.
    #[must_use]
    pub fn edges(&self) -> u64 {
        self.counts.iter().sum::<u64>() - self.count(OutcomeKind::AttachmentBroken)
    }

    /// The number of edges that a confirmed run would change.
    #[must_use]
    pub const fn pending(&self) -> u64 {
        self.count(OutcomeKind::ToCopy)
            + self.count(OutcomeKind::ToTag)
            + self.count(OutcomeKind::ToAttach)
    }

    /// Whether everything that was requested holds, or would hold after a confirmed run.
    #[must_use]
    pub const fn all_holds(&self) -> bool {
        self.edges_hold() && self.count(OutcomeKind::AttachmentBroken) == 0
    }

    /// The same for the edges alone, regardless of broken attachments.
    #[must_use]
    pub const fn edges_hold(&self) -> bool {
        self.count(OutcomeKind::Lost)
            + self.count(OutcomeKind::Refused)
            + self.count(OutcomeKind::Failed)
            == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_count_of_its_own_and_one_word() {
        let mut summary = Summary::default();
        for (times, kind) in (1..).zip(OutcomeKind::ALL) {
            (0..times).for_each(|_| summary.add(kind));
        }
        for (times, kind) in (1..).zip(OutcomeKind::ALL) {
            assert_eq!(summary.count(kind), times, "{kind:?}");
            assert_eq!(serde_json::json!(kind), kind.as_str());
        }
        let all: u64 = (1..=OutcomeKind::ALL.len() as u64).sum();
        assert_eq!(summary.edges(), all - summary.count(OutcomeKind::AttachmentBroken));
    }
}
