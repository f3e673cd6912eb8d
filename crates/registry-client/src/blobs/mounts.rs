//! Which registries refuse mounts: a blob is then pushed by a plain upload.
//!
//! Source: distribution-spec 1.1, "Mounting a blob from another repository": a registry that does not mount
//! opens an upload session (202). Some respond by an error instead.

use http::StatusCode;
use http_client::TransportError;
use oci::{Host, Repository};

use crate::{Error, Fault, host_memory::HostMemory};

/// After how many failures in a row (5xx, a broken connection) mounts are paused. Where one request in ten
/// fails at random, as many in a row are one case in a hundred thousand.
/// Three would be one case in a thousand, so that a large run would send whole blobs which the registry could mount.
/// A registry that fails every mount costs two requests more for five than for three, and then one for each pause.
const MAX_FAILURES: u32 = 5;
/// How many blobs are pushed without a mount in such a pause. Then one is tried: an outage ends, and a registry
/// that never mounts gets one request in vain for as many blobs.
const PAUSE_BLOBS: u32 = 20;

/// How hosts respond to mounts, where not as they should.
#[derive(Debug, Default)]
pub(crate) struct MountMemory(HostMemory<(), Record>);

#[derive(Clone, Copy, Debug)]
enum Record {
    /// It refuses mounts.
    Refuses,
    /// So many mounts in a row failed.
    Fails(u32),
    /// As many in a row failed that so many blobs are pushed without one.
    Paused(u32),
}

/// What a failed mount shows about its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MountFailure {
    /// The host does not support mounts.
    Unsupported,
    /// A mount failed that should have succeeded.
    Fails,
    /// Nothing about the host: one repository is the cause, or too many requests.
    Inconclusive,
}

impl MountFailure {
    fn of(error: &Error, own: &Repository, from: &Repository) -> Self {
        match error.status() {
            // The repository `from` is unknown, which it may be only as yet.
            Some(StatusCode::NOT_FOUND) => Self::Inconclusive,
            Some(StatusCode::REQUEST_TIMEOUT) => Self::Inconclusive,
            _ if error.is_throttled() => Self::Inconclusive,
            _ if matches!(error.fault(), Fault::Transport(TransportError::NotProcessed { .. })) => {
                Self::Inconclusive
            }
            // Other repositories may be readable.
            _ if error.is_unauthorized() && from != own => Self::Inconclusive,
            Some(status) if status.is_client_error() => Self::Unsupported,
            Some(StatusCode::NOT_IMPLEMENTED) => Self::Unsupported,
            _ => Self::Fails,
        }
    }
}

impl MountMemory {
    /// Whether the next blob of `host` is worth a mount.
    pub(crate) fn allows(&self, host: &Host) -> bool {
        let mut is_allowed = true;
        self.0.update(host, (), |record| {
            let (allowed, record) = match record? {
                Record::Fails(failures) => (true, Record::Fails(failures)),
                Record::Refuses => (false, Record::Refuses),
                // Only one is tried, however many wait for what comes of it.
                Record::Paused(0) => (true, Record::Paused(PAUSE_BLOBS)),
                Record::Paused(blobs) => (false, Record::Paused(blobs - 1)),
            };
            is_allowed = allowed;
            Some(record)
        });
        is_allowed
    }

    /// Notes that `host` mounted, or opened an upload session in its place.
    pub(crate) fn accepted(&self, host: &Host) {
        self.0.update(host, (), |_| None);
    }

    /// Notes that `host` responded by `error` to a mount from `from` to `own`, and then opened a plain upload.
    pub(crate) fn failed(&self, host: &Host, error: &Error, own: &Repository, from: &Repository) {
        let verdict = MountFailure::of(error, own, from);
        self.0.update(host, (), |record| match (verdict, record) {
            (MountFailure::Inconclusive, record) => record,
            (MountFailure::Unsupported, _) => Some(Record::Refuses),
            (MountFailure::Fails, None) => Some(Record::Fails(1)),
            (MountFailure::Fails, Some(Record::Fails(failures))) if failures + 1 < MAX_FAILURES => {
                Some(Record::Fails(failures + 1))
            }
            (MountFailure::Fails, Some(Record::Fails(_))) => Some(Record::Paused(PAUSE_BLOBS)),
            (MountFailure::Fails, record) => record,
        });
    }
}
