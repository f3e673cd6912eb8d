//! Where a registry points to, and why that is not followed.

use std::fmt;

use url::Url;

/// A header by which a registry says where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pointer {
    /// `Location` of a 3xx response.
    Redirect,
    /// `Location` of an upload session.
    UploadSession,
    /// `Link` with `rel="next"` of a listing.
    NextPage,
    /// `realm` of a challenge.
    Realm,
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redirect => "the redirect",
            Self::UploadSession => "the upload session",
            Self::NextPage => "the next page",
            Self::Realm => "the realm",
        })
    }
}

/// Why a pointer was not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PointerRefusal {
    /// The header is missing.
    #[error("the response has no `Location`")]
    Missing,
    /// The header is no URL, or one of another scheme.
    #[error("it is not an http or https URL")]
    NotHttp,
    /// The header is in an encoding that is not known.
    #[error("it is neither ASCII nor UTF-8")]
    NotText,
    /// A `Link` header that cannot be read.
    #[error(
        "the `Link` header of the page is malformed (RFC 8288 §3), so the listing is incomplete"
    )]
    MalformedLink,
    /// Plain HTTP where it was not allowed.
    #[error(
        "plain HTTP is allowed only for hosts that --plain-http names, and between loopback hosts"
    )]
    PlainHttp,
    /// The same host with another scheme, as behind a proxy that does not forward its scheme to the registry.
    #[error(
        "its scheme is {named}, but that of the registry is {scheme}; set `X-Forwarded-Proto: {scheme}` in the proxy in front of the registry"
    )]
    OtherScheme {
        /// The registry's scheme.
        scheme: &'static str,
        /// The scheme that was named.
        named: &'static str,
    },
    /// Another scheme, host or port, where only the registry itself is trusted.
    #[error("it is not at the scheme, host and port of the registry")]
    OtherHost,
    /// Neither GET nor HEAD, nor a POST without content that keeps its method.
    #[error("only GET and HEAD are redirected, and a POST without content by 307 or 308")]
    Method,
    /// It was there before.
    #[error("it leads back to where it came from")]
    Loop,
    /// A limit was reached.
    #[error("the limit is {limit} {of}")]
    TooMany {
        /// The limit.
        limit: usize,
        /// What is counted.
        of: &'static str,
    },
}

impl PointerRefusal {
    /// Why plain HTTP is not spoken to where `from` points.
    pub(crate) fn of_plain_http(from: &Url, to: &Url) -> Self {
        Self::of_scheme(from, to).unwrap_or(Self::PlainHttp)
    }

    /// The refusal of a URL that differs from its referrer's by its scheme. From https to http the port does not
    /// matter: a proxy may leave out both.
    pub(crate) fn of_scheme(from: &Url, to: &Url) -> Option<Self> {
        let is_same_host = from.host() == to.host();
        match (from.scheme(), to.scheme()) {
            ("https", "http") if is_same_host => {
                Some(Self::OtherScheme { scheme: "https", named: "http" })
            }
            ("http", "https") if is_same_host && from.port() == to.port() => {
                Some(Self::OtherScheme { scheme: "http", named: "https" })
            }
            _ => None,
        }
    }
}
