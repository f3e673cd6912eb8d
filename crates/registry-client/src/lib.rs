//! The OCI distribution API over HTTP, seen from the client: manifests, blobs, listings, uploads.
//!
//! What comes in is verified before it is believed: manifests and blobs against their digests,
//! blobs while they stream. Every request passes one function (`exchange`), which waits for the quota, says
//! who asks, and asks again where that may help; what each fault leads to is the tables of
//! `docs/registry-client.md`.
//!
//! Not here: one read for many destinations (crate `transfer`); what signatures mean.
//!
//! Source: distribution-spec 1.1.

mod attachments;
mod attempts;
mod auth;
mod blob;
mod blob_part;
mod builder;
mod client;
mod conditions;
mod error;
mod exchange;
mod existence;
mod google_list;
mod head_memory;
mod headers;
mod host_memory;
mod inventory;
mod link;
mod listing;
mod login;
mod mounts;
#[cfg(test)]
mod over_http2;
mod permit;
mod pointer;
mod presence;
mod push;
mod quota;
mod reasons;
mod redirect;
mod referrer_index;
mod referrers;
mod referrers_memory;
mod registry;
mod repository;
mod request;
mod response;
mod source;
mod substitute;
mod tag_write;
mod unlisted;
mod upload;

pub use http_client::{Chance, PemError, RedactedUrl, Retries, TransportError, Unprocessed};

pub use crate::{
    attachments::{Attachments, DanglingTag, DigestTag},
    auth::{Challenge, read_challenges},
    blob::BlobReader,
    builder::ClientBuilder,
    client::Client,
    error::Error,
    error::fault::{Fault, IndexProblem},
    error::pointer::{Pointer, Refusal},
    existence::Existence,
    google_list::{ListedManifest, Listing, read_listing},
    inventory::{Inventory, Ladder, Lister},
    link::{MalformedLink, next_link},
    listing::NameList,
    permit::SharedPermit,
    presence::FoundBlob,
    push::{OnProgress, Push, Pushed, SMALL_BLOB_BYTES},
    quota::{HostWait, Quota, RequestKind, Usage},
    referrer_index::PutReferrer,
    referrers::Referrers,
    referrers_memory::Via,
    repository::{FetchedManifest, MAX_MANIFEST_BYTES, ManifestHead, RepositoryClient},
    source::{BlobSource, BlobStream, RemoteBlob},
    tag_write::{Merge, TagWrite},
    upload::{Mount, Upload},
};
