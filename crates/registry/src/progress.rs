//! The progress of an upload, as response headers state it.
//!
//! Source: distribution-spec 1.1, "Pushing blobs".

use axum::response::{IntoResponse as _, Response};
use http::{
    HeaderName, StatusCode,
    header::{LOCATION, RANGE},
};
use oci::Repository;

use crate::upload_id::UploadId;

const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// The progress of an upload.
#[derive(Debug)]
pub(crate) struct UploadProgress {
    pub(crate) location: String,
    /// Bytes so far.
    pub(crate) received: u64,
    id: UploadId,
}

impl UploadProgress {
    pub(crate) fn new(name: &Repository, id: UploadId, received: u64) -> Self {
        Self { location: format!("/v2/{name}/blobs/uploads/{id}"), received, id }
    }

    /// The `Range` header. Like other registries, it states `0-0` also before the first byte.
    pub(crate) fn range(&self) -> String {
        format!("0-{}", self.received.saturating_sub(1))
    }

    pub(crate) fn response(self, status: StatusCode) -> Response {
        let headers = [
            (RANGE, self.range()),
            (DOCKER_UPLOAD_UUID, self.id.to_string()),
            (LOCATION, self.location),
        ];
        (status, headers).into_response()
    }
}
