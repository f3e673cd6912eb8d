//! The OCI distribution API over HTTP, seen from the client: manifests, blobs, listings, uploads.
//!
//! What comes in is verified before it is believed: manifests and blobs against their digests,
//! blobs while they stream. Every request passes one function, bounded in time, size and
//! redirects; what each fault leads to is the table of `docs/registry-client.md`.
//!
//! Not here: credentials, retries and quotas (a request is asked once, anonymously), chunked
//! uploads, referrers.
//!
//! Source: distribution-spec 1.1.

mod blob;
mod client;
mod content;
mod error;
mod exchange;
mod link;
mod listing;
mod pool;
mod rate;
mod repository;
mod upload;
mod url;

pub use crate::{
    blob::BlobReader,
    client::{Client, ClientBuilder},
    error::{Error, Fault, Pointer, Refusal},
    link::next_link,
    repository::{FetchedManifest, MAX_MANIFEST_BYTES, ManifestHead, RepositoryClient},
    upload::{Mount, Upload},
    url::RedactedUrl,
};
