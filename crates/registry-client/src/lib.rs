//! The OCI distribution API over HTTP, seen from the client: manifests, blobs, listings, uploads.
//!
//! Received content is verified against its digest: manifests as a whole, blobs while they stream. Every request passes one function (`exchange`), which waits for the quota,
//! authorizes, follows redirects and retries. How each fault is handled is in the tables of
//! `docs/internals/registry-client.md`.
//!
//! Not here: one read for many destinations (crate `transfer`); the verification of signatures.
//!
//! Source: distribution-spec 1.1.

mod api;
mod auth;
mod blobs;
mod builder;
mod client;
mod error;
mod exchange;
mod host_memory;
mod inventory;
mod limit;

pub use http_client::{Chance, PemError, RedactedUrl, Retries, TransportError, Unprocessed};

pub use crate::{
    api::existence::Existence,
    api::link::{MalformedLink, next_link},
    api::listing::NameList,
    api::presence::FoundBlob,
    api::referrer_index::PutReferrer,
    api::referrers::Referrers,
    api::referrers_memory::Via,
    api::repository::{FetchedManifest, MAX_MANIFEST_BYTES, ManifestHead, RepositoryClient},
    api::tag_write::{Merge, TagWrite},
    auth::{Challenge, read_challenges},
    blobs::push::{BlobPush, OnProgress, Pushed, SMALL_BLOB_BYTES},
    blobs::reader::BlobReader,
    blobs::source::{BlobSource, BlobStream, RemoteBlob},
    blobs::upload::{Mount, Upload},
    builder::ClientBuilder,
    client::RegistryClient,
    error::Error,
    error::fault::{IndexProblem, RequestFault},
    error::pointer::{Pointer, PointerRefusal},
    inventory::google_list::{ListedManifest, Listing, read_listing},
    inventory::{Inventory, ListAndHead, Lister},
    limit::permit::SharedPermit,
    limit::{HostWait, Quota, RequestKind, Usage},
};
