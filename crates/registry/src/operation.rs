//! The operation of a request: method, path and query as one typed value with valid names, tags and
//! digests.
//!
//! The path is read from its end, since `manifests`, `blobs` and `tags` may also be components of a
//! repository's name.
//!
//! Source: distribution-spec 1.1, "Endpoints".

use http::Method;
use oci::{Algorithm, Digest, Reference, ReferenceError, Repository, Tag};
use percent_encoding::percent_decode_str;

use crate::{
    access::Right, limits::MAX_TAGS_OF_A_PUSH, listing::PageRequest, refusal::Refusal,
    upload_id::UploadId,
};

/// One operation of the API. HEAD is the same operation as GET: the server omits the body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Ping,
    Catalog(PageRequest),
    Tags(Repository, PageRequest),
    ReadManifest(Repository, Reference),
    /// With additional tags.
    WriteManifest(Repository, Reference, Vec<Tag>),
    DeleteManifest(Repository, Reference),
    Referrers(Repository, Digest, ReferrersQuery),
    ReadBlob(Repository, Digest),
    DeleteBlob(Repository, Digest),
    StartUpload(Repository, UploadStart),
    UploadStatus(Repository, UploadId),
    AppendUpload(Repository, UploadId),
    FinishUpload(Repository, UploadId, Digest),
    CancelUpload(Repository, UploadId),
}

/// How an upload begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UploadStart {
    /// The content comes later; its digest will use this algorithm.
    Session(Algorithm),
    /// The request's body is the content.
    Whole(Digest),
    /// The content may exist in that repository, or in any.
    Mount { digest: Digest, from: Option<Repository> },
}

/// The requested referrers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReferrersQuery {
    pub(crate) artifact_type: Option<String>,
    pub(crate) page: PageRequest,
}

impl Operation {
    pub(crate) fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Self, Refusal> {
        let path = percent_decode_str(path).decode_utf8_lossy();
        let query = Query(query.unwrap_or_default());
        if path == "/v2" || path == "/v2/" {
            return read_only(method, || Ok(Self::Ping));
        }
        let path = path.strip_prefix("/v2/").ok_or(Refusal::NoSuchEndpoint)?;
        if path == "_catalog" {
            return read_only(method, || Ok(Self::Catalog(query.page()?)));
        }
        if let Some(name) = path.strip_suffix('/').unwrap_or(path).strip_suffix("/blobs/uploads") {
            return uploads(method, name, &query);
        }
        let (head, last) = path.rsplit_once('/').ok_or(Refusal::NoSuchEndpoint)?;
        if let Some(name) = head.strip_suffix("/blobs/uploads") {
            return upload(method, name, last, &query);
        }
        match head.rsplit_once('/') {
            Some((name, "manifests")) => manifest(method, name, last, &query),
            Some((name, "blobs")) => blob(method, name, last),
            Some((name, "tags")) if last == "list" => {
                read_only(method, || Ok(Self::Tags(name.parse()?, query.page()?)))
            }
            Some((name, "referrers")) => read_only(method, || {
                let artifact_type = query.get("artifactType").filter(|of| !of.is_empty());
                let referring = ReferrersQuery { artifact_type, page: query.page()? };
                Ok(Self::Referrers(name.parse()?, last.parse()?, referring))
            }),
            _ => Err(Refusal::NoSuchEndpoint),
        }
    }

    /// The repository, and the right that the operation requires there.
    pub(crate) const fn required_right(&self) -> Option<(Right, &Repository)> {
        match self {
            Self::Ping | Self::Catalog(_) => None,
            Self::Tags(name, _)
            | Self::ReadManifest(name, _)
            | Self::Referrers(name, ..)
            | Self::ReadBlob(name, _) => Some((Right::Pull, name)),
            Self::WriteManifest(name, ..)
            | Self::DeleteManifest(name, _)
            | Self::DeleteBlob(name, _)
            | Self::StartUpload(name, _)
            | Self::UploadStatus(name, _)
            | Self::AppendUpload(name, _)
            | Self::FinishUpload(name, ..)
            | Self::CancelUpload(name, _) => Some((Right::Push, name)),
        }
    }

    /// The name of the operation in logs and metrics.
    pub(crate) const fn operation(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Catalog(_) => "catalog",
            Self::Tags(..) => "tags",
            Self::ReadManifest(..) => "read_manifest",
            Self::WriteManifest(..) => "write_manifest",
            Self::DeleteManifest(..) => "delete_manifest",
            Self::Referrers(..) => "referrers",
            Self::ReadBlob(..) => "read_blob",
            Self::DeleteBlob(..) => "delete_blob",
            Self::StartUpload(_, UploadStart::Mount { .. }) => "mount",
            Self::StartUpload(..) => "start_upload",
            Self::UploadStatus(..) => "upload_status",
            Self::AppendUpload(..) => "append_upload",
            Self::FinishUpload(..) => "finish_upload",
            Self::CancelUpload(..) => "cancel_upload",
        }
    }
}

fn read_only(
    method: &Method,
    operation: impl FnOnce() -> Result<Operation, Refusal>,
) -> Result<Operation, Refusal> {
    match *method {
        Method::GET | Method::HEAD => operation(),
        _ => Err(Refusal::MethodNotAllowed("GET, HEAD")),
    }
}

fn manifest(
    method: &Method,
    name: &str,
    reference: &str,
    query: &Query<'_>,
) -> Result<Operation, Refusal> {
    let name: Repository = name.parse()?;
    let reference: Reference = match reference.parse() {
        Ok(reference) => reference,
        Err(ReferenceError::Digest(error)) => return Err(error.into()),
        Err(ReferenceError::Tag(error)) if *method == Method::PUT => return Err(error.into()),
        // An invalid tag cannot have been pushed, so the manifest is unknown.
        Err(ReferenceError::Tag(_)) => {
            return Err(Refusal::ManifestUnknown(name, reference.to_owned()));
        }
    };
    match *method {
        Method::GET | Method::HEAD => Ok(Operation::ReadManifest(name, reference)),
        Method::PUT => Ok(Operation::WriteManifest(name, reference, query.tags()?)),
        Method::DELETE => Ok(Operation::DeleteManifest(name, reference)),
        _ => Err(Refusal::MethodNotAllowed("GET, HEAD, PUT, DELETE")),
    }
}

fn blob(method: &Method, name: &str, digest: &str) -> Result<Operation, Refusal> {
    let (name, digest) = (name.parse()?, digest.parse()?);
    match *method {
        Method::GET | Method::HEAD => Ok(Operation::ReadBlob(name, digest)),
        Method::DELETE => Ok(Operation::DeleteBlob(name, digest)),
        _ => Err(Refusal::MethodNotAllowed("GET, HEAD, DELETE")),
    }
}

fn uploads(method: &Method, name: &str, query: &Query<'_>) -> Result<Operation, Refusal> {
    if *method != Method::POST {
        return Err(Refusal::MethodNotAllowed("POST"));
    }
    let name = name.parse()?;
    let start = match (query.get("digest"), query.get("mount"), query.get("from")) {
        (Some(digest), ..) => UploadStart::Whole(digest.parse()?),
        (None, Some(digest), from) => {
            let from = from.map(|from| from.parse()).transpose()?;
            UploadStart::Mount { digest: digest.parse()?, from }
        }
        (None, None, _) => UploadStart::Session(query.algorithm()?),
    };
    Ok(Operation::StartUpload(name, start))
}

fn upload(method: &Method, name: &str, id: &str, query: &Query<'_>) -> Result<Operation, Refusal> {
    let name = name.parse()?;
    let id = UploadId::parse(id).ok_or(Refusal::UploadUnknown)?;
    match *method {
        Method::GET | Method::HEAD => Ok(Operation::UploadStatus(name, id)),
        Method::PATCH => Ok(Operation::AppendUpload(name, id)),
        Method::PUT => {
            let digest = query.get("digest").ok_or(Refusal::NoDigest)?;
            Ok(Operation::FinishUpload(name, id, digest.parse()?))
        }
        Method::DELETE => Ok(Operation::CancelUpload(name, id)),
        _ => Err(Refusal::MethodNotAllowed("GET, HEAD, PATCH, PUT, DELETE")),
    }
}

/// The query of a URL.
struct Query<'a>(&'a str);

impl Query<'_> {
    /// The first value of `key`, decoded.
    fn get(&self, key: &str) -> Option<String> {
        let (_, value) = self.pairs().find(|(name, _)| *name == key)?;
        Some(decoded(value))
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.split('&').filter_map(|pair| pair.split_once('='))
    }

    /// Every value of `tag`, each once.
    fn tags(&self) -> Result<Vec<Tag>, Refusal> {
        let mut tags = Vec::new();
        for value in self.pairs().filter(|(name, _)| *name == "tag").map(|(_, value)| value) {
            let tag = decoded(value).parse()?;
            if !tags.contains(&tag) {
                tags.push(tag);
            }
            if tags.len() > MAX_TAGS_OF_A_PUSH {
                return Err(Refusal::TooManyTags);
            }
        }
        Ok(tags)
    }

    fn algorithm(&self) -> Result<Algorithm, Refusal> {
        match self.get("digest-algorithm").as_deref() {
            None | Some("sha256") => Ok(Algorithm::Sha256),
            Some("sha512") => Ok(Algorithm::Sha512),
            Some(other) => Err(Refusal::BadAlgorithm(other.to_owned())),
        }
    }

    fn page(&self) -> Result<PageRequest, Refusal> {
        let limit = match self.get("n") {
            Some(n) => Some(n.parse().ok().ok_or(Refusal::BadPageLength(n))?),
            None => None,
        };
        Ok(PageRequest::new(limit, self.get("last")))
    }
}

/// A `+` stays a `+`, since media types contain it.
fn decoded(value: &str) -> String {
    percent_decode_str(value).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(request: &str) -> Result<Operation, String> {
        let (method, target) = request.split_once(' ').expect("a method and a path");
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let method = method.parse().expect("a method");
        Operation::parse(&method, path, query).map_err(|refusal| refusal.to_string())
    }

    fn name(text: &str) -> Repository {
        text.parse().expect(text)
    }

    #[test]
    fn every_endpoint_is_recognised() {
        let digest = Digest::sha256(b"x");
        let tag = || Reference::Tag("v1".parse().expect("a tag"));
        let encoded = digest.to_string().replace(':', "%3A");
        let sha512 = Digest::of(Algorithm::Sha512, b"x");
        let tags = ["v1", "v2"].map(|tag| tag.parse().expect("a tag")).to_vec();
        let referring = |artifact_type: Option<&str>, page| ReferrersQuery {
            artifact_type: artifact_type.map(str::to_owned),
            page,
        };
        let all = || PageRequest::new(None, None);
        for (request, operation) in [
            ("GET /v2/".into(), Operation::Ping),
            ("GET /v2".into(), Operation::Ping),
            ("GET /v2/_catalog".into(), Operation::Catalog(all())),
            (
                "GET /v2/_catalog?last=a%2Fb&n=5".into(),
                Operation::Catalog(PageRequest::new(Some(5), Some("a/b".into()))),
            ),
            ("GET /v2/a/b/tags/list".into(), Operation::Tags(name("a/b"), all())),
            ("HEAD /v2/a/manifests/v1".into(), Operation::ReadManifest(name("a"), tag())),
            (
                format!("GET /v2/a/manifests/{encoded}"),
                Operation::ReadManifest(name("a"), digest.into()),
            ),
            ("PUT /v2/a/manifests/v1".into(), Operation::WriteManifest(name("a"), tag(), vec![])),
            (
                format!("PUT /v2/a/manifests/{sha512}?tag=v1&tag=v2&tag=v1"),
                Operation::WriteManifest(name("a"), sha512.into(), tags),
            ),
            (
                format!("GET /v2/a/referrers/{digest}"),
                Operation::Referrers(name("a"), digest, referring(None, all())),
            ),
            (
                format!("GET /v2/a/referrers/{digest}?artifactType=a%2Fb+c&n=2&last=x"),
                Operation::Referrers(
                    name("a"),
                    digest,
                    referring(Some("a/b+c"), PageRequest::new(Some(2), Some("x".into()))),
                ),
            ),
            ("DELETE /v2/a/manifests/v1".into(), Operation::DeleteManifest(name("a"), tag())),
            (format!("GET /v2/a/blobs/{digest}"), Operation::ReadBlob(name("a"), digest)),
            (format!("DELETE /v2/a/blobs/{digest}"), Operation::DeleteBlob(name("a"), digest)),
            // Words of the API are fine repository names.
            (
                "GET /v2/a/manifests/b/blobs/tags/manifests/v1".into(),
                Operation::ReadManifest(name("a/manifests/b/blobs/tags"), tag()),
            ),
            ("GET /v2/tags/tags/list".into(), Operation::Tags(name("tags"), all())),
        ] {
            assert_eq!(parse(&request), Ok(operation), "{request}");
        }
    }

    #[test]
    fn every_step_of_an_upload_is_recognised() {
        let digest = Digest::sha256(b"x");
        let encoded = digest.to_string().replace(':', "%3A");
        let id = "0123456789abcdef0123456789abcdef";
        let upload = || UploadId::parse(id).expect("an id");
        let mount = |from: Option<&str>| UploadStart::Mount { digest, from: from.map(name) };
        let (session, long) = (Algorithm::Sha256, Algorithm::Sha512);
        for (request, operation) in [
            (
                "POST /v2/a/blobs/uploads/".into(),
                Operation::StartUpload(name("a"), UploadStart::Session(session)),
            ),
            (
                "POST /v2/a/blobs/uploads?digest-algorithm=sha512".into(),
                Operation::StartUpload(name("a"), UploadStart::Session(long)),
            ),
            (
                format!("POST /v2/a/blobs/uploads/?digest={encoded}"),
                Operation::StartUpload(name("a"), UploadStart::Whole(digest)),
            ),
            (
                format!("POST /v2/a/blobs/uploads/?mount={digest}&from=b/c"),
                Operation::StartUpload(name("a"), mount(Some("b/c"))),
            ),
            (
                format!("POST /v2/a/blobs/uploads/?mount={digest}"),
                Operation::StartUpload(name("a"), mount(None)),
            ),
            (format!("GET /v2/a/blobs/uploads/{id}"), Operation::UploadStatus(name("a"), upload())),
            (
                format!("PATCH /v2/a/blobs/uploads/{id}"),
                Operation::AppendUpload(name("a"), upload()),
            ),
            (
                format!("PUT /v2/a/blobs/uploads/{id}?digest={digest}"),
                Operation::FinishUpload(name("a"), upload(), digest),
            ),
            (
                format!("DELETE /v2/a/blobs/uploads/{id}"),
                Operation::CancelUpload(name("a"), upload()),
            ),
        ] {
            assert_eq!(parse(&request), Ok(operation), "{request}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        let digest = Digest::sha256(b"x");
        for request in [
            "GET /",
            "GET /v1/",
            "GET /v2x/",
            "GET /v2/a",
            "GET /v2/a/b/c",
            "GET /v2/manifests/v1",
            "GET /v2/A/manifests/v1",
            "GET /v2/../a/manifests/v1",
            "GET /v2/a/%2e%2e/b/manifests/v1",
            "GET /v2/a/manifests/.x",
            "PUT /v2/a/manifests/.x",
            "GET /v2/a/manifests/sha256:12",
            "GET /v2/a/manifests/",
            "POST /v2/a/manifests/v1",
            "GET /v2/a/blobs/v1",
            "GET /v2/a/blobs/uploads/",
            "GET /v2/a/blobs/uploads/..",
            "PUT /v2/a/blobs/uploads/0123456789abcdef0123456789abcdef",
            "GET /v2/a/tags/v1",
            "GET /v2/a/tags/list?n=x",
            "GET /v2/a/tags/list?n=-1",
            "PUT /v2/_catalog",
            "DELETE /v2/",
            "GET /v2/a/referrers/v1",
            "GET /v2/a/referrers/sha256:12",
            &format!("POST /v2/a/referrers/{digest}"),
            &format!("PUT /v2/a/manifests/{digest}?tag=.x"),
            "POST /v2/a/blobs/uploads/?digest-algorithm=md5",
            &format!("PUT /v2/a/blobs/{digest}"),
            &format!("POST /v2/a/blobs/uploads/?mount={digest}&from=B"),
        ] {
            assert!(parse(request).is_err(), "{request}: {:?}", parse(request));
        }
    }
}
