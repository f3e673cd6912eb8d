//! Pulling through the front as a client from somewhere: everything that a reference reaches, every
//! digest verified, and where each blob came from.

use std::{collections::HashSet, net::IpAddr};

use anyhow::Context as _;
use oci::{Digest, Host, Manifest, Reference, Repository};
use registry_client::{RegistryClient, RepositoryClient};

/// What a pull came to.
#[derive(Default)]
pub(crate) struct Pulled {
    pub manifests: usize,
    pub blobs: usize,
    pub bytes: u64,
    /// The hosts that blobs came from.
    pub hosts: HashSet<String>,
}

/// Pulls `reference` of `name` through `front` as a client at `address`.
///
/// # Errors
/// When something is missing, or is not what its digest says.
pub(crate) async fn pull(
    front: &Host,
    name: &Repository,
    reference: &Reference,
    address: IpAddr,
) -> anyhow::Result<Pulled> {
    let client = RegistryClient::builder().forwarded_for(address).build();
    let repository = client.repository(front, name);
    let mut pulled = Pulled::default();
    let mut seen = HashSet::new();
    let mut open = vec![reference.clone()];
    while let Some(reference) = open.pop() {
        let fetched = repository.manifest(&reference).await?;
        pulled.manifests += 1;
        let manifest = Manifest::parse(&fetched.media_type, &fetched.bytes)
            .with_context(|| format!("{repository}@{}", fetched.digest))?;
        open.extend(manifest.children().iter().map(|child| child.digest.into()));
        for blob in manifest.blobs() {
            if seen.insert(blob.digest) {
                pulled.blob(&repository, &blob.digest).await?;
            }
        }
    }
    Ok(pulled)
}

impl Pulled {
    async fn blob(&mut self, repository: &RepositoryClient, digest: &Digest) -> anyhow::Result<()> {
        let mut blob = repository.blob(digest).await?;
        self.hosts.insert(blob.served_by().authority().to_owned());
        // The reader yields its end only if length and digest are right.
        while let Some(piece) = blob.next().await? {
            self.bytes += piece.len() as u64;
        }
        self.blobs += 1;
        Ok(())
    }
}
