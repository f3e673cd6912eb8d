//! One upload session: the content is sent in one request, or in chunks.
//!
//! Not here: what happens when a request fails ([`crate::blobs::push`]).
//!
//! Source: distribution-spec 1.1, "Pushing blobs" (POST then PUT, in chunks, mounting, cancelling).

use std::{error::Error as StdError, fmt, time::Duration};

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_client::{Guard, RedactedUrl, Replay, RequestContent};
use oci::{Digest, Repository};
use tokio::time::timeout;
use url::Url;
use wording::Chain;

use crate::{
    Error, RegistryClient, RepositoryClient, SharedPermit,
    auth::{Action, RequiredAccess},
    error::{
        fault::RequestFault,
        pointer::{Pointer, PointerRefusal},
    },
    exchange::{pointer::location, request::Request, response::SuccessResponse},
};

/// How long a cancellation may take. It is optional, and the caller has another error to report.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest `OCI-Chunk-Min-Length` that is respected, in bytes. A larger one is a mistake of the registry.
const MAX_MIN_CHUNK: u64 = 1 << 30;

/// A part of the path of every upload session. No other endpoint of the API has it.
const UPLOADS: &str = "/blobs/uploads/";

const OCI_CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// The result of a mount.
#[derive(Debug)]
pub enum Mount {
    /// The blob is in the repository.
    Mounted,
    /// The registry did not mount the blob and opened an upload session. Send the content, or cancel.
    Upload(Upload),
    /// The repository has the blob with another length. The content of this session must replace it; confirm that with
    /// [`RepositoryClient::confirm_replaced`], because some registries keep the old content.
    Replace(Upload),
}

/// An upload session. Send the content or cancel it. If it is only dropped, the registry keeps the session until it
/// expires.
#[must_use = "the registry keeps the session until it is put or cancelled"]
pub struct Upload {
    client: RegistryClient,
    access: RequiredAccess,
    /// The URL of the registry; none if another host opened the session, after a redirect.
    registry: Option<Url>,
    session: SessionLocation,
    /// The minimum length of every chunk but the last.
    min_chunk: u64,
    /// The permit of its requests.
    permit: Option<SharedPermit>,
}

impl RepositoryClient {
    /// Mounts the blob from the repository `from` of the same registry.
    ///
    /// # Errors
    /// When the registry neither mounts it nor opens an upload session.
    pub async fn mount_blob(&self, digest: &Digest, from: &Repository) -> Result<Mount, Error> {
        self.mount(self.request(Method::POST, "blobs/uploads/")?, digest, from).await
    }

    /// The same without retries, since the caller has an alternative.
    pub(crate) async fn try_mount(
        &self,
        digest: &Digest,
        from: &Repository,
    ) -> Result<Mount, Error> {
        let mut request = self.request(Method::POST, "blobs/uploads/")?;
        request.replay = Replay::Once;
        self.mount(request, digest, from).await
    }

    async fn mount(
        &self,
        mut request: Request,
        digest: &Digest,
        from: &Repository,
    ) -> Result<Mount, Error> {
        let access =
            RequiredAccess::of(self.host(), self.name(), Action::Push).and(from, Action::Pull);
        request.access = Some(access.clone());
        let (digest, from) = (digest.to_string(), from.as_str());
        request.url.query_pairs_mut().append_pair("mount", &digest).append_pair("from", from);
        let response = self.client().send(request).await?;
        if response.status == StatusCode::CREATED {
            return Ok(Mount::Mounted);
        }
        Upload::new(self, access, &response).map(Mount::Upload)
    }

    /// Opens an upload session.
    ///
    /// # Errors
    /// When the registry rejects the request, or the session's URL must not be used.
    pub async fn start_upload(&self) -> Result<Upload, Error> {
        let request = self.request(Method::POST, "blobs/uploads/")?;
        let access = RequiredAccess::of(self.host(), self.name(), Action::Push);
        Upload::new(self, access, &self.client().send(request).await?)
    }
}

impl Upload {
    /// The session that a response opens. It may be at another host, which is trusted because the registry names it.
    pub(crate) fn new(
        repository: &RepositoryClient,
        access: RequiredAccess,
        response: &SuccessResponse,
    ) -> Result<Self, Error> {
        let client = repository.client().clone();
        let target = &response.target;
        let registry = (!target.elsewhere).then(|| target.url.clone());
        let at = SessionLocation { url: target.url.clone(), guard: target.guard };
        let session = at.next(&client, response)?;
        let min_chunk = response.headers.get(OCI_CHUNK_MIN_LENGTH);
        let min_chunk = min_chunk.and_then(|value| value.to_str().ok()?.parse().ok());
        let min_chunk = min_chunk.unwrap_or(0).min(MAX_MIN_CHUNK);
        let permit = repository.permit().cloned();
        Ok(Self { client, access, registry, session, min_chunk, permit })
    }

    /// The same, with requests that use this permit.
    pub fn under(mut self, permit: &SharedPermit) -> Self {
        self.permit = Some(permit.clone());
        self
    }

    /// The minimum length in bytes that the registry accepts for every chunk but the last.
    pub(crate) const fn min_chunk(&self) -> u64 {
        self.min_chunk
    }

    /// Sends the content and commits it: `size` bytes with the digest `digest`.
    ///
    /// If `body` fails, or is shorter or longer than `size`, the request is aborted before its last piece, so that
    /// nothing is committed. After any failure the session is cancelled. A registry that has the blob already may
    /// respond early: `body` is then dropped before its end.
    ///
    /// There is no timeout while `body` has no data, since its own source has one.
    ///
    /// # Errors
    /// When `body` fails or has another length, when the connection breaks or stalls, when the registry rejects the
    /// content, and when its response does not confirm this blob.
    pub async fn put<S, E>(self, digest: &Digest, size: u64, body: S) -> Result<(), Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        match self.try_put(digest, size, body).await {
            Ok(()) => Ok(()),
            Err(error) => {
                if !error.is_unreachable() {
                    self.cancel().await;
                }
                Err(error)
            }
        }
    }

    /// As [`Upload::put`]; after an error the session stays open.
    ///
    /// # Errors
    /// As there.
    pub async fn try_put<S, E>(&self, digest: &Digest, size: u64, body: S) -> Result<(), Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let request = self.request(Method::PUT, self.session.url.clone());
        self.commit(digest, Request { content: RequestContent::stream(size, body), ..request })
            .await
    }

    /// Sends the next chunk, `size` bytes from the offset `from` on. Nothing is committed. After an error
    /// [`Upload::offset`] gives the number of bytes that arrived.
    ///
    /// # Errors
    /// As [`Upload::put`]; the session stays open.
    pub async fn send<S, E>(&mut self, from: u64, size: u64, body: S) -> Result<(), Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let mut request = self.request(Method::PATCH, self.session.url.clone());
        let range = format!("{from}-{}", (from + size).saturating_sub(1));
        if let Ok(range) = HeaderValue::try_from(range) {
            request.headers.insert(header::CONTENT_RANGE, range);
        }
        request.content = RequestContent::stream(size, body);
        let response = self.client.send(request).await?;
        self.session = self.session.next(&self.client, &response)?;
        Ok(())
    }

    /// The number of bytes that the registry has received.
    ///
    /// # Errors
    /// When the session does not exist any more (404), or its state cannot be read.
    pub async fn offset(&mut self) -> Result<u64, Error> {
        let request = self.request(Method::GET, self.session.url.clone());
        let response = self.client.send(request).await?;
        if response.headers.contains_key(header::LOCATION) {
            self.session = self.session.next(&self.client, &response)?;
        }
        offset_of(&response.headers).ok_or_else(|| response.target.fails(RequestFault::NoOffset))
    }

    /// Commits the `size` bytes that were sent as the blob `digest`, and ends the session.
    ///
    /// # Errors
    /// As [`Upload::put`]; the session stays open.
    pub async fn finish(&self, digest: &Digest, size: u64) -> Result<(), Error> {
        let request = self.request(Method::PUT, self.session.url.clone());
        self.commit(digest, Request { commits: Some(size), ..request }).await
    }

    async fn commit(&self, digest: &Digest, mut request: Request) -> Result<(), Error> {
        request.url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let response = self.client.send(request).await?;
        check_stored(&response, digest)?;
        self.client.shared.commits.stored(&self.access.host);
        Ok(())
    }

    fn request(&self, method: Method, url: Url) -> Request {
        let mut request = Request::new(method, url, self.access.clone());
        request.permit.clone_from(&self.permit);
        request.guard = self.session.guard;
        let origin = self.session.url.origin();
        request.elsewhere = self.registry.as_ref().is_none_or(|own| own.origin() != origin);
        // The registry chose this URL. The user's credentials for another host are sent only if it is the URL of an
        // upload.
        if request.elsewhere && !request.url.path().contains(UPLOADS) {
            request.access = None;
        }
        if matches!(request.method, Method::PUT | Method::PATCH) {
            let octets = HeaderValue::from_static("application/octet-stream");
            request.headers.insert(header::CONTENT_TYPE, octets);
        }
        request
    }

    /// Cancels the session. A failure is ignored, since sessions expire.
    pub async fn cancel(self) {
        let request = self.request(Method::DELETE, self.session.url.clone());
        if let Ok(Err(error)) = timeout(CANCEL_TIMEOUT, self.client.send(request)).await {
            tracing::debug!("cancelling an upload: {}", Chain(&error));
        }
    }
}

/// The URL of a session.
#[derive(Clone)]
struct SessionLocation {
    url: Url,
    /// Which addresses the host may have, depending on who named it.
    guard: Guard,
}

impl SessionLocation {
    /// The location of the session after `response`.
    fn next(&self, client: &RegistryClient, response: &SuccessResponse) -> Result<Self, Error> {
        let (target, pointer) = (&response.target, Pointer::UploadSession);
        let url =
            location(&target.url, &response.headers, pointer).map_err(|it| target.fails(it))?;
        if url.origin() == self.url.origin() {
            return Ok(Self { url, guard: self.guard });
        }
        let reason = match PointerRefusal::of_scheme(&self.url, &url) {
            None if url.scheme() == "http" && !client.allows_plain(&self.url, &url) => {
                Some(PointerRefusal::PlainHttp)
            }
            reason => reason,
        };
        if let Some(reason) = reason {
            let to = Some(RedactedUrl::new(&url));
            return Err(target.fails(RequestFault::NotFollowed { pointer, to, reason }));
        }
        let guard = if url.host() == self.url.host() { self.guard } else { response.targets };
        Ok(Self { url, guard })
    }
}

/// What an empty session may send in place of `0-0`: Quay's last byte is -1.
const EMPTY_RANGES: [&str; 2] = ["0--1", "-1"];

/// The number of bytes that a session has, from its `Range: 0-<last>`. `0-0` may mean one byte or none. It is taken for
/// none; a registry that means one byte rejects the next chunk.
fn offset_of(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(header::RANGE)?.to_str().ok()?.trim();
    let range = range.trim_start_matches("bytes").trim_start_matches(['=', ' ']);
    if EMPTY_RANGES.contains(&range) {
        return Some(0);
    }
    let (first, last) = range.split_once('-')?;
    match (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?) {
        (0, 0) => Some(0),
        (0, last) => last.checked_add(1),
        (1.., _) => None,
    }
}

/// Checks that the response confirms the blob: 201, or 204 from older registries.
fn check_stored(response: &SuccessResponse, digest: &Digest) -> Result<(), Error> {
    let status = response.status;
    if !matches!(status, StatusCode::CREATED | StatusCode::NO_CONTENT) {
        return Err(response.target.fails(RequestFault::NotStored { status }));
    }
    // A digest of another algorithm cannot be compared.
    match response.digest().filter(|named| named.algorithm() == digest.algorithm()) {
        Some(named) if named != *digest => {
            Err(response.target.fails(RequestFault::mismatch(*digest, named)))
        }
        _ => Ok(()),
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upload").field(&RedactedUrl::new(&self.session.url)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_a_session_gives_its_offset() {
        for (range, offset) in [
            ("0-0", Some(0)),
            ("0-1", Some(2)),
            ("bytes=0-9", Some(10)),
            ("bytes 0-9", Some(10)),
            ("bytes=0--1", Some(0)),
            ("0--1", Some(0)),
            ("-1", Some(0)),
            ("bytes=-1", Some(0)),
            ("0--2", None),
            ("1-9", None),
            ("0-", None),
            ("0-18446744073709551615", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(range))]);
            assert_eq!(offset_of(&headers), offset, "{range}");
        }
        assert_eq!(offset_of(&HeaderMap::new()), None);
    }
}
