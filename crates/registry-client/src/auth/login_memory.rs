//! Which credentials which registries accept.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use credentials::Credential;

/// What a realm says of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verification {
    Accepted,
    Rejected,
    /// It could not be found out.
    Unknown,
}

/// Which credentials which registries accept. As many entries as there are credentials that were refused something.
#[derive(Default)]
pub(crate) struct LoginMemory(Mutex<HashMap<(String, Credential), Verification>>);

impl LoginMemory {
    pub(crate) fn of(&self, key: &(String, Credential)) -> Option<Verification> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    pub(crate) fn note(&self, key: (String, Credential), verified: Verification) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, verified);
    }
}
