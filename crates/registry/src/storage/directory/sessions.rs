//! Upload sessions on a directory: each is a file of its content, and a record with its repository and client.
//! Neither is synced before the upload ends: after a power cut clients begin lost sessions again, and the digest of
//! a remaining one is checked at its end.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use oci::Algorithm;

use super::{
    super::{
        RecoveredSession, SavedSession, Staged, StorageError, StorageResult,
        error::{failed, if_there, readable},
        staged::{Retention, StagedFile},
    },
    files::{entries, file_name, is_regular_file, leave_alone, metadata_of, or_leave, read},
    pool::Reclaimed,
};
use crate::{shares::Holder, upload_id::UploadId};

/// The longest record: a repository name has at most 255 bytes, and user names are short.
const MAX_RECORD_BYTES: u64 = 4 << 10;

#[derive(Debug)]
pub(super) struct Sessions {
    uploads: PathBuf,
    recovered: Mutex<Vec<RecoveredSession>>,
}

impl Sessions {
    /// No sessions, for a read-only storage.
    pub(super) fn none(uploads: PathBuf) -> Self {
        Self { uploads, recovered: Mutex::default() }
    }

    /// Recovers the sessions in `uploads`; those that cannot be continued are removed.
    pub(super) fn recover(
        uploads: PathBuf,
        reclaimed: &mut Reclaimed,
    ) -> Result<Self, StorageError> {
        let sessions = Self::none(uploads);
        let mut recovered = Vec::new();
        for path in entries(&sessions.uploads)? {
            or_leave(sessions.recover_entry(&path, &mut recovered, reclaimed));
        }
        *sessions.recovered() = recovered;
        Ok(sessions)
    }

    fn recover_entry(
        &self,
        path: &Path,
        recovered: &mut Vec<RecoveredSession>,
        reclaimed: &mut Reclaimed,
    ) -> StorageResult {
        match UploadEntry::at(path)? {
            UploadEntry::Content(id, len) => match self.recover_one(id, path, len)? {
                Some(session) => recovered.push(session),
                None => {
                    remove(path)?;
                    remove(&record_of(path))?;
                    reclaimed.add(len);
                }
            },
            // The file of content beside it leads here.
            UploadEntry::Record if is_regular_file(&path.with_extension(""))? => {}
            UploadEntry::Record => remove(path)?,
            UploadEntry::Foreign => leave_alone(path),
        }
        Ok(())
    }

    fn recover_one(
        &self,
        id: UploadId,
        path: &Path,
        len: u64,
    ) -> Result<Option<RecoveredSession>, StorageError> {
        let record = record_of(path);
        let record = readable(read(&record, MAX_RECORD_BYTES))?.flatten();
        let Some(record) = record else { return Ok(None) };
        let Some(session) = parse(&record) else { return Ok(None) };
        let changed = fs::metadata(path).and_then(|found| found.modified());
        let changed = changed.map_err(failed("look for", path))?;
        // After a clock was set back, the session counts as new.
        let idle = SystemTime::now().duration_since(changed).unwrap_or_default();
        let staged = Staged::File(StagedFile::existing(path.to_owned(), len));
        Ok(Some(RecoveredSession { id, session, staged, idle }))
    }

    pub(super) fn take_recovered(&self) -> Vec<RecoveredSession> {
        std::mem::take(&mut self.recovered())
    }

    fn recovered(&self) -> std::sync::MutexGuard<'_, Vec<RecoveredSession>> {
        // It is filled and emptied by one assignment each.
        self.recovered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, id: UploadId) -> PathBuf {
        self.uploads.join(id.to_string())
    }

    pub(super) fn begin(
        &self,
        id: UploadId,
        session: &SavedSession,
    ) -> Result<Staged, StorageError> {
        let path = self.path(id);
        let staged = StagedFile::create(path.clone(), Retention::UntilDeleted)?;
        let record = record_of(&path);
        let written = fs::write(&record, print(session));
        if let Err(error) = written {
            self.end(id)?;
            return Err(failed("write", &record)(error));
        }
        Ok(Staged::File(staged))
    }

    pub(super) fn end(&self, id: UploadId) -> StorageResult {
        let path = self.path(id);
        remove(&path)?;
        remove(&record_of(&path))
    }
}

/// An entry in the directory of uploads.
enum UploadEntry {
    /// The content of this session, and its length.
    Content(UploadId, u64),
    /// The record of a session.
    Record,
    /// Not of the registry.
    Foreign,
}

impl UploadEntry {
    fn at(path: &Path) -> Result<Self, StorageError> {
        let Some(metadata) = metadata_of(path)? else { return Ok(Self::Foreign) };
        let Some(name) = file_name(path) else { return Ok(Self::Foreign) };
        let stem = name.strip_suffix(".session");
        Ok(match UploadId::parse(stem.unwrap_or(name)) {
            Some(_) if stem.is_some() => Self::Record,
            Some(id) => Self::Content(id, metadata.len()),
            None => Self::Foreign,
        })
    }
}

fn record_of(path: &Path) -> PathBuf {
    path.with_extension("session")
}

/// Deletes a file of ours; a symbolic link in its place stays.
fn remove(path: &Path) -> StorageResult {
    if !is_regular_file(path)? {
        return Ok(());
    }
    if_there(fs::remove_file(path)).map_err(failed("delete", path)).map(drop)
}

/// `<algorithm> <name>`, then ` user <name>` or ` address <address>` where it is part of a share, and a line
/// feed that says that it is whole.
fn print(session: &SavedSession) -> String {
    let SavedSession { name, algorithm, holder } = session;
    let holder = holder.as_ref().map_or_else(String::new, |holder| format!(" {holder}"));
    format!("{algorithm} {name}{holder}\n")
}

fn parse(record: &[u8]) -> Option<SavedSession> {
    let mut fields = std::str::from_utf8(record).ok()?.strip_suffix('\n')?.splitn(3, ' ');
    let (algorithm, name, holder) = (fields.next()?, fields.next()?, fields.next());
    let algorithm = [Algorithm::Sha256, Algorithm::Sha512]
        .into_iter()
        .find(|known| known.name() == algorithm)?;
    // Versions before wrote none.
    let holder = match holder {
        Some(holder) => Some(Holder::parse(holder)?),
        None => None,
    };
    Some(SavedSession { name: name.parse().ok()?, algorithm, holder })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_read_as_they_are_printed() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for holder in
                [None, Some("user a b"), Some("address 192.0.2.1"), Some("address 2001:db8::")]
            {
                let holder = holder.map(|text| Holder::parse(text).expect(text));
                let name = "a/b".parse().expect("a name");
                let session = SavedSession { name, algorithm, holder };
                assert_eq!(parse(print(&session).as_bytes()), Some(session));
            }
        }
        for bad in [
            "",
            "\n",
            "sha256 a/b",
            "sha256 A\n",
            "md5 a\n",
            "sha256\n",
            "sha256 a\nb\n",
            "sha256 a b\n",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_gone_on_with_is_removed() {
        let uploads = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            fs::write(uploads.path().join(name), text).expect("it is written");
        };
        let [whole, bare, torn, gone] = [(); 4].map(|()| UploadId::random().to_string());
        write(&whole, "bytes");
        write(&format!("{whole}.session"), "sha256 a\n");
        write(&bare, "by");
        write(&torn, "b");
        write(&format!("{torn}.session"), "sha2");
        write(&format!("{gone}.session"), "sha256 a\n");
        write("foreign", "");
        let mut reclaimed = Reclaimed::default();
        let path = uploads.path().to_owned();
        let sessions = Sessions::recover(path, &mut reclaimed).expect("it works");
        assert_eq!(reclaimed, Reclaimed { files: 2, bytes: 3 });
        let recovered = sessions.take_recovered();
        assert_eq!(recovered.len(), 1);
        assert_eq!((recovered[0].id.to_string(), recovered[0].staged.len()), (whole.clone(), 5));
        assert!(sessions.take_recovered().is_empty());
        let mut left: Vec<_> = entries(uploads.path()).expect("it works");
        left.sort();
        let left: Vec<_> = left.iter().filter_map(|path| file_name(path)).collect();
        let mut expected = [whole.clone(), format!("{whole}.session"), "foreign".to_owned()];
        expected.sort();
        assert_eq!(left, expected);
    }
}
