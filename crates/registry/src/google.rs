//! The extended `tags/list` of Google's registries: every manifest of a repository, tagged or not, and
//! the repositories below it, in one response, truncated at a limit.
//!
//! Source: the responses of `gcr.io` and `pkg.dev`, as go-containerregistry's `google` package reads them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use oci::{Digest, Manifest, Repository, Tag};

use crate::{
    access::{Requester, Right},
    limits::MAX_PAGE,
    refusal::Refusal,
    storage::{Storage, StorageBackend, StorageError, StoredManifest, readable},
};

/// The limit of manifests and of tags, as at Google, which does not mark a truncated list.
const MOST: usize = MAX_PAGE;

#[derive(Debug, serde::Serialize)]
struct GoogleListing {
    name: Repository,
    tags: Vec<Tag>,
    child: BTreeSet<String>,
    manifest: BTreeMap<String, ManifestEntry>,
}

/// A manifest in the list. Numbers are strings.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct ManifestEntry {
    image_size_bytes: String,
    media_type: String,
    tag: Vec<Tag>,
    time_created_ms: String,
    time_uploaded_ms: String,
}

pub(crate) async fn tags(
    storage: &Storage,
    requester: Requester,
    name: Repository,
) -> Result<Response, Refusal> {
    let repository = name.clone();
    let work = move |backend: &dyn StorageBackend| {
        Ok((read(backend, &repository)?, children(backend, &repository, &requester)?))
    };
    let (found, child) = storage.run(work).await?;
    let (tags, manifest) = match found {
        Some(found) => found,
        None if child.is_empty() => return Err(Refusal::NameUnknown(name)),
        None => Default::default(),
    };
    let listing = GoogleListing { name, tags, child, manifest };
    let json = serde_json::json!(listing).to_string();
    Ok(([(CONTENT_TYPE, "application/json")], json).into_response())
}

type TagsAndManifests = (Vec<Tag>, BTreeMap<String, ManifestEntry>);

fn read(
    backend: &dyn StorageBackend,
    name: &Repository,
) -> Result<Option<TagsAndManifests>, StorageError> {
    let Some(mut tags) = backend.tags(name)? else { return Ok(None) };
    tags.sort_unstable();
    tags.truncate(MOST);
    let mut tags_on = HashMap::<Digest, Vec<Tag>>::new();
    for tag in &tags {
        if let Some(digest) = readable(backend.tagged(name, tag))?.flatten() {
            tags_on.entry(digest).or_default().push(tag.clone());
        }
    }
    let mut manifests = backend.manifests(name)?;
    manifests.sort_unstable();
    manifests.truncate(MOST);
    let mut listed = BTreeMap::new();
    for (digest, pushed) in manifests {
        // A damaged manifest is left out, so that clients push it again.
        if let Some(stored) = readable(backend.manifest(name, digest))?.flatten() {
            let tags = tags_on.remove(&digest).unwrap_or_default();
            listed.insert(digest.to_string(), ManifestEntry::new(stored, pushed, tags));
        }
    }
    Ok(Some((tags, listed)))
}

impl ManifestEntry {
    fn new(stored: StoredManifest, pushed: SystemTime, tag: Vec<Tag>) -> Self {
        let since = pushed.duration_since(UNIX_EPOCH).unwrap_or_default();
        let pushed = since.as_millis().to_string();
        Self {
            image_size_bytes: image_size(&stored).to_string(),
            media_type: stored.media_type,
            tag,
            time_created_ms: pushed.clone(),
            time_uploaded_ms: pushed,
        }
    }
}

/// The length of config and layers, or of the manifest itself where there are none.
fn image_size(stored: &StoredManifest) -> u64 {
    match Manifest::parse(&stored.media_type, &stored.bytes) {
        Ok(Manifest::Image(image)) => {
            let layers = image.layers.iter().map(|layer| layer.size);
            layers.fold(image.config.size, u64::saturating_add)
        }
        Ok(Manifest::Index(_)) | Err(_) => stored.bytes.len() as u64,
    }
}

/// The components that follow `name/` in repositories that this requester may pull from.
fn children(
    backend: &dyn StorageBackend,
    name: &Repository,
    requester: &Requester,
) -> Result<BTreeSet<String>, StorageError> {
    let below = format!("{name}/");
    let is_below = |other: &Repository| {
        other.as_str().starts_with(&below) && requester.may(Right::Pull, other)
    };
    let found = backend.repositories(None, usize::MAX, &is_below)?;
    let first = |other: &Repository| {
        other.as_str().strip_prefix(&below)?.split('/').next().map(str::to_owned)
    };
    Ok(found.iter().filter_map(first).collect())
}
