//! One digest on its way to its destinations.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::join_all;
use oci::{Reference, Tag};
use registry_client::RepositoryClient;
use transfer::{Destination, Image, Node};

use crate::{
    Outcome, Run, Verdict,
    attaching::{self, AttachmentFailure, Carried, NotCarried, Written},
    reason::{AttachmentProblem, AttachmentStep, Reason},
    tags::{self, NotWritten, Root},
    work::{Done, Origin, Target, Work},
};

/// One work in progress.
pub(crate) struct Worker<'a> {
    run: &'a Run<'a>,
    work: &'a Work,
    /// What is done so far: an interrupt takes away the rest, not this.
    brought: Mutex<Brought>,
}

/// A target that needs nothing more but its tags, and the attachments that it got.
struct Attached<'a> {
    target: &'a Target,
    attachments: Arc<[String]>,
}

/// What was done.
#[derive(Default)]
pub(crate) struct Brought {
    /// The outcomes of edges that are done with, well or not.
    pub outcomes: Vec<Outcome>,
    /// The destinations that have the whole image now.
    pub complete: Vec<usize>,
    /// What the slow ones did not get, because they held the others up.
    pub lagging: Vec<Target>,
    /// The attachments that are found by tags, which are read again at the end of the run.
    pub written: Vec<Written>,
}

/// What copying came to.
#[derive(Default)]
struct Copied {
    steps: HashMap<usize, Step>,
    /// The manifest, if it was read.
    root: Option<Root>,
}

/// How a destination stands after a step.
enum Step {
    /// It has the image, from there.
    Done(Origin),
    /// Nothing more is to be tried in this run.
    Failed(Arc<Reason>),
    /// The origin is at fault, and another one may do.
    NoOrigin(Arc<Reason>),
    /// It is slower than the others.
    Lags,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(run: &'a Run<'a>, work: &'a Work) -> Self {
        Self { run, work, brought: Mutex::default() }
    }

    /// What was done until now.
    pub(crate) fn finish(&self) -> Brought {
        mem::take(&mut *self.brought())
    }

    fn brought(&self) -> MutexGuard<'_, Brought> {
        self.brought.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The image, then its attachments, then its tags, everywhere.
    pub(crate) async fn bring_everywhere(&self) {
        let Copied { mut steps, root } = self.copy().await;
        let (mut open, mut origins) = (Vec::new(), HashMap::new());
        for target in &self.work.targets {
            match (target.is_copied(), steps.remove(&target.destination)) {
                (false, _) => open.push(target),
                (true, Some(Step::Done(origin))) => {
                    origins.insert(target.destination, origin);
                    open.push(target);
                }
                (true, Some(Step::Lags)) => self.brought().lagging.push(target.clone()),
                (true, Some(Step::Failed(why) | Step::NoOrigin(why))) => {
                    self.give_up(target, &why);
                }
                (true, None) => self.give_up(target, &Arc::new(Reason::NoOrigin)),
            }
        }
        let open = self.attach(open).await;
        let tagged = open.into_iter().map(|attached| {
            let target = attached.target;
            let origin = origins.remove(&target.destination);
            let note = self.work.note(self.run.edges, origin, target);
            let root = root.clone().filter(|_| target.is_copied());
            self.tag(attached, root, note)
        });
        join_all(tagged).await;
    }

    fn give_up(&self, target: &Target, reason: &Arc<Reason>) {
        self.brought().outcomes.extend(target.failed(reason));
    }

    /// Copies the image to every target that lacks any of it; an origin that fails is followed by the next.
    async fn copy(&self) -> Copied {
        let mut copied = Copied::default();
        let mut open = Vec::new();
        for target in self.work.targets.iter().filter(|target| target.is_copied()) {
            let to = self.run.destination(target.destination);
            match self.run.hosts.check(to.host()).await {
                Ok(()) => open.push(target.destination),
                Err(reason) => drop(copied.steps.insert(target.destination, Step::Failed(reason))),
            }
        }
        for &origin in &self.work.origins {
            if open.is_empty() {
                break;
            }
            let steps = self.copy_from(origin, &open, &mut copied).await;
            open.clear();
            for (destination, step) in steps {
                if matches!(step, Step::NoOrigin(_)) {
                    open.push(destination);
                }
                copied.steps.insert(destination, step);
            }
        }
        copied
    }

    async fn copy_from(
        &self,
        origin: Origin,
        to: &[usize],
        copied: &mut Copied,
    ) -> Vec<(usize, Step)> {
        let image = match self.image(origin).await {
            Ok(image) => image,
            Err(reason) => {
                return to.iter().map(|at| (*at, Step::NoOrigin(Arc::clone(&reason)))).collect();
            }
        };
        let repositories: Vec<_> = to.iter().map(|&at| self.run.destination(at)).collect();
        let destinations: Vec<_> =
            repositories.iter().cloned().map(Destination::Registry).collect();
        let results = image.copy_to(&self.run.in_flight, &destinations).await;
        let root = image.root();
        let (media_type, bytes) = (root.media_type.clone(), root.bytes.clone());
        copied.root = Some(Root { digest: root.digest, media_type, bytes });
        let step = |(result, to): (Result<_, transfer::Error>, &RepositoryClient)| match result {
            Ok(_) => Step::Done(origin),
            Err(error) => self.explain(error, image.source(), to),
        };
        let steps: Vec<_> = results.into_iter().zip(&repositories).map(step).collect();
        let done = to.iter().zip(&steps).filter(|(_, step)| matches!(step, Step::Done(_)));
        self.brought().complete.extend(done.map(|(at, _)| *at));
        to.iter().copied().zip(steps).collect()
    }

    /// The image at `origin`. Its manifests are the same wherever it is, and are not read again if they were kept.
    async fn image(&self, origin: Origin) -> Result<Image, Arc<Reason>> {
        let Some(kept) = &self.work.image else {
            let loaded = self.run.load(self.work.source_digest, origin).await;
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
    ) -> Step {
        let hosts = &self.run.hosts;
        if error.is_lagging() {
            Step::Lags
        } else if error.is_source() {
            Step::NoOrigin(hosts.explain(from.host(), error))
        } else {
            Step::Failed(hosts.explain(to.host(), error))
        }
    }

    /// Brings the attachments to those that lack some; gives those that have all now but for broken ones.
    async fn attach(&self, targets: Vec<&'a Target>) -> Vec<Attached<'a>> {
        let (lacking, there): (Vec<_>, Vec<_>) =
            targets.into_iter().partition(|target| !target.missing.is_empty());
        let mut open: Vec<_> = there
            .into_iter()
            .map(|target| Attached { target, attachments: Arc::default() })
            .collect();
        if lacking.is_empty() {
            return open;
        }
        let from = match self.reference() {
            Ok(from) => from,
            Err(reason) => {
                lacking.iter().for_each(|target| self.give_up(target, &reason));
                return open;
            }
        };
        let to: Vec<_> = lacking
            .iter()
            .map(|target| (self.run.destination(target.destination), target.missing.clone()))
            .collect();
        let wanted = (&*self.work.attachments, self.run.settings);
        let carried = attaching::carry(&self.run.in_flight, &from, wanted, &to).await;
        for ((target, (to, _)), carried) in lacking.into_iter().zip(&to).zip(carried) {
            open.extend(self.attached(target, carried, &from, to));
        }
        open
    }

    /// What carrying attachments came to at `target`; nothing if it ends there.
    fn attached(
        &self,
        target: &'a Target,
        carried: Carried,
        from: &RepositoryClient,
        to: &RepositoryClient,
    ) -> Option<Attached<'a>> {
        let attachments = &self.work.attachments;
        let Some((at, why)) = carried.failed else {
            let written = carried.by_tag.into_iter();
            let written = written.map(|(at, on)| Written::of(self.work, target, at, on));
            self.brought().written.extend(written);
            let broken = carried.broken.iter();
            let broken = broken.filter_map(|it| target.lacks_broken(it, attachments));
            self.brought().outcomes.extend(broken);
            let is_broken = |at: &&usize| carried.broken.iter().any(|broken| broken.at == **at);
            let arrived = target.missing.iter().filter(|at| !is_broken(at));
            return Some(Attached { target, attachments: self.work.names(arrived) });
        };
        match self.explain_carrying(why, from, to) {
            None => self.brought().lagging.push(target.clone()),
            Some(problem) => {
                let attachment = (&attachments[at]).into();
                let failed = AttachmentStep::Copy;
                let reason = Reason::Attachment { attachment, failed, problem };
                self.give_up(target, &Arc::new(reason));
            }
        }
        None
    }

    /// Why an attachment did not arrive; nothing if its destination lags.
    fn explain_carrying(
        &self,
        why: NotCarried,
        from: &RepositoryClient,
        to: &RepositoryClient,
    ) -> Option<Arc<AttachmentProblem>> {
        let problem = |reason| Some(Arc::new(AttachmentProblem::Reason(reason)));
        match why {
            NotCarried::Transfer(error) => match self.explain(error, from, to) {
                Step::Lags | Step::Done(_) => None,
                Step::Failed(reason) | Step::NoOrigin(reason) => problem(reason),
            },
            NotCarried::Lags => None,
            NotCarried::NotAttached(AttachmentFailure::Registry(error)) => {
                problem(self.run.hosts.explain(to.host(), error))
            }
            NotCarried::NotAttached(AttachmentFailure::Problem(problem))
            | NotCarried::Broken(problem) => Some(problem),
        }
    }

    /// Where the attachments were found.
    fn reference(&self) -> Result<RepositoryClient, Arc<Reason>> {
        match self.work.reference {
            Some(origin) => self.run.origin(origin),
            None => Err(Arc::new(Reason::NoOrigin)),
        }
    }

    /// Writes the tags of a target that has all else now. `root` is the manifest, if it was read already.
    async fn tag(&self, attached: Attached<'_>, mut root: Option<Root>, note: Option<Arc<Reason>>) {
        let Attached { target, attachments } = attached;
        let repository = self.run.destination(target.destination);
        let brought = |edge, done: Done, reason| Outcome {
            attachments: Arc::clone(&attachments),
            ..Outcome::new(edge, done.is(), reason)
        };
        for edge in target.open_edges() {
            let done = match self.run.edges.edge(edge).tag() {
                None => Ok(()),
                Some(tag) => self.write_tag(&repository, tag, &mut root).await,
            };
            self.brought().outcomes.push(match done {
                Ok(()) => brought(edge, target.done(), note.clone()),
                Err((verdict, reason)) => Outcome::new(edge, verdict, Some(reason)),
            });
        }
        let held = target.held_edges().map(|edge| match target.held_done() {
            Done::Attached if attachments.is_empty() => {
                Outcome::new(edge, Verdict::Present, note.clone())
            }
            done => brought(edge, done, note.clone()),
        });
        self.brought().outcomes.extend(held);
    }

    /// Writes a tag. The manifest is `root`, or read from the repository itself, whose copy is as good and near.
    async fn write_tag(
        &self,
        repository: &RepositoryClient,
        tag: &Tag,
        root: &mut Option<Root>,
    ) -> Result<(), NotWritten> {
        let root = match root {
            Some(root) => root,
            None => {
                let digest = self.run.edges.source_digest(self.work.source_digest).entry.digest;
                let found = repository.manifest(&Reference::Digest(digest)).await;
                let found = found.map_err(|error| {
                    (Verdict::Failed, self.run.hosts.explain(repository.host(), error))
                })?;
                let bytes = found.bytes.clone();
                // What storage serves, after a redirect, has no media type that a tag can be put under.
                let own = Node::parse(found.clone()).map(|node| node.manifest.media_type);
                root.insert(Root { digest, media_type: own.unwrap_or(found.media_type), bytes })
            }
        };
        tags::write(self.run, repository, tag, root).await
    }
}
