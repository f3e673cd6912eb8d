//! Which registries refuse mounts: a blob is then pushed by a plain upload.
//!
//! Source: distribution-spec 1.1, "Mounting a blob from another repository": a registry that does not mount
//! opens an upload session (202). Some respond by an error instead.

use http::StatusCode;
use http_client::TransportError;
use oci::{Host, Repository};

use crate::{Error, RequestFault, host_memory::HostMemory};

/// The number of consecutive failures (5xx, a broken connection) after which mounts are paused. If one request in ten
/// fails at random, so many in a row are one case in a hundred thousand.
/// Three would be one case in a thousand, so that a large run would send whole blobs which the registry could mount.
/// A registry that fails every mount costs two requests more for five than for three, and then one for each pause.
const MAX_FAILURES: u32 = 5;
/// The number of blobs that are pushed without a mount in such a pause. Then one mount is tried: an outage ends, and a
/// registry that never mounts costs one useless request for so many blobs.
const PAUSE_BLOBS: u32 = 20;

/// The hosts that do not respond to mounts as the specification says.
#[derive(Debug, Default)]
pub(crate) struct MountMemory(HostMemory<(), Record>);

#[derive(Clone, Copy, Debug)]
enum Record {
    /// It refuses mounts.
    Refuses,
    /// The number of consecutive failed mounts.
    Fails(u32),
    /// Too many mounts failed in a row: this number of blobs is pushed without one.
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
            // The repository `from` is unknown, perhaps only for now.
            Some(StatusCode::NOT_FOUND) => Self::Inconclusive,
            Some(StatusCode::REQUEST_TIMEOUT) => Self::Inconclusive,
            _ if error.is_throttled() => Self::Inconclusive,
            _ if matches!(
                error.fault(),
                RequestFault::Transport(TransportError::NotProcessed { .. })
            ) =>
            {
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
    /// Whether to try a mount for the next blob of `host`.
    pub(crate) fn allows(&self, host: &Host) -> bool {
        let mut is_allowed = true;
        self.0.update(host, (), |record| {
            let (allowed, record) = match record? {
                Record::Fails(failures) => (true, Record::Fails(failures)),
                Record::Refuses => (false, Record::Refuses),
                // Only one mount is tried, however many blobs wait for its result.
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
