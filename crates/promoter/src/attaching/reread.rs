//! Reads the attachments that a run wrote under tags again, at its end.
//!
//! A digest tag and the index of referrers are read, merged and written back. If the registry does not check `If-Match`,
//! two clients that do this at the same time can each replace what the other has written, and both get a success. A
//! registry that accepts a request with a condition may still not check it, so all such attachments are read again. What
//! was replaced is merged again with the current content.
//!
//! The rules are in `docs/reference/promotion.md`, "Attachments".

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use attachments::{AfterWrite, Attachment, FoundBy, ListedAttachments, attach};
use futures_util::{StreamExt as _, stream};
use promotion_manifest::SourceDigestId;
use registry_client::RepositoryClient;
use transfer::Image;

use super::OnTag;
use crate::{
    Outcome, OutcomeKind, PromotionRun,
    planned::ImageOrigin,
    ready::{Ready, ReadyTarget},
    reason::{AttachmentName, AttachmentProblem, AttachmentStep, Reason},
    reread_delay::{self, MAX_REREADS},
};

/// Repositories whose attachments are read again at once.
const REPOSITORIES_AT_ONCE: usize = 8;

/// An attachment that this run wrote, and that is found by a tag.
#[derive(Clone, Debug)]
pub(crate) struct WrittenAttachment {
    destination: usize,
    source_digest: SourceDigestId,
    /// Where it was read.
    from: ImageOrigin,
    attachment: Attachment,
    /// The digest that its digest tag was left on.
    on: OnTag,
}

impl WrittenAttachment {
    /// The attachment at this index of `ready`, written to `target`.
    pub(crate) fn new(ready: &Ready, target: &ReadyTarget, index: usize, on: OnTag) -> Self {
        let (destination, source_digest, from) =
            (target.destination(), ready.source_digest, ready.attachments_origin);
        Self { destination, source_digest, from, attachment: ready.attachments[index].clone(), on }
    }
}

/// Reads `written` again, merges and writes again what other clients replaced, and corrects the outcomes of edges whose
/// attachments are still not all present.
pub(crate) async fn reread(
    run: &PromotionRun<'_>,
    written: Vec<WrittenAttachment>,
    outcomes: &mut [Outcome],
) {
    let mut by_destination: BTreeMap<usize, Vec<WrittenAttachment>> = BTreeMap::new();
    for written in written {
        by_destination.entry(written.destination).or_default().push(written);
    }
    run.progress.stage("reading written attachments again", by_destination.len() as u64);
    let read = stream::iter(by_destination).map(|(destination, mut written)| async move {
        let source_digests: HashSet<_> =
            written.iter().map(|written| written.source_digest).collect();
        let repository = run.destination(destination);
        let confirmed = confirm(run, &repository, &mut written);
        let failed = run.stop.unless_stopped(confirmed).await.unwrap_or_else(|| {
            let unknown = |source_digest| {
                (source_digest, run.interrupted(&run.hosts_of(destination, source_digest)))
            };
            source_digests.into_iter().map(unknown).collect()
        });
        run.progress.advance(1);
        (destination, failed)
    });
    let failed: HashMap<_, _> = read.buffer_unordered(REPOSITORIES_AT_ONCE).collect().await;
    for outcome in outcomes.iter_mut().filter(|outcome| is_written(outcome.kind)) {
        let source_digest = run.edges.edge(outcome.edge).source_digest().id;
        let reason =
            failed.get(&outcome.edge.destination()).and_then(|failed| failed.get(&source_digest));
        if let Some(reason) = reason {
            *outcome = Outcome::failed(outcome.edge, reason.clone());
        }
    }
}

const fn is_written(kind: OutcomeKind) -> bool {
    matches!(kind, OutcomeKind::Copied | OutcomeKind::Tagged | OutcomeKind::Attached)
}

/// Makes sure that all of `written` are found in `repository`. Returns the requested digests with attachments that are
/// not, and why.
async fn confirm(
    run: &PromotionRun<'_>,
    repository: &RepositoryClient,
    written: &mut [WrittenAttachment],
) -> HashMap<SourceDigestId, Arc<Reason>> {
    let mut repairs = 0;
    let mut failures: HashMap<usize, Arc<AttachmentProblem>> = HashMap::new();
    loop {
        let Reread { replaced, missing, mut failed } = read_once(run, repository, written).await;
        if replaced.is_empty() && missing.is_empty() {
            return failed;
        }
        for at in replaced {
            let written = &mut written[at];
            let why = match repairs {
                MAX_REREADS => failures
                    .remove(&at)
                    .unwrap_or_else(|| Arc::new(AttachmentProblem::ReplacedEachTime)),
                _ => match repair(run, repository, written).await {
                    Ok(()) => continue,
                    Err(why) => {
                        failures.insert(at, Arc::clone(&why));
                        why
                    }
                },
            };
            failed.insert(written.source_digest, gone(written, why));
        }
        if repairs == MAX_REREADS {
            let missing = missing.into_iter().map(|at| &written[at]);
            failed.extend(missing.map(|written| {
                (written.source_digest, gone(written, Arc::new(AttachmentProblem::TagNotFound)))
            }));
            return failed;
        }
        reread_delay::wait(run, repairs).await;
        repairs += 1;
    }
}

fn gone(written: &WrittenAttachment, problem: Arc<AttachmentProblem>) -> Arc<Reason> {
    let attachment = AttachmentName::from(&written.attachment);
    Arc::new(Reason::Attachment { attachment, failed: AttachmentStep::Keep, problem })
}

/// What one round of reading finds.
#[derive(Default)]
struct Reread {
    /// The attachments that other clients replaced, by their indices.
    replaced: Vec<usize>,
    /// The attachments whose tags the registry does not return.
    missing: Vec<usize>,
    /// The requested digests with attachments that cannot be read.
    failed: HashMap<SourceDigestId, Arc<Reason>>,
}

async fn read_once(
    run: &PromotionRun<'_>,
    repository: &RepositoryClient,
    written: &[WrittenAttachment],
) -> Reread {
    let mut reread = Reread::default();
    let mut listed = ListedAttachments::new(repository);
    for (at, written) in written.iter().enumerate() {
        match listed.after_write(&written.attachment, written.on).await {
            Ok(AfterWrite::Unchanged) => {}
            Ok(AfterWrite::Replaced) => reread.replaced.push(at),
            Ok(AfterWrite::NotFound) => reread.missing.push(at),
            Err(error) => {
                let why = run.hosts.explain(repository.host(), error);
                let reason = Reason::Attachment {
                    attachment: AttachmentName::from(&written.attachment),
                    failed: AttachmentStep::ReadAgain,
                    problem: Arc::new(AttachmentProblem::Reason(why)),
                };
                reread.failed.insert(written.source_digest, Arc::new(reason));
            }
        }
    }
    reread
}

/// Writes an attachment again, merged with the manifest that its tag is on now.
async fn repair(
    run: &PromotionRun<'_>,
    repository: &RepositoryClient,
    written: &mut WrittenAttachment,
) -> Result<(), Arc<AttachmentProblem>> {
    let problem = |reason| Arc::new(AttachmentProblem::Reason(reason));
    let from = run.origin(written.from).map_err(problem)?;
    let attachment = &written.attachment;
    tracing::info!(
        at = %repository, attachment = %AttachmentName::from(attachment), "another client replaced the attachment; merging again"
    );
    // The manifest that this run left under the tag includes what other clients had written before.
    let (from, digest) = match written.on {
        Some(left) => (repository.clone(), left),
        None => (from, attachment.digest),
    };
    let image = Image::load(&from, &digest).await;
    let image = image.map_err(|error| problem(run.hosts.explain(from.host(), error)))?;
    let attached = attach(&from, attachment, image.root(), repository).await;
    match attached.map_err(|error| Arc::new(AttachmentProblem::from(error)))? {
        FoundBy::Registry => {}
        FoundBy::ReferrersTag => written.on = None,
        FoundBy::DigestTag(on) => written.on = on,
    }
    Ok(())
}
