//! What refers to a digest: by the referrers API, or by the index under the tag that stands in for it.
//!
//! Not here: the writing of that index (`referrer_index`); digest tags (crate `attachments`).
//!
//! Source: distribution-spec 1.1, "Listing Referrers" and "Referrers Tag Schema".

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use oci::{Descriptor, Digest, ErrorEntry, ImageIndex, Manifest, Tag, media_type};
use serde_json::Value;

use crate::{
    Error, FetchedManifest, RepositoryClient, RequestFault, Via,
    api::{
        listing::{Bound, ListingPages},
        repository::found,
    },
    error::fault::IndexProblem,
    exchange::headers::HTML,
};

/// The most bytes of all pages of referrers: 100,000 referrers of 600 bytes. Annotations of descriptors have any length,
/// so a number of descriptors would be no bound.
const REFERRERS: Bound = Bound { limit: 64 << 20, of: "bytes of referrers" };

/// Codes of a 404 that is about the repository or the digest, not about the API: the specification's, and
/// Harbor's.
const NOT_THERE: [&str; 3] = ["NAME_UNKNOWN", "MANIFEST_UNKNOWN", "NOT_FOUND"];

const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// What refers to a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrers {
    /// The referrers, each digest once, in the registry's order.
    pub descriptors: Vec<Descriptor>,
    /// Whether they were read by the API or by the tag.
    pub via: Via,
    /// The length of the responses, in bytes.
    pub bytes: usize,
}

impl RepositoryClient {
    /// What refers to `digest`; only those of `artifact_type` where one is given. Where the registry has
    /// no referrers API, which is cached for the repository, the index under the tag that replaces it is read; none if
    /// that does not exist either.
    ///
    /// # Errors
    /// When neither can be read, or what stands there is no index.
    pub async fn referrers(
        &self,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Referrers, Error> {
        match self.referrers_by_api(digest, artifact_type).await? {
            Some(by_api) => Ok(by_api),
            None => self.referrers_by_tag(digest, artifact_type).await,
        }
    }

    /// What the referrers API lists; none where the registry has no such API, which is cached for the repository.
    ///
    /// Source: distribution-spec 1.1, "Listing Referrers".
    ///
    /// # Errors
    /// When the API fails, or a page after the first is no index.
    pub async fn referrers_by_api(
        &self,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Option<Referrers>, Error> {
        let memory = &self.client().shared.referrers_api;
        if memory.of(self.host(), self.name()) == Some(Via::Tag) {
            return Ok(None);
        }
        let mut response = self.request_referrers(digest, artifact_type).await?;
        if matches!(response, ByApi::Other { .. }) {
            // It may have been damaged on its way.
            response = self.request_referrers(digest, artifact_type).await?;
        }
        match response {
            ByApi::Listed(referrers) => {
                memory.note(self.host(), self.name(), Via::Api);
                Ok(Some(referrers))
            }
            ByApi::NotOffered => Ok(None),
            ByApi::Other { media_type } => {
                tracing::warn!(
                    repository = %self, %media_type,
                    "the referrers API responds with 200 and no image index, so it counts as not supported; \
                     reading the index by its tag"
                );
                memory.note(self.host(), self.name(), Via::Tag);
                Ok(None)
            }
        }
    }

    /// One request to the referrers API, and its further pages.
    async fn request_referrers(
        &self,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<ByApi, Error> {
        let memory = &self.client().shared.referrers_api;
        let mut request = self.request(Method::GET, &format!("referrers/{digest}"))?;
        if let Some(artifact_type) = artifact_type {
            request.url.query_pairs_mut().append_pair("artifactType", artifact_type);
        }
        request.headers.insert(header::ACCEPT, HeaderValue::from_static(media_type::OCI_INDEX));
        let mut pages = match ListingPages::begin(self.client(), request, REFERRERS).await {
            // An HTML page, such as that of a login, is no response of this API.
            Ok(pages) if pages.media_type() == HTML => return Ok(ByApi::NotOffered),
            Ok(pages) => pages,
            Err(error) if has_no_api(&error) => {
                if is_lasting(&error) {
                    memory.note(self.host(), self.name(), Via::Tag);
                }
                return Ok(ByApi::NotOffered);
            }
            Err(error) => return Err(error),
        };
        let (mut union, mut bytes) = (Union::new(artifact_type), 0);
        while let Some(page) = pages.next(bytes).await? {
            let is_first = bytes == 0;
            bytes += page.bytes.len();
            match read_index(&page.media_type, &page.bytes) {
                Ok(index) => union.add(index.manifests, Filter::of(&page.headers)),
                Err(_) if is_first && is_of_another_kind(&page.bytes) => {
                    return Ok(ByApi::Other { media_type: page.media_type });
                }
                Err(cause) => {
                    let fault = page.substitute().unwrap_or(RequestFault::NotIndex { cause });
                    return Err(page.target.fails(fault));
                }
            }
        }
        Ok(ByApi::Listed(Referrers { descriptors: union.descriptors, via: Via::Api, bytes }))
    }

    /// What the index under the tag that stands in for the API lists. Some registries take such a tag for
    /// the digest itself (GitLab's): then there is no such index, and the children of an index are not
    /// taken for what refers to it.
    ///
    /// # Errors
    /// When the tag cannot be read, or is on something else than an index.
    pub async fn referrers_by_tag(
        &self,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Referrers, Error> {
        let (mut union, mut bytes) = (Union::new(artifact_type), 0);
        match self.at_referrers_tag(digest).await? {
            Some((found, _)) if !digest.matches(&found.bytes) => {
                bytes = found.bytes.len();
                let index = read_index(&found.media_type, &found.bytes)
                    .map_err(|cause| self.no_index(digest, cause))?;
                union.add(index.manifests, Filter::Ours);
            }
            Some(_) | None => {}
        }
        Ok(Referrers { descriptors: union.descriptors, via: Via::Tag, bytes })
    }

    /// How referrers are listed in this repository: by one request for those of `subject`, unless that is cached. None if
    /// the registry does not say so: some that have the API respond with 404 for what does not exist yet.
    ///
    /// # Errors
    /// When the API fails.
    pub async fn referrers_via(&self, subject: &Digest) -> Result<Option<Via>, Error> {
        let memory = &self.client().shared.referrers_api;
        if memory.of(self.host(), self.name()).is_none() {
            self.referrers_by_api(subject, None).await?;
        }
        Ok(memory.of(self.host(), self.name()))
    }

    /// Whether the referrers API is there, probed at most once: some registries say `OCI-Subject` that
    /// have none (Docker Hub).
    pub(crate) async fn has_referrers_api(&self, subject: &Digest) -> Result<bool, Error> {
        match self.client().shared.referrers_api.of(self.host(), self.name()) {
            Some(via) => Ok(via == Via::Api),
            None => Ok(self.referrers_by_api(subject, None).await?.is_some()),
        }
    }

    /// The index under the tag that replaces the API; none if the tag does not exist.
    pub(crate) async fn at_referrers_tag(
        &self,
        subject: &Digest,
    ) -> Result<Option<(FetchedManifest, HeaderMap)>, Error> {
        found(self.fetch(&Tag::of_referrers(subject).into()).await)
    }

    /// The error of a tag that a listing names and that GET does not find.
    #[must_use]
    pub fn listed_tag_not_found(&self, tag: &Tag) -> Error {
        match self.request(Method::GET, &format!("manifests/{tag}")) {
            Ok(request) => request.target().fails(RequestFault::ListedNotFound),
            Err(error) => error,
        }
    }

    /// The error for a tag that is not on an index.
    pub(crate) fn no_index(&self, subject: &Digest, cause: IndexProblem) -> Error {
        match self.request(Method::GET, &format!("manifests/{}", Tag::of_referrers(subject))) {
            Ok(request) => request.target().fails(RequestFault::NotIndex { cause }),
            Err(error) => error,
        }
    }
}

/// What the referrers API says.
enum ByApi {
    Listed(Referrers),
    /// A response by which a registry says that it has no such API.
    NotOffered,
    /// 200, with something else than an index.
    Other {
        media_type: String,
    },
}

/// Descriptors, each digest once: of one artifact type, or of all.
struct Union<'a> {
    artifact_type: Option<&'a str>,
    descriptors: Vec<Descriptor>,
    seen: HashSet<Digest>,
}

impl<'a> Union<'a> {
    fn new(artifact_type: Option<&'a str>) -> Self {
        Self { artifact_type, descriptors: Vec::new(), seen: HashSet::new() }
    }

    /// Adds what is not there yet; of the wanted type only, unless the registry has seen to that.
    fn add(&mut self, descriptors: Vec<Descriptor>, filter: Filter) {
        let wanted = self.artifact_type.filter(|_| matches!(filter, Filter::Ours));
        for descriptor in descriptors {
            let is_wanted =
                wanted.is_none_or(|wanted| descriptor.artifact_type.as_deref() == Some(wanted));
            if is_wanted && self.seen.insert(descriptor.digest) {
                self.descriptors.push(descriptor);
            }
        }
    }
}

/// Whether the registry or the client filters by artifact type.
#[derive(Clone, Copy)]
enum Filter {
    Ours,
    Registrys,
}

impl Filter {
    fn of(headers: &HeaderMap) -> Self {
        let applied = headers.get_all(OCI_FILTERS_APPLIED).iter();
        let mut applied =
            applied.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        // Release candidates of the specification wrote the name in lower case.
        if applied.any(|name| name.trim().eq_ignore_ascii_case("artifactType")) {
            Self::Registrys
        } else {
            Self::Ours
        }
    }
}

/// Reads an index of referrers.
pub(crate) fn read_index(media_type: &str, bytes: &[u8]) -> Result<ImageIndex, IndexProblem> {
    match Manifest::parse(media_type, bytes)? {
        Manifest::Index(index) => Ok(*index),
        Manifest::Image(_) => Err(IndexProblem::Image),
    }
}

/// Whether a body is of something else than a list of referrers: it is empty, or a JSON value without any member of a
/// manifest.
///
/// A registry with the API must respond with an image index (distribution-spec 1.1, "Listing Referrers"), an empty one
/// if there are no referrers. So `{}` is a response of a registry that takes the path for another one, and what the
/// specification has clients do where there is no API is done: the index is read by its tag. What begins as a manifest
/// and cannot be read, or is no JSON at all, may be a damaged list: passing over it could leave signatures behind, so
/// it stays an error.
fn is_of_another_kind(body: &[u8]) -> bool {
    if body.is_empty() {
        return true;
    }
    let members = ["manifests", "config", "layers"];
    serde_json::from_slice::<Value>(body)
        .is_ok_and(|value| members.iter().all(|member| value.get(member).is_none()))
}

/// Whether this refusal says that there is no referrers API: 404 by the specification, 405 and 501 by
/// the meaning of HTTP, and 400 and 406 by registries that take the path for another one.
fn has_no_api(error: &Error) -> bool {
    if let RequestFault::RedirectedNotFound { to } = error.fault() {
        // A front that sends every request on to a registry without the API.
        let path = error.url().as_str().rsplit_once("/referrers/");
        return path
            .is_some_and(|(_, digest)| to.as_str().ends_with(&format!("/referrers/{digest}")));
    }
    matches!(error.status().map(|status| status.as_u16()), Some(400 | 404 | 405 | 406 | 501))
}

/// Whether it will be said of every digest of the repository. Not so where the registry means that the
/// repository or the digest is not there (yet), as some with the API do, or that this request is bad.
fn is_lasting(error: &Error) -> bool {
    match error.fault() {
        RequestFault::Status { status, body, .. } => {
            let is_about_name = |entry: &ErrorEntry| NOT_THERE.contains(&&*entry.code);
            matches!(status.as_u16(), 404 | 405 | 501) && !body.errors.iter().any(is_about_name)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_named_by_a_header() {
        for (lines, is_registrys) in [
            (&[][..], false),
            (&["artifactType"], true),
            (&["annotations, artifactType"], true),
            (&["annotations", "artifacttype"], true),
            (&["annotations"], false),
            (&["artifactTypes"], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(OCI_FILTERS_APPLIED, HeaderValue::from_static(line));
            }
            assert_eq!(
                matches!(Filter::of(&headers), Filter::Registrys),
                is_registrys,
                "{lines:?}"
            );
        }
    }
}
