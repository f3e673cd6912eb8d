//! One repository of one registry: manifests, tags, blobs.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use http_client::{Replay, RequestContent};
use oci::{Digest, Host, Reference, Repository, Tag, media_type};

use crate::{
    Error, RegistryClient, RequestFault, SharedPermit,
    api::{
        conditions::Condition,
        listing::{ListingPages, NAMES, NameList, NamesMember, PAGE_SIZE},
    },
    auth::{Action, RequiredAccess},
    exchange::{
        request::{Request, RequestTarget},
        response::FullResponse,
        substitute::Substitute,
    },
};

/// The largest manifest that is read, in bytes. The specification requires registries to accept 4 MiB, and
/// clients not to count on more; some take more, so this is four times that.
pub const MAX_MANIFEST_BYTES: usize = 16 << 20;

/// A manifest as it was served, its digest verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedManifest {
    /// The digest of `bytes`.
    pub digest: Digest,
    /// The media type it was served under, without parameters; empty when none was sent.
    pub media_type: String,
    /// The manifest.
    pub bytes: Bytes,
}

/// What a registry says about a manifest without sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestHead {
    /// The manifest's digest.
    pub digest: Digest,
    /// The media type it is served under, without parameters; empty when none was sent.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
}

/// A repository at a registry. Cheap to clone; prints as `host/name`.
#[derive(Clone, Debug)]
pub struct RepositoryClient {
    client: RegistryClient,
    host: Host,
    name: Repository,
    /// The permit that its requests are sent under.
    permit: Option<SharedPermit>,
    /// The scope of tokens for its reads.
    reads_with: Action,
}

impl RepositoryClient {
    pub(crate) fn new(client: RegistryClient, host: Host, name: Repository) -> Self {
        Self { client, host, name, permit: None, reads_with: Action::Pull }
    }

    /// The same, with requests that use this permit and wait for no other.
    #[must_use]
    pub fn under(&self, permit: &SharedPermit) -> Self {
        Self { permit: Some(permit.clone()), ..self.clone() }
    }

    /// The permit that its requests are sent under.
    #[must_use]
    pub const fn permit(&self) -> Option<&SharedPermit> {
        self.permit.as_ref()
    }

    /// The same for a later write: tokens for reads allow writes too. For a repository that does not exist yet, many
    /// registries respond with 401 or 403 to a token that allows only reads, and with 404 to one that allows writes.
    #[must_use]
    pub fn for_writing(&self) -> Self {
        Self { reads_with: Action::Push, ..self.clone() }
    }

    /// The registry.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The repository's name there.
    #[must_use]
    pub fn name(&self) -> &Repository {
        &self.name
    }

    /// Reads a manifest and verifies it: against `reference` when that is a digest, and against
    /// the digest that the registry sent with it.
    ///
    /// # Errors
    /// Also when it is longer than [`MAX_MANIFEST_BYTES`].
    pub async fn manifest(&self, reference: &Reference) -> Result<FetchedManifest, Error> {
        Ok(self.fetch(reference).await?.0)
    }

    /// Reads and verifies a manifest; gives the headers of the response too.
    pub(crate) async fn fetch(
        &self,
        reference: &Reference,
    ) -> Result<(FetchedManifest, HeaderMap), Error> {
        let request = self.manifest_request(Method::GET, reference)?;
        let found = self.client.fetch(request, MAX_MANIFEST_BYTES).await?;
        let (media_type, named) = (found.media_type(), found.digest());
        let by_reference = digest_of(reference);
        let expected = by_reference.or(named);
        let is_wanted = expected.is_some_and(|digest| digest.matches(&found.bytes));
        let substitute = found.substitute().filter(|it| match it {
            Substitute::Empty => true,
            // A proxy may state the digest of a page of its own.
            Substitute::Error(_) => by_reference.is_none() || !is_wanted,
            Substitute::WebPage(_) | Substitute::Compressed(_) => !is_wanted,
        });
        let FullResponse { target, bytes, headers } = found;
        if let Some(substitute) = substitute {
            return Err(target.fails(substitute.fault("a manifest")));
        }
        for expected in by_reference.iter().chain(&named) {
            verify(&target, *expected, &bytes).map_err(|mismatch| {
                let is_schema1 = media_type::is_schema1(media_type::essence(&media_type));
                if is_schema1 { target.fails(RequestFault::Schema1) } else { mismatch }
            })?;
        }
        let digest = by_reference.or(named).unwrap_or_else(|| Digest::sha256(&bytes));
        Ok((FetchedManifest { digest, media_type, bytes }, headers))
    }

    /// Writes a manifest under a tag or its digest, and returns its digest.
    ///
    /// # Errors
    /// Also, and before anything is sent, when `reference` is a digest that `bytes` does not have;
    /// and when the registry says that it stored something else.
    pub async fn put_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Digest, Error> {
        Ok(self.put(reference, media_type, bytes, &Condition::None).await?.0)
    }

    /// Writes a manifest where this condition holds; gives the headers of the response too.
    pub(crate) async fn put(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: Bytes,
        condition: &Condition,
    ) -> Result<(Digest, HeaderMap), Error> {
        let mut request = self.request(Method::PUT, &format!("manifests/{reference}"))?;
        let by_reference = digest_of(reference);
        if let Some(expected) = by_reference {
            verify(&request.target(), expected, &bytes)?;
        }
        let media_type = HeaderValue::from_str(media_type)
            .unwrap_or(HeaderValue::from_static("application/octet-stream"));
        request.headers = condition.headers();
        if matches!(condition, Condition::Checked) {
            request.replay = Replay::UnlessSent;
        }
        request.headers.insert(header::CONTENT_TYPE, media_type);
        request.content = RequestContent::Bytes(bytes.clone());
        let response = self.client.send(request).await?;
        if let Some(named) = response.digest() {
            verify(&response.target, named, &bytes)?;
        }
        Ok((by_reference.unwrap_or_else(|| Digest::sha256(&bytes)), response.headers))
    }

    /// Deletes a manifest (by digest) or a tag.
    ///
    /// # Errors
    /// When it is not there, or the registry does not allow it.
    pub async fn delete_manifest(&self, reference: &Reference) -> Result<(), Error> {
        let request = self.request(Method::DELETE, &format!("manifests/{reference}"))?;
        self.client.send(request).await.map(drop)
    }

    /// All tags, in the registry's order: none when it responds with 404, by whatever code, since the
    /// specification requires none.
    ///
    /// # Errors
    /// When a page cannot be read, or there is no end of pages.
    pub async fn tags(&self) -> Result<NameList<Tag>, Error> {
        match found(self.tags_pages(PAGE_SIZE).await)? {
            Some(pages) => pages.names(NamesMember::Tags).await,
            None => Ok(NameList::default()),
        }
    }

    /// `tags/list` in pages of `size` entries.
    pub(crate) async fn tags_pages(&self, size: usize) -> Result<ListingPages, Error> {
        let first = self.request(Method::GET, &format!("tags/list?n={size}"))?;
        ListingPages::begin(&self.client, first, NAMES).await
    }

    /// The client that sends its requests.
    #[must_use]
    pub const fn client(&self) -> &RegistryClient {
        &self.client
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> Result<Request, Error> {
        let url = self.client.endpoint(&self.host, &method, &format!("{}/{path}", self.name))?;
        let action = match method {
            Method::GET | Method::HEAD => self.reads_with,
            Method::DELETE => Action::Delete,
            _ => Action::Push,
        };
        let mut request =
            Request::new(method, url, RequiredAccess::of(&self.host, &self.name, action));
        request.permit.clone_from(&self.permit);
        Ok(request)
    }

    pub(crate) fn manifest_request(
        &self,
        method: Method,
        reference: &Reference,
    ) -> Result<Request, Error> {
        let mut request = self.request(method, &format!("manifests/{reference}"))?;
        // One header line, since not every server in front of a registry reads several.
        if let Ok(accepted) = HeaderValue::try_from(media_type::MANIFESTS.join(", ")) {
            request.headers.insert(header::ACCEPT, accepted);
        }
        Ok(request)
    }
}

pub(crate) fn digest_of(reference: &Reference) -> Option<Digest> {
    match reference {
        Reference::Digest(digest) => Some(*digest),
        Reference::Tag(_) => None,
    }
}

fn verify(target: &RequestTarget, expected: Digest, bytes: &[u8]) -> Result<(), Error> {
    let found = Digest::of(expected.algorithm(), bytes);
    if found == expected {
        return Ok(());
    }
    Err(target.fails(RequestFault::mismatch(expected, found)))
}

/// The result, or none if the error is a 404.
pub(crate) fn found<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Err(error) if error.is_not_found() => Ok(None),
        read => read.map(Some),
    }
}

impl fmt::Display for RepositoryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.name)
    }
}
