//! A storage in memory: maps behind one lock, never held while anything waits.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use oci::{Digest, Repository, Tag};

use super::{Backend, Blob, Content, Done, Known, Staged, StorageError, StoredManifest, failed};
use crate::limits::MAX_MEMORY_BLOB_BYTES;

#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<BTreeMap<Repository, Held>>);

/// What one repository holds.
#[derive(Debug, Default)]
struct Held {
    blobs: HashMap<Digest, Bytes>,
    manifests: HashMap<Digest, StoredManifest>,
    tags: BTreeMap<Tag, Digest>,
}

impl Held {
    fn is_empty(&self) -> bool {
        self.blobs.is_empty() && self.manifests.is_empty()
    }
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Repository, Held>> {
        // Every change is one call on one map: a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, name: &Repository, of: impl FnOnce(&Held) -> T) -> Option<T> {
        self.lock().get(name).map(of)
    }

    fn write<T>(&self, name: &Repository, to: impl FnOnce(&mut Held) -> T) -> T {
        to(self.lock().entry(name.clone()).or_default())
    }
}

impl Backend for Memory {
    fn max_blob_bytes(&self) -> u64 {
        MAX_MEMORY_BLOB_BYTES
    }

    fn stage(&self) -> Result<Staged, StorageError> {
        Ok(Staged::Bytes(Vec::new()))
    }

    fn put_blob(&self, name: &Repository, digest: Digest, content: Content) -> Done {
        let bytes = match content {
            Content::Bytes(bytes) => bytes,
            Content::File(path) => fs::read(&path).map_err(failed("read", &path))?.into(),
        };
        self.write(name, |held| held.blobs.insert(digest, bytes));
        Ok(())
    }

    fn mount_blob(&self, from: &Repository, name: &Repository, digest: Digest) -> Known {
        let bytes = self.read(from, |held| held.blobs.get(&digest).cloned()).flatten();
        let known = bytes.is_some();
        if let Some(bytes) = bytes {
            self.write(name, |held| held.blobs.insert(digest, bytes));
        }
        Ok(known)
    }

    fn has_blob(&self, name: &Repository, digest: Digest) -> Known {
        Ok(self.read(name, |held| held.blobs.contains_key(&digest)).unwrap_or(false))
    }

    fn blob(&self, name: &Repository, digest: Digest) -> Result<Option<Blob>, StorageError> {
        Ok(self.read(name, |held| held.blobs.get(&digest).cloned().map(Blob::Bytes)).flatten())
    }

    fn delete_blob(&self, name: &Repository, digest: Digest) -> Known {
        Ok(self.write(name, |held| held.blobs.remove(&digest)).is_some())
    }

    fn put_manifest(&self, name: &Repository, digest: Digest, manifest: StoredManifest) -> Done {
        self.write(name, |held| held.manifests.insert(digest, manifest));
        Ok(())
    }

    fn has_manifest(&self, name: &Repository, digest: Digest) -> Known {
        Ok(self.read(name, |held| held.manifests.contains_key(&digest)).unwrap_or(false))
    }

    fn manifest(
        &self,
        name: &Repository,
        digest: Digest,
    ) -> Result<Option<StoredManifest>, StorageError> {
        Ok(self.read(name, |held| held.manifests.get(&digest).cloned()).flatten())
    }

    fn delete_manifest(&self, name: &Repository, digest: Digest) -> Known {
        Ok(self.write(name, |held| {
            held.tags.retain(|_, tagged| *tagged != digest);
            held.manifests.remove(&digest).is_some()
        }))
    }

    fn put_tag(&self, name: &Repository, tag: &Tag, digest: Digest) -> Done {
        self.write(name, |held| held.tags.insert(tag.clone(), digest));
        Ok(())
    }

    fn tagged(&self, name: &Repository, tag: &Tag) -> Result<Option<Digest>, StorageError> {
        Ok(self.read(name, |held| held.tags.get(tag).copied()).flatten())
    }

    fn delete_tag(&self, name: &Repository, tag: &Tag) -> Known {
        Ok(self.write(name, |held| held.tags.remove(tag)).is_some())
    }

    fn tags(&self, name: &Repository) -> Result<Option<Vec<Tag>>, StorageError> {
        let tags = |held: &Held| (!held.is_empty()).then(|| held.tags.keys().cloned().collect());
        Ok(self.read(name, tags).flatten())
    }

    fn repositories(&self) -> Result<Vec<Repository>, StorageError> {
        let all = self.lock();
        Ok(all.iter().filter(|(_, held)| !held.is_empty()).map(|(name, _)| name.clone()).collect())
    }
}
