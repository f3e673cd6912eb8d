//! Manifests: read, write and delete, by tag and by digest.
//!
//! Source: distribution-spec 1.1, "Pulling manifests", "Pushing Manifests", "Deleting Manifests".

use axum::response::{IntoResponse, Response};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION},
};
use oci::{Digest, Manifest, Reference, Repository, media_type};

use crate::{
    DOCKER_CONTENT_DIGEST,
    body::Incoming,
    limits::MAX_MANIFEST_BYTES,
    refusal::Refusal,
    storage::{Backend, Storage, StorageError, StoredManifest},
};

pub(crate) async fn read(
    storage: &Storage,
    name: Repository,
    reference: Reference,
) -> Result<Response, Refusal> {
    let unknown = Refusal::ManifestUnknown(name.clone(), reference.to_string());
    let found = storage.run(move |backend| find(backend, &name, &reference)).await?;
    let (digest, StoredManifest { media_type, bytes }) = found.ok_or(unknown)?;
    let headers = [
        (CONTENT_TYPE, media_type),
        (CONTENT_LENGTH, bytes.len().to_string()),
        (DOCKER_CONTENT_DIGEST, digest.to_string()),
    ];
    Ok((headers, bytes).into_response())
}

fn find(
    backend: &dyn Backend,
    name: &Repository,
    reference: &Reference,
) -> Result<Option<(Digest, StoredManifest)>, StorageError> {
    let digest = match reference {
        Reference::Digest(digest) => Some(*digest),
        Reference::Tag(tag) => backend.tagged(name, tag)?,
    };
    let Some(digest) = digest else { return Ok(None) };
    Ok(backend.manifest(name, digest)?.map(|manifest| (digest, manifest)))
}

pub(crate) async fn write(
    storage: &Storage,
    name: Repository,
    reference: Reference,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<Response, Refusal> {
    let bytes = body.collect(MAX_MANIFEST_BYTES).await?;
    let served_as = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let served_as = media_type::essence(served_as.unwrap_or_default());
    let manifest = Manifest::parse(served_as, &bytes)?;
    let digest = digest_as_asked(&reference, &bytes)?;
    let stored = StoredManifest { media_type: own_type(&manifest, served_as), bytes };
    let location = format!("/v2/{name}/manifests/{digest}");
    storage
        .run(move |backend| {
            let missing = missing(backend, &name, &manifest)?;
            if !missing.is_empty() {
                return Ok(Err(Refusal::ManifestBlobUnknown(name, missing)));
            }
            backend.put_manifest(&name, digest, stored)?;
            // Last: a tag is seen only with what it names.
            if let Reference::Tag(tag) = &reference {
                backend.put_tag(&name, tag, digest)?;
            }
            Ok(Ok(()))
        })
        .await??;
    let headers = [(LOCATION, location), (DOCKER_CONTENT_DIGEST, digest.to_string())];
    Ok((StatusCode::CREATED, headers).into_response())
}

fn digest_as_asked(reference: &Reference, bytes: &[u8]) -> Result<Digest, Refusal> {
    match reference {
        Reference::Tag(_) => Ok(Digest::sha256(bytes)),
        Reference::Digest(asked) => {
            let found = Digest::of(asked.algorithm(), bytes);
            if found == *asked { Ok(found) } else { Err(Refusal::DigestMismatch(found)) }
        }
    }
}

/// The media type to serve it as: as pushed, or what it is where that says nothing.
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

/// What `manifest` points to and the repository does not have, each once. An index may list blobs:
/// build caches do.
fn missing(
    backend: &dyn Backend,
    name: &Repository,
    manifest: &Manifest,
) -> Result<Vec<Digest>, StorageError> {
    let mut missing = Vec::new();
    for child in manifest.children().iter().chain(manifest.blobs()) {
        let known = if media_type::is_manifest(&child.media_type) {
            backend.has_manifest(name, child.digest)?
        } else {
            backend.has_blob(name, child.digest)?
        };
        if !known && !missing.contains(&child.digest) {
            missing.push(child.digest);
        }
    }
    Ok(missing)
}

pub(crate) async fn delete(
    storage: &Storage,
    name: Repository,
    reference: Reference,
) -> Result<Response, Refusal> {
    let unknown = Refusal::ManifestUnknown(name.clone(), reference.to_string());
    let deleted = storage.run(move |backend| match &reference {
        Reference::Tag(tag) => backend.delete_tag(&name, tag),
        Reference::Digest(digest) => backend.delete_manifest(&name, *digest),
    });
    if deleted.await? { Ok(StatusCode::ACCEPTED.into_response()) } else { Err(unknown) }
}
