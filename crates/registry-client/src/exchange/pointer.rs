//! Parses the URLs that a registry points to.
//!
//! Source: RFC 9110 §10.2.2 (`Location`); RFC 3986 §5 (references).

use http::{HeaderMap, HeaderValue, header};
use http_client::strip_user;
use url::Url;

use crate::error::{
    fault::RequestFault,
    pointer::{Pointer, PointerRefusal},
};

/// The URL of a `Location` header, made absolute.
pub(crate) fn location(
    base: &Url,
    headers: &HeaderMap,
    pointer: Pointer,
) -> Result<Url, RequestFault> {
    let refused = |reason| RequestFault::NotFollowed { pointer, to: None, reason };
    let value = headers.get(header::LOCATION).ok_or_else(|| refused(PointerRefusal::Missing))?;
    let text = header_text(value).ok_or_else(|| refused(PointerRefusal::NotText))?;
    resolve(base, text).ok_or_else(|| refused(PointerRefusal::NotHttp))
}

/// The text of a header that holds a URL: also in UTF-8, which is then percent-encoded, as browsers do.
pub(crate) fn header_text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

/// The http(s) URL that `target` is, seen from `base`.
pub(crate) fn resolve(base: &Url, target: &str) -> Option<Url> {
    let mut url = base.join(target).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    strip_user(&mut url);
    Some(url)
}
