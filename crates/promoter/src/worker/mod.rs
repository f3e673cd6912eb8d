//! Promoting one digest to its destinations: its image (`image`), then its attachments (`attachments`), then its tags.

mod attachments;
mod image;

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::join_all;
use oci::{Reference, Tag};
use registry_client::RepositoryClient;
use transfer::ImageNode;

use self::{
    attachments::Attached,
    image::{CopyResult, ImageCopy, TargetCopy},
};
use crate::{
    Outcome, OutcomeKind, PromotionRun,
    attaching::WrittenAttachment,
    ready::{ChangeKind, CopiedFrom, Ready, ReadyTarget},
    reason::Reason,
    tags::{self, NotWritten, Root},
};

/// The promotion of one digest.
pub(crate) struct Worker<'a> {
    run: &'a PromotionRun<'a>,
    ready: &'a Ready,
    /// What is done so far. It survives an interrupt.
    result: Mutex<WorkerResult>,
}

/// What was done for one digest.
#[derive(Default)]
pub(crate) struct WorkerResult {
    /// The outcomes of edges that are promoted or failed.
    pub outcomes: Vec<Outcome>,
    /// The destinations that have the whole image now.
    pub complete: Vec<usize>,
    /// The destinations that are too slow: they get the image later.
    pub slow: Vec<ReadyTarget>,
    /// The attachments that are found by tags. They are read again at the end of the run.
    pub written: Vec<WrittenAttachment>,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(run: &'a PromotionRun<'a>, ready: &'a Ready) -> Self {
        Self { run, ready, result: Mutex::default() }
    }

    /// What was done so far.
    pub(crate) fn finish(&self) -> WorkerResult {
        mem::take(&mut *self.result())
    }

    fn result(&self) -> MutexGuard<'_, WorkerResult> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The image, then its attachments, then its tags, at all destinations.
    pub(crate) async fn promote(&self) {
        let ImageCopy { results, root } = self.copy().await;
        let targets = self.ready.targets.iter();
        let mut open: Vec<_> = targets.filter(|target| !target.is_copied()).collect();
        let mut copied = HashMap::new();
        for TargetCopy { target, result, source_failure } in results {
            match result {
                CopyResult::Copied(origin) => {
                    copied.insert(target.destination(), CopiedFrom { origin, source_failure });
                    open.push(target);
                }
                CopyResult::Slow => self.result().slow.push(target.clone()),
                CopyResult::Failed(why) | CopyResult::OriginFailed(why) => self.fail(target, &why),
            }
        }
        let open = self.attach(open).await;
        let tagged = open.into_iter().map(|attached| {
            let target = attached.target;
            let from = copied.remove(&target.destination());
            let note = self.ready.note(self.run.edges, from, target);
            let root = root.clone().filter(|_| target.is_copied());
            self.tag(attached, root, note)
        });
        join_all(tagged).await;
    }

    fn fail(&self, target: &ReadyTarget, reason: &Arc<Reason>) {
        self.result().outcomes.extend(target.planned.failed(reason));
    }

    /// Writes the tags of a destination that has all else. `root` is the manifest, if it was read already.
    async fn tag(&self, attached: Attached<'_>, mut root: Option<Root>, note: Option<Arc<Reason>>) {
        let Attached { target, attachments } = attached;
        let repository = self.run.destination(target.destination());
        let done = |edge, change: ChangeKind, reason| Outcome {
            attachments: Arc::clone(&attachments),
            ..Outcome::new(edge, change.done(), reason)
        };
        for &edge in &target.planned.open {
            let tagged = match self.run.edges.edge(edge).tag() {
                None => Ok(()),
                Some(tag) => self.write_tag(&repository, tag, &mut root).await,
            };
            self.result().outcomes.push(match tagged {
                Ok(()) => done(edge, target.change(), note.clone()),
                Err((kind, reason)) => Outcome::new(edge, kind, Some(reason)),
            });
        }
        let held = target.planned.held.iter().map(|&edge| match target.change_of_held() {
            ChangeKind::Attach if attachments.is_empty() => {
                Outcome::new(edge, OutcomeKind::Present, note.clone())
            }
            change => done(edge, change, note.clone()),
        });
        self.result().outcomes.extend(held);
    }

    /// Writes a tag. The manifest is `root`; otherwise it is read from the destination itself, which has the same
    /// bytes as the origin.
    async fn write_tag(
        &self,
        repository: &RepositoryClient,
        tag: &Tag,
        root: &mut Option<Root>,
    ) -> Result<(), NotWritten> {
        let root = match root {
            Some(root) => root,
            None => {
                let digest = self.run.edges.source_digest(self.ready.source_digest).entry.digest;
                let found = repository.manifest(&Reference::Digest(digest)).await;
                let found = found.map_err(|error| {
                    (OutcomeKind::Failed, self.run.hosts.explain(repository.host(), error))
                })?;
                let bytes = found.bytes.clone();
                // The response of a storage behind a redirect does not state the media type of the manifest.
                let own = ImageNode::parse(found.clone()).map(|node| node.manifest.media_type);
                root.insert(Root { digest, media_type: own.unwrap_or(found.media_type), bytes })
            }
        };
        tags::write(self.run, repository, tag, root).await
    }
}
