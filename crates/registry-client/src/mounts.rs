//! Which registries refuse mounts: a blob is then pushed by a plain upload.
//!
//! Source: distribution-spec 1.1, "Mounting a blob from another repository": a registry that does not mount
//! opens an upload session (202). Some respond by an error instead.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use http::StatusCode;
use oci::{Host, Repository};

use crate::Error;

/// How many hosts are remembered: more than a run has. Beyond, all are forgotten, which costs a request each.
const MAX_HOSTS: usize = 1024;
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
pub(crate) struct MountMemory(Mutex<HashMap<Host, Record>>);

#[derive(Clone, Copy, Debug)]
enum Record {
    /// It refuses mounts.
    Refuses,
    /// So many mounts in a row failed.
    Fails(u32),
    /// As many in a row failed that so many blobs are pushed without one.
    Paused(u32),
}

/// What a failed mount says of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Refuses,
    Fails,
    /// Nothing: it was one repository, or too many requests.
    Nothing,
}

impl Verdict {
    fn of(error: &Error, own: &Repository, from: &Repository) -> Self {
        match error.status() {
            // The repository `from` is unknown, which it may be only as yet.
            Some(StatusCode::NOT_FOUND) => Self::Nothing,
            Some(StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) => Self::Nothing,
            // Other repositories may be readable.
            _ if error.is_unauthorized() && from != own => Self::Nothing,
            Some(_) if !error.is_transient() => Self::Refuses,
            _ => Self::Fails,
        }
    }
}

impl MountMemory {
    /// Whether the next blob of `host` is worth a mount.
    pub(crate) fn allows(&self, host: &Host) -> bool {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(record) = records.get_mut(host) else { return true };
        match record {
            Record::Fails(_) => true,
            Record::Refuses => false,
            Record::Paused(0) => {
                // Only one is tried, however many wait for what comes of it.
                *record = Record::Paused(PAUSE_BLOBS);
                true
            }
            Record::Paused(blobs) => {
                *blobs -= 1;
                false
            }
        }
    }

    /// Notes that `host` mounted, or opened an upload session in its place.
    pub(crate) fn accepted(&self, host: &Host) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(host);
    }

    /// Notes that `host` responded by `error` to a mount from `from` to `own`, and then opened a plain upload.
    pub(crate) fn failed(&self, host: &Host, error: &Error, own: &Repository, from: &Repository) {
        let verdict = Verdict::of(error, own, from);
        if verdict == Verdict::Nothing {
            return;
        }
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() >= MAX_HOSTS && !records.contains_key(host) {
            records.clear();
        }
        let record = records.entry(host.clone()).or_insert(Record::Fails(0));
        *record = match (verdict, *record) {
            (Verdict::Refuses, _) => Record::Refuses,
            (_, Record::Fails(failures)) if failures + 1 < MAX_FAILURES => {
                Record::Fails(failures + 1)
            }
            (_, Record::Fails(_)) => Record::Paused(PAUSE_BLOBS),
            (_, record) => record,
        };
    }
}
