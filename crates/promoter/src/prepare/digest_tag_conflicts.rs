//! Edges whose tag is a digest tag that the run writes with the attachments of another image. Both write the same tag: an
//! attachment is merged into it, and an edge never moves it, so the edge would find its tag on another digest.

use std::{collections::HashMap, sync::Arc};

use attachments::AttachedBy;
use oci::{Digest, Tag};
use promotion_manifest::EdgeId;

use super::Preparation;
use crate::{Outcome, OutcomeKind, PromotionRun, ready::Ready, reason::Reason};

/// An attachment that is written under a digest tag.
struct WrittenTag {
    /// The attachment, as its source has it.
    digest: Digest,
    /// What it is attached to.
    subject: Digest,
}

/// The digest tags that are written to each destination.
type WrittenTags = HashMap<(usize, Tag), WrittenTag>;

/// Refuses the edges that request such a tag on another digest.
pub(super) fn refuse(run: &PromotionRun<'_>, all: &mut Preparation) {
    let written = written_tags(&all.ready);
    if written.is_empty() {
        return;
    }
    let conflict = |edge: EdgeId| {
        let view = run.edges.edge(edge);
        let tag = view.tag()?.clone();
        let WrittenTag { digest, subject } = written.get(&(edge.destination(), tag))?;
        let reason = Reason::DigestTagConflict { subject: *subject, attachment: *digest };
        let refused = || Outcome::new(edge, OutcomeKind::Refused, Some(Arc::new(reason)));
        (*digest != view.digest()).then(refused)
    };
    for outcome in &mut all.settled {
        if outcome.kind == OutcomeKind::Present
            && let Some(refused) = conflict(outcome.edge)
        {
            *outcome = refused;
        }
    }
    for ready in &mut all.ready {
        for target in &mut ready.targets {
            for edges in [&mut target.planned.open, &mut target.planned.held] {
                let refused = edges.extract_if(.., |edge| conflict(*edge).is_some());
                all.settled.extend(refused.filter_map(conflict));
            }
        }
        ready.targets.retain(|target| target.planned.edges().next().is_some());
    }
    all.ready.retain(|ready| !ready.targets.is_empty());
}

fn written_tags(ready: &[Ready]) -> WrittenTags {
    let mut written = WrittenTags::new();
    for ready in ready {
        for target in &ready.targets {
            for attachment in target.missing.iter().map(|at| &ready.attachments[*at]) {
                if let AttachedBy::Tag(tag) = &attachment.by {
                    let (digest, subject) = (attachment.digest, attachment.subject);
                    written.insert(
                        (target.destination(), tag.clone()),
                        WrittenTag { digest, subject },
                    );
                }
            }
        }
    }
    written
}
