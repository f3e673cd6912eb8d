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

mod answer;
mod attachments;
mod auth;
mod blob;
mod blob_part;
mod builder;
mod causes;
mod chance;
mod client;
mod conditions;
mod content;
mod credentials;
mod error;
mod exchange;
mod google_list;
mod guard;
mod handshake;
mod head_memory;
mod headers;
mod held;
mod host_memory;
mod inventory;
mod known;
mod link;
mod listing;
mod login;
mod mounts;
mod pinned;
mod pointer;
mod pool;
mod presence;
mod push;
mod quota;
mod rate;
mod reasons;
mod redirect;
mod referrer_index;
mod referrers;
mod referrers_memory;
mod registry;
mod repository;
mod request;
mod retry;
mod scheme;
mod source;
mod substitute;
mod tag_write;
mod tls;
mod tls_fault;
mod unlisted;
mod unprocessed;
mod upload;
mod url;

pub use crate::{
    attachments::{Attachments, DanglingTag, DigestTag},
    auth::{Challenge, read_challenges},
    blob::BlobReader,
    builder::ClientBuilder,
    chance::Chance,
    client::Client,
    credentials::{
        Credential, CredentialError, Credentials, CredentialsBuilder, DockerConfig, FileProblem,
        Google, HelperFault, Secret,
    },
    error::Error,
    error::fault::{Fault, IndexProblem},
    error::pointer::{Pointer, Refusal},
    google_list::{ListedManifest, Listing, read_listing},
    held::Held,
    inventory::{Inventory, Ladder, Lister},
    known::Known,
    link::{MalformedLink, next_link},
    listing::Listed,
    presence::FoundBlob,
    push::{OnProgress, Push, Pushed, SMALL_BLOB_BYTES},
    quota::{HostWait, Quota, Spent, Verb},
    referrer_index::PutReferrer,
    referrers::Referrers,
    referrers_memory::Via,
    repository::{FetchedManifest, MAX_MANIFEST_BYTES, ManifestHead, RepositoryClient},
    retry::Retries,
    source::{BlobSource, BlobStream, RemoteBlob},
    tag_write::{Merge, TagWrite},
    tls::PemError,
    unprocessed::Unprocessed,
    upload::{Mount, Upload},
    url::RedactedUrl,
};
