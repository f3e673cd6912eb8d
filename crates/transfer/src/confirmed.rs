//! What a run has confirmed to be at its destinations: each manifest and blob is asked for once.
//!
//! Only presence is remembered. What was absent is asked for again, since it may have been written meanwhile.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{Content, Destination};

/// How many presences are remembered, each as a hash of 8 bytes: 72 MiB at most, since the table doubles and is at
/// most seven eighths full. What is beyond that is asked for again. That any two of so many hashes are equal has a
/// chance of one in 600,000.
pub const MAX_CONFIRMED: usize = 7 << 20;

/// The presences that a run has confirmed.
#[derive(Debug, Default)]
pub(crate) struct Confirmed {
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    present: HashSet<u64>,
    /// One lock for each question that is under way, so that equal ones wait for its result.
    pending: HashMap<u64, Arc<tokio::sync::Mutex<()>>>,
}

impl Confirmed {
    /// Whether `content` is at `destination`: known already, or as `ask` says.
    pub(crate) async fn once<E>(
        &self,
        content: Content,
        destination: &Destination,
        ask: impl Future<Output = Result<bool, E>>,
    ) -> Result<bool, E> {
        let key = self.key(content, destination);
        let pending = Arc::clone(self.state().pending.entry(key).or_default());
        let turn = pending.lock().await;
        let found = if self.state().present.contains(&key) { Ok(true) } else { ask.await };
        if let Ok(true) = found {
            self.add(key);
        }
        drop(turn);
        let mut state = self.state();
        // This one and the map's: no other task waits.
        if Arc::strong_count(&pending) == 2 {
            state.pending.remove(&key);
        }
        found
    }

    /// Notes that `content` is at `destination`.
    pub(crate) fn note(&self, content: Content, destination: &Destination) {
        self.add(self.key(content, destination));
    }

    /// Notes that it may not be there any more.
    pub(crate) fn forget(&self, content: Content, destination: &Destination) {
        let key = self.key(content, destination);
        self.state().present.remove(&key);
    }

    fn add(&self, key: u64) {
        let present = &mut self.state().present;
        if present.len() < MAX_CONFIRMED {
            present.insert(key);
        }
    }

    fn key(&self, content: Content, destination: &Destination) -> u64 {
        let (is_manifest, digest) = match content {
            Content::Manifest(digest) => (true, digest),
            Content::Blob(digest) => (false, digest),
        };
        match destination {
            Destination::Registry(repository) => {
                self.hasher.hash_one((is_manifest, digest, repository.host(), repository.name()))
            }
            Destination::Store(store) => {
                self.hasher.hash_one((is_manifest, digest, store.to_string()))
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
