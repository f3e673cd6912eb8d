//! A storage in memory: maps behind one lock, which is never held across a wait.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use oci::{Digest, Repository, Tag};

use super::{
    Backend, Blob, Done, Known, RecoveredSession, SavedSession, Staged, StorageError,
    StoredManifest,
};
use crate::{limits::MAX_MEMORY_BLOB_BYTES, upload_id::UploadId};

#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<BTreeMap<Repository, Held>>);

/// The content of one repository.
#[derive(Debug, Default)]
struct Held {
    blobs: HashMap<Digest, Bytes>,
    manifests: HashMap<Digest, (StoredManifest, SystemTime)>,
    referrers: HashMap<Digest, BTreeSet<Digest>>,
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

    /// Does nothing if the repository does not exist.
    fn delete<T>(&self, name: &Repository, from: impl FnOnce(&mut Held) -> Option<T>) -> bool {
        self.lock().get_mut(name).and_then(from).is_some()
    }

    fn find_blob(&self, from: Option<&Repository>, digest: Digest) -> Option<Bytes> {
        let all = self.lock();
        let blob = |held: &Held| held.blobs.get(&digest).cloned();
        match from {
            Some(from) => all.get(from).and_then(blob),
            None => all.values().find_map(blob),
        }
    }
}

impl Backend for Memory {
    fn max_blob_bytes(&self) -> u64 {
        MAX_MEMORY_BLOB_BYTES
    }

    fn stage(&self) -> Result<Staged, StorageError> {
        Ok(Staged::Bytes(Vec::new()))
    }

    fn begin_session(&self, _: UploadId, _: &SavedSession) -> Result<Staged, StorageError> {
        self.stage()
    }

    fn end_session(&self, _: UploadId) -> Done {
        Ok(())
    }

    fn recovered_sessions(&self) -> Vec<RecoveredSession> {
        Vec::new()
    }

    fn put_blob(&self, name: &Repository, digest: Digest, content: &mut Staged) -> Done {
        let bytes = match content {
            Staged::Bytes(bytes) => std::mem::take(bytes),
            // Another storage's.
            Staged::File(_) => {
                let mut bytes = Vec::new();
                content.read(|piece| bytes.extend_from_slice(piece))?;
                bytes
            }
        };
        self.write(name, |held| held.blobs.insert(digest, bytes.into()));
        Ok(())
    }

    fn mount_blob(&self, from: Option<&Repository>, name: &Repository, digest: Digest) -> Known {
        let bytes = self.find_blob(from, digest);
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
        Ok(self.find_blob(Some(name), digest).map(Blob::Bytes))
    }

    fn delete_blob(&self, name: &Repository, digest: Digest) -> Known {
        Ok(self.delete(name, |held| held.blobs.remove(&digest)))
    }

    fn put_manifest(
        &self,
        name: &Repository,
        digest: Digest,
        manifest: &StoredManifest,
        subject: Option<Digest>,
    ) -> Done {
        self.write(name, |held| {
            if let Some(subject) = subject {
                held.referrers.entry(subject).or_default().insert(digest);
            }
            let pushed = held.manifests.get(&digest).map(|(_, pushed)| *pushed);
            let pushed = pushed.unwrap_or_else(SystemTime::now);
            held.manifests.insert(digest, (manifest.clone(), pushed));
        });
        Ok(())
    }

    fn manifest(
        &self,
        name: &Repository,
        digest: Digest,
    ) -> Result<Option<StoredManifest>, StorageError> {
        let manifest =
            |held: &Held| held.manifests.get(&digest).map(|(manifest, _)| manifest.clone());
        Ok(self.read(name, manifest).flatten())
    }

    fn delete_manifest(&self, name: &Repository, digest: Digest, subject: Option<Digest>) -> Known {
        Ok(self.delete(name, |held| {
            if let Some(referrers) = subject.and_then(|subject| held.referrers.get_mut(&subject)) {
                referrers.remove(&digest);
            }
            held.referrers.retain(|_, left| !left.is_empty());
            held.manifests.remove(&digest)
        }))
    }

    fn manifests(&self, name: &Repository) -> Result<Vec<(Digest, SystemTime)>, StorageError> {
        let all = |held: &Held| {
            let all = held.manifests.iter();
            all.map(|(digest, (_, pushed))| (*digest, *pushed)).collect()
        };
        Ok(self.read(name, all).unwrap_or_default())
    }

    fn referrers(&self, name: &Repository, subject: Digest) -> Result<Vec<Digest>, StorageError> {
        let all =
            |held: &Held| held.referrers.get(&subject).map(|found| found.iter().copied().collect());
        Ok(self.read(name, all).flatten().unwrap_or_default())
    }

    fn put_tag(&self, name: &Repository, tag: &Tag, digest: Digest) -> Done {
        self.write(name, |held| held.tags.insert(tag.clone(), digest));
        Ok(())
    }

    fn tagged(&self, name: &Repository, tag: &Tag) -> Result<Option<Digest>, StorageError> {
        Ok(self.read(name, |held| held.tags.get(tag).copied()).flatten())
    }

    fn delete_tags(&self, name: &Repository, tags: &[Tag]) -> Done {
        self.delete(name, |held| {
            for tag in tags {
                held.tags.remove(tag);
            }
            Some(())
        });
        Ok(())
    }

    fn tags(&self, name: &Repository) -> Result<Option<Vec<Tag>>, StorageError> {
        let tags = |held: &Held| (!held.is_empty()).then(|| held.tags.keys().cloned().collect());
        Ok(self.read(name, tags).flatten())
    }

    fn repositories(
        &self,
        after: Option<&str>,
        limit: usize,
        wanted: &dyn Fn(&Repository) -> bool,
    ) -> Result<Vec<Repository>, StorageError> {
        let all = self.lock();
        let rest =
            all.iter().skip_while(|(name, _)| after.is_some_and(|after| name.as_str() <= after));
        let held = rest.filter(|(name, held)| !held.is_empty() && wanted(name));
        Ok(held.map(|(name, _)| name.clone()).take(limit).collect())
    }
}
