//! Which repositories have the referrers API.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use oci::{Host, Repository};

/// The most cached repositories, some 200 bytes each. When there are more, all are removed, and probed again.
const MAX_REMEMBERED: usize = 10_000;

/// How a registry lists referrers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// By the referrers API.
    Api,
    /// Not at all: a client that pushes a referrer adds it to an index under the tag `<algorithm>-<encoded>`.
    Tag,
}

/// Which repositories have the referrers API.
#[derive(Default)]
pub(crate) struct ApiMemory(Mutex<HashMap<(Host, Repository), Via>>);

impl ApiMemory {
    pub(crate) fn of(&self, host: &Host, name: &Repository) -> Option<Via> {
        let key = (host.clone(), name.clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }

    pub(crate) fn note(&self, host: &Host, name: &Repository, via: Via) {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.len() >= MAX_REMEMBERED {
            memory.clear();
        }
        memory.insert((host.clone(), name.clone()), via);
    }
}
