//! From method, raw path and query to a [`Route`]: what is requested, or why it is rejected. The
//! result borrows from the request, and names, tags and digests in it are valid. Nothing is decoded:
//! the grammar of the registry needs no percent-encoding, so `%` is refused with the rest.
//!
//! Source: distribution-spec 1.1, "Endpoints"; the table of `docs/reference/front.md`.

use http::Method;
use oci::{Digest, DigestError, ErrorCode, Repository, RepositoryError, Tag, TagError};

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route<'r> {
    /// `/`
    Info,
    /// `/privacy`
    Privacy,
    /// `/v2`, `/v2/`
    Ping,
    /// A manifest by tag or digest.
    Manifest(Tail<'r>, ManifestReference<'r>),
    /// The list of a repository's tags.
    Tags(Tail<'r>),
    /// The referrers of a digest.
    Referrers(Tail<'r>),
    /// A blob.
    Blob(Tail<'r>, RequestedBlob<'r>),
    /// A request that is rejected.
    Rejected(RequestError),
}

/// How a manifest is named.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ManifestReference<'r> {
    /// By an ordinary tag.
    Tag,
    /// By the tag of a signature, an attestation, a bill of materials, or an index of referrers.
    AttachmentTag,
    /// By its digest.
    Digest(&'r str),
}

/// The digest of a blob, with the text that named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestedBlob<'r> {
    digest: Digest,
    text: &'r str,
}

impl<'r> RequestedBlob<'r> {
    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    pub(crate) fn text(&self) -> &'r str {
        self.text
    }
}

/// What followed `/v2/` in a request that was found valid, with its query. It can be made only here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail<'r> {
    path: &'r str,
    query: Option<&'r str>,
}

impl<'r> Tail<'r> {
    pub(crate) fn path(self) -> &'r str {
        self.path
    }

    pub(crate) fn query(self) -> Option<&'r str> {
        self.query
    }
}

/// Why a request is rejected. Its text goes to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("this registry is read-only: use GET or HEAD")]
    Method,
    #[error("not found: the registry API is under /v2/")]
    Outside,
    #[error("unknown endpoint; see the OCI distribution specification")]
    Endpoint,
    #[error("this registry does not list its repositories")]
    Catalog,
    #[error(transparent)]
    Name(RepositoryError),
    #[error(transparent)]
    Digest(DigestError),
    #[error(transparent)]
    Tag(TagError),
    #[error("the query has a space or a control character")]
    Query,
    #[error("the location of the content is not a valid header value; report this to the operator")]
    Location,
    #[error(transparent)]
    Malformed(http_server::Malformed),
}

impl RequestError {
    /// The code of the specification.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Method
            | Self::Outside
            | Self::Endpoint
            | Self::Catalog
            | Self::Query
            | Self::Location
            | Self::Malformed(_) => ErrorCode::Unsupported,
            Self::Name(_) => ErrorCode::NameInvalid,
            Self::Digest(_) => ErrorCode::DigestInvalid,
            Self::Tag(_) => ErrorCode::ManifestUnknown,
        }
    }
}

/// Reads a request.
pub(crate) fn route<'r>(method: &Method, path: &'r str, query: Option<&'r str>) -> Route<'r> {
    if method != Method::GET && method != Method::HEAD {
        return Route::Rejected(RequestError::Method);
    }
    if query.is_some_and(|query| query.bytes().any(|byte| byte.is_ascii_control() || byte == b' '))
    {
        return Route::Rejected(RequestError::Query);
    }
    match path {
        "/" => Route::Info,
        "/privacy" => Route::Privacy,
        "/v2" | "/v2/" => Route::Ping,
        _ => match path.strip_prefix("/v2/") {
            Some(path) => endpoint(Tail { path, query }).unwrap_or_else(Route::Rejected),
            None => Route::Rejected(RequestError::Outside),
        },
    }
}

/// Reads `<name>/<kind>/<last>`. A name may itself contain `manifests` or `blobs`, so only the last
/// two segments decide.
fn endpoint(tail: Tail<'_>) -> Result<Route<'_>, RequestError> {
    if tail.path == "_catalog" {
        return Err(RequestError::Catalog);
    }
    let (head, last) = split_last(tail.path).ok_or(RequestError::Endpoint)?;
    // The kinds are short: a plain loop ends sooner than a search that is made for long texts.
    let slash = head.bytes().rposition(|byte| byte == b'/').ok_or(RequestError::Endpoint)?;
    let (name, kind) = (&head[..slash], &head[slash + 1..]);
    let named = || Repository::check(name).map_err(RequestError::Name);
    match kind {
        "blobs" => named().and_then(|()| Ok(Route::Blob(tail, blob(last)?))),
        "manifests" => named().and_then(|()| Ok(Route::Manifest(tail, reference(last)?))),
        "tags" if last == "list" => named().map(|()| Route::Tags(tail)),
        "referrers" => named().and_then(|()| blob(last)).map(|_| Route::Referrers(tail)),
        _ => Err(RequestError::Endpoint),
    }
}

/// Splits at the last slash. Most requests end with a sha256 digest, whose length is fixed: then the slash is not
/// searched for.
fn split_last(path: &str) -> Option<(&str, &str)> {
    const SHA256_LENGTH: usize = "sha256:".len() + 64;
    let at_digest = path.len().checked_sub(SHA256_LENGTH).and_then(|at| path.split_at_checked(at));
    if let Some((head, digest)) = at_digest
        && let Some(head) = head.strip_suffix('/')
        && !has_slash(digest)
    {
        return Some((head, digest));
    }
    path.rsplit_once('/')
}

/// Without an end at the first one, so that the compiler makes vectors of it.
fn has_slash(digest: &str) -> bool {
    digest.bytes().fold(false, |any, byte| any | (byte == b'/'))
}

fn blob(text: &str) -> Result<RequestedBlob<'_>, RequestError> {
    let digest = text.parse().map_err(RequestError::Digest)?;
    Ok(RequestedBlob { digest, text })
}

/// What has a colon is meant as a digest.
fn reference(text: &str) -> Result<ManifestReference<'_>, RequestError> {
    if text.contains(':') {
        return blob(text).map(|blob| ManifestReference::Digest(blob.text));
    }
    Tag::check(text).map_err(RequestError::Tag)?;
    Ok(if oci::is_digest_tag(text) {
        ManifestReference::AttachmentTag
    } else {
        ManifestReference::Tag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn get(path: &str) -> Route<'_> {
        route(&Method::GET, path, None)
    }

    #[test]
    fn the_last_slash_is_found_whatever_the_length() {
        let paths = [
            String::new(),
            "/".into(),
            "a".into(),
            format!("a/sha256:{HEX}"),
            format!("a/b/sha256:{HEX}/c"),
        ];
        let filled = (1..200).flat_map(|length| {
            ["", "/", "/x", "/xx/"].map(|end| format!("{}{end}", "é/y".repeat(length)))
        });
        for path in paths.into_iter().chain(filled) {
            assert_eq!(split_last(&path), path.rsplit_once('/'), "{path}");
        }
    }

    #[test]
    fn the_fixed_paths_and_their_look_alikes() {
        for (path, expected) in [
            ("/", Route::Info),
            ("/privacy", Route::Privacy),
            ("/v2", Route::Ping),
            ("/v2/", Route::Ping),
            ("", Route::Rejected(RequestError::Outside)),
            ("*", Route::Rejected(RequestError::Outside)),
            ("//", Route::Rejected(RequestError::Outside)),
            ("/v1/", Route::Rejected(RequestError::Outside)),
            ("/v2foo", Route::Rejected(RequestError::Outside)),
            ("/v22/", Route::Rejected(RequestError::Outside)),
            ("//v2/", Route::Rejected(RequestError::Outside)),
            ("/%76%32/", Route::Rejected(RequestError::Outside)),
            ("/V2/", Route::Rejected(RequestError::Outside)),
            ("/privacy/", Route::Rejected(RequestError::Outside)),
            ("/privacy2", Route::Rejected(RequestError::Outside)),
            ("/token", Route::Rejected(RequestError::Outside)),
            ("/v2/_catalog", Route::Rejected(RequestError::Catalog)),
            ("/v2/_catalog/", Route::Rejected(RequestError::Endpoint)),
            ("/v2//", Route::Rejected(RequestError::Endpoint)),
            ("/v2/pause", Route::Rejected(RequestError::Endpoint)),
            ("/v2/manifests/latest", Route::Rejected(RequestError::Endpoint)),
            ("/v2/a/manifests/latest/", Route::Rejected(RequestError::Endpoint)),
            ("/v2/a/tags/lists", Route::Rejected(RequestError::Endpoint)),
            ("/v2/a/blobs/uploads/", Route::Rejected(RequestError::Endpoint)),
            ("/v2/a/blobs/uploads/1", Route::Rejected(RequestError::Endpoint)),
            ("/v2/a/Blobs/x", Route::Rejected(RequestError::Endpoint)),
        ] {
            assert_eq!(get(path), expected, "{path:?}");
        }
    }

    #[test]
    fn names_may_look_like_endpoints() {
        let path = "/v2/a/manifests/b/blobs/c/manifests/latest";
        let tail = Tail { path: "a/manifests/b/blobs/c/manifests/latest", query: None };
        assert_eq!(get(path), Route::Manifest(tail, ManifestReference::Tag));
    }

    #[test]
    fn references_digests_and_attachments() {
        let digest = format!("sha256:{HEX}");
        for (last, expected) in [
            ("latest".to_owned(), ManifestReference::Tag),
            (digest.clone(), ManifestReference::Digest(&digest)),
            (format!("sha256-{HEX}.sig"), ManifestReference::AttachmentTag),
            (format!("sha256-{HEX}.att"), ManifestReference::AttachmentTag),
            (format!("sha256-{HEX}.sbom"), ManifestReference::AttachmentTag),
            (format!("sha256-{HEX}"), ManifestReference::AttachmentTag),
            (format!("sha512-{HEX}"), ManifestReference::AttachmentTag),
            (format!("sha256-{}", &HEX[1..]), ManifestReference::Tag),
            (format!("sha256-{HEX}0"), ManifestReference::Tag),
            (format!("md5-{HEX}"), ManifestReference::Tag),
            (format!("sha256-{HEX}.txt"), ManifestReference::Tag),
            (format!("sha256-{HEX}0.sig"), ManifestReference::Tag),
            (format!("sha256-{}.sig", HEX.to_uppercase()), ManifestReference::Tag),
            ("sha256-12.sig".to_owned(), ManifestReference::Tag),
        ] {
            assert_eq!(reference(&last), Ok(expected), "{last}");
        }
        let path = format!("/v2/a/b/blobs/{digest}");
        let Route::Blob(tail, blob) = get(&path) else { panic!("a blob") };
        assert_eq!((tail.path(), blob.text()), (&path[4..], digest.as_str()));
        assert_eq!(blob.digest().to_string(), digest);
        let path = format!("/v2/a/referrers/{digest}");
        assert_eq!(get(&path), Route::Referrers(Tail { path: &path[4..], query: None }));
    }

    #[test]
    fn what_is_outside_the_grammar_is_refused_with_its_code() {
        use ErrorCode::{DigestInvalid, ManifestUnknown, NameInvalid};
        let long_name = format!("/v2/{}/manifests/latest", "a".repeat(256));
        let long_tag = format!("/v2/a/manifests/{}", "a".repeat(129));
        for (path, code) in [
            ("/v2/../../other/repo/manifests/x", NameInvalid),
            ("/v2/a/../b/tags/list", NameInvalid),
            ("/v2/A/manifests/x", NameInvalid),
            ("/v2//manifests/x", NameInvalid),
            ("/v2/a//manifests/x", NameInvalid),
            ("/v2/a%2fb/manifests/x", NameInvalid),
            ("/v2/a%2e%2e/manifests/x", NameInvalid),
            ("/v2/é/manifests/x", NameInvalid),
            (&long_name, NameInvalid),
            ("/v2/a/manifests/..", ManifestUnknown),
            ("/v2/a/manifests/%2e%2e", ManifestUnknown),
            ("/v2/a/manifests/x%0d%0a", ManifestUnknown),
            (&long_tag, ManifestUnknown),
            ("/v2/a/manifests/sha256:12", DigestInvalid),
            ("/v2/a/manifests/sha256:baddigeststring", DigestInvalid),
            ("/v2/a/blobs/latest", DigestInvalid),
            ("/v2/a/blobs/uploads", DigestInvalid),
            ("/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", DigestInvalid),
            ("/v2/a/referrers/x", DigestInvalid),
        ] {
            let Route::Rejected(refusal) = get(path) else { panic!("{path} is accepted") };
            assert_eq!(refusal.code(), code, "{path}");
        }
    }

    #[test]
    fn methods_and_queries() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::CONNECT]
        {
            assert_eq!(route(&method, "/v2/", None), Route::Rejected(RequestError::Method));
        }
        let path = "/v2/a/tags/list";
        for query in ["", "n=5&last=v1", "a=%0d%0a", "?//../x", "é"] {
            let tail = Tail { path: "a/tags/list", query: Some(query) };
            assert_eq!(route(&Method::HEAD, path, Some(query)), Route::Tags(tail));
        }
        for query in ["\r\nX: y", "a b", "\u{7f}", "\0"] {
            assert_eq!(
                route(&Method::GET, path, Some(query)),
                Route::Rejected(RequestError::Query)
            );
        }
    }
}
