//! Attaches a manifest that a destination has by its digest to its subject there: as a referrer, or under a digest tag
//! as a union with what the tag is on.
//!
//! Source: distribution-spec 1.1, "Pushing Manifests with Subject"; the layout of cosign.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use oci::{Digest, Tag};
use registry_client::{BlobPush, FetchedManifest, Merge, RepositoryClient, Via};

use crate::{
    AttachedBy, Attachment, Defect, Error, comparison::not_mergeable, union::MergeableManifest,
};

/// The largest config that is merged, in bytes: cosign's have a hundred for each signature.
const MAX_CONFIG_BYTES: usize = 1 << 20;

/// How an attachment is found from its subject at a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// The registry itself lists it.
    Registry,
    /// By the tag of an index of referrers. Other clients write such tags, too.
    ReferrersTag,
    /// By its digest tag, which was left on this manifest if the registry said so. Other clients write such tags, too.
    DigestTag(Option<Digest>),
}

/// Attaches `manifest`, which `to` has by its digest, to the subject of `attachment`. A digest tag that exists is merged:
/// it then has all its layers and those of `manifest`. `from` is where the config of `manifest` is read.
///
/// Source: distribution-spec 1.1, "Pushing Manifests with Subject"; the layout of cosign.
///
/// # Errors
/// When `to` cannot be read or written, `from` cannot be read, or the two manifests have no union.
pub async fn attach(
    from: &RepositoryClient,
    attachment: &Attachment,
    manifest: &FetchedManifest,
    to: &RepositoryClient,
) -> Result<FoundBy, Error> {
    match &attachment.by {
        AttachedBy::Referrer => {
            let (media_type, bytes) = (&manifest.media_type, manifest.bytes.clone());
            let put = to.put_referrer(attachment.digest, media_type, bytes).await?;
            Ok(if put.via == Via::Api { FoundBy::Registry } else { FoundBy::ReferrersTag })
        }
        AttachedBy::Tag(tag) => merge(from, tag, manifest, to).await.map(FoundBy::DigestTag),
    }
}

/// Puts a digest tag on a manifest that has all layers of this one, and of all that it was on; returns what it is on
/// then.
async fn merge(
    from: &RepositoryClient,
    tag: &Tag,
    manifest: &FetchedManifest,
    to: &RepositoryClient,
) -> Result<Option<Digest>, Error> {
    let wanted = Mutex::new((from.clone(), manifest.clone()));
    let merged = to.merge_at_tag(tag, |current| {
        let (at, all) = wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let wanted = &wanted;
        async move {
            let current = match current {
                None => return Ok(Merge::Write(all)),
                Some(current) if current.digest == all.digest => return Ok(Merge::Enough),
                Some(current) => current,
            };
            let merged = unite(&at, tag, &all, (to, &current)).await?;
            if let Merge::Write(union) = &merged {
                let union = (to.clone(), union.clone());
                *wanted.lock().unwrap_or_else(PoisonError::into_inner) = union;
            }
            Ok(merged)
        }
    });
    merged.await
}

/// The union of what a digest tag is on and of what is to be there. Its config is written first.
async fn unite(
    from: &RepositoryClient,
    tag: &Tag,
    manifest: &FetchedManifest,
    (to, current): (&RepositoryClient, &FetchedManifest),
) -> Result<Merge, Error> {
    let parse = |found: &FetchedManifest, at: &RepositoryClient| {
        MergeableManifest::parse(found.digest, &found.media_type, &found.bytes)
            .map_err(|cause| not_mergeable(tag, at, cause))
    };
    let (old, new) = (parse(current, to)?, parse(manifest, from).map_err(Error::of_source)?);
    if old.covers(&new) {
        return Ok(Merge::Enough);
    }
    let others = config(from, &new).await.map_err(Error::of_source)?;
    let config = config(to, &old).await?;
    let union = old.with(&config, &new, &others);
    let union = union.map_err(|cause| not_mergeable(tag, to, cause))?;
    if let Some(config) = union.config {
        let push = BlobPush::new(Digest::sha256(&config), config.len() as u64);
        to.push_blob(&push, &Bytes::from(config)).await?;
    }
    let (bytes, media_type) = (Bytes::from(union.manifest), union.media_type);
    Ok(Merge::Write(FetchedManifest { digest: Digest::sha256(&bytes), media_type, bytes }))
}

/// The config of a manifest, whole.
async fn config(at: &RepositoryClient, of: &MergeableManifest) -> Result<Vec<u8>, Error> {
    let Some(digest) = of.config() else { return Ok(Vec::new()) };
    let mut reader = at.blob(&digest).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = reader.next().await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_CONFIG_BYTES {
            let (manifest, repository) = (of.digest(), at.to_string());
            let max = MAX_CONFIG_BYTES;
            return Err(Error::unusable(Defect::ConfigTooLarge { manifest, repository, max }));
        }
    }
    Ok(bytes)
}
