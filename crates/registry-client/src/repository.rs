//! One repository of one registry: manifests, tags, blobs.

use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use oci::{Digest, Host, Reference, Repository, Tag, media_type};

use crate::{
    BlobReader, Client, Error, Fault, Mount, Upload, content::Content, exchange::Request,
    listing::PAGE_SIZE,
};

/// The largest manifest that is read, in bytes. The specification asks registries to take 4 MiB, and
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
    client: Client,
    host: Host,
    name: Repository,
}

impl RepositoryClient {
    pub(crate) fn new(client: Client, host: Host, name: Repository) -> Self {
        Self { client, host, name }
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
        let request = self.manifest_request(Method::GET, reference)?;
        let answer = self.client.send(request).await?;
        let (media_type, named) = (answer.media_type(), answer.digest());
        let (asked, bytes) = answer.bytes(MAX_MANIFEST_BYTES).await?;
        let by_reference = digest_of(reference);
        for expected in by_reference.iter().chain(&named) {
            verify(&asked, *expected, &bytes)?;
        }
        let digest = by_reference.or(named).unwrap_or_else(|| Digest::sha256(&bytes));
        Ok(FetchedManifest { digest, media_type, bytes })
    }

    /// What `reference` is; none when it is not there. Where the registry does not send digest and
    /// length with the answer to HEAD, the manifest is read.
    ///
    /// # Errors
    /// Any answer but success and 404.
    pub async fn head_manifest(
        &self,
        reference: &Reference,
    ) -> Result<Option<ManifestHead>, Error> {
        let request = self.manifest_request(Method::HEAD, reference)?;
        let Some(answer) = found(self.client.send(request).await)? else { return Ok(None) };
        let (by_reference, named) = (digest_of(reference), answer.digest());
        if let (Some(expected), Some(found)) = (by_reference, named)
            && expected.algorithm() == found.algorithm()
            && expected != found
        {
            return Err(answer.request.fails(Fault::mismatch(expected, found)));
        }
        if let (Some(digest), Some(size)) = (by_reference.or(named), answer.content_length()) {
            return Ok(Some(ManifestHead { digest, media_type: answer.media_type(), size }));
        }
        Ok(found(self.manifest(reference).await)?.map(|manifest| ManifestHead {
            digest: manifest.digest,
            media_type: manifest.media_type,
            size: manifest.bytes.len() as u64,
        }))
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
        let mut request = self.request(Method::PUT, &format!("manifests/{reference}"))?;
        let by_reference = digest_of(reference);
        if let Some(expected) = by_reference {
            verify(&request, expected, &bytes)?;
        }
        let media_type = HeaderValue::from_str(media_type)
            .unwrap_or(HeaderValue::from_static("application/octet-stream"));
        request.headers.insert(header::CONTENT_TYPE, media_type);
        request.content = Content::Bytes(bytes.clone());
        let answer = self.client.send(request).await?;
        if let Some(named) = answer.digest() {
            verify(&answer.request, named, &bytes)?;
        }
        Ok(by_reference.unwrap_or_else(|| Digest::sha256(&bytes)))
    }

    /// Deletes a manifest (by digest) or a tag.
    ///
    /// # Errors
    /// When it is not there, or the registry does not allow it.
    pub async fn delete_manifest(&self, reference: &Reference) -> Result<(), Error> {
        let request = self.request(Method::DELETE, &format!("manifests/{reference}"))?;
        self.client.send(request).await.map(drop)
    }

    /// All tags, in the registry's order: none when it answers 404, by whatever code, since the
    /// specification asks for none. Names outside the grammar are left out, since nothing can ask for
    /// them.
    ///
    /// # Errors
    /// When a page cannot be read, or there is no end of pages.
    pub async fn tags(&self) -> Result<Vec<Tag>, Error> {
        let first = self.request(Method::GET, &format!("tags/list?n={PAGE_SIZE}"))?;
        match found(self.client.send(first).await)? {
            Some(first) => self.client.list(first).await,
            None => Ok(Vec::new()),
        }
    }

    /// Whether the blob is in this repository.
    ///
    /// # Errors
    /// Any answer but success and 404.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        let request = self.request(Method::HEAD, &format!("blobs/{digest}"))?;
        Ok(found(self.client.send(request).await)?.is_some())
    }

    /// Begins to read a blob.
    ///
    /// # Errors
    /// When it is not there, or cannot be read.
    pub async fn blob(&self, digest: &Digest) -> Result<BlobReader, Error> {
        let request = self.request(Method::GET, &format!("blobs/{digest}"))?;
        let answer = self.client.send(request).await?;
        Ok(BlobReader::new(*digest, answer, self.client.0.patience.rate))
    }

    /// Asks the registry to take the blob from its own repository `from`.
    ///
    /// # Errors
    /// When it neither does so nor opens an upload.
    pub async fn mount_blob(&self, digest: &Digest, from: &Repository) -> Result<Mount, Error> {
        let mut request = self.request(Method::POST, "blobs/uploads/")?;
        let (digest, from) = (digest.to_string(), from.as_str());
        request.url.query_pairs_mut().append_pair("mount", &digest).append_pair("from", from);
        let answer = self.client.send(request).await?;
        if answer.status == StatusCode::CREATED {
            return Ok(Mount::Mounted);
        }
        Upload::new(self.client.clone(), &answer).map(Mount::Upload)
    }

    /// Opens an upload session.
    ///
    /// # Errors
    /// When the registry refuses, or its session lies at another host.
    pub async fn start_upload(&self) -> Result<Upload, Error> {
        let request = self.request(Method::POST, "blobs/uploads/")?;
        Upload::new(self.client.clone(), &self.client.send(request).await?)
    }

    fn request(&self, method: Method, path: &str) -> Result<Request, Error> {
        let url = self.client.endpoint(&self.host, &method, &format!("{}/{path}", self.name))?;
        Ok(Request::new(method, url))
    }

    fn manifest_request(&self, method: Method, reference: &Reference) -> Result<Request, Error> {
        let mut request = self.request(method, &format!("manifests/{reference}"))?;
        // One line: not every server in front of a registry reads several.
        if let Ok(accepted) = HeaderValue::try_from(media_type::MANIFESTS.join(", ")) {
            request.headers.insert(header::ACCEPT, accepted);
        }
        Ok(request)
    }
}

fn digest_of(reference: &Reference) -> Option<Digest> {
    match reference {
        Reference::Digest(digest) => Some(*digest),
        Reference::Tag(_) => None,
    }
}

fn verify(request: &Request, expected: Digest, bytes: &[u8]) -> Result<(), Error> {
    let found = Digest::of(expected.algorithm(), bytes);
    if found == expected {
        return Ok(());
    }
    Err(request.fails(Fault::mismatch(expected, found)))
}

/// What was asked for, or nothing where the answer is that there is none.
fn found<T>(asked: Result<T, Error>) -> Result<Option<T>, Error> {
    match asked {
        Err(error) if error.is_not_found() => Ok(None),
        asked => asked.map(Some),
    }
}

impl fmt::Display for RepositoryClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.name)
    }
}
