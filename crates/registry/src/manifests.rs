//! Manifests: read, write and delete, by tag and by digest.
//!
//! Source: distribution-spec 1.1, "Pulling manifests", "Pushing Manifests", "Deleting Manifests".

use std::{collections::HashSet, ops::ControlFlow};

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION},
    request::Parts,
};
use http_server::Conditions;
use oci::{Digest, Manifest, Reference, Repository, Tag, media_type};

use crate::{
    DOCKER_CONTENT_DIGEST, RegistrySettings,
    body::Incoming,
    conditions::{allow_writing, instead_of_content, validators},
    limits::{MAX_CHECKED_BLOBS, MAX_STORED_MANIFEST_BYTES, MAX_TAGS_AT_ONCE},
    refusal::{Refusal, unless_absent},
    storage::{Storage, StorageBackend, StorageError, StoredManifest, readable},
};

/// The registry lists the referrer, so the client need not maintain an index of referrers.
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// One for each tag of a push that names several.
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

pub(crate) async fn read(
    storage: &Storage,
    name: Repository,
    reference: Reference,
    parts: &Parts,
) -> Result<Response, Refusal> {
    let unknown = Refusal::ManifestUnknown(name.clone(), reference.to_string());
    let is_head = parts.method == Method::HEAD;
    let find = move |backend: &dyn StorageBackend| {
        let digest = match reference {
            Reference::Digest(digest) => digest,
            Reference::Tag(tag) => match backend.tagged(&name, &tag)? {
                Some(digest) => digest,
                None => return Ok(None),
            },
        };
        let Some(manifest) = backend.manifest(&name, digest)? else { return Ok(None) };
        if is_head {
            no_blob_is_damaged(backend, &name, &manifest)?;
        }
        Ok(Some((digest, manifest)))
    };
    let found = unless_absent(storage.run(find).await, unknown)?;
    let (digest, StoredManifest { media_type, bytes }) = found;
    if let Some(response) = instead_of_content(&parts.headers, digest)? {
        return Ok(response);
    }
    let headers = [(CONTENT_TYPE, media_type), (CONTENT_LENGTH, bytes.len().to_string())];
    Ok((headers, validators(digest), bytes).into_response())
}

/// Fails if a blob of this image is damaged. Some clients decide by the HEAD of a manifest alone whether to push
/// the image. A GET still returns the manifest, from which clients learn the blobs to push. The children of an
/// index are not checked: one damaged child must not hide the others.
fn no_blob_is_damaged(
    backend: &dyn StorageBackend,
    name: &Repository,
    stored: &StoredManifest,
) -> Result<(), StorageError> {
    // An earlier version may have accepted a manifest that this one rejects.
    let Ok(manifest) = Manifest::parse(&stored.media_type, &stored.bytes) else { return Ok(()) };
    let blobs = manifest.blobs().take(MAX_CHECKED_BLOBS);
    blobs.into_iter().try_for_each(|blob| backend.has_blob(name, blob.digest).map(drop))
}

/// The present digest of a tag; for a digest, the digest itself if it exists.
fn current(
    backend: &dyn StorageBackend,
    name: &Repository,
    reference: &Reference,
) -> Result<Option<Digest>, StorageError> {
    match reference {
        Reference::Digest(digest) => Ok(backend.manifest(name, *digest)?.map(|_| *digest)),
        Reference::Tag(tag) => backend.tagged(name, tag),
    }
}

/// A manifest to be written.
struct ManifestPush {
    name: Repository,
    reference: Reference,
    tags: Vec<Tag>,
    digest: Digest,
    manifest: Manifest,
    stored: StoredManifest,
    conditions: Conditions,
    settings: RegistrySettings,
}

pub(crate) async fn write(
    storage: &Storage,
    settings: &RegistrySettings,
    (name, reference, mut tags): (Repository, Reference, Vec<Tag>),
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<Response, Refusal> {
    let max = settings.limits.max_manifest_bytes.min(MAX_STORED_MANIFEST_BYTES);
    let bytes = body.collect(max).await?;
    let served_as = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let served_as = media_type::essence(served_as.unwrap_or_default());
    let (manifest, digest, stored) = understand(served_as, bytes, reference.clone()).await?;
    let response = created(&name, digest, &manifest, &tags);
    if let Reference::Tag(tag) = &reference
        && !tags.contains(tag)
    {
        tags.push(tag.clone());
    }
    let (conditions, settings) = (Conditions::of(headers), *settings);
    let alone = name.clone();
    let push =
        ManifestPush { name, reference, tags, digest, manifest, stored, conditions, settings };
    storage.run_alone(&alone, move |backend| push.run(backend)).await??;
    Ok(response)
}

impl ManifestPush {
    /// The present digest of the reference, for the conditions. A damaged copy of the pushed manifest counts as
    /// absent, since the client got 404 for it. For other content the tag is taken.
    fn current(&self, backend: &dyn StorageBackend) -> Result<Option<Digest>, StorageError> {
        let current = readable(current(backend, &self.name, &self.reference))?.flatten();
        if current != Some(self.digest) {
            return Ok(current);
        }
        let stored = readable(backend.manifest(&self.name, self.digest))?.flatten();
        Ok(current.filter(|_| stored.is_some()))
    }

    fn run(&self, backend: &dyn StorageBackend) -> Result<Result<(), Refusal>, StorageError> {
        let Self { name, digest, .. } = self;
        let current = self.current(backend)?;
        if !allow_writing(&self.conditions, current) {
            return Ok(Err(Refusal::Precondition(current)));
        }
        let mut to_write = Vec::new();
        for tag in &self.tags {
            match readable(backend.tagged(name, tag))?.flatten() {
                Some(on) if on == *digest => {}
                Some(on) if self.settings.immutable_tags => {
                    return Ok(Err(Refusal::TagStays { tag: tag.clone(), on }));
                }
                _ => to_write.push(tag),
            }
        }
        if !self.settings.allow_missing_references {
            let missing = missing(backend, name, &self.manifest)?;
            if !missing.is_empty() {
                return Ok(Err(Refusal::ManifestBlobUnknown(name.clone(), missing)));
            }
        }
        let subject = self.manifest.subject().map(|subject| subject.digest);
        backend.put_manifest(name, *digest, &self.stored, subject)?;
        // Tags come last: a visible tag has its manifest.
        to_write.into_iter().try_for_each(|tag| backend.put_tag(name, tag, *digest))?;
        Ok(Ok(()))
    }
}

fn created(name: &Repository, digest: Digest, manifest: &Manifest, tags: &[Tag]) -> Response {
    let location = format!("/v2/{name}/manifests/{digest}");
    let mut response =
        (StatusCode::CREATED, [(LOCATION, location)], validators(digest)).into_response();
    let subject = manifest.subject().map(|subject| (OCI_SUBJECT, subject.digest.to_string()));
    for (name, text) in tags.iter().map(|tag| (OCI_TAG, tag.to_string())).chain(subject) {
        // Every tag and digest is a valid header value.
        if let Ok(value) = HeaderValue::try_from(text) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Parses and hashes megabytes on a blocking thread.
async fn understand(
    served_as: &str,
    bytes: Bytes,
    reference: Reference,
) -> Result<(Manifest, Digest, StoredManifest), Refusal> {
    let served_as = served_as.to_owned();
    let work = move || {
        let manifest = Manifest::parse(&served_as, &bytes).map_err(Refusal::Manifest)?;
        let digest = requested_digest(&reference, &bytes)?;
        let media_type = own_type(&manifest, &served_as);
        Ok((manifest, digest, StoredManifest { media_type, bytes }))
    };
    tokio::task::spawn_blocking(work).await.map_err(StorageError::Interrupted)?
}

fn requested_digest(reference: &Reference, bytes: &[u8]) -> Result<Digest, Refusal> {
    match reference {
        Reference::Tag(_) => Ok(Digest::sha256(bytes)),
        Reference::Digest(requested) => {
            let found = Digest::of(requested.algorithm(), bytes);
            if found == *requested { Ok(found) } else { Err(Refusal::DigestMismatch(found)) }
        }
    }
}

/// The media type to serve: the pushed one, or that of the content if the pushed one names no manifest.
fn own_type(manifest: &Manifest, served_as: &str) -> String {
    let (field, default) = match manifest {
        Manifest::Image(image) => (&image.media_type, media_type::OCI_MANIFEST),
        Manifest::Index(index) => (&index.media_type, media_type::OCI_INDEX),
    };
    if media_type::is_manifest(served_as) {
        return served_as.to_owned();
    }
    field.clone().filter(|field| !field.is_empty()).unwrap_or_else(|| default.to_owned())
}

/// The content that `manifest` lists and the repository lacks, each once. An index may list blobs, as build
/// caches do. Config and layers are blobs, whatever their media types.
fn missing(
    backend: &dyn StorageBackend,
    name: &Repository,
    manifest: &Manifest,
) -> Result<Vec<Digest>, StorageError> {
    let (mut missing, mut seen) = (Vec::new(), HashSet::new());
    let children = manifest.children().iter();
    let children = children.map(|child| (child, media_type::is_manifest(&child.media_type)));
    for (child, is_manifest) in children.chain(manifest.blobs().map(|blob| (blob, false))) {
        if !seen.insert(child.digest) {
            continue;
        }
        let known = match is_manifest {
            true => readable(backend.manifest(name, child.digest))?.flatten().is_some(),
            false => readable(backend.has_blob(name, child.digest))?.unwrap_or(false),
        };
        if !known {
            missing.push(child.digest);
        }
    }
    Ok(missing)
}

pub(crate) async fn delete(
    storage: &Storage,
    settings: &RegistrySettings,
    (name, reference): (Repository, Reference),
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let alone = name.clone();
    let deletion = Deletion {
        name,
        reference,
        conditions: Conditions::of(headers),
        immutable_tags: settings.immutable_tags,
    };
    if let Reference::Digest(digest) = deletion.reference {
        deletion.thin_out(storage, digest).await?;
    }
    let digest = storage.run_alone(&alone, move |backend| deletion.run(backend)).await??;
    let mut response = StatusCode::ACCEPTED.into_response();
    let digest = digest.and_then(|digest| HeaderValue::try_from(digest.to_string()).ok());
    response.headers_mut().extend(digest.map(|digest| (DOCKER_CONTENT_DIGEST, digest)));
    Ok(response)
}

/// A tag, or a manifest with its tags, to be deleted.
#[derive(Clone)]
struct Deletion {
    name: Repository,
    reference: Reference,
    conditions: Conditions,
    immutable_tags: bool,
}

impl Deletion {
    /// Deletes tags of the manifest, a batch at a time, so that other writes to the repository do not wait for
    /// thousands of deletions. If the process is killed, the manifest keeps the remaining tags.
    async fn thin_out(&self, storage: &Storage, digest: Digest) -> Result<(), Refusal> {
        if self.immutable_tags {
            return Ok(());
        }
        let name = self.name.clone();
        let tags = storage.run(move |backend| tags_on(backend, &name, digest)).await?;
        for some in tags.chunks(MAX_TAGS_AT_ONCE) {
            let (this, some) = (self.clone(), some.to_vec());
            let work = move |backend: &dyn StorageBackend| this.delete_tags(backend, digest, some);
            if storage.run_alone(&self.name, work).await?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Those that are on the digest still, if the conditions hold still.
    fn delete_tags(
        &self,
        backend: &dyn StorageBackend,
        digest: Digest,
        mut tags: Vec<Tag>,
    ) -> Result<ControlFlow<()>, StorageError> {
        let current = readable(current(backend, &self.name, &self.reference))?.flatten();
        if !allow_writing(&self.conditions, current) {
            return Ok(ControlFlow::Break(()));
        }
        let mut on_it = Vec::new();
        for tag in tags.drain(..) {
            if readable(backend.tagged(&self.name, &tag))?.flatten() == Some(digest) {
                on_it.push(tag);
            }
        }
        backend.delete_tags(&self.name, &on_it)?;
        Ok(ControlFlow::Continue(()))
    }

    /// What it was that the reference was on, as far as that could be read.
    fn run(
        &self,
        backend: &dyn StorageBackend,
    ) -> Result<Result<Option<Digest>, Refusal>, StorageError> {
        let Self { name, reference, .. } = self;
        // None in it: there is something, and it is damaged.
        let current = readable(current(backend, name, reference))?;
        if current == Some(None) {
            return Ok(Err(Refusal::ManifestUnknown(name.clone(), reference.to_string())));
        }
        let current = current.flatten();
        if !allow_writing(&self.conditions, current) {
            return Ok(Err(Refusal::Precondition(current)));
        }
        let tags = match reference {
            Reference::Tag(tag) => vec![tag.clone()],
            Reference::Digest(digest) => tags_on(backend, name, *digest)?,
        };
        if self.immutable_tags && !tags.is_empty() {
            return Ok(Err(Refusal::TagsStay));
        }
        // First: no tag is seen without what it names.
        backend.delete_tags(name, &tags)?;
        if let Reference::Digest(digest) = reference {
            backend.delete_manifest(name, *digest, subject(backend, name, *digest)?)?;
        }
        Ok(Ok(current))
    }
}

fn tags_on(
    backend: &dyn StorageBackend,
    name: &Repository,
    digest: Digest,
) -> Result<Vec<Tag>, StorageError> {
    let mut found = Vec::new();
    for tag in backend.tags(name)?.unwrap_or_default() {
        if readable(backend.tagged(name, &tag))?.flatten() == Some(digest) {
            found.push(tag);
        }
    }
    Ok(found)
}

/// What the manifest refers to. One that is damaged can be deleted too.
fn subject(
    backend: &dyn StorageBackend,
    name: &Repository,
    digest: Digest,
) -> Result<Option<Digest>, StorageError> {
    let stored = readable(backend.manifest(name, digest))?.flatten();
    let manifest =
        stored.and_then(|stored| Manifest::parse(&stored.media_type, &stored.bytes).ok());
    Ok(manifest.and_then(|manifest| Some(manifest.subject()?.digest)))
}
