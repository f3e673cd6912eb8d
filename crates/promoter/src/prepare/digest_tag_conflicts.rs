//! Edges whose tag is a digest tag that the run writes with the attachments of another image. Both write the same tag: an
//! attachment is merged into it, and an edge never moves it, so the edge would find its tag on another digest.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use attachments::AttachedBy;
use futures_util::{StreamExt as _, stream};
use oci::{Digest, Tag, is_digest_tag};
use promotion_manifest::{EdgeId, Position};
use registry_client::Via;

use super::Preparation;
use crate::{
    Outcome, OutcomeKind, PromotionRun,
    ready::Ready,
    reason::{DigestTagUse, Reason},
};

/// Requests at once for the referrers APIs of destinations. Manifests hardly ever request such tags.
const PROBES_AT_ONCE: usize = 8;

/// What is written under a digest tag.
struct WrittenTag {
    /// What the tag is made from.
    subject: Digest,
    by: DigestTagUse,
}

/// The digest tags that are written to each destination.
type WrittenTags = HashMap<(usize, Tag), WrittenTag>;

/// Whether [`refuse`] may refuse edges of `ready`: those that request a digest tag.
pub(super) fn may_refuse(run: &PromotionRun<'_>, ready: &Ready) -> bool {
    let mut edges = ready.targets.iter().flat_map(|target| target.planned.edges());
    edges.any(|edge| run.edges.edge(edge).tag().is_some_and(|tag| is_digest_tag(tag.as_str())))
}

/// Refuses the edges that request such a tag on another digest.
pub(super) async fn refuse(run: &PromotionRun<'_>, all: &mut Preparation) {
    let mut written = written_tags(&all.ready);
    if written.is_empty() {
        return;
    }
    let requested = requested_tags(run, all);
    written.retain(|key, _| requested.contains(key));
    remove_unused(run, &mut written).await;
    if written.is_empty() {
        return;
    }
    let conflict = |edge: EdgeId| {
        let view = run.edges.edge(edge);
        let tag = view.tag()?.clone();
        let WrittenTag { subject, by } = written.get(&(edge.destination(), tag))?;
        let Position { line, column } = view.position();
        let reason = Reason::DigestTagConflict {
            file: view.file().to_owned(),
            line,
            column,
            subject: *subject,
            by: *by,
        };
        let refused = || Outcome::new(edge, OutcomeKind::Refused, Some(Arc::new(reason)));
        (*by != DigestTagUse::Attachment(view.digest())).then(refused)
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
                let subject = attachment.subject;
                let (tag, by) = match &attachment.by {
                    AttachedBy::Tag(tag) => {
                        (tag.clone(), DigestTagUse::Attachment(attachment.digest))
                    }
                    AttachedBy::Referrer => {
                        (Tag::of_referrers(&subject), DigestTagUse::ReferrersIndex)
                    }
                };
                written.insert((target.destination(), tag), WrittenTag { subject, by });
            }
        }
    }
    written
}

/// The digest tags that edges request which are present or ready.
fn requested_tags(run: &PromotionRun<'_>, all: &Preparation) -> BTreeSet<(usize, Tag)> {
    let present = all.settled.iter().filter(|outcome| outcome.kind == OutcomeKind::Present);
    let present = present.map(|outcome| outcome.edge);
    let targets = all.ready.iter().flat_map(|ready| &ready.targets);
    let ready = targets.flat_map(|target| target.planned.edges());
    let tag = |edge: EdgeId| Some((edge.destination(), run.edges.edge(edge).tag()?));
    let tags = present.chain(ready).filter_map(tag);
    let tags = tags.filter(|(_, tag)| is_digest_tag(tag.as_str()));
    tags.map(|(destination, tag)| (destination, tag.clone())).collect()
}

/// Removes the tags of indexes of referrers at destinations that have a referrers API, so that no such tag is written. A
/// destination that does not say so is decided about when the tag is written.
async fn remove_unused(run: &PromotionRun<'_>, written: &mut WrittenTags) {
    let of_referrers = written.iter().filter(|(_, it)| it.by == DigestTagUse::ReferrersIndex);
    let of_referrers = of_referrers.map(|(key, it)| (key.clone(), it.subject));
    let probed = stream::iter(of_referrers.collect::<Vec<_>>()).map(|(key, subject)| async move {
        let is_written = run.stop.unless_stopped(writes_index(run, key.0, &subject)).await;
        (key, is_written.unwrap_or_default())
    });
    let probed: Vec<_> = probed.buffer_unordered(PROBES_AT_ONCE).collect().await;
    for (key, _) in probed.iter().filter(|(_, is_written)| !is_written) {
        written.remove(key);
    }
}

/// Whether a destination certainly has no referrers API, so that its referrers are listed by a tag.
async fn writes_index(run: &PromotionRun<'_>, destination: usize, subject: &Digest) -> bool {
    let repository = run.destination(destination);
    run.hosts.check(repository.host()).await.is_ok()
        && repository.referrers_via(subject).await.is_ok_and(|via| via == Some(Via::Tag))
}
