//! One upload session: its content in one request, or in several, each from where the last one ended.
//!
//! Not here: what to do when one of them breaks ([`crate::blobs::push`]).
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

use crate::{
    Error, RegistryClient, RepositoryClient, SharedPermit,
    auth::{Action, RequiredAccess},
    error::{
        fault::RequestFault,
        pointer::{Pointer, PointerRefusal},
    },
    exchange::{pointer::location, request::Request, response::SuccessResponse},
};

/// How long a cancellation may take: it is a courtesy, and the caller has something else to report.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// The shortest chunk but for the last that a registry may ask for, in bytes: more is a mistake.
const LONGEST_LEAST_CHUNK: u64 = 1 << 30;

/// What the paths of upload sessions have, and those of no other endpoint of the API.
const UPLOADS: &str = "/blobs/uploads/";

const OCI_CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// What became of a mount.
#[derive(Debug)]
pub enum Mount {
    /// The blob is in the repository now.
    Mounted,
    /// The registry would rather have the bytes: a session to put them in, or to cancel.
    Upload(Upload),
    /// The repository has it with another length. The session's content is to replace it, which must be confirmed
    /// ([`RepositoryClient::confirm_replaced`]): some registries keep what they have.
    Replace(Upload),
}

/// An upload session. Put the content, or cancel: a registry keeps a session that is only dropped,
/// until it expires.
#[must_use = "the registry keeps the session until it is put or cancelled"]
pub struct Upload {
    client: RegistryClient,
    access: RequiredAccess,
    /// Where the registry is; none where a redirect to another host led to what opened the session.
    registry: Option<Url>,
    session: SessionLocation,
    /// The shortest chunk that is taken, but for the last.
    least_chunk: u64,
    /// The permit that its requests are sent under.
    permit: Option<SharedPermit>,
}

impl RepositoryClient {
    /// Asks the registry to take the blob from its own repository `from`.
    ///
    /// # Errors
    /// When it neither does so nor opens an upload.
    pub async fn mount_blob(&self, digest: &Digest, from: &Repository) -> Result<Mount, Error> {
        self.mount(self.request(Method::POST, "blobs/uploads/")?, digest, from).await
    }

    /// The same, once: the caller does something else if it fails.
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
        let access = RequiredAccess::of(self.name(), Action::Push).and(from, Action::Pull);
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
    /// When the registry refuses, or names a session that is not followed.
    pub async fn start_upload(&self) -> Result<Upload, Error> {
        let request = self.request(Method::POST, "blobs/uploads/")?;
        let access = RequiredAccess::of(self.name(), Action::Push);
        Upload::new(self, access, &self.client().send(request).await?)
    }
}

impl Upload {
    /// The session that a response opens, perhaps at another host, which the registry then vouches for.
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
        let least_chunk = response.headers.get(OCI_CHUNK_MIN_LENGTH);
        let least_chunk = least_chunk.and_then(|value| value.to_str().ok()?.parse().ok());
        let least_chunk = least_chunk.unwrap_or(0).min(LONGEST_LEAST_CHUNK);
        let permit = repository.permit().cloned();
        Ok(Self { client, access, registry, session, least_chunk, permit })
    }

    /// The same, with requests that use this permit and wait for no other.
    pub fn under(mut self, permit: &SharedPermit) -> Self {
        self.permit = Some(permit.clone());
        self
    }

    /// The shortest chunk that the registry takes, but for the last, in bytes.
    pub(crate) const fn least_chunk(&self) -> u64 {
        self.least_chunk
    }

    /// Sends the content, `size` bytes, which the registry keeps if it has `digest`.
    ///
    /// When `body` ends in an error, too early or too late, the request is broken off before its
    /// last piece, and so commits nothing; after any failure the session is cancelled. A registry
    /// that has the blob already may respond early: `body` is then dropped before its end.
    ///
    /// While `body` has nothing to give there is no deadline, since what it waits for has its own.
    ///
    /// # Errors
    /// When `body` fails or has another length, when the connection breaks or stalls, when the
    /// registry refuses, and when it does not say that it stored the blob, or names another one.
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
        self.commit(digest, RequestContent::stream(size, body)).await
    }

    /// Sends the next `size` bytes of the content, which begin at `from`. Nothing is committed. After an
    /// error [`Upload::offset`] says how much of it arrived.
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

    /// How many bytes the registry has of the content.
    ///
    /// # Errors
    /// When the session is gone (404), or its state cannot be read.
    pub async fn offset(&mut self) -> Result<u64, Error> {
        let request = self.request(Method::GET, self.session.url.clone());
        let response = self.client.send(request).await?;
        if response.headers.contains_key(header::LOCATION) {
            self.session = self.session.next(&self.client, &response)?;
        }
        offset_of(&response.headers).ok_or_else(|| response.target.fails(RequestFault::NoOffset))
    }

    /// Ends the session: its content is a blob now, if it has `digest`.
    ///
    /// # Errors
    /// As [`Upload::put`]; the session stays open.
    pub async fn finish(&self, digest: &Digest) -> Result<(), Error> {
        self.commit(digest, RequestContent::NONE).await
    }

    async fn commit(&self, digest: &Digest, content: RequestContent) -> Result<(), Error> {
        let mut url = self.session.url.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let mut request = self.request(Method::PUT, url);
        request.content = content;
        let response = self.client.send(request).await?;
        check_stored(&response, digest)
    }

    fn request(&self, method: Method, url: Url) -> Request {
        let mut request = Request::new(method, url, self.access.clone());
        request.permit.clone_from(&self.permit);
        request.guard = self.session.guard;
        let origin = self.session.url.origin();
        request.elsewhere = self.registry.as_ref().is_none_or(|own| own.origin() != origin);
        // The user's credentials of another host are only for what an upload is: nothing but the registry says what
        // this URL means there.
        if request.elsewhere && !request.url.path().contains(UPLOADS) {
            request.access = None;
        }
        if matches!(request.method, Method::PUT | Method::PATCH) {
            let octets = HeaderValue::from_static("application/octet-stream");
            request.headers.insert(header::CONTENT_TYPE, octets);
        }
        request
    }

    /// Gives the session up. Best effort: a registry that fails to do so expires it itself.
    pub async fn cancel(self) {
        let request = self.request(Method::DELETE, self.session.url.clone());
        if let Ok(Err(error)) = timeout(CANCEL_TIMEOUT, self.client.send(request)).await {
            tracing::debug!("cancelling an upload: {error}");
        }
    }
}

/// Where a session is.
#[derive(Clone)]
struct SessionLocation {
    url: Url,
    /// Who named the host.
    guard: Guard,
}

impl SessionLocation {
    /// Where `response` says that it goes on.
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

/// What a session without content may tell instead of `0-0`: Quay's last byte is -1.
const NOTHING: [&str; 2] = ["0--1", "-1"];

/// How many bytes a session has by its `Range: 0-<last>`. One byte and none are told by the same `0-0`:
/// it is taken for none, and a registry that means the other refuses what follows.
fn offset_of(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(header::RANGE)?.to_str().ok()?.trim();
    let range = range.trim_start_matches("bytes").trim_start_matches(['=', ' ']);
    if NOTHING.contains(&range) {
        return Some(0);
    }
    let (first, last) = range.split_once('-')?;
    match (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?) {
        (0, 0) => Some(0),
        (0, last) => last.checked_add(1),
        (1.., _) => None,
    }
}

/// Whether the response to the content says that it is stored: 201, or 204 from older registries.
fn check_stored(response: &SuccessResponse, digest: &Digest) -> Result<(), Error> {
    let status = response.status;
    if !matches!(status, StatusCode::CREATED | StatusCode::NO_CONTENT) {
        return Err(response.target.fails(RequestFault::NotStored { status }));
    }
    // A registry may name the blob by another algorithm, which says nothing about this digest.
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
    fn a_session_says_how_much_it_has() {
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
