//! Carrying out a plan: digest by digest, content before tags, and an outcome for every edge whatever
//! happens.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, future::join_all, stream};
use oci::{Digest, Reference, Tag};
use registry_client::RepositoryClient;
use transfer::{Destination, Image};

use crate::{
    EdgeRef, Outcome, Run, Verdict,
    hosts::Reason,
    interrupted,
    inventory::source_repository,
    plan::{Lacks, Origin, Target, Work, tag_move},
};

/// Digests brought to their destinations at once. Each may have blobs in flight to all of them.
const DIGESTS_AT_ONCE: usize = 8;

/// Does `work`, and yields the outcomes of each digest's edges together.
pub(crate) fn execute<'a>(run: &'a Run<'a>, work: Vec<Work>) -> impl Stream<Item = Outcome> + 'a {
    let one = move |work: Work| async move {
        let worker = Worker { run, work: &work, done: Mutex::default() };
        run.stop.unless_stopped(worker.bring_everywhere()).await;
        run.progress.advance(1);
        worker.finish()
    };
    stream::iter(work).map(one).buffer_unordered(DIGESTS_AT_ONCE).flat_map(stream::iter)
}

/// One work in progress.
struct Worker<'a> {
    run: &'a Run<'a>,
    work: &'a Work,
    /// The outcomes so far: an interrupt takes away the rest, not these.
    done: Mutex<Vec<Outcome>>,
}

/// The root manifest as it is written under tags, and what is to be said of where it came from.
#[derive(Clone)]
struct Root {
    media_type: String,
    bytes: Bytes,
    note: Option<Reason>,
}

impl Worker<'_> {
    async fn bring_everywhere(&self) {
        let copied = self.copy().await;
        join_all(self.work.targets.iter().map(|target| self.bring(target, &copied))).await;
    }

    /// All outcomes; of edges that were not reached, that they were not.
    fn finish(&self) -> Vec<Outcome> {
        let mut outcomes = mem::take(&mut *self.done());
        let reached: HashSet<EdgeRef> = outcomes.iter().map(|outcome| outcome.edge).collect();
        for target in &self.work.targets {
            let rest = target.edges().filter(|edge| !reached.contains(edge));
            outcomes.extend(rest.map(|edge| failed(edge, interrupted())));
        }
        outcomes
    }

    fn done(&self) -> MutexGuard<'_, Vec<Outcome>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings about the edges of one target, once the digest was copied to where it was lacking.
    async fn bring(&self, target: &Target, copied: &Copies) {
        match (target.lacks, copied.get(&target.destination)) {
            (Lacks::Tags, _) => self.tag(target, None, Verdict::Tagged).await,
            (Lacks::Digest, Some(Ok(root))) => self.tag(target, Some(root), Verdict::Copied).await,
            (Lacks::Digest, Some(Err(reason))) => self.give_up(target, reason),
            (Lacks::Digest, None) => self.give_up(target, &Reason::from("it has no origin")),
        }
    }

    fn give_up(&self, target: &Target, reason: &Reason) {
        self.done().extend(target.edges().map(|edge| failed(edge, Arc::clone(reason))));
    }

    /// Copies the digest to every target that lacks it; an origin that fails is followed by the next.
    async fn copy(&self) -> Copies {
        let mut copies = Copies::new();
        let mut open = Vec::new();
        for target in self.work.targets.iter().filter(|target| target.lacks == Lacks::Digest) {
            match self.run.hosts.check(self.destination(target.destination).host()).await {
                Ok(()) => open.push(target.destination),
                Err(reason) => drop(copies.insert(target.destination, Err(reason))),
            }
        }
        for origin in &self.work.origins {
            if open.is_empty() {
                break;
            }
            let copied = self.copy_from(*origin, &open).await;
            let blames_origin = |result: &Copied| matches!(result, Err((Blame::Origin, _)));
            open = copied.iter().filter(|(_, one)| blames_origin(one)).map(|(at, _)| *at).collect();
            copies.extend(copied.into_iter().map(|(at, one)| (at, one.map_err(|(_, why)| why))));
        }
        copies
    }

    async fn copy_from(&self, origin: Origin, to: &[usize]) -> Vec<(usize, Copied)> {
        let image = match self.load(origin).await {
            Ok(image) => image,
            Err(reason) => {
                let failed = |at: &usize| (*at, Err((Blame::Origin, Arc::clone(&reason))));
                return to.iter().map(failed).collect();
            }
        };
        let repositories: Vec<_> = to.iter().map(|&at| self.destination(at)).collect();
        let destinations: Vec<_> =
            repositories.iter().cloned().map(Destination::Registry).collect();
        let copied = image.copy_to(&self.run.in_flight, &destinations).await;
        let (media_type, bytes) = (image.root().media_type.clone(), image.root().bytes.clone());
        let note = self.work.backfilled_from(self.run.edges, origin);
        let root = Root { media_type, bytes, note };
        let hosts = &self.run.hosts;
        let result = |(copied, to): (Result<_, transfer::Error>, &RepositoryClient)| match copied {
            Ok(_) => Ok(root.clone()),
            Err(error) if error.is_source() => {
                Err((Blame::Origin, hosts.explain_transfer(image.source().host(), &error)))
            }
            Err(error) => Err((Blame::Destination, hosts.explain_transfer(to.host(), &error))),
        };
        to.iter().copied().zip(copied.into_iter().zip(&repositories).map(result)).collect()
    }

    /// The image at `origin`.
    async fn load(&self, origin: Origin) -> Result<Image, Reason> {
        let source = match origin {
            Origin::Source(wish) => source_repository(self.run, wish)?,
            Origin::Destination(index) => self.destination(index),
        };
        let hosts = &self.run.hosts;
        hosts.check(source.host()).await?;
        let image = Image::load(&source, &self.digest()).await;
        image.map_err(|error| hosts.explain_transfer(source.host(), &error))
    }

    /// Writes the tags of `target`, whose digest is there; `verdict` is what success is called.
    async fn tag(&self, target: &Target, root: Option<&Root>, verdict: Verdict) {
        let repository = self.destination(target.destination);
        let place = &self.run.edges.destinations()[target.destination];
        let mut fetched = root.cloned();
        for edge in target.edges() {
            let done = match self.run.edges.tag(&place.edges[edge.edge]) {
                None => Ok(()),
                Some(tag) => self.write_tag(&repository, tag, &mut fetched).await,
            };
            let (verdict, reason) = match done {
                Ok(()) => (verdict, root.and_then(|root| root.note.clone())),
                Err(not) => not,
            };
            self.done().push(Outcome { edge, verdict, reason });
        }
    }

    /// Puts `tag` on the digest, unless it is there by now, on whatever digest. The manifest comes
    /// from `root`, or from the repository itself, whose copy is as good and near.
    async fn write_tag(
        &self,
        repository: &RepositoryClient,
        tag: &Tag,
        root: &mut Option<Root>,
    ) -> Result<(), (Verdict, Option<Reason>)> {
        let hosts = &self.run.hosts;
        let failed = |reason| (Verdict::Failed, Some(reason));
        let broken = |error| failed(hosts.explain(repository.host(), &error));
        hosts.check(repository.host()).await.map_err(failed)?;
        let (digest, by_tag) = (self.digest(), Reference::Tag(tag.clone()));
        match repository.head_manifest(&by_tag).await.map_err(broken)? {
            Some(head) if head.digest == digest => return Ok(()),
            Some(head) => return Err((Verdict::Refused, Some(tag_move(&head.digest)))),
            None => {}
        }
        let root = match root {
            Some(root) => root,
            None => {
                let found = repository.manifest(&digest.into()).await.map_err(broken)?;
                let (media_type, bytes) = (found.media_type, found.bytes);
                root.insert(Root { media_type, bytes, note: None })
            }
        };
        let stored = repository.put_manifest(&by_tag, &root.media_type, root.bytes.clone()).await;
        match stored.map_err(broken)? {
            stored if stored == digest => Ok(()),
            other => Err(failed(format!("the registry stored the tag on {other}").into())),
        }
    }

    fn digest(&self) -> Digest {
        self.run.edges.wish_by_id(self.work.wish).entry.digest
    }

    fn destination(&self, index: usize) -> RepositoryClient {
        let place = &self.run.edges.destinations()[index];
        self.run.hosts.client().repository(&place.prefix.host, &place.repository)
    }
}

fn failed(edge: EdgeRef, reason: Reason) -> Outcome {
    Outcome { edge, verdict: Verdict::Failed, reason: Some(reason) }
}

/// What copying came to, by destination.
type Copies = HashMap<usize, Result<Root, Reason>>;

/// What a copy to one destination came to.
type Copied = Result<Root, (Blame, Reason)>;

/// Whose fault a failed copy is: with the origin's, another origin may do.
enum Blame {
    Origin,
    Destination,
}
