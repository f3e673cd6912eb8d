//! A storage in memory: maps behind one lock, which is never held across a wait.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use oci::{Digest, Repository, Tag};

use super::{
    RecoveredSession, SavedSession, Staged, StorageBackend, StorageError, StorageResult,
    StoredBlob, StoredManifest,
};
use crate::{limits::MAX_MEMORY_BLOB_BYTES, upload_id::UploadId};

#[derive(Debug, Default)]
pub(super) struct MemoryStorage(Mutex<BTreeMap<Repository, RepositoryContent>>);

/// The content of one repository.
#[derive(Debug, Default)]
struct RepositoryContent {
    blobs: HashMap<Digest, Bytes>,
    manifests: HashMap<Digest, (StoredManifest, SystemTime)>,
    referrers: HashMap<Digest, BTreeSet<Digest>>,
    tags: BTreeMap<Tag, Digest>,
}

impl RepositoryContent {
    fn is_empty(&self) -> bool {
        self.blobs.is_empty() && self.manifests.is_empty()
    }
}

impl MemoryStorage {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Repository, RepositoryContent>> {
        // Every change is one call on one map: a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, name: &Repository, of: impl FnOnce(&RepositoryContent) -> T) -> Option<T> {
        self.lock().get(name).map(of)
    }

    fn write<T>(&self, name: &Repository, to: impl FnOnce(&mut RepositoryContent) -> T) -> T {
        to(self.lock().entry(name.clone()).or_default())
    }

    /// Does nothing if the repository does not exist.
    fn delete<T>(
        &self,
        name: &Repository,
        from: impl FnOnce(&mut RepositoryContent) -> Option<T>,
    ) -> bool {
        self.lock().get_mut(name).and_then(from).is_some()
    }

    fn find_blob(&self, from: Option<&Repository>, digest: Digest) -> Option<Bytes> {
        let all = self.lock();
        let blob = |content: &RepositoryContent| content.blobs.get(&digest).cloned();
        match from {
            Some(from) => all.get(from).and_then(blob),
            None => all.values().find_map(blob),
        }
    }
}

impl StorageBackend for MemoryStorage {
    fn max_blob_bytes(&self) -> u64 {
        MAX_MEMORY_BLOB_BYTES
    }

    fn stage(&self) -> Result<Staged, StorageError> {
        Ok(Staged::Bytes(Vec::new()))
    }

    fn begin_session(&self, _: UploadId, _: &SavedSession) -> Result<Staged, StorageError> {
        self.stage()
    }

    fn end_session(&self, _: UploadId) -> StorageResult {
        Ok(())
    }

    fn recovered_sessions(&self) -> Vec<RecoveredSession> {
        Vec::new()
    }

    fn put_blob(&self, name: &Repository, digest: Digest, content: &mut Staged) -> StorageResult {
        let bytes = match content {
            Staged::Bytes(bytes) => std::mem::take(bytes),
            // Another storage's.
            Staged::File(_) => {
                let mut bytes = Vec::new();
                content.read(|piece| bytes.extend_from_slice(piece))?;
                bytes
            }
        };
        self.write(name, |content| content.blobs.insert(digest, bytes.into()));
        Ok(())
    }

    fn mount_blob(
        &self,
        from: Option<&Repository>,
        name: &Repository,
        digest: Digest,
    ) -> StorageResult<bool> {
        let bytes = self.find_blob(from, digest);
        let known = bytes.is_some();
        if let Some(bytes) = bytes {
            self.write(name, |content| content.blobs.insert(digest, bytes));
        }
        Ok(known)
    }

    fn has_blob(&self, name: &Repository, digest: Digest) -> StorageResult<bool> {
        Ok(self.read(name, |content| content.blobs.contains_key(&digest)).unwrap_or(false))
    }

    fn blob(&self, name: &Repository, digest: Digest) -> Result<Option<StoredBlob>, StorageError> {
        Ok(self.find_blob(Some(name), digest).map(StoredBlob::Bytes))
    }

    fn delete_blob(&self, name: &Repository, digest: Digest) -> StorageResult<bool> {
        Ok(self.delete(name, |content| content.blobs.remove(&digest)))
    }

    fn put_manifest(
        &self,
        name: &Repository,
        digest: Digest,
        manifest: &StoredManifest,
        subject: Option<Digest>,
    ) -> StorageResult {
        self.write(name, |content| {
            if let Some(subject) = subject {
                content.referrers.entry(subject).or_default().insert(digest);
            }
            let pushed = content.manifests.get(&digest).map(|(_, pushed)| *pushed);
            let pushed = pushed.unwrap_or_else(SystemTime::now);
            content.manifests.insert(digest, (manifest.clone(), pushed));
        });
        Ok(())
    }

    fn manifest(
        &self,
        name: &Repository,
        digest: Digest,
    ) -> Result<Option<StoredManifest>, StorageError> {
        let manifest = |content: &RepositoryContent| {
            content.manifests.get(&digest).map(|(manifest, _)| manifest.clone())
        };
        Ok(self.read(name, manifest).flatten())
    }

    fn delete_manifest(
        &self,
        name: &Repository,
        digest: Digest,
        subject: Option<Digest>,
    ) -> StorageResult<bool> {
        Ok(self.delete(name, |content| {
            if let Some(referrers) = subject.and_then(|subject| content.referrers.get_mut(&subject))
            {
                referrers.remove(&digest);
            }
            content.referrers.retain(|_, left| !left.is_empty());
            content.manifests.remove(&digest)
        }))
    }

    fn manifests(&self, name: &Repository) -> Result<Vec<(Digest, SystemTime)>, StorageError> {
        let all = |content: &RepositoryContent| {
            let all = content.manifests.iter();
            all.map(|(digest, (_, pushed))| (*digest, *pushed)).collect()
        };
        Ok(self.read(name, all).unwrap_or_default())
    }

    fn referrers(&self, name: &Repository, subject: Digest) -> Result<Vec<Digest>, StorageError> {
        let all = |content: &RepositoryContent| {
            content.referrers.get(&subject).map(|found| found.iter().copied().collect())
        };
        Ok(self.read(name, all).flatten().unwrap_or_default())
    }

    fn put_tag(&self, name: &Repository, tag: &Tag, digest: Digest) -> StorageResult {
        self.write(name, |content| content.tags.insert(tag.clone(), digest));
        Ok(())
    }

    fn tagged(&self, name: &Repository, tag: &Tag) -> Result<Option<Digest>, StorageError> {
        Ok(self.read(name, |content| content.tags.get(tag).copied()).flatten())
    }

    fn delete_tags(&self, name: &Repository, tags: &[Tag]) -> StorageResult {
        self.delete(name, |content| {
            for tag in tags {
                content.tags.remove(tag);
            }
            Some(())
        });
        Ok(())
    }

    fn tags(&self, name: &Repository) -> Result<Option<Vec<Tag>>, StorageError> {
        let tags = |content: &RepositoryContent| {
            (!content.is_empty()).then(|| content.tags.keys().cloned().collect())
        };
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
        let content = rest.filter(|(name, content)| !content.is_empty() && wanted(name));
        Ok(content.map(|(name, _)| name.clone()).take(limit).collect())
    }
}
