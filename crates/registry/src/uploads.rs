//! Uploads: sessions in which a blob comes in, whole or in chunks, and is kept only if its digest is
//! the one that the client named.
//!
//! Sessions live in the process; a restart forgets them. An upload that breaks off between pieces can
//! be resumed; one whose write failed or was cut short is lost.
//!
//! Source: distribution-spec 1.1, "Pushing blobs".

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::response::{IntoResponse, Response};
use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE},
};
use oci::{Algorithm, Digest, Digester, Repository};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    DOCKER_CONTENT_DIGEST,
    body::Incoming,
    limits::{MAX_UPLOADS, UPLOAD_IDLE},
    refusal::Refusal,
    route::Start,
    storage::{Staged, Storage},
};

const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// The name of a session: 32 hexadecimal digits. Unique, and not to be guessed by accident; it is no
/// secret, since this registry has no users to keep apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UploadId(u128);

impl UploadId {
    fn random() -> Self {
        // Each state has keys of its own, from the system's randomness.
        let [high, low] = [(); 2].map(|()| RandomState::new().hash_one(Instant::now()));
        Self(u128::from(high) << 64 | u128::from(low))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

/// The uploads under way.
#[derive(Debug)]
pub(crate) struct Uploads {
    /// One for each [`Session`], whether it is open to further requests or not.
    places: Arc<Semaphore>,
    open: Mutex<HashMap<UploadId, Open>>,
}

impl Default for Uploads {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(MAX_UPLOADS));
        Self { places, open: Mutex::default() }
    }
}

#[derive(Debug)]
struct Open {
    name: Repository,
    used: Instant,
    session: Slot,
}

/// None once the session is finished.
type Slot = Arc<tokio::sync::Mutex<Option<Session>>>;

impl Uploads {
    fn lock(&self) -> MutexGuard<'_, HashMap<UploadId, Open>> {
        // Every change is one call on the map: a panic elsewhere leaves nothing half done.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more upload. Sessions that lie idle make room first.
    fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.lock().retain(|_, open| {
            Arc::strong_count(&open.session) > 1 || open.used.elapsed() < UPLOAD_IDLE
        });
        Arc::clone(&self.places).try_acquire_owned().ok().ok_or(Refusal::TooManyUploads)
    }

    fn insert(&self, name: Repository, session: Session) -> UploadId {
        let id = UploadId::random();
        let session = Arc::new(tokio::sync::Mutex::new(Some(session)));
        self.lock().insert(id, Open { name, used: Instant::now(), session });
        id
    }

    fn get(&self, name: &Repository, id: UploadId) -> Result<Slot, Refusal> {
        let mut open = self.lock();
        let upload = open.get_mut(&id).filter(|open| open.name == *name);
        let upload = upload.ok_or(Refusal::UploadUnknown)?;
        upload.used = Instant::now();
        Ok(Arc::clone(&upload.session))
    }

    fn remove(&self, id: UploadId) {
        self.lock().remove(&id);
    }
}

/// One upload: what came in so far.
#[derive(Debug)]
struct Session {
    storage: Storage,
    max_bytes: u64,
    received: u64,
    digester: Digester,
    /// None once a write failed, or its future was dropped: what is staged is then unknown.
    staged: Option<Staged>,
    /// Given back once nothing is staged any more.
    place: OwnedSemaphorePermit,
}

impl Session {
    async fn new(storage: &Storage, uploads: &Uploads) -> Result<Self, Refusal> {
        let place = uploads.place()?;
        let staged = storage.run(|backend| Ok((backend.max_blob_bytes(), backend.stage()?)));
        let (max_bytes, staged) = staged.await?;
        Ok(Self {
            storage: storage.clone(),
            max_bytes,
            received: 0,
            digester: Digester::new(Algorithm::Sha256),
            staged: Some(staged),
            place,
        })
    }

    async fn append(&mut self, body: &mut Incoming) -> Result<(), Refusal> {
        while let Some(piece) = body.next().await? {
            let received = self.received + piece.len() as u64;
            if received > self.max_bytes {
                return Err(Refusal::TooLong { limit: self.max_bytes });
            }
            let mut staged = self.staged.take().ok_or(Refusal::UploadUnknown)?;
            staged.write(&piece).await?;
            self.digester.update(&piece);
            self.received = received;
            self.staged = Some(staged);
        }
        Ok(())
    }

    /// Keeps the blob if it is what `asked` names.
    async fn keep(self, name: Repository, asked: Digest) -> Result<Response, Refusal> {
        let content = self.staged.ok_or(Refusal::UploadUnknown)?.finish().await?;
        let sha256 = self.digester.finish();
        let location = format!("/v2/{name}/blobs/{asked}");
        let place = self.place;
        let keep = self.storage.run(move |backend| {
            // This goes on where the client does not wait for it.
            let _place = place;
            let found = match asked.algorithm() {
                Algorithm::Sha256 => sha256,
                other @ Algorithm::Sha512 => content.digest(other)?,
            };
            if found != asked {
                return Ok(Err(Refusal::DigestMismatch(found)));
            }
            backend.put_blob(&name, asked, content).map(Ok)
        });
        keep.await??;
        Ok(created(location, asked))
    }
}

/// How far an upload is.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) location: String,
    /// Bytes so far.
    pub(crate) received: u64,
    id: UploadId,
}

impl Progress {
    fn new(name: &Repository, id: UploadId, received: u64) -> Self {
        Self { location: format!("/v2/{name}/blobs/uploads/{:032x}", id.0), received, id }
    }

    /// The `Range` header; nothing received is written as one byte too, as every registry does.
    pub(crate) fn range(&self) -> String {
        format!("0-{}", self.received.saturating_sub(1))
    }

    fn answer(self, status: StatusCode) -> Response {
        let headers = [
            (RANGE, self.range()),
            (DOCKER_UPLOAD_UUID, format!("{:032x}", self.id.0)),
            (LOCATION, self.location),
        ];
        (status, headers).into_response()
    }
}

fn created(location: String, digest: Digest) -> Response {
    let headers = [(LOCATION, location), (DOCKER_CONTENT_DIGEST, digest.to_string())];
    (StatusCode::CREATED, headers).into_response()
}

pub(crate) async fn start(
    storage: &Storage,
    uploads: &Uploads,
    name: Repository,
    start: Start,
    body: &mut Incoming,
) -> Result<Response, Refusal> {
    match start {
        Start::Session => {}
        Start::Whole(digest) => {
            let mut session = Session::new(storage, uploads).await?;
            session.append(body).await?;
            return session.keep(name, digest).await;
        }
        Start::Mount { digest, from } => {
            let to = name.clone();
            if storage.run(move |backend| backend.mount_blob(&from, &to, digest)).await? {
                return Ok(created(format!("/v2/{name}/blobs/{digest}"), digest));
            }
        }
    }
    let id = uploads.insert(name.clone(), Session::new(storage, uploads).await?);
    Ok(Progress::new(&name, id, 0).answer(StatusCode::ACCEPTED))
}

pub(crate) async fn status(
    uploads: &Uploads,
    name: &Repository,
    id: UploadId,
) -> Result<Response, Refusal> {
    let slot = uploads.get(name, id)?;
    let slot = slot.lock().await;
    let session = slot.as_ref().ok_or(Refusal::UploadUnknown)?;
    Ok(Progress::new(name, id, session.received).answer(StatusCode::NO_CONTENT))
}

pub(crate) async fn append(
    uploads: &Uploads,
    name: &Repository,
    id: UploadId,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<Response, Refusal> {
    let slot = uploads.get(name, id)?;
    let mut slot = slot.lock().await;
    let session = slot.as_mut().ok_or(Refusal::UploadUnknown)?;
    append_chunk(session, name, id, headers, body).await?;
    Ok(Progress::new(name, id, session.received).answer(StatusCode::ACCEPTED))
}

pub(crate) async fn finish(
    uploads: &Uploads,
    name: Repository,
    id: UploadId,
    digest: Digest,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<Response, Refusal> {
    let slot = uploads.get(&name, id)?;
    let mut slot = slot.lock().await;
    let session = slot.as_mut().ok_or(Refusal::UploadUnknown)?;
    append_chunk(session, &name, id, headers, body).await?;
    uploads.remove(id);
    let session = slot.take().ok_or(Refusal::UploadUnknown)?;
    session.keep(name, digest).await
}

pub(crate) fn cancel(
    uploads: &Uploads,
    name: &Repository,
    id: UploadId,
) -> Result<Response, Refusal> {
    uploads.get(name, id)?;
    uploads.remove(id);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Appends the body, where `Content-Range` allows it.
async fn append_chunk(
    session: &mut Session,
    name: &Repository,
    id: UploadId,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<(), Refusal> {
    let Some(range) = headers.get(CONTENT_RANGE) else { return session.append(body).await };
    let (start, announced) =
        range.to_str().ok().and_then(parse_content_range).ok_or(Refusal::BadContentRange)?;
    if start != session.received {
        return Err(Refusal::OutOfOrder(Progress::new(name, id, session.received)));
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if let Some(found) = length.filter(|length| *length != announced) {
        return Err(Refusal::LengthMismatch { announced, found });
    }
    session.append(body).await?;
    let found = session.received - start;
    if found == announced { Ok(()) } else { Err(Refusal::LengthMismatch { announced, found }) }
}

/// The first byte and the length that `<first>-<last>` says.
fn parse_content_range(text: &str) -> Option<(u64, u64)> {
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u64>().ok(),
        false => None,
    };
    let (first, last) = text.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    Some((first, last.checked_sub(first)?.checked_add(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        for (text, parsed) in [
            ("0-0", Some((0, 1))),
            ("5-9", Some((5, 5))),
            ("9-5", None),
            ("0-18446744073709551615", None),
            ("bytes 0-1", None),
            ("0-1/2", None),
            ("+0-1", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(parse_content_range(text), parsed, "{text}");
        }
    }

    #[test]
    fn upload_ids_are_read_as_they_are_printed() {
        let id = UploadId::random();
        assert_eq!(UploadId::parse(&format!("{:032x}", id.0)), Some(id));
        assert_ne!(id, UploadId::random());
        for bad in
            ["", "0", "+123456789abcdef0123456789abcdef0", "../../../../../../../../../../xx"]
        {
            assert_eq!(UploadId::parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn what_was_not_written_whole_is_not_kept() {
        let (storage, uploads) = (Storage::memory(), Uploads::default());
        let name: Repository = "a".parse().expect("a name");
        for content in [&b"short"[..], &[0; 4 << 20]] {
            let mut session = Session::new(&storage, &uploads).await.expect("a session");
            // Opened for reading: every write fails, and syncing does not.
            let path = tempfile::NamedTempFile::new().expect("a file").into_temp_path();
            let file = tokio::fs::File::open(&path).await.expect("it is there");
            session.staged = Some(Staged::File { file, path });
            let mut failed = false;
            for piece in content.chunks(3 << 20) {
                let mut body = Incoming::new(axum::body::Body::from(piece.to_vec()));
                failed |= session.append(&mut body).await.is_err();
            }
            let digest = Digest::sha256(content);
            failed |= session.keep(name.clone(), digest).await.is_err();
            assert!(failed, "{}", content.len());
            let kept = storage.run({
                let name = name.clone();
                move |backend| backend.has_blob(&name, digest)
            });
            assert!(!kept.await.expect("it works"), "{}", content.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn idle_sessions_are_dropped_when_another_upload_starts() {
        let (storage, uploads) = (Storage::memory(), Uploads::default());
        let name: Repository = "a".parse().expect("a name");
        let open = async || {
            let session = Session::new(&storage, &uploads).await.expect("there is room");
            uploads.insert(name.clone(), session)
        };
        let (in_use, idle, used_since) = (open().await, open().await, open().await);
        let slot = uploads.get(&name, in_use).expect("it is open");
        tokio::time::advance(UPLOAD_IDLE / 2).await;
        uploads.get(&name, used_since).expect("it is open");
        tokio::time::advance(UPLOAD_IDLE / 2).await;
        assert_eq!(uploads.lock().len(), 3, "nothing has started since");
        let whole = Session::new(&storage, &uploads).await.expect("there is room");
        assert!(matches!(uploads.get(&name, idle), Err(Refusal::UploadUnknown)));
        for left in [in_use, used_since] {
            uploads.get(&name, left).expect("it is open");
        }
        assert_eq!(uploads.places.available_permits(), MAX_UPLOADS - 3);
        drop((slot, whole));
        assert_eq!(uploads.places.available_permits(), MAX_UPLOADS - 2);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_sessions_make_room() {
        let (storage, uploads) = (Storage::memory(), Uploads::default());
        let name: Repository = "a".parse().expect("a name");
        for _ in 0..MAX_UPLOADS {
            let session = Session::new(&storage, &uploads).await.expect("there is room");
            uploads.insert(name.clone(), session);
        }
        let full = Session::new(&storage, &uploads).await;
        assert!(matches!(full, Err(Refusal::TooManyUploads)));
        tokio::time::advance(UPLOAD_IDLE).await;
        Session::new(&storage, &uploads).await.expect("there is room again");
    }
}
