//! Where a redirect may lead: the configured bases, and the only code that appends to them. What is
//! appended has been validated by `route.rs`, so a Location is a base followed by a valid path
//! (design invariant 9). The table is in `docs/reference/front.md`, "Where a redirect may lead".

use crate::{
    config::{StoreSetting, Upstream},
    route::{RequestedBlob, Tail},
};

/// The part of a redirect to an upstream before the tail of the request: `<endpoint>/v2/<path/>`.
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

/// The part of a blob's URL before the digest: `<url>/<blob_prefix>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreBase(Box<str>);

impl StoreBase {
    pub(crate) fn new(store: &StoreSetting) -> Self {
        Self(format!("{}/{}", store.url, store.blob_prefix).into())
    }

    /// The URL of a blob.
    pub(crate) fn url(&self, blob: &RequestedBlob<'_>) -> String {
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
                Route::Info | Route::Privacy | Route::Ping | Route::Rejected(_) => return Ok(()),
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
