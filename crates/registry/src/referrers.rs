//! Referrers: which manifests have a digest as their subject.
//!
//! Source: distribution-spec 1.1, "Listing Referrers".

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use oci::{Descriptor, Digest, Manifest, Repository, media_type};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    limits::MAX_REFERRERS_BYTES,
    listing::with_link,
    operation::ReferrersQuery,
    refusal::Refusal,
    storage::{Storage, StorageBackend, StorageError, StoredManifest, readable},
};

const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

pub(crate) async fn list(
    storage: &Storage,
    name: Repository,
    subject: Digest,
    referring: ReferrersQuery,
) -> Result<Response, Refusal> {
    let path = format!("/v2/{name}/referrers/{subject}");
    let filter = referring.artifact_type.clone();
    let limit = referring.page.limit();
    let page = storage
        .run(move |backend| ReferrersPage::read(backend, &name, subject, &referring))
        .await?;
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_INDEX,
        "manifests": page.descriptors,
    });
    let next = page.next_after.map(|last| match &filter {
        Some(filter) => {
            let filter = utf8_percent_encode(filter, NON_ALPHANUMERIC);
            format!("{path}?artifactType={filter}&n={limit}&last={last}")
        }
        None => format!("{path}?n={limit}&last={last}"),
    });
    let response = ([(CONTENT_TYPE, media_type::OCI_INDEX)], index.to_string());
    let mut response = with_link(next, response.into_response());
    if filter.is_some() {
        let applied = HeaderValue::from_static("artifactType");
        response.headers_mut().insert(OCI_FILTERS_APPLIED, applied);
    }
    Ok(response)
}

/// A page of descriptors of referrers, in the order of their digests.
#[derive(Default)]
struct ReferrersPage {
    descriptors: Vec<serde_json::Value>,
    /// The last digest of this page, if there are more.
    next_after: Option<Digest>,
}

impl ReferrersPage {
    fn read(
        backend: &dyn StorageBackend,
        name: &Repository,
        subject: Digest,
        referring: &ReferrersQuery,
    ) -> Result<Self, StorageError> {
        let mut digests = backend.referrers(name, subject)?;
        digests.sort_unstable_by_key(Digest::to_string);
        let (mut page, mut length, mut last) = (Self::default(), 0, None);
        for digest in digests {
            if referring.page.is_before(&digest.to_string()) {
                continue;
            }
            // The manifest may be not yet written, already deleted, or damaged.
            let stored = readable(backend.manifest(name, digest))?.flatten();
            let Some(stored) = stored else { continue };
            let Some(descriptor) = descriptor(digest, subject, &stored) else { continue };
            if referring.artifact_type.is_some()
                && referring.artifact_type != descriptor.artifact_type
            {
                continue;
            }
            let descriptor = serde_json::json!(descriptor);
            length += descriptor.to_string().len() + 1;
            let is_full = page.descriptors.len() >= referring.page.limit();
            if is_full || (length > MAX_REFERRERS_BYTES && !page.descriptors.is_empty()) {
                page.next_after = last;
                break;
            }
            page.descriptors.push(descriptor);
            last = Some(digest);
        }
        Ok(page)
    }
}

/// None if the manifest has another subject.
fn descriptor(digest: Digest, subject: Digest, stored: &StoredManifest) -> Option<Descriptor> {
    let manifest = Manifest::parse(&stored.media_type, &stored.bytes).ok()?;
    if manifest.subject()?.digest != subject {
        return None;
    }
    let mut descriptor = Descriptor::new(&*stored.media_type, digest, stored.bytes.len() as u64);
    descriptor.artifact_type = manifest.artifact_type().map(str::to_owned);
    descriptor.annotations.clone_from(manifest.annotations());
    Some(descriptor)
}
