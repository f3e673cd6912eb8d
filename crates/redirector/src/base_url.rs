//! The URLs that a configuration names, and that a redirect may begin with.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use url::Url;

/// `http(s)://host[:port][/path]`: no user, no query, no fragment, no `/` at its end, and a path of
/// plain segments.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(Box<str>);

impl BaseUrl {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether clients and probes speak TLS to it.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }

    pub(crate) fn has_path(&self) -> bool {
        self.0.split_once("://").is_some_and(|(_, rest)| rest.contains('/'))
    }
}

/// Why a text is not a base.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BaseUrlError {
    /// It cannot be read.
    #[error("not a URL: {0}; write `https://host`")]
    Syntax(url::ParseError),
    /// Neither http nor https, or there is no host.
    #[error("not an http or https URL; write `https://host`")]
    NotHttp,
    /// A user, a password, a query or a fragment.
    #[error("only a scheme, a host, a port and a path are allowed")]
    TooMuch,
    /// An empty segment, or percent-encoding.
    #[error("its path must consist of plain segments, without `//` or `%`")]
    OddPath,
}

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, BaseUrlError> {
        let url = Url::parse(text).map_err(BaseUrlError::Syntax)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(BaseUrlError::NotHttp);
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(BaseUrlError::TooMuch);
        }
        let path = url.path().trim_end_matches('/');
        if path.contains("//") || path.contains('%') {
            return Err(BaseUrlError::OddPath);
        }
        Ok(Self(url.as_str().trim_end_matches('/').into()))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for BaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_scheme_host_port_and_path() {
        for (text, base) in [
            ("https://a.example", "https://a.example"),
            ("https://a.example/", "https://a.example"),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
            ("HTTPS://A.example:443/b/c/", "https://a.example/b/c"),
            ("https://a.example/b/../c", "https://a.example/c"),
            ("https://[::1]:5000", "https://[::1]:5000"),
        ] {
            assert_eq!(text.parse::<BaseUrl>().expect(text).as_str(), base);
        }
        for bad in [
            "",
            "a.example",
            "//a.example",
            "ftp://a.example",
            "https://",
            "https://u@a.example",
            "https://a.example/?q",
            "https://a.example/#f",
            "https://a.example/b//c",
            "https://a.example/%2e%2e/c/%41",
            "https://a b",
            "file:///x",
        ] {
            assert!(bad.parse::<BaseUrl>().is_err(), "{bad:?}");
        }
    }
}
