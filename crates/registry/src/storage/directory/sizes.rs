//! The length of each blob, noted in a file of its own, so that a truncated or longer blob is noticed when it is
//! opened. Notes are not synced: a blob without a note is served unchecked.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
};

use oci::Digest;

use super::{
    super::{
        StorageError, StorageResult,
        error::{failed, if_there, readable},
    },
    files::read,
};
use crate::upload_id::UploadId;

/// The longest note: the largest number of 64 bits, and a line feed.
const MAX_NOTE_BYTES: u64 = 21;

#[derive(Debug)]
pub(super) struct Sizes {
    sizes: PathBuf,
    staging: PathBuf,
}

impl Sizes {
    pub(super) const fn new(sizes: PathBuf, staging: PathBuf) -> Self {
        Self { sizes, staging }
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.sizes.join(digest.to_string())
    }

    /// Notes the length of a blob. A failure is only logged.
    pub(super) fn note(&self, digest: Digest, bytes: u64) {
        if let Err(error) = self.try_note(digest, bytes) {
            tracing::warn!(%error, "a blob is kept, but damage to its length will not be noticed");
        }
    }

    fn try_note(&self, digest: Digest, bytes: u64) -> StorageResult {
        let (path, text) = (self.path(digest), format!("{bytes}\n"));
        // A note that is torn has no line feed: it need not be renamed into its place.
        match File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes())) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            written => return written.map_err(failed("write", &path)),
        }
        if readable(self.of(digest))?.flatten() == Some(bytes) {
            return Ok(());
        }
        let staged = self.staging.join(UploadId::random().to_string());
        fs::write(&staged, text).map_err(failed("write", &staged))?;
        fs::rename(&staged, &path).map_err(|error| {
            // Otherwise it goes at the next start.
            let _ = fs::remove_file(&staged);
            failed("create", &path)(error)
        })
    }

    /// The noted length; none without a note, or with a torn one.
    pub(super) fn of(&self, digest: Digest) -> Result<Option<u64>, StorageError> {
        let path = self.path(digest);
        let text = read(&path, MAX_NOTE_BYTES)?.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(text.and_then(|text| text.strip_suffix('\n')?.parse().ok()))
    }

    /// Removes the note of a deleted blob.
    pub(super) fn forget(&self, digest: Digest) {
        let path = self.path(digest);
        // One that stays is still right, should the blob come again.
        let _ = if_there(fs::remove_file(path));
    }
}
