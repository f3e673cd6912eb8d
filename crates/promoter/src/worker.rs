//! Promoting one digest to its destinations: image, then attachments, then tags.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::join_all;
use oci::{Reference, Tag};
use registry_client::RepositoryClient;
use transfer::{Destination, Image, ImageNode};

use crate::{
    Outcome, OutcomeKind, PromotionRun,
    attaching::{self, AttachmentFailure, CopiedAttachments, CopyFailure, WrittenAttachment},
    planned::ImageOrigin,
    ready::{ChangeKind, ImageManifests, Ready, ReadyTarget},
    reason::{AttachmentProblem, AttachmentStep, Reason},
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

/// A destination that needs nothing more but its tags, and the attachments that it got.
struct Attached<'a> {
    target: &'a ReadyTarget,
    attachments: Arc<[String]>,
}

/// What copying an image came to.
struct ImageCopy<'a> {
    /// The result at each destination that it was copied to.
    results: Vec<(&'a ReadyTarget, CopyResult)>,
    /// The root manifest, if it was read.
    root: Option<Root>,
}

/// What copying an image to one destination came to.
enum CopyResult {
    /// It has the image, from this origin.
    Copied(ImageOrigin),
    /// It failed, and is not tried again in this run.
    Failed(Arc<Reason>),
    /// The origin failed. Another origin may do.
    OriginFailed(Arc<Reason>),
    /// It is much slower than the other destinations.
    Slow,
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
        let mut origins = HashMap::new();
        for (target, result) in results {
            match result {
                CopyResult::Copied(origin) => {
                    origins.insert(target.destination(), origin);
                    open.push(target);
                }
                CopyResult::Slow => self.result().slow.push(target.clone()),
                CopyResult::Failed(why) | CopyResult::OriginFailed(why) => self.fail(target, &why),
            }
        }
        let open = self.attach(open).await;
        let tagged = open.into_iter().map(|attached| {
            let target = attached.target;
            let origin = origins.remove(&target.destination());
            let note = self.ready.note(self.run.edges, origin, target);
            let root = root.clone().filter(|_| target.is_copied());
            self.tag(attached, root, note)
        });
        join_all(tagged).await;
    }

    fn fail(&self, target: &ReadyTarget, reason: &Arc<Reason>) {
        self.result().outcomes.extend(target.planned.failed(reason));
    }

    /// Copies the image to every destination that lacks any of it. If an origin fails, the next one is tried.
    async fn copy(&self) -> ImageCopy<'a> {
        let mut copy = ImageCopy { results: Vec::new(), root: None };
        let mut open = Vec::new();
        for target in self.ready.targets.iter().filter(|target| target.is_copied()) {
            let to = self.run.destination(target.destination());
            match self.run.hosts.check(to.host()).await {
                Ok(()) => open.push(target),
                Err(reason) => copy.results.push((target, CopyResult::Failed(reason))),
            }
        }
        let mut origins = self.ready.origins.iter().peekable();
        while let Some(origin) = origins.next()
            && !open.is_empty()
        {
            let results = self.copy_from(origin, &open, &mut copy.root).await;
            let is_last = origins.peek().is_none();
            for (target, result) in mem::take(&mut open).into_iter().zip(results) {
                match result {
                    CopyResult::OriginFailed(_) if !is_last => open.push(target),
                    result => copy.results.push((target, result)),
                }
            }
        }
        copy
    }

    /// Copies the image from one origin. The results are in the order of `targets`.
    async fn copy_from(
        &self,
        origin: ImageOrigin,
        targets: &[&'a ReadyTarget],
        root: &mut Option<Root>,
    ) -> Vec<CopyResult> {
        let image = match self.image(origin).await {
            Ok(image) => image,
            Err(reason) => {
                let failed = |_| CopyResult::OriginFailed(Arc::clone(&reason));
                return targets.iter().map(failed).collect();
            }
        };
        let repositories = targets.iter().map(|target| self.run.destination(target.destination()));
        let repositories: Vec<_> = repositories.collect();
        let destinations: Vec<_> =
            repositories.iter().cloned().map(Destination::Registry).collect();
        let copied = image.copy_to(&self.run.transfer_state, &destinations).await;
        let manifest = image.root();
        *root = Some(Root {
            digest: manifest.digest,
            media_type: manifest.media_type.clone(),
            bytes: manifest.bytes.clone(),
        });
        let result = |(copied, to): (Result<_, transfer::Error>, &RepositoryClient)| match copied {
            Ok(_) => CopyResult::Copied(origin),
            Err(error) => self.explain(error, image.source(), to),
        };
        let results: Vec<_> = copied.into_iter().zip(&repositories).map(result).collect();
        let complete = targets.iter().zip(&results);
        let complete = complete.filter(|(_, result)| matches!(result, CopyResult::Copied(_)));
        self.result().complete.extend(complete.map(|(target, _)| target.destination()));
        results
    }

    /// The image at `origin`. Its manifests are the same at all origins, and are not read again if they were kept.
    async fn image(&self, origin: ImageOrigin) -> Result<Image, Arc<Reason>> {
        let ImageManifests::Kept(kept) = &self.ready.manifests else {
            let loaded = self.run.load(self.ready.source_digest, origin).await;
            return loaded.map_err(|unloaded| unloaded.reason);
        };
        let repository = self.run.origin(origin)?;
        self.run.hosts.check(repository.host()).await?;
        Ok(kept.at(repository))
    }

    fn explain(
        &self,
        error: transfer::Error,
        from: &RepositoryClient,
        to: &RepositoryClient,
    ) -> CopyResult {
        let hosts = &self.run.hosts;
        if error.is_lagging() {
            CopyResult::Slow
        } else if error.is_source() {
            CopyResult::OriginFailed(hosts.explain(from.host(), error))
        } else {
            CopyResult::Failed(hosts.explain(to.host(), error))
        }
    }

    /// Copies the attachments to the destinations that lack some. Returns the destinations that have all attachments
    /// now but for broken ones.
    async fn attach(&self, targets: Vec<&'a ReadyTarget>) -> Vec<Attached<'a>> {
        let (lacking, complete): (Vec<_>, Vec<_>) =
            targets.into_iter().partition(|target| !target.missing.is_empty());
        let mut open: Vec<_> = complete
            .into_iter()
            .map(|target| Attached { target, attachments: Arc::default() })
            .collect();
        if lacking.is_empty() {
            return open;
        }
        let from = match self.run.origin(self.ready.attachments_origin) {
            Ok(from) => from,
            Err(reason) => {
                lacking.iter().for_each(|target| self.fail(target, &reason));
                return open;
            }
        };
        let to: Vec<_> = lacking
            .iter()
            .map(|target| (self.run.destination(target.destination()), target.missing.clone()))
            .collect();
        let wanted = (&*self.ready.attachments, self.run.settings);
        let copied = attaching::copy(&self.run.transfer_state, &from, wanted, &to).await;
        for ((target, (to, _)), copied) in lacking.into_iter().zip(&to).zip(copied) {
            open.extend(self.attached(target, copied, &from, to));
        }
        open
    }

    /// Records what copying attachments came to at `target`; `None` if the target failed or is deferred.
    fn attached(
        &self,
        target: &'a ReadyTarget,
        copied: CopiedAttachments,
        from: &RepositoryClient,
        to: &RepositoryClient,
    ) -> Option<Attached<'a>> {
        let Some((at, why)) = copied.failed else {
            let written = copied.by_tag.into_iter();
            let written =
                written.map(|(at, on)| WrittenAttachment::new(self.ready, target, at, on));
            self.result().written.extend(written);
            let broken = copied.broken.iter();
            let broken = broken.filter_map(|broken| self.ready.broken(target, broken));
            self.result().outcomes.extend(broken);
            let is_broken = |at: &&usize| copied.broken.iter().any(|broken| broken.at == **at);
            let complete = target.missing.iter().filter(|at| !is_broken(at));
            return Some(Attached { target, attachments: self.ready.names(complete) });
        };
        match self.explain_attachment(why, from, to) {
            None => self.result().slow.push(target.clone()),
            Some(problem) => {
                let attachment = (&self.ready.attachments[at]).into();
                let failed = AttachmentStep::Copy;
                let reason = Reason::Attachment { attachment, failed, problem };
                self.fail(target, &Arc::new(reason));
            }
        }
        None
    }

    /// Why an attachment was not copied; `None` if its destination is too slow.
    fn explain_attachment(
        &self,
        why: CopyFailure,
        from: &RepositoryClient,
        to: &RepositoryClient,
    ) -> Option<Arc<AttachmentProblem>> {
        let problem = |reason| Some(Arc::new(AttachmentProblem::Reason(reason)));
        match why {
            CopyFailure::Transfer(error) => match self.explain(error, from, to) {
                CopyResult::Slow | CopyResult::Copied(_) => None,
                CopyResult::Failed(reason) | CopyResult::OriginFailed(reason) => problem(reason),
            },
            CopyFailure::Slow => None,
            CopyFailure::NotAttached(AttachmentFailure::Remote(error)) => {
                problem(self.run.hosts.explain(to.host(), error))
            }
            CopyFailure::NotAttached(AttachmentFailure::Problem(problem))
            | CopyFailure::Broken(problem) => Some(problem),
        }
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
