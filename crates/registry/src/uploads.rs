//! Upload sessions: the table of sessions, their permits, and the content of each.
//! `push.rs` has the requests that use them.
//!
//! On a directory, sessions survive a restart. An upload that breaks off can be resumed after the last byte that
//! was written.
//!
//! Source: distribution-spec 1.1, "Pushing blobs".

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use oci::{Algorithm, Digest, Digester, Repository};
use tokio::{sync::OwnedMutexGuard, time::Instant};

use crate::{
    limits::{LEAST_IDLE, Limits},
    refusal::Refusal,
    shares::{Budget, BudgetPermit, Holder, LimitReached},
    storage::{RecoveredSession, SavedSession, Staged, Storage, StorageBackend, StorageError},
    upload_id::UploadId,
};

/// The uploads under way.
#[derive(Debug)]
pub(crate) struct Uploads {
    storage: Storage,
    limits: Limits,
    /// One for each [`UploadSession`], also for one that takes a single request.
    permits: Budget,
    open: Mutex<HashMap<UploadId, OpenUpload>>,
}

#[derive(Debug)]
struct OpenUpload {
    name: Repository,
    session: Arc<tokio::sync::Mutex<Option<UploadSession>>>,
}

/// Exclusive access to a session; none once it has ended. It moves into the blocking task that uses it, so that the
/// session stays consistent when the request is dropped.
pub(crate) type SessionGuard = OwnedMutexGuard<Option<UploadSession>>;

impl Uploads {
    /// The sessions that an earlier process left in `storage` and that have not expired.
    pub(crate) fn new(storage: Storage, limits: Limits) -> Self {
        let permits = Budget::new(limits.max_uploads);
        let recovered = storage.backend().recovered_sessions();
        let uploads = Self { storage, limits, permits, open: Mutex::default() };
        let known = recovered.len();
        let left = recovered.into_iter().filter_map(|session| uploads.recover(session)).count();
        if known > 0 {
            tracing::info!(
                go_on = left,
                dropped = known - left,
                "upload sessions of an earlier process"
            );
        }
        uploads
    }

    /// Restores a session if it has not expired and a permit is free.
    fn recover(&self, recovered: RecoveredSession) -> Option<()> {
        let RecoveredSession { id, session, staged, idle } = recovered;
        let SavedSession { name, algorithm, holder } = session;
        let used = Instant::now().checked_sub(idle);
        let permit = self.permits.take(holder).ok();
        match permit.filter(|_| idle < self.limits.upload_life) {
            Some(permit) => {
                let mut session =
                    UploadSession::recovered(staged, algorithm, self.max_bytes(), permit);
                session.used = used.unwrap_or(session.used);
                self.insert(id, name, session);
                Some(())
            }
            None => {
                forget(self.storage.backend(), id);
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UploadId, OpenUpload>> {
        // Every change is one call on the map: a panic elsewhere leaves nothing half done.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many uploads are under way.
    pub(crate) fn count(&self) -> usize {
        self.permits.taken()
    }

    fn max_bytes(&self) -> u64 {
        self.limits.max_blob_bytes.unwrap_or_else(|| self.storage.backend().max_blob_bytes())
    }

    /// Drops sessions that have been idle for too long.
    pub(crate) async fn sweep(&self) -> Result<(), StorageError> {
        // A request that uses a session, or waits for it, holds another reference.
        let is_idle = |open: &mut OpenUpload| match Arc::get_mut(&mut open.session) {
            Some(session) => session
                .get_mut()
                .as_ref()
                .is_none_or(|session| session.used.elapsed() >= self.limits.upload_life),
            None => false,
        };
        let idle: Vec<_> = {
            let mut all = self.lock();
            all.extract_if(|_, open| is_idle(open)).map(|(id, _)| id).collect()
        };
        if idle.is_empty() {
            return Ok(());
        }
        self.forget(idle).await
    }

    /// A permit for one more upload. Expired sessions are dropped first, then the client's longest-idle one.
    async fn permit(&self, holder: Option<Holder>) -> Result<BudgetPermit, Refusal> {
        self.sweep().await?;
        let taken = match self.permits.take(holder.clone()) {
            Err(LimitReached::Client(_)) if self.drop_longest_idle(holder.as_ref()).await? => {
                self.permits.take(holder)
            }
            taken => taken,
        };
        taken.map_err(|full| match full {
            LimitReached::Total(max) => Refusal::TooManyUploads(max),
            LimitReached::Client(share) => Refusal::UploadsShare(share),
        })
    }

    /// Drops the session of this client that has been idle longest. Returns whether one was dropped. Otherwise
    /// abandoned uploads would lock the client out until they expire. A session that a request uses or waits for
    /// stays, and so does one that was used within [`LEAST_IDLE`].
    async fn drop_longest_idle(&self, holder: Option<&Holder>) -> Result<bool, StorageError> {
        let Some(holder) = holder else { return Ok(false) };
        let dropped = {
            let mut all = self.lock();
            let idle = all.iter_mut().filter_map(|(id, open)| {
                // A request that uses the session holds another reference.
                let session = Arc::get_mut(&mut open.session)?.get_mut().as_ref()?;
                (session.permit.holder() == Some(holder)).then_some((session.used, *id))
            });
            let longest = idle.min_by_key(|(used, _)| *used);
            let abandoned = longest.filter(|(used, _)| used.elapsed() >= LEAST_IDLE);
            abandoned.map(|(_, id)| id).filter(|id| all.remove(id).is_some())
        };
        let Some(id) = dropped else { return Ok(false) };
        tracing::debug!(%id, "dropped the longest-idle upload session of a client at its limit");
        self.forget(vec![id]).await?;
        Ok(true)
    }

    /// Deletes the stored content of ended sessions.
    async fn forget(&self, over: Vec<UploadId>) -> Result<(), StorageError> {
        let forget = move |backend: &dyn StorageBackend| {
            over.into_iter().for_each(|id| forget(backend, id));
            Ok(())
        };
        self.storage.run(forget).await
    }

    fn insert(&self, id: UploadId, name: Repository, session: UploadSession) {
        let session = Arc::new(tokio::sync::Mutex::new(Some(session)));
        self.lock().insert(id, OpenUpload { name, session });
    }

    /// Begins a session.
    pub(crate) async fn begin(
        &self,
        name: Repository,
        algorithm: Algorithm,
        holder: Option<Holder>,
    ) -> Result<UploadId, Refusal> {
        let (permit, id) = (self.permit(holder.clone()).await?, UploadId::random());
        let saved = SavedSession { name: name.clone(), algorithm, holder };
        let staged = self.storage.run(move |backend| backend.begin_session(id, &saved)).await?;
        let mut session = UploadSession::new(staged, algorithm, self.max_bytes(), permit);
        session.rest();
        self.insert(id, name, session);
        Ok(id)
    }

    /// An upload that ends with the request that began it.
    pub(crate) async fn stage(
        &self,
        algorithm: Algorithm,
        holder: Option<Holder>,
    ) -> Result<SessionGuard, Refusal> {
        let permit = self.permit(holder).await?;
        let staged = self.storage.run(|backend| backend.stage()).await?;
        let session = UploadSession::new(staged, algorithm, self.max_bytes(), permit);
        Ok(Arc::new(tokio::sync::Mutex::new(Some(session))).lock_owned().await)
    }

    /// The session, once no other request uses it.
    pub(crate) async fn get(
        &self,
        name: &Repository,
        id: UploadId,
    ) -> Result<SessionGuard, Refusal> {
        let session = {
            let open = self.lock();
            let upload = open.get(&id).filter(|open| open.name == *name);
            Arc::clone(&upload.ok_or(Refusal::UploadUnknown)?.session)
        };
        let mut guard = session.lock_owned().await;
        guard.iter_mut().for_each(|session| session.used = Instant::now());
        Ok(guard)
    }

    /// Ends a session.
    pub(crate) async fn end(&self, id: UploadId) -> Result<(), StorageError> {
        self.lock().remove(&id);
        self.forget(vec![id]).await
    }
}

/// Deletes the stored content of an ended session. A failure is only logged.
fn forget(backend: &dyn StorageBackend, id: UploadId) {
    if let Err(error) = backend.end_session(id) {
        // The next start tries again.
        tracing::warn!(%error, "an upload session that is over could not be deleted");
    }
}

/// One upload: the content received so far. Its functions block.
#[derive(Debug)]
pub(crate) struct UploadSession {
    staged: Staged,
    /// The expected algorithm of the digest.
    algorithm: Algorithm,
    /// The digest of all staged content; none after a restart, until the content is read again.
    digester: Option<Digester>,
    max_bytes: u64,
    /// When a request last used it.
    used: Instant,
    /// Returned after the staged content is gone.
    permit: BudgetPermit,
}

/// An earlier state of a session.
pub(crate) struct Checkpoint {
    received: u64,
    digester: Option<Digester>,
}

impl UploadSession {
    fn new(staged: Staged, algorithm: Algorithm, max_bytes: u64, permit: BudgetPermit) -> Self {
        let digester = Some(Digester::new(algorithm));
        Self { staged, algorithm, digester, max_bytes, used: Instant::now(), permit }
    }

    fn recovered(
        staged: Staged,
        algorithm: Algorithm,
        max_bytes: u64,
        permit: BudgetPermit,
    ) -> Self {
        Self { digester: None, ..Self::new(staged, algorithm, max_bytes, permit) }
    }

    /// Bytes so far.
    pub(crate) const fn received(&self) -> u64 {
        self.staged.len()
    }

    /// Rejects `more` bytes if they would make the blob too long.
    pub(crate) const fn has_room(&self, more: u64) -> Result<(), Refusal> {
        match self.received().saturating_add(more) > self.max_bytes {
            true => Err(Refusal::TooLong { limit: self.max_bytes }),
            false => Ok(()),
        }
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { received: self.received(), digester: self.digester.clone() }
    }

    /// Restores an earlier state.
    pub(crate) fn roll_back(&mut self, checkpoint: Checkpoint) -> Result<(), StorageError> {
        self.digester = checkpoint.digester;
        self.staged.truncate(checkpoint.received)
    }

    /// Appends a batch, all of it or nothing.
    pub(crate) fn append(&mut self, batch: &[u8]) -> Result<(), Refusal> {
        self.has_room(batch.len() as u64)?;
        let mut digester = self.digester()?;
        let taken = self.staged.append(batch);
        if taken.is_ok() {
            digester.update(batch);
        }
        self.digester = Some(digester);
        Ok(taken?)
    }

    /// Closes the file until the next append.
    pub(crate) fn rest(&mut self) {
        self.staged.rest();
        self.used = Instant::now();
    }

    /// Stores the blob if it has the digest `expected`. With another digest the upload ends. If the storage fails, the
    /// session stays open unless its content is lost.
    pub(crate) fn commit(
        session: &mut Option<Self>,
        backend: &dyn StorageBackend,
        name: &Repository,
        expected: Digest,
    ) -> Result<(), Refusal> {
        let this = session.as_mut().ok_or(Refusal::UploadUnknown)?;
        let found = this.digest(expected.algorithm())?;
        let committed = match found == expected {
            true => backend.put_blob(name, expected, &mut this.staged).map_err(Refusal::from),
            false => Err(Refusal::DigestMismatch(found)),
        };
        this.rest();
        let is_over = !matches!(committed, Err(Refusal::Storage(_))) || this.staged.is_spent();
        if is_over {
            *session = None;
        }
        committed
    }

    /// The digester of all staged content. The caller puts it back.
    fn digester(&mut self) -> Result<Digester, StorageError> {
        match self.digester.take() {
            Some(digester) => Ok(digester),
            None => read_all(&self.staged, self.algorithm),
        }
    }

    fn digest(&mut self, algorithm: Algorithm) -> Result<Digest, StorageError> {
        if algorithm != self.algorithm {
            return Ok(read_all(&self.staged, algorithm)?.finish());
        }
        let digester = self.digester()?;
        self.digester = Some(digester.clone());
        Ok(digester.finish())
    }
}

fn read_all(staged: &Staged, algorithm: Algorithm) -> Result<Digester, StorageError> {
    let mut digester = Digester::new(algorithm);
    staged.read(|piece| digester.update(piece))?;
    Ok(digester)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limits::{MAX_UPLOADS, UPLOAD_LIFE};

    fn uploads() -> (Uploads, Repository) {
        let name = "a".parse().expect("a name");
        (Uploads::new(Storage::memory(), Limits::default()), name)
    }

    #[tokio::test(start_paused = true)]
    async fn idle_sessions_are_dropped_when_another_upload_starts() {
        let (uploads, name) = uploads();
        let open =
            async || uploads.begin(name.clone(), Algorithm::Sha256, None).await.expect("room");
        let (in_use, idle, used_since) = (open().await, open().await, open().await);
        let guard = uploads.get(&name, in_use).await.expect("it is open");
        tokio::time::advance(UPLOAD_LIFE / 2).await;
        uploads.get(&name, used_since).await.expect("it is open");
        tokio::time::advance(UPLOAD_LIFE / 2).await;
        assert_eq!(uploads.count(), 3, "nothing has started since");
        let whole = uploads.stage(Algorithm::Sha256, None).await.expect("there is room");
        assert!(matches!(uploads.get(&name, idle).await, Err(Refusal::UploadUnknown)));
        assert_eq!(uploads.count(), 3);
        drop((guard, whole));
        assert_eq!(uploads.count(), 2);
        for left in [in_use, used_since] {
            uploads.get(&name, left).await.expect("it is open");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_idle_from_the_end_of_what_came_in_last() {
        let (uploads, name) = uploads();
        let id = uploads.begin(name.clone(), Algorithm::Sha256, None).await.expect("there is room");
        let mut guard = uploads.get(&name, id).await.expect("it is open");
        tokio::time::advance(2 * UPLOAD_LIFE).await;
        guard.iter_mut().for_each(UploadSession::rest);
        drop(guard);
        uploads.sweep().await.expect("it works");
        uploads.get(&name, id).await.expect("it is open still");
    }

    #[tokio::test(start_paused = true)]
    async fn idle_sessions_make_room() {
        let (uploads, name) = uploads();
        for _ in 0..MAX_UPLOADS {
            uploads.begin(name.clone(), Algorithm::Sha256, None).await.expect("there is room");
        }
        let full = uploads.begin(name.clone(), Algorithm::Sha256, None).await;
        assert!(matches!(full, Err(Refusal::TooManyUploads(MAX_UPLOADS))));
        tokio::time::advance(UPLOAD_LIFE).await;
        uploads.begin(name, Algorithm::Sha256, None).await.expect("there is room again");
    }

    #[tokio::test]
    async fn sessions_that_expired_while_nothing_ran_are_not_recovered() {
        let root = tempfile::tempdir().expect("a directory");
        let name: Repository = "a".parse().expect("a name");
        let id = {
            let storage = Storage::directory(root.path()).expect("a directory of our own");
            let uploads = Uploads::new(storage, Limits::default());
            uploads.begin(name.clone(), Algorithm::Sha256, None).await.expect("there is room")
        };
        let file = std::fs::File::open(root.path().join(format!("uploads/{id}")));
        let long_ago = std::time::SystemTime::now() - UPLOAD_LIFE - Duration::from_secs(1);
        file.and_then(|file| file.set_modified(long_ago)).expect("it is there");
        let storage = Storage::directory(root.path()).expect("it is free");
        let uploads = Uploads::new(storage, Limits::default());
        assert_eq!(uploads.count(), 0);
        assert!(matches!(uploads.get(&name, id).await, Err(Refusal::UploadUnknown)));
        let left = std::fs::read_dir(root.path().join("uploads")).expect("it is there");
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn what_cannot_be_written_is_not_counted() {
        let permit = Budget::new(1).take(None).expect("there is one");
        let root = tempfile::tempdir().expect("a directory");
        let storage = Storage::directory(root.path()).expect("a directory of our own");
        let staged = storage.backend().stage().expect("there is room");
        let mut session = UploadSession::new(staged, Algorithm::Sha256, 100, permit);
        session.append(b"begun").expect("it is written");
        session.rest();
        // The file goes, and comes back: writing fails meanwhile.
        let staging = root.path().join("staging");
        let entry = std::fs::read_dir(&staging).expect("it is there").next().expect("one");
        let (path, aside) = (entry.expect("an entry").path(), root.path().join("aside"));
        std::fs::rename(&path, &aside).expect("it is there");
        assert!(matches!(session.append(b"lost"), Err(Refusal::Storage(_))));
        assert_eq!(session.received(), 5);
        std::fs::rename(&aside, &path).expect("it is there");
        session.append(b", and done").expect("it is written");
        let too_long = session.append(&[0; 100]);
        assert!(matches!(too_long, Err(Refusal::TooLong { limit: 100 })));
        let (mut session, name) = (Some(session), "a".parse().expect("a name"));
        let digest = Digest::sha256(b"begun, and done");
        UploadSession::commit(&mut session, storage.backend(), &name, digest).expect("it is right");
        assert!(storage.backend().has_blob(&name, digest).expect("it works"));
    }
}
