//! Which registries refuse mounts: a blob is then pushed by a plain upload.
//!
//! Source: distribution-spec 1.1, "Mounting a blob from another repository": a registry that does not mount
//! opens an upload session (202). Some respond by an error instead.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use oci::Host;

use crate::Error;

/// How many hosts are remembered: more than a run has. Beyond, all are forgotten, which costs a request each.
const MAX_HOSTS: usize = 1024;
/// After how many refusals in a row that may pass (5xx, a broken connection) no mount is tried again. Where one
/// request in ten fails at random, as many in a row are one case in a thousand.
const PASSING_REFUSALS: u32 = 3;

/// Refusals in a row, by host.
#[derive(Debug, Default)]
pub(crate) struct MountMemory(Mutex<HashMap<Host, u32>>);

impl MountMemory {
    /// Whether `host` refuses every mount, as far as is known.
    pub(crate) fn refuses(&self, host: &Host) -> bool {
        let refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.get(host).is_some_and(|refusals| *refusals >= PASSING_REFUSALS)
    }

    /// Notes that `host` mounted, or opened an upload session in its place.
    pub(crate) fn accepted(&self, host: &Host) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(host);
    }

    /// Notes that `host` responded to a mount by `error`, and then opened a plain upload.
    pub(crate) fn refused(&self, host: &Host, error: &Error) {
        let is_settled = error.status().is_some() && !error.is_transient();
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.len() >= MAX_HOSTS {
            refusals.clear();
        }
        let count = refusals.entry(host.clone()).or_default();
        *count = if is_settled { PASSING_REFUSALS } else { *count + 1 };
    }
}
