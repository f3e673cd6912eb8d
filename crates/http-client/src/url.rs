//! URLs that can be shown to people.

use std::fmt;

use url::Url;

/// A URL without its query, fragment and user information: a redirect to object storage carries
/// its signature there, which must not be printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RedactedUrl(Box<str>);

impl RedactedUrl {
    /// The URL without what must not be shown.
    #[must_use]
    pub fn new(url: &Url) -> Self {
        let mut url = url.clone();
        url.set_query(None);
        url.set_fragment(None);
        strip_user(&mut url);
        Self(url.as_str().into())
    }

    /// What stands for a URL that could not be made.
    pub fn unusable(text: &str) -> Self {
        Self(text.split(['?', '#']).next().unwrap_or_default().into())
    }

    /// The text: scheme, authority and path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host name or address, with the port when it is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> &str {
        let rest = self.0.split_once("://").map_or(&*self.0, |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }
}

impl fmt::Display for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Removes user information: no URL of ours may contain any.
pub fn strip_user(url: &mut Url) {
    // Both fail only for URLs without a host, which have no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_left() {
        let url = "https://u:p@h.example:8443/a/b?X-Amz-Signature=s#f".parse().expect("a URL");
        let redacted = RedactedUrl::new(&url);
        assert_eq!(redacted.to_string(), "https://h.example:8443/a/b");
        assert_eq!(format!("{redacted:?}"), redacted.to_string());
        assert_eq!(redacted.authority(), "h.example:8443");
        assert_eq!(RedactedUrl::unusable("https://0.0.0.999/a?s").as_str(), "https://0.0.0.999/a");
    }
}
