//! The operations of a storage on the files of a directory.
//!
//! Not here: how a file is written, linked and read (the parent module).

use std::{collections::BTreeSet, fs, time::SystemTime};

use oci::{Digest, Repository, Tag};

use super::{
    super::{
        RecoveredSession, SavedSession, Staged, StorageBackend, StorageError, StorageResult,
        StoredBlob, StoredManifest,
        error::{failed, if_there, readable},
    },
    BLOBS, DirectoryStorage, MANIFESTS, MAX_MANIFEST_FILE_BYTES, MAX_TAG_FILE_BYTES, TAGS,
    discovery::{self, holds_something},
    files::{LinkResult, file_name, link, metadata_of, open, parent, sync_dir},
    obstacles::failed_at,
};
use crate::{limits::MAX_DIRECTORY_BLOB_BYTES, upload_id::UploadId};

impl StorageBackend for DirectoryStorage {
    fn check(&self) -> StorageResult {
        self.root.check(|| self.layout.check()).map_err(|error| match error {
            StorageError::Obstructed { path, is, .. } => StorageError::Replaced { path, is },
            error => error,
        })
    }

    fn max_blob_bytes(&self) -> u64 {
        MAX_DIRECTORY_BLOB_BYTES
    }

    fn stage(&self) -> Result<Staged, StorageError> {
        self.stage_file().map(Staged::File)
    }

    fn begin_session(&self, id: UploadId, session: &SavedSession) -> Result<Staged, StorageError> {
        self.sessions.begin(id, session)
    }

    fn end_session(&self, id: UploadId) -> StorageResult {
        self.sessions.end(id)
    }

    fn recovered_sessions(&self) -> Vec<RecoveredSession> {
        self.sessions.take_recovered()
    }

    fn put_blob(&self, name: &Repository, digest: Digest, content: &mut Staged) -> StorageResult {
        let placed = match content {
            Staged::File(staged) => self.place_blob(name, digest, staged),
            Staged::Bytes(bytes) => {
                self.sizes.note(digest, bytes.len() as u64);
                self.write(&self.path(name, BLOBS, &digest), &[bytes])
            }
        };
        // After an error the blob may exist although its name is not synced.
        if placed.is_ok() || content.is_spent() {
            self.names.grew(name);
        }
        self.damage.log(placed)
    }

    fn mount_blob(
        &self,
        from: Option<&Repository>,
        name: &Repository,
        digest: Digest,
    ) -> StorageResult<bool> {
        let source = match from {
            Some(from) => self.blob_path(from, digest)?,
            None => Some(self.pool.path(digest)),
        };
        let Some(source) = source else { return Ok(false) };
        // A damaged source is not mounted, so that the client pushes the blob.
        if readable(self.blob_size(&source, digest))?.flatten().is_none() {
            return Ok(false);
        }
        let path = self.path(name, BLOBS, &digest);
        let parent = self.make_parent(&path)?;
        let _alone = self.pool.lock(digest);
        let linked = match readable(self.blob_size(&path, digest))? {
            Some(_) => link(&source, &path)?,
            None => self.damage.log(self.pool.replace(&source, &path))?,
        };
        let mounted = match linked {
            LinkResult::Linked => true,
            LinkResult::Absent => false,
            LinkResult::Refused => self.copy_blob(name, digest, &source)?,
        };
        sync_dir(parent)?;
        if mounted {
            self.names.grew(name);
        }
        Ok(mounted)
    }

    fn has_blob(&self, name: &Repository, digest: Digest) -> StorageResult<bool> {
        let Some(path) = self.blob_path(name, digest)? else { return Ok(false) };
        Ok(self.blob_size(&path, digest)?.is_some())
    }

    fn blob(&self, name: &Repository, digest: Digest) -> Result<Option<StoredBlob>, StorageError> {
        let Some(path) = self.blob_path(name, digest)? else { return Ok(None) };
        let Some(size) = self.blob_size(&path, digest)? else { return Ok(None) };
        Ok(open(&path)?.map(|file| StoredBlob::File { file, size }))
    }

    fn delete_blob(&self, name: &Repository, digest: Digest) -> StorageResult<bool> {
        let _alone = self.pool.lock(digest);
        let deleted = self.delete(&self.path(name, BLOBS, &digest))?;
        if deleted {
            if self.pool.let_go(digest) {
                self.sizes.forget(digest);
            }
            self.deleted_from(name)?;
        }
        Ok(deleted)
    }

    fn put_manifest(
        &self,
        name: &Repository,
        digest: Digest,
        manifest: &StoredManifest,
        subject: Option<Digest>,
    ) -> StorageResult {
        if let Some(subject) = subject {
            let path = self.referrers_of(name, subject).join(digest.to_string());
            if metadata_of(&path)?.is_none() {
                self.write(&path, &[])?;
            }
        }
        // An existing manifest keeps its time; a damaged one is replaced.
        if !matches!(self.manifest(name, digest), Ok(Some(there)) if there == *manifest) {
            let path = self.path(name, MANIFESTS, &digest);
            self.write(&path, &[manifest.media_type.as_bytes(), b"\n", &manifest.bytes])?;
        }
        self.names.grew(name);
        Ok(())
    }

    fn manifest(
        &self,
        name: &Repository,
        digest: Digest,
    ) -> Result<Option<StoredManifest>, StorageError> {
        let path = self.path(name, MANIFESTS, &digest);
        let content = self.read(&path, MAX_MANIFEST_FILE_BYTES)?;
        let Some(mut content) = content else { return Ok(None) };
        let line = content.iter().position(|byte| *byte == b'\n');
        let bytes = content.split_off(line.map_or(content.len(), |end| end + 1));
        content.pop();
        match String::from_utf8(content) {
            Ok(media_type) if line.is_some() && digest.matches(&bytes) => {
                Ok(Some(StoredManifest { media_type, bytes: bytes.into() }))
            }
            _ => self.damage.log(Err(StorageError::Damaged(path))),
        }
    }

    fn delete_manifest(
        &self,
        name: &Repository,
        digest: Digest,
        subject: Option<Digest>,
    ) -> StorageResult<bool> {
        let deleted = self.delete(&self.path(name, MANIFESTS, &digest))?;
        if let Some(subject) = subject {
            self.delete(&self.referrers_of(name, subject).join(digest.to_string()))?;
        }
        if deleted {
            self.deleted_from(name)?;
        }
        Ok(deleted)
    }

    fn manifests(&self, name: &Repository) -> Result<Vec<(Digest, SystemTime)>, StorageError> {
        let mut found = Vec::new();
        for path in self.files(&self.layout.repositories.join(name.as_str()).join(MANIFESTS))? {
            let Some(Ok(digest)) = file_name(&path).map(str::parse) else { continue };
            // The file may have been deleted meanwhile.
            let pushed = metadata_of(&path)?.map(|found| found.modified()).transpose();
            found.extend(pushed.map_err(failed("look for", &path))?.map(|pushed| (digest, pushed)));
        }
        Ok(found)
    }

    fn referrers(&self, name: &Repository, subject: Digest) -> Result<Vec<Digest>, StorageError> {
        let names = self.files(&self.referrers_of(name, subject))?;
        Ok(names.iter().filter_map(|path| file_name(path)?.parse().ok()).collect())
    }

    fn put_tag(&self, name: &Repository, tag: &Tag, digest: Digest) -> StorageResult {
        self.write(&self.path(name, TAGS, tag), &[digest.to_string().as_bytes()])
    }

    fn tagged(&self, name: &Repository, tag: &Tag) -> Result<Option<Digest>, StorageError> {
        let path = self.path(name, TAGS, tag);
        let Some(text) = self.read(&path, MAX_TAG_FILE_BYTES)? else { return Ok(None) };
        let digest = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        self.damage.log(digest.map(Some).ok_or(StorageError::Damaged(path)))
    }

    fn delete_tags(&self, name: &Repository, tags: &[Tag]) -> StorageResult {
        let Some(first) = tags.first() else { return Ok(()) };
        let first = self.path(name, TAGS, first);
        if !self.is_reachable(parent(&first))? {
            return Ok(());
        }
        for tag in tags {
            let path = self.path(name, TAGS, tag);
            let removed = if_there(fs::remove_file(&path)).map_err(failed_at("delete", &path));
            self.damage.log(removed)?;
        }
        // One sync for all of them: it takes milliseconds.
        sync_dir(parent(&first))
    }

    fn tags(&self, name: &Repository) -> Result<Option<Vec<Tag>>, StorageError> {
        let repository = self.layout.repositories.join(name.as_str());
        if !self.is_reachable(&repository)? || !holds_something(&repository)? {
            return Ok(None);
        }
        let names = self.files(&repository.join(TAGS))?;
        Ok(Some(names.iter().filter_map(|path| file_name(path)?.parse().ok()).collect()))
    }

    fn repositories(
        &self,
        after: Option<&str>,
        limit: usize,
        wanted: &dyn Fn(&Repository) -> bool,
    ) -> Result<Vec<Repository>, StorageError> {
        let page = |names: &BTreeSet<Repository>| {
            let rest =
                names.iter().skip_while(|name| after.is_some_and(|after| name.as_str() <= after));
            rest.filter(|name| wanted(name)).take(limit).cloned().collect()
        };
        self.names.read(|| discovery::repositories(&self.layout.repositories), page)
    }
}
