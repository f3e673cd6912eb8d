//! A store in memory, for tests: the same rules as every other store, and nothing outlives the process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use oci::Digest;

use crate::{
    Error, LIST_PAGE, ListedObject, ObjectHead, Part, Put, key,
    object::{check_content, corrupt, not_found},
};

/// Objects in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryStore(Arc<Mutex<BTreeMap<String, (Digest, Bytes)>>>);

impl MemoryStore {
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn head(&self, digest: &Digest) -> Result<ObjectHead, Error> {
        self.whole(digest).map(|content| ObjectHead { length: content.len() as u64 })
    }

    pub(crate) fn get(&self, digest: &Digest, part: &Part, max: u64) -> Result<Bytes, Error> {
        let (content, key) = (self.whole(digest)?, key(digest));
        let range = part.of(&key, content.len() as u64, max)?;
        if *part == Part::Whole && !digest.matches(&content) {
            return Err(corrupt(&key));
        }
        // Both ends are within content that is in memory.
        let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
        Ok(content.slice(at(range.start)..at(range.end)))
    }

    pub(crate) fn writer(&self, digest: &Digest, length: u64) -> MemoryWriter {
        MemoryWriter { to: self.clone(), digest: *digest, length, content: BytesMut::new() }
    }

    pub(crate) fn list(&self, prefix: &str, after: Option<&Digest>) -> Vec<ListedObject> {
        let after = after.map(ToString::to_string);
        let objects = self.objects();
        let names = objects.iter().filter(|(name, _)| name.starts_with(prefix));
        let beyond = names.filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after));
        let listed = beyond.map(|(_, (digest, content))| ListedObject {
            digest: *digest,
            length: content.len() as u64,
        });
        listed.take(LIST_PAGE).collect()
    }

    fn whole(&self, digest: &Digest) -> Result<Bytes, Error> {
        let content = self.objects().get(&digest.to_string()).map(|(_, content)| content.clone());
        content.ok_or_else(|| not_found(&key(digest)))
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, (Digest, Bytes)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Content on its way into memory.
#[derive(Debug)]
pub(crate) struct MemoryWriter {
    to: MemoryStore,
    digest: Digest,
    length: u64,
    content: BytesMut,
}

impl MemoryWriter {
    pub(crate) fn write(&mut self, piece: &Bytes) {
        self.content.extend_from_slice(piece);
    }

    pub(crate) fn commit(self) -> Result<Put, Error> {
        let found = Digest::of(self.digest.algorithm(), &self.content);
        let expected = (&self.digest, self.length);
        check_content(expected, (&found, self.content.len() as u64))?;
        let content = (self.digest, self.content.freeze());
        Ok(match self.to.objects().insert(self.digest.to_string(), content.clone()) {
            None => Put::Written,
            Some(before) if before == content => Put::AlreadyThere,
            Some(_) => Put::Repaired,
        })
    }
}
