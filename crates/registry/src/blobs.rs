//! Blobs: read, whole or in part, and delete. [`crate::push`] stores them.
//!
//! Source: distribution-spec 1.1, "Pulling blobs", "Deleting Blobs"; RFC 9110 §14 and §13.1.5 for
//! ranges.

use std::ops::Range;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    StatusCode,
    header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE},
    request::Parts,
};
use http_server::{
    file_stream,
    range::{ByteSelection, content_range},
};
use oci::{Digest, Repository};

use crate::{
    DOCKER_CONTENT_DIGEST,
    conditions::{instead_of_content, validators},
    etag::etag,
    refusal::{Refusal, unless_absent},
    storage::{Storage, StoredBlob},
};

pub(crate) async fn read(
    storage: &Storage,
    name: Repository,
    digest: Digest,
    parts: &Parts,
) -> Result<Response, Refusal> {
    let unknown = Refusal::BlobUnknown(name.clone(), digest);
    let found = storage.run(move |backend| backend.blob(&name, digest)).await;
    let blob = unless_absent(found, unknown)?;
    let size = blob.size();
    if let Some(response) = instead_of_content(&parts.headers, digest)? {
        return Ok(response);
    }
    let part = match ByteSelection::of(&parts.method, &parts.headers, &etag(digest), size) {
        ByteSelection::Whole => None,
        ByteSelection::Part(part) => Some(part),
        ByteSelection::Unsatisfiable => return Err(Refusal::RangeOutside { size }),
    };
    let range = part.clone().unwrap_or(0..size);
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, (range.end - range.start).to_string()),
        (ACCEPT_RANGES, "bytes".to_owned()),
    ];
    let body = content(blob, range, digest);
    Ok(match part {
        Some(part) => {
            let range = [(CONTENT_RANGE, content_range(&part, size))];
            (StatusCode::PARTIAL_CONTENT, headers, validators(digest), range, body).into_response()
        }
        None => (headers, validators(digest), body).into_response(),
    })
}

fn content(blob: StoredBlob, range: Range<u64>, digest: Digest) -> Body {
    match blob {
        // The range lies within the bytes, so its ends fit.
        StoredBlob::Bytes(bytes) => {
            let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap_or(0));
            Body::from(bytes.slice(start..end))
        }
        // The file is read only when the body is polled, which a HEAD does not do.
        StoredBlob::File { file, .. } => Body::from_stream(file_stream(file, range, digest)),
    }
}

pub(crate) async fn delete(
    storage: &Storage,
    name: Repository,
    digest: Digest,
) -> Result<Response, Refusal> {
    let unknown = Refusal::BlobUnknown(name.clone(), digest);
    let deleted = storage.run(move |backend| backend.delete_blob(&name, digest));
    let digest = [(DOCKER_CONTENT_DIGEST, digest.to_string())];
    if deleted.await? { Ok((StatusCode::ACCEPTED, digest).into_response()) } else { Err(unknown) }
}
