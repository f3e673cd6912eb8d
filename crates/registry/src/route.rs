//! What a request asks for: method, path and query as one typed value, in which names, tags and
//! digests are already valid.
//!
//! The path is read from its end, since `manifests`, `blobs` and `tags` may also be components of a
//! repository's name.
//!
//! Source: distribution-spec 1.1, "Endpoints".

use http::Method;
use oci::{Digest, Reference, ReferenceError, Repository};
use percent_encoding::percent_decode_str;

use crate::{listing::Page, refusal::Refusal, uploads::UploadId};

/// One operation of the API. HEAD is the same operation as GET: the server leaves the body out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Ping,
    Catalog(Page),
    Tags(Repository, Page),
    ReadManifest(Repository, Reference),
    WriteManifest(Repository, Reference),
    DeleteManifest(Repository, Reference),
    ReadBlob(Repository, Digest),
    DeleteBlob(Repository, Digest),
    StartUpload(Repository, Start),
    UploadStatus(Repository, UploadId),
    AppendUpload(Repository, UploadId),
    FinishUpload(Repository, UploadId, Digest),
    CancelUpload(Repository, UploadId),
}

/// The ways to begin an upload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The content comes later.
    Session,
    /// The request's body is the content.
    Whole(Digest),
    /// The content is in another repository, perhaps.
    Mount { digest: Digest, from: Repository },
}

impl Route {
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
            Some((name, "manifests")) => manifest(method, name, last),
            Some((name, "blobs")) => blob(method, name, last),
            Some((name, "tags")) if last == "list" => {
                read_only(method, || Ok(Self::Tags(name.parse()?, query.page()?)))
            }
            _ => Err(Refusal::NoSuchEndpoint),
        }
    }
}

fn read_only(
    method: &Method,
    route: impl FnOnce() -> Result<Route, Refusal>,
) -> Result<Route, Refusal> {
    match *method {
        Method::GET | Method::HEAD => route(),
        _ => Err(Refusal::MethodNotAllowed("GET, HEAD")),
    }
}

fn manifest(method: &Method, name: &str, reference: &str) -> Result<Route, Refusal> {
    let name: Repository = name.parse()?;
    let reference: Reference = match reference.parse() {
        Ok(reference) => reference,
        Err(ReferenceError::Digest(error)) => return Err(error.into()),
        Err(ReferenceError::Tag(error)) if *method == Method::PUT => return Err(error.into()),
        // What is no tag cannot have been pushed: not there, rather than wrong.
        Err(ReferenceError::Tag(_)) => {
            return Err(Refusal::ManifestUnknown(name, reference.to_owned()));
        }
    };
    match *method {
        Method::GET | Method::HEAD => Ok(Route::ReadManifest(name, reference)),
        Method::PUT => Ok(Route::WriteManifest(name, reference)),
        Method::DELETE => Ok(Route::DeleteManifest(name, reference)),
        _ => Err(Refusal::MethodNotAllowed("GET, HEAD, PUT, DELETE")),
    }
}

fn blob(method: &Method, name: &str, digest: &str) -> Result<Route, Refusal> {
    let (name, digest) = (name.parse()?, digest.parse()?);
    match *method {
        Method::GET | Method::HEAD => Ok(Route::ReadBlob(name, digest)),
        Method::DELETE => Ok(Route::DeleteBlob(name, digest)),
        _ => Err(Refusal::MethodNotAllowed("GET, HEAD, DELETE")),
    }
}

fn uploads(method: &Method, name: &str, query: &Query<'_>) -> Result<Route, Refusal> {
    if *method != Method::POST {
        return Err(Refusal::MethodNotAllowed("POST"));
    }
    let name = name.parse()?;
    let start = match (query.get("digest"), query.get("mount"), query.get("from")) {
        (Some(digest), ..) => Start::Whole(digest.parse()?),
        (None, Some(digest), Some(from)) => {
            Start::Mount { digest: digest.parse()?, from: from.parse()? }
        }
        // The specification lets a registry ignore a mount that does not say from where.
        _ => Start::Session,
    };
    Ok(Route::StartUpload(name, start))
}

fn upload(method: &Method, name: &str, id: &str, query: &Query<'_>) -> Result<Route, Refusal> {
    let name = name.parse()?;
    let id = UploadId::parse(id).ok_or(Refusal::UploadUnknown)?;
    match *method {
        Method::GET | Method::HEAD => Ok(Route::UploadStatus(name, id)),
        Method::PATCH => Ok(Route::AppendUpload(name, id)),
        Method::PUT => {
            let digest = query.get("digest").ok_or(Refusal::NoDigest)?;
            Ok(Route::FinishUpload(name, id, digest.parse()?))
        }
        Method::DELETE => Ok(Route::CancelUpload(name, id)),
        _ => Err(Refusal::MethodNotAllowed("GET, HEAD, PATCH, PUT, DELETE")),
    }
}

/// The text behind the `?`.
struct Query<'a>(&'a str);

impl Query<'_> {
    /// The first value of `key`, decoded.
    fn get(&self, key: &str) -> Option<String> {
        let mut pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == key)?;
        Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
    }

    fn page(&self) -> Result<Page, Refusal> {
        let limit = match self.get("n") {
            Some(n) => Some(n.parse().ok().ok_or(Refusal::BadPageLength(n))?),
            None => None,
        };
        Ok(Page::new(limit, self.get("last")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(request: &str) -> Result<Route, String> {
        let (method, target) = request.split_once(' ').expect("a method and a path");
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let method = method.parse().expect("a method");
        Route::parse(&method, path, query).map_err(|refusal| refusal.to_string())
    }

    fn name(text: &str) -> Repository {
        text.parse().expect(text)
    }

    #[test]
    fn every_endpoint_is_recognised() {
        let digest = Digest::sha256(b"x");
        let id = "0123456789abcdef0123456789abcdef";
        let upload = || UploadId::parse(id).expect("an id");
        let tag = || Reference::Tag("v1".parse().expect("a tag"));
        let encoded = digest.to_string().replace(':', "%3A");
        let mount = Start::Mount { digest, from: name("b/c") };
        for (request, route) in [
            ("GET /v2/".into(), Route::Ping),
            ("GET /v2".into(), Route::Ping),
            ("GET /v2/_catalog".into(), Route::Catalog(Page::new(None, None))),
            (
                "GET /v2/_catalog?last=a%2Fb&n=5".into(),
                Route::Catalog(Page::new(Some(5), Some("a/b".into()))),
            ),
            ("GET /v2/a/b/tags/list".into(), Route::Tags(name("a/b"), Page::new(None, None))),
            ("HEAD /v2/a/manifests/v1".into(), Route::ReadManifest(name("a"), tag())),
            (
                format!("GET /v2/a/manifests/{encoded}"),
                Route::ReadManifest(name("a"), digest.into()),
            ),
            ("PUT /v2/a/manifests/v1".into(), Route::WriteManifest(name("a"), tag())),
            ("DELETE /v2/a/manifests/v1".into(), Route::DeleteManifest(name("a"), tag())),
            (format!("GET /v2/a/blobs/{digest}"), Route::ReadBlob(name("a"), digest)),
            (format!("DELETE /v2/a/blobs/{digest}"), Route::DeleteBlob(name("a"), digest)),
            ("POST /v2/a/blobs/uploads/".into(), Route::StartUpload(name("a"), Start::Session)),
            ("POST /v2/a/blobs/uploads".into(), Route::StartUpload(name("a"), Start::Session)),
            (
                format!("POST /v2/a/blobs/uploads/?digest={encoded}"),
                Route::StartUpload(name("a"), Start::Whole(digest)),
            ),
            (
                format!("POST /v2/a/blobs/uploads/?mount={digest}&from=b/c"),
                Route::StartUpload(name("a"), mount),
            ),
            (
                format!("POST /v2/a/blobs/uploads/?mount={digest}"),
                Route::StartUpload(name("a"), Start::Session),
            ),
            (format!("GET /v2/a/blobs/uploads/{id}"), Route::UploadStatus(name("a"), upload())),
            (format!("PATCH /v2/a/blobs/uploads/{id}"), Route::AppendUpload(name("a"), upload())),
            (
                format!("PUT /v2/a/blobs/uploads/{id}?digest={digest}"),
                Route::FinishUpload(name("a"), upload(), digest),
            ),
            (format!("DELETE /v2/a/blobs/uploads/{id}"), Route::CancelUpload(name("a"), upload())),
            // Words of the API are fine repository names.
            (
                "GET /v2/a/manifests/b/blobs/tags/manifests/v1".into(),
                Route::ReadManifest(name("a/manifests/b/blobs/tags"), tag()),
            ),
            ("GET /v2/tags/tags/list".into(), Route::Tags(name("tags"), Page::new(None, None))),
        ] {
            assert_eq!(parse(&request), Ok(route), "{request}");
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
            &format!("GET /v2/a/referrers/{digest}"),
            &format!("PUT /v2/a/blobs/{digest}"),
            &format!("POST /v2/a/blobs/uploads/?mount={digest}&from=B"),
        ] {
            assert!(parse(request).is_err(), "{request}: {:?}", parse(request));
        }
    }
}
