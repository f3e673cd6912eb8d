//! Where a redirect may lead: the configured bases, and the only code that appends to them. What is
//! appended has been validated by `route.rs`, so a Location is a base followed by a valid path
//! (design invariant 9). The table is in `docs/front.md`, "Where a redirect may lead".

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use url::Url;

use crate::{
    config::{Store, Upstream},
    route::{Blob, Tail},
};

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
    Syntax(#[from] url::ParseError),
    /// Neither http nor https, or there is no host.
    #[error("write `https://host` or `http://host`")]
    NotHttp,
    /// A user, a password, a query or a fragment.
    #[error("nothing is allowed but scheme, host, port and path")]
    TooMuch,
    /// An empty segment, or percent-encoding.
    #[error("its path must be plain segments, without `//` and without `%`")]
    OddPath,
}

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, BaseUrlError> {
        let url = Url::parse(text)?;
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

/// What stands before the tail of a request in a redirect to an upstream: `<endpoint>/v2/<path/>`.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamBase(Box<str>);

impl UpstreamBase {
    pub(crate) fn new(upstream: &Upstream) -> Self {
        let path = upstream.path.as_ref().map(|path| format!("{path}/")).unwrap_or_default();
        Self(format!("{}/v2/{path}", upstream.endpoint).into())
    }

    /// The URL of the same thing at the upstream.
    pub(crate) fn url(&self, tail: Tail<'_>) -> String {
        match tail.query() {
            None => concat([&self.0, tail.path()]),
            Some(query) => concat([&self.0, tail.path(), "?", query]),
        }
    }
}

/// What stands before the digest in the URL of a blob: `<url>/<blob_prefix>`.
#[derive(Clone, Debug)]
pub(crate) struct StoreBase(Box<str>);

impl StoreBase {
    pub(crate) fn new(store: &Store) -> Self {
        Self(format!("{}/{}", store.url, store.blob_prefix).into())
    }

    /// The URL of a blob.
    pub(crate) fn url(&self, blob: &Blob<'_>) -> String {
        concat([&self.0, blob.text()])
    }
}

/// One text of exactly the right size: it becomes a header value without being moved.
fn concat<const N: usize>(parts: [&str; N]) -> String {
    let mut text = String::with_capacity(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| text.push_str(part));
    text
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use http::Method;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        config::Config,
        route::{Route, route},
    };

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
    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    static BASES: LazyLock<(UpstreamBase, StoreBase)> = LazyLock::new(|| {
        let config = Config::built_in();
        (UpstreamBase::new(&config.upstream), StoreBase::new(&config.stores[0]))
    });

    /// Paths from anything at all to nearly valid ones, so that every route is reached.
    fn paths() -> impl Strategy<Value = String> {
        let names = prop_oneof![
            "[a-z0-9]{1,8}(/[a-z0-9._-]{1,8}){0,3}",
            "(a/|\\.\\./|%2e%2e/|//|\\./){1,4}a",
            any::<String>(),
        ];
        let lasts = prop_oneof![
            Just(format!("sha256:{HEX}")),
            Just(format!("sha256-{HEX}.sig")),
            Just("list".to_owned()),
            "[a-zA-Z0-9._-]{1,20}",
            "(\\.\\.|%2f|/|:|\r|\n){1,4}",
            any::<String>(),
        ];
        let kinds = prop_oneof!["manifests", "blobs", "tags", "referrers", any::<String>()];
        prop_oneof![
            (names, kinds, lasts)
                .prop_map(|(name, kind, last)| format!("/v2/{name}/{kind}/{last}")),
            any::<String>(),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn every_location_is_a_base_and_a_valid_path(
            path in paths(),
            query in prop::option::of(prop_oneof!["[a-z]=[a-zA-Z0-9%/.:?-]{0,20}", any::<String>()]),
        ) {
            let (upstream, store) = &*BASES;
            let (tail, blob) = match route(&Method::GET, &path, query.as_deref()) {
                Route::Manifest(tail, _) | Route::Tags(tail) | Route::Referrers(tail) => (tail, None),
                Route::Blob(tail, blob) => (tail, Some(blob)),
                Route::Info | Route::Privacy | Route::Ping | Route::Refused(_) => return Ok(()),
            };
            let url = upstream.url(tail);
            let rest = url.strip_prefix("https://us-central1-docker.pkg.dev/v2/k8s-artifacts-prod/images/");
            let (rest, sent) = match rest.map(|rest| rest.split_once('?')) {
                Some(Some((rest, sent))) => (rest, Some(sent)),
                Some(None) => (&url[url.len() - tail.path().len()..], None),
                None => return Err(TestCaseError::fail(url)),
            };
            prop_assert_eq!(sent, query.as_deref());
            prop_assert!(is_plain(rest), "{}", url);
            prop_assert!(url.chars().all(|c| !c.is_ascii_control() && c != ' '), "{:?}", url);
            if let Some(blob) = blob {
                let url = store.url(&blob);
                prop_assert_eq!(url.rsplit_once('/').expect("a path").1, format!("sha256:{HEX}"));
                prop_assert!(url.starts_with("https://prod-registry-k8s-io-af-south-1.s3."));
            }
        }
    }

    fn is_plain(path: &str) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._:/-".contains(c);
        path.chars().all(plain)
            && path.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
    }
}
