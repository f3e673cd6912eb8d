//! Reading from the source registries which of the wanted digests they have, and their digest tags if
//! attachments are compared. A source is asked only if some destination lacks something of it, or for attachments.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use futures_util::{StreamExt as _, stream};
use oci::{Host, Reference, Repository};
use promotion_manifest::SourceDigestId;
use registry_client::{Inventory, RepositoryClient};

use crate::{Run, inventory::REPOSITORIES_AT_ONCE, reason::Reason};

/// What the sources hold.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Whether the source of a requested digest has its digest, or why that cannot be said.
    has: HashMap<SourceDigestId, Result<bool, Arc<Reason>>>,
    /// What is known of the attachments at the source of a requested digest.
    hanging: HashMap<SourceDigestId, Arc<Inventory>>,
}

impl Sources {
    /// Whether the source of a requested digest has its digest, or why that is unknown; none if it was not requested.
    pub(crate) fn has(&self, source_digest: SourceDigestId) -> Option<Result<bool, &Arc<Reason>>> {
        self.has.get(&source_digest).map(|has| has.as_ref().copied())
    }

    /// What is known of the attachments at the source of a requested digest.
    pub(crate) fn hanging(&self, source_digest: SourceDigestId) -> Option<&Inventory> {
        self.hanging.get(&source_digest).map(|inventory| &**inventory)
    }
}

/// What is asked of one source repository.
struct Question {
    repository: RepositoryClient,
    source_digests: Vec<SourceDigestId>,
}

/// What became of it.
struct Answer {
    source_digests: Vec<SourceDigestId>,
    read: Result<Held, Arc<Reason>>,
}

/// What a source repository holds.
struct Held {
    /// Of each requested digest, in their order, whether the digest is there, or why that cannot be said.
    has: Vec<Result<bool, Arc<Reason>>>,
    hanging: Arc<Inventory>,
}

/// What the sources of `source_digests` hold of them.
pub(crate) async fn read_sources(run: &Run<'_>, source_digests: Vec<SourceDigestId>) -> Sources {
    let mut sources = Sources::default();
    let mut questions: BTreeMap<(Host, Repository), Question> = BTreeMap::new();
    for source_digest in source_digests {
        match run.source(source_digest) {
            Ok(repository) => {
                let key = (repository.host().clone(), repository.name().clone());
                let new = || Question { repository, source_digests: Vec::new() };
                questions.entry(key).or_insert_with(new).source_digests.push(source_digest);
            }
            Err(reason) => drop(sources.has.insert(source_digest, Err(reason))),
        }
    }
    run.progress.stage("reading source repositories", questions.len() as u64);
    let mut by_host: BTreeMap<Host, Vec<Question>> = BTreeMap::new();
    for ((host, _), question) in questions {
        by_host.entry(host).or_default().push(question);
    }
    let read = by_host.into_values().map(|questions| {
        stream::iter(questions)
            .map(|question| async move {
                let read = run.stop.unless_stopped(read_source(run, &question)).await;
                run.progress.advance(1);
                let host = question.repository.host();
                let read = read.unwrap_or_else(|| Err(run.interrupted(std::slice::from_ref(host))));
                Answer { source_digests: question.source_digests, read }
            })
            .buffer_unordered(REPOSITORIES_AT_ONCE)
    });
    let mut answers = stream::select_all(read);
    while let Some(answer) = answers.next().await {
        sources.add(answer);
    }
    sources
}

impl Sources {
    fn add(&mut self, answer: Answer) {
        match answer.read {
            Ok(Held { has, hanging }) => {
                self.hanging.extend(
                    answer
                        .source_digests
                        .iter()
                        .map(|source_digest| (*source_digest, Arc::clone(&hanging))),
                );
                self.has.extend(answer.source_digests.into_iter().zip(has));
            }
            Err(reason) => {
                let unread = |source_digest| (source_digest, Err(Arc::clone(&reason)));
                self.has.extend(answer.source_digests.into_iter().map(unread));
            }
        }
    }
}

async fn read_source(run: &Run<'_>, question: &Question) -> Result<Held, Arc<Reason>> {
    let host = question.repository.host();
    run.hosts.check(host).await?;
    let digests = question
        .source_digests
        .iter()
        .map(|source_digest| run.edges.source_digest(*source_digest).entry.digest);
    let digests: Vec<_> = digests.collect();
    let mut wanted: Vec<_> = digests.iter().copied().map(Reference::Digest).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let read = question.repository.inventory(&wanted).await;
    let mut inventory = read.map_err(|error| run.hosts.explain(host, error))?;
    let has = digests.iter().map(|digest| match inventory.unread(&Reference::Digest(*digest)) {
        Some(error) => Err(run.hosts.explain(host, Arc::clone(error))),
        None => Ok(inventory.holds(digest).is_present()),
    });
    let has = has.collect();
    inventory.keep_digest_tags();
    Ok(Held { has, hanging: Arc::new(inventory) })
}
