//! What a run has learned about hosts, within a bound.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use oci::Host;

/// The most entries: more hosts than a run has. When it is reached, all are removed, which costs one request each.
const MAX_ENTRIES: usize = 1024;

/// What is known about hosts, one value for each kind `K` of knowledge.
#[derive(Debug)]
pub(crate) struct HostMemory<K, V>(Mutex<HashMap<(Host, K), V>>);

impl<K, V> Default for HostMemory<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Copy + Eq + Hash, V: Copy> HostMemory<K, V> {
    /// What is known.
    pub(crate) fn get(&self, host: &Host, kind: K) -> Option<V> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(&(host.clone(), kind)).copied()
    }

    /// Replaces the value of a host by the result of `change`; none means unknown.
    pub(crate) fn update(&self, host: &Host, kind: K, change: impl FnOnce(Option<V>) -> Option<V>) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.clone(), kind);
        match change(entries.get(&key).copied()) {
            Some(value) => {
                if entries.len() >= MAX_ENTRIES && !entries.contains_key(&key) {
                    entries.clear();
                }
                entries.insert(key, value);
            }
            None => {
                entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_cached_than_the_bound() {
        let memory = HostMemory::<(), usize>::default();
        let host = |number| format!("host-{number}.example").parse().expect("a host");
        for number in 0..=MAX_ENTRIES {
            memory.update(&host(number), (), |known| {
                assert_eq!(known, None);
                Some(number)
            });
            assert!(memory.0.lock().expect("no panic").len() <= MAX_ENTRIES);
        }
        assert_eq!(memory.get(&host(MAX_ENTRIES), ()), Some(MAX_ENTRIES));
        memory.update(&host(MAX_ENTRIES), (), |_| None);
        assert_eq!(memory.get(&host(MAX_ENTRIES), ()), None);
    }
}
