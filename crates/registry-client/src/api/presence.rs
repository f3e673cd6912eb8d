//! Whether a manifest or blob is in a repository, and which responses are proof of that.
//!
//! HEAD is cheap, and some registries, replicas and signed URLs respond to it with an error for content that GET
//! returns. So a successful HEAD is trusted, and a failed one is confirmed by GET. This is the only implementation of
//! that policy; the table is "Presence: HEAD and GET" of `docs/internals/registry-client.md`.
//!
//! Source: RFC 9110 §9.3.2 (HEAD), §14.2 (`Range`), §15.5.17 (416); distribution-spec 1.1, "Checking if
//! content exists in the registry".

use http::{HeaderValue, Method, StatusCode, header};
use http_client::Replay;
use oci::{Digest, Reference};

use crate::{
    Error, Existence, FetchedManifest, ManifestHead, RepositoryClient, RequestFault,
    api::{
        head_memory::Endpoint,
        repository::{digest_of, found},
    },
    blobs::part::content_range,
    exchange::{response::SuccessResponse, substitute::Substitute},
};

/// The most bytes of an unneeded body that are read so that the connection can be reused: the one requested byte, or
/// a short error page.
const MAX_UNUSED_BODY: usize = 1 << 10;

/// Whether a blob is in a repository. It is present only with the length of its descriptor: registries still serve a
/// blob that was truncated in their storage, and its digest is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBlob {
    /// The blob is present. A response without a length counts as one with the right length.
    Present,
    /// GET got 404.
    Absent,
    /// The blob is damaged: it has this length, not that of its descriptor.
    OtherLength(u64),
}

impl FoundBlob {
    /// Whether the blob is present with the right length.
    #[must_use]
    pub fn is_present(self) -> bool {
        self == Self::Present
    }

    fn of(found: Option<u64>, expected: u64) -> Self {
        match found {
            Some(found) if found != expected => Self::OtherLength(found),
            _ => Self::Present,
        }
    }
}

/// What the response to a HEAD shows.
enum HeadResult {
    /// The content exists.
    Present(Box<SuccessResponse>),
    /// A plain 404: a hint.
    NotFound,
    /// It says nothing about the content.
    Inconclusive(Inconclusive),
    /// A failure of a gateway. A GET may succeed, and counts as a retry.
    Passing(Error),
}

/// Why a response to HEAD says nothing about the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inconclusive {
    /// Its status says nothing about the content. If GET then finds the content, the host does not support HEAD.
    Status,
    /// 401 to a request with a new token or with credentials, as ECR Public responds to the HEAD of any blob. If GET
    /// is authorized, whether or not it finds the content, the host does not support HEAD.
    Unauthorized,
    /// The response has something else in place of the content, such as an HTML page. GET shows more.
    Substitute,
}

impl Inconclusive {
    /// Whether the host may lack support for HEAD.
    fn is_of_method(self) -> bool {
        self != Self::Substitute
    }
}

impl HeadResult {
    /// Errors that GET would get too, such as a 401 for lack of credentials, a 429 or a failed connection, stay errors.
    fn of(
        response: Result<SuccessResponse, Error>,
        expected: Option<Digest>,
    ) -> Result<Self, Error> {
        let error = match response {
            Ok(response) if response.substitute(expected).is_some() => {
                return Ok(Self::Inconclusive(Inconclusive::Substitute));
            }
            Ok(response) => return Ok(Self::Present(Box::new(response))),
            Err(error) => error,
        };
        if error.is_redirected_not_found() {
            return Ok(Self::Inconclusive(Inconclusive::Status));
        }
        let Some(status) = error.status() else { return Err(error) };
        match status {
            _ if error.is_throttled() => Err(error),
            StatusCode::UNAUTHORIZED if error.is_authorized() => {
                Ok(Self::Inconclusive(Inconclusive::Unauthorized))
            }
            StatusCode::UNAUTHORIZED if !error.is_elsewhere() => Err(error),
            StatusCode::NOT_FOUND if !error.is_elsewhere() => Ok(Self::NotFound),
            // Registries without HEAD respond so; it does not mean that they are unhealthy.
            StatusCode::INTERNAL_SERVER_ERROR => Ok(Self::Inconclusive(Inconclusive::Status)),
            _ if error.is_transient() => Ok(Self::Passing(error)),
            _ => Ok(Self::Inconclusive(Inconclusive::Status)),
        }
    }
}

impl RepositoryClient {
    /// The manifest of `reference`; none if it certainly does not exist. By HEAD, and by GET if HEAD fails.
    ///
    /// # Errors
    /// When both fail: then nothing is known.
    pub async fn find_manifest(
        &self,
        reference: &Reference,
    ) -> Result<Option<ManifestHead>, Error> {
        match self.hint_manifest(reference).await? {
            Existence::Present(head) => Ok(Some(head)),
            Existence::Absent => Ok(None),
            // Rare, so it is boxed and does not make the callers' futures larger.
            Existence::Unknown => Box::pin(self.find_manifest_by_get(reference)).await,
        }
    }

    /// The same for a reference that a listing names: 404 is an error.
    ///
    /// # Errors
    /// As [`RepositoryClient::find_manifest`]; and [`RequestFault::ListedNotFound`].
    pub async fn find_listed_manifest(&self, reference: &Reference) -> Result<ManifestHead, Error> {
        match self.find_manifest(reference).await? {
            Some(head) => Ok(head),
            None => {
                let request = self.request(Method::GET, &format!("manifests/{reference}"))?;
                Err(request.target().fails(RequestFault::ListedNotFound))
            }
        }
    }

    /// The same by GET alone: one request where the manifest is expected to be absent, as before a write.
    ///
    /// # Errors
    /// As [`RepositoryClient::find_manifest`].
    pub async fn find_manifest_by_get(
        &self,
        reference: &Reference,
    ) -> Result<Option<ManifestHead>, Error> {
        Ok(found(self.manifest(reference).await)?.map(ManifestHead::from))
    }

    /// The result of HEAD alone, for callers where a wrong *absent* costs only repeated work: [`Existence::Unknown`]
    /// on 404. By GET if HEAD says nothing about the content.
    ///
    /// # Errors
    /// As [`RepositoryClient::find_manifest`].
    pub async fn hint_manifest(
        &self,
        reference: &Reference,
    ) -> Result<Existence<ManifestHead>, Error> {
        let memory = &self.client().shared.heads;
        let mut inconclusive = None;
        if !memory.refuses(self.host(), Endpoint::Manifests) {
            let mut request = self.manifest_request(Method::HEAD, reference)?;
            request.replay = Replay::UnlessResponse;
            match HeadResult::of(self.client().send(request).await, digest_of(reference))? {
                HeadResult::Present(response) => {
                    return Box::pin(self.described(reference, response)).await;
                }
                HeadResult::NotFound => return Ok(Existence::Unknown),
                HeadResult::Inconclusive(why) => inconclusive = Some(why),
                HeadResult::Passing(error) => self.may_retry(error)?,
            }
        }
        let found = Box::pin(self.find_manifest_by_get(reference)).await?;
        // Each HEAD of those that are 401 is sent again with new tokens: one is enough.
        let is_proof = found.is_some() || inconclusive == Some(Inconclusive::Unauthorized);
        if is_proof && inconclusive.is_some_and(Inconclusive::is_of_method) {
            memory.note(self.host(), Endpoint::Manifests);
        }
        Ok(found.map_or(Existence::Absent, Existence::Present))
    }

    /// The manifest of a successful HEAD. If the response lacks digest or length, the manifest is read.
    async fn described(
        &self,
        reference: &Reference,
        response: Box<SuccessResponse>,
    ) -> Result<Existence<ManifestHead>, Error> {
        let (by_reference, named) = (digest_of(reference), response.digest());
        if let (Some(expected), Some(found)) = (by_reference, named)
            && expected.algorithm() == found.algorithm()
            && expected != found
        {
            return Err(response.target.fails(RequestFault::mismatch(expected, found)));
        }
        // No manifest is empty.
        let size = response.content_length().filter(|size| *size > 0);
        if let (Some(digest), Some(size)) = (by_reference.or(named), size) {
            let media_type = response.media_type();
            return Ok(Existence::Present(ManifestHead { digest, media_type, size }));
        }
        drop(response);
        let found = Box::pin(self.find_manifest_by_get(reference)).await?;
        Ok(found.map_or(Existence::Absent, Existence::Present))
    }

    /// Whether the blob of this digest and length is in this repository. By HEAD; if that fails, or states another
    /// length, by GET of its first byte.
    ///
    /// # Errors
    /// When both fail: then nothing is known.
    pub async fn find_blob(&self, digest: &Digest, size: u64) -> Result<FoundBlob, Error> {
        let memory = &self.client().shared.heads;
        let mut inconclusive = None;
        if !memory.refuses(self.host(), Endpoint::Blobs) {
            let mut request = self.request(Method::HEAD, &format!("blobs/{digest}"))?;
            request.replay = Replay::UnlessResponse;
            match HeadResult::of(self.client().send(request).await, Some(*digest))? {
                HeadResult::Present(response) => {
                    if FoundBlob::of(response.content_length(), size).is_present() {
                        return Ok(FoundBlob::Present);
                    }
                    inconclusive = Some(Inconclusive::Status);
                }
                HeadResult::NotFound => {}
                HeadResult::Inconclusive(why) => inconclusive = Some(why),
                HeadResult::Passing(error) => self.may_retry(error)?,
            }
        }
        let found = Box::pin(self.find_blob_by_get(digest, size)).await?;
        // A HEAD that states the length of a damaged blob is right.
        // Each HEAD of those that are 401 is sent again with new tokens: one is enough.
        let is_proof = found.is_present() || inconclusive == Some(Inconclusive::Unauthorized);
        if is_proof && inconclusive.is_some_and(Inconclusive::is_of_method) {
            memory.note(self.host(), Endpoint::Blobs);
        }
        Ok(found)
    }

    /// Checks that an upload has replaced a blob of another length. Some registries accept an upload of a digest that
    /// they have, and keep the old content.
    ///
    /// # Errors
    /// [`RequestFault::Damaged`] where it still has another length; as [`RepositoryClient::find_blob`].
    pub async fn confirm_replaced(&self, digest: &Digest, size: u64) -> Result<(), Error> {
        let FoundBlob::OtherLength(found) = self.find_blob(digest, size).await? else {
            return Ok(());
        };
        let request = self.request(Method::GET, &format!("blobs/{digest}"))?;
        Err(request.target().fails(RequestFault::Damaged { found, size }))
    }

    /// Takes a retry from the host's budget, so that requests do not double in an outage. Returns `error` without one.
    fn may_retry(&self, error: Error) -> Result<(), Error> {
        let limiter = &self.client().shared.limiter;
        let authority = error.url().authority();
        if !limiter.may_confirm(authority) {
            return Err(error);
        }
        limiter.retried(authority);
        Ok(())
    }

    /// Requests the first byte. If the server ignores `Range` and sends the whole blob, the body is not read.
    async fn find_blob_by_get(&self, digest: &Digest, size: u64) -> Result<FoundBlob, Error> {
        let first = HeaderValue::from_static("bytes=0-0");
        let blob = match self.first_byte(digest, size, Some(first)).await {
            // An empty blob has no byte to request, and some servers reject all ranges.
            Err(error) if error.status() == Some(StatusCode::RANGE_NOT_SATISFIABLE) => {
                match error.is_of_empty() {
                    true => Ok(FoundBlob::of(Some(0), size)),
                    false => self.first_byte(digest, size, None).await,
                }
            }
            response => response,
        };
        Ok(found(blob)?.unwrap_or(FoundBlob::Absent))
    }

    /// What the response says about the whole blob.
    async fn first_byte(
        &self,
        digest: &Digest,
        size: u64,
        range: Option<HeaderValue>,
    ) -> Result<FoundBlob, Error> {
        let mut request = self.request(Method::GET, &format!("blobs/{digest}"))?;
        request.headers.extend(range.map(|range| (header::RANGE, range)));
        let response = self.client().send(request).await?;
        let length = match response.status {
            StatusCode::PARTIAL_CONTENT => {
                content_range(&response.headers).and_then(|(_, whole)| whole)
            }
            StatusCode::NO_CONTENT => Some(0),
            _ => response.content_length(),
        };
        match response.substitute(Some(*digest)) {
            // With the right length it counts as the blob.
            Some(Substitute::Compressed(_) | Substitute::Empty) if length == Some(size) => {}
            Some(substitute) => return Err(response.target.fails(substitute.fault("a blob"))),
            None => {}
        }
        if response.status == StatusCode::PARTIAL_CONTENT {
            // Read only so that the connection can be reused.
            let _ = response.body.collect(MAX_UNUSED_BODY).await;
        }
        Ok(FoundBlob::of(length, size))
    }
}

impl From<FetchedManifest> for ManifestHead {
    fn from(manifest: FetchedManifest) -> Self {
        let FetchedManifest { digest, media_type, bytes } = manifest;
        Self { digest, media_type, size: bytes.len() as u64 }
    }
}
