//! Carrying out a plan: digest by digest, content before tags, and an outcome for every edge whatever
//! happens.

use std::{collections::HashMap, sync::Arc};

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

/// Does `work`, and yields the outcome of each of its edges as soon as it is known.
pub(crate) fn execute<'a>(run: &'a Run<'a>, work: Vec<Work>) -> impl Stream<Item = Outcome> + 'a {
    let one = move |work: Work| async move {
        let done = run.stop.unless_stopped(Worker { run, work: &work }.outcomes()).await;
        run.progress.advance(1);
        done.unwrap_or_else(|| work.all_failed(&interrupted()))
    };
    stream::iter(work).map(one).buffer_unordered(DIGESTS_AT_ONCE).flat_map(stream::iter)
}

impl Work {
    fn all_failed(&self, reason: &Reason) -> Vec<Outcome> {
        self.targets.iter().flat_map(|target| target.failed(reason)).collect()
    }
}

impl Target {
    fn failed(&self, reason: &Reason) -> impl Iterator<Item = Outcome> {
        self.edges.iter().map(move |&edge| Outcome {
            edge: EdgeRef { destination: self.destination, edge },
            verdict: Verdict::Failed,
            reason: Some(Arc::clone(reason)),
        })
    }
}

/// One work in progress.
struct Worker<'a> {
    run: &'a Run<'a>,
    work: &'a Work,
}

/// The root manifest as it is written under tags.
type Root = (String, Bytes);

impl Worker<'_> {
    async fn outcomes(&self) -> Vec<Outcome> {
        let copied = self.copy().await;
        let done = self.work.targets.iter().map(|target| self.bring(target, &copied));
        join_all(done).await.concat()
    }

    /// The outcomes of one target, once the digest was copied to where it was lacking.
    async fn bring(
        &self,
        target: &Target,
        copied: &HashMap<usize, Result<Root, Reason>>,
    ) -> Vec<Outcome> {
        match (target.lacks, copied.get(&target.destination)) {
            (Lacks::Tags, _) => self.tag(target, None, Verdict::Tagged).await,
            (Lacks::Digest, Some(Ok(root))) => self.tag(target, Some(root), Verdict::Copied).await,
            (Lacks::Digest, Some(Err(reason))) => target.failed(reason).collect(),
            (Lacks::Digest, None) => target.failed(&Reason::from("it has no origin")).collect(),
        }
    }

    /// Copies the digest to every target that lacks it; an origin that fails is followed by the next.
    async fn copy(&self) -> HashMap<usize, Result<Root, Reason>> {
        let mut results = HashMap::new();
        let lacking = self.work.targets.iter().filter(|target| target.lacks == Lacks::Digest);
        let mut open: Vec<usize> = lacking.map(|target| target.destination).collect();
        for origin in &self.work.origins {
            if open.is_empty() {
                break;
            }
            let copied = self.copy_from(*origin, &open).await;
            let blames_origin = |result: &Copied| matches!(result, Err((Blame::Origin, _)));
            open = copied.iter().filter(|(_, one)| blames_origin(one)).map(|(at, _)| *at).collect();
            results.extend(copied.into_iter().map(|(at, one)| (at, one.map_err(|(_, why)| why))));
        }
        results
    }

    async fn copy_from(&self, origin: Origin, to: &[usize]) -> Vec<(usize, Copied)> {
        let all = |reason: Reason| {
            to.iter().map(|&at| (at, Err((Blame::Origin, Arc::clone(&reason))))).collect()
        };
        let digest = self.digest();
        let source = match self.origin(origin) {
            Ok(source) => source,
            Err(reason) => return all(reason),
        };
        let image = match Image::load(&source, &digest).await {
            Ok(image) => image,
            Err(error) => return all(error.to_string().into()),
        };
        let destinations: Vec<_> =
            to.iter().map(|&at| Destination::Registry(self.destination(at))).collect();
        let copied = image.copy_to(&self.run.in_flight, &destinations).await;
        let root = (image.root().media_type.clone(), image.root().bytes.clone());
        let result = |result: Result<_, transfer::Error>| match result {
            Ok(_) => Ok(root.clone()),
            Err(error) if error.is_source() => Err((Blame::Origin, error.to_string().into())),
            Err(error) => Err((Blame::Destination, error.to_string().into())),
        };
        to.iter().copied().zip(copied.into_iter().map(result)).collect()
    }

    /// Writes the tags of `target`, whose digest is there; `verdict` is what success is called.
    async fn tag(&self, target: &Target, root: Option<&Root>, verdict: Verdict) -> Vec<Outcome> {
        let repository = self.destination(target.destination);
        let place = &self.run.edges.destinations()[target.destination];
        let mut fetched = root.cloned();
        let mut outcomes = Vec::with_capacity(target.edges.len());
        for &edge in &target.edges {
            let done = match self.run.edges.tag(&place.edges[edge]) {
                None => Ok(()),
                Some(tag) => write_tag(&repository, tag, self.digest(), &mut fetched).await,
            };
            let (verdict, reason) = match done {
                Ok(()) => (verdict, target.note.clone()),
                Err(Untagged::Moved(there)) => (Verdict::Refused, Some(tag_move(&there))),
                Err(Untagged::Failed(error)) => {
                    (Verdict::Failed, Some(self.run.hosts.explain(repository.host(), &error)))
                }
                Err(Untagged::Altered(other)) => (
                    Verdict::Failed,
                    Some(format!("the registry stored the tag on {other}").into()),
                ),
            };
            outcomes.push(Outcome {
                edge: EdgeRef { destination: target.destination, edge },
                verdict,
                reason,
            });
        }
        outcomes
    }

    fn digest(&self) -> Digest {
        self.run.edges.wish_by_id(self.work.wish).entry.digest
    }

    fn destination(&self, index: usize) -> RepositoryClient {
        let place = &self.run.edges.destinations()[index];
        self.run.hosts.client().repository(&place.prefix.host, &place.repository)
    }

    fn origin(&self, origin: Origin) -> Result<RepositoryClient, Reason> {
        match origin {
            Origin::Source(wish) => source_repository(self.run, wish),
            Origin::Destination(index) => Ok(self.destination(index)),
        }
    }
}

/// What a copy to one destination came to.
type Copied = Result<Root, (Blame, Reason)>;

/// Whose fault a failed copy is: with the origin's, another origin may do.
enum Blame {
    Origin,
    Destination,
}

/// Why a tag was not written.
enum Untagged {
    Moved(Digest),
    Altered(Digest),
    Failed(registry_client::Error),
}

impl From<registry_client::Error> for Untagged {
    fn from(error: registry_client::Error) -> Self {
        Self::Failed(error)
    }
}

/// Puts `tag` on `digest`, unless it is there by now, on whatever digest. The manifest comes from
/// `root`, or from the repository itself, whose copy is as good and near.
async fn write_tag(
    repository: &RepositoryClient,
    tag: &Tag,
    digest: Digest,
    root: &mut Option<Root>,
) -> Result<(), Untagged> {
    let by_tag = Reference::Tag(tag.clone());
    if let Some(head) = repository.head_manifest(&by_tag).await? {
        return if head.digest == digest { Ok(()) } else { Err(Untagged::Moved(head.digest)) };
    }
    let (media_type, bytes) = match root {
        Some(root) => root,
        None => {
            let fetched = repository.manifest(&digest.into()).await?;
            root.insert((fetched.media_type, fetched.bytes))
        }
    };
    let stored = repository.put_manifest(&by_tag, media_type, bytes.clone()).await?;
    if stored == digest { Ok(()) } else { Err(Untagged::Altered(stored)) }
}
