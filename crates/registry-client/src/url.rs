//! URLs that can be shown to people.

use std::fmt;

use url::Url;

/// A URL whose query, fragment and user information never print: a redirect to object storage
/// carries its signature there.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RedactedUrl(Url);

impl RedactedUrl {
    #[expect(dead_code, reason = "the next slice uses it")]
    pub(crate) fn new(url: Url) -> Self {
        Self(url)
    }

    /// The host name or address; with the port when it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

impl fmt::Display for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.0.scheme(), self.authority(), self.0.path())
    }
}

impl fmt::Debug for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
