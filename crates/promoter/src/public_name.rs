//! Reads the promoted images through the public name, as users do.
//!
//! Tags are resolved, manifests are read and verified, and blobs are requested by HEAD, at the targets of redirects. The
//! rules are in `docs/reference/promotion.md`, "Through the public name".

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex},
};

use futures_util::{StreamExt as _, stream};
use oci::{Descriptor, Digest, Host, Reference, Repository, Tag};
use promotion_manifest::{DestinationRepository, EdgeSet};
use registry_client::{FoundBlob, RepositoryClient};
use transfer::Image;

use crate::{Outcome, OutcomeKind, PromotionRun, PublicName, Reason, RemoteError};

/// Tags read at once.
const TAGS_AT_ONCE: usize = 8;

/// Blobs of one image requested at once.
const BLOBS_AT_ONCE: usize = 8;

/// A tag that the public name does not serve as it was written.
#[derive(Clone, Debug)]
pub struct PublicNameFailure {
    /// The image, as users pull it.
    pub name: String,
    /// The digest that the tag should be on.
    pub digest: Digest,
    /// What was found instead.
    pub reason: Arc<Reason>,
}

/// Reads each tag that was written according to `outcomes`, and returns the tags that are not served.
pub(crate) async fn verify(
    run: &PromotionRun<'_>,
    public: &PublicName,
    outcomes: &[Outcome],
) -> Vec<PublicNameFailure> {
    let mut written: BTreeMap<(Repository, Tag), Digest> = BTreeMap::new();
    let roots = Roots::of(run.edges);
    for outcome in outcomes {
        let edge = run.edges.edge(outcome.edge);
        if let OutcomeKind::Copied | OutcomeKind::Tagged = outcome.kind
            && let Some(tag) = edge.tag()
            && let Some(name) = roots.public_name(edge.destination())
        {
            written.insert((name, tag.clone()), edge.digest());
        }
    }
    run.progress.stage("reading through the public name", written.len() as u64);
    let requested = Mutex::new(HashSet::new());
    let read = stream::iter(written).map(|((name, tag), digest)| {
        let requested = &requested;
        async move {
            let repository = public.client.repository(&public.host, &name);
            let read = run.stop.unless_stopped(read(&repository, &tag, digest, requested)).await;
            run.progress.advance(1);
            let stopped = || Err(run.interrupted(std::slice::from_ref(&public.host)));
            let reason = read.unwrap_or_else(stopped).err()?;
            Some(PublicNameFailure { name: format!("{repository}:{tag}"), digest, reason })
        }
    });
    read.buffered(TAGS_AT_ONCE).filter_map(std::future::ready).collect().await
}

/// Reads one image. Blobs that are in `requested` were requested already.
async fn read(
    repository: &RepositoryClient,
    tag: &Tag,
    digest: Digest,
    requested: &Mutex<HashSet<Digest>>,
) -> Result<(), Arc<Reason>> {
    let found = repository.manifest(&Reference::Tag(tag.clone())).await;
    let found = found.map_err(failed)?;
    if found.digest != digest {
        return Err(Arc::new(Reason::OtherDigest { found: found.digest }));
    }
    let image = Image::load(repository, &digest).await.map_err(failed)?;
    let new = |blob: &&Descriptor| {
        requested.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(blob.digest)
    };
    let mut blobs = stream::iter(image.blobs().filter(new).collect::<Vec<_>>())
        .map(|blob| async move { (blob, repository.find_blob(&blob.digest, blob.size).await) })
        .buffer_unordered(BLOBS_AT_ONCE);
    while let Some((Descriptor { digest, size, .. }, found)) = blobs.next().await {
        match found {
            Ok(FoundBlob::Present) => {}
            Ok(FoundBlob::Absent) => {
                return Err(Arc::new(Reason::BlobNotFound { digest: *digest }));
            }
            Ok(FoundBlob::OtherLength(found)) => {
                let (digest, described) = (*digest, *size);
                return Err(Arc::new(Reason::BlobSize { digest, found, described }));
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

fn failed(error: impl Into<RemoteError>) -> Arc<Reason> {
    Arc::new(Reason::Remote(error.into()))
}

/// The destination paths of each host. The public name of a repository is its name below one of them.
struct Roots<'a>(BTreeMap<&'a Host, BTreeSet<&'a str>>);

impl<'a> Roots<'a> {
    fn of(edges: &'a EdgeSet) -> Self {
        let mut roots: BTreeMap<&Host, BTreeSet<&str>> = BTreeMap::new();
        for registry in edges.manifests().iter().flat_map(|manifest| &manifest.destinations) {
            let path = registry.prefix.path.as_ref().map_or("", Repository::as_str);
            roots.entry(&registry.prefix.host).or_default().insert(path);
        }
        Self(roots)
    }

    fn public_name(&self, destination: &DestinationRepository) -> Option<Repository> {
        let name = destination.repository.as_str();
        let below = |root: &&str| match *root {
            "" => Some(name),
            root => name.strip_prefix(root)?.strip_prefix('/'),
        };
        // If several paths contain the repository, the shortest path leaves the longest name.
        let names = self.0.get(&destination.prefix.host)?.iter().filter_map(below);
        names.max_by_key(|name| name.len())?.parse().ok()
    }
}
