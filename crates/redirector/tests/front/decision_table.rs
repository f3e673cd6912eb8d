//! `docs/reference/front.md`, "Responses" and "Where a redirect may lead", row by row.

use http::{Method, StatusCode};
use oci::{Digest, ErrorBody};
use testkit::TestBucket;

use crate::harness::{
    CANONICAL, GCP, NOWHERE, OHIO, PARIS, PARIS_V6, UPSTREAM, at, blob, location, put, start,
    upstream, yaml,
};

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[tokio::test]
async fn pages_and_the_version_check() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    assert_eq!(location(&front.get("/", PARIS).await), "https://info.example/about?x=1");
    assert_eq!(location(&front.get("/?a=b", PARIS).await), "https://info.example/about?x=1");
    assert_eq!(location(&front.get("/privacy", PARIS).await), "https://privacy.example/");
    for path in ["/v2", "/v2/"] {
        let response = front.get(path, PARIS).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["docker-distribution-api-version"], "registry/2.0");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.body().as_ref(), b"{}");
    }
    let bare = start("upstream: {endpoint: https://up.example}").await;
    for path in ["/", "/privacy"] {
        assert_eq!(bare.get(path, PARIS).await.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn what_is_not_a_blob_goes_to_an_upstream() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    for (path, base, digest) in [
        ("pause/manifests/3.9".to_owned(), UPSTREAM, None),
        ("a/b/c/manifests/v1?ns=docker.io&x=%2F..".to_owned(), UPSTREAM, None),
        (format!("pause/manifests/sha256:{HEX}"), UPSTREAM, Some(format!("sha256:{HEX}"))),
        (
            format!("pause/manifests/sha512:{HEX}{HEX}"),
            UPSTREAM,
            Some(format!("sha512:{HEX}{HEX}")),
        ),
        (format!("pause/manifests/sha256-{HEX}"), CANONICAL, None),
        (format!("pause/manifests/sha512-{HEX}"), CANONICAL, None),
        (format!("pause/manifests/sha256-{HEX}.sig"), CANONICAL, None),
        (format!("pause/manifests/sha256-{HEX}.att"), CANONICAL, None),
        (format!("pause/manifests/sha256-{HEX}.sbom?x"), CANONICAL, None),
        ("pause/tags/list".to_owned(), UPSTREAM, None),
        ("pause/tags/list?n=5&last=v1.2".to_owned(), UPSTREAM, None),
        (format!("pause/referrers/sha256:{HEX}"), CANONICAL, None),
        (format!("pause/referrers/sha256:{HEX}?artifactType=a%2Fb"), CANONICAL, None),
    ] {
        for client in [PARIS, GCP, NOWHERE] {
            let response = front.get(&format!("/v2/{path}"), client).await;
            assert_eq!(location(&response), format!("{base}{path}"));
            let named = response.headers().get("docker-content-digest");
            assert_eq!(named.map(|value| value.to_str().unwrap()), digest.as_deref(), "{path}");
        }
    }
    assert_eq!(bucket.requests().len(), 0, "a store is probed for blobs only");
}

#[tokio::test]
async fn the_canonical_upstream_is_the_upstream_unless_it_is_named() {
    let front = start("upstream: {endpoint: https://up.example}").await;
    let path = format!("/v2/a/manifests/sha256-{HEX}.sig");
    assert_eq!(location(&front.get(&path, PARIS).await), format!("https://up.example{path}"));
}

#[tokio::test]
async fn a_blob_comes_from_the_near_store_that_has_it() {
    let paris = TestBucket::start().await;
    let all = TestBucket::start().await;
    let more = format!("  - {{name: all, url: '{}/', serves: [{{cloud: '*'}}]}}", all.url());
    let with_default = start(&yaml(&paris, &more)).await;
    let without = start(&yaml(&paris, "")).await;
    let digest = put(&paris, "content");
    put(&all, "content");
    let (near, far, shared) = (at(&paris, &digest), upstream(&digest), at(&all, &digest));
    for (client, expected, expected_with_default) in [
        (PARIS, &near, &near),
        (PARIS_V6, &near, &near),
        ("::ffff:35.180.1.1", &near, &near),
        (OHIO, &far, &shared),
        (NOWHERE, &far, &shared),
        ("2001:db8::1", &far, &shared),
        ("nonsense", &far, &shared),
        (GCP, &far, &far),
    ] {
        for (front, expected) in [(&without, expected), (&with_default, expected_with_default)] {
            let response = front.get(&blob(&digest), client).await;
            assert_eq!(&location(&response), expected, "{client}");
            assert_eq!(response.headers()["docker-content-digest"], digest.to_string());
        }
    }
}

#[tokio::test]
async fn a_blob_that_the_store_lacks_comes_from_the_upstream() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    let digest = Digest::sha256(b"missing");
    let response = front.get(&format!("{}?ns=x", blob(&digest)), PARIS).await;
    assert_eq!(location(&response), format!("{}?ns=x", upstream(&digest)));
    assert_eq!(response.headers()["docker-content-digest"], digest.to_string());
}

#[tokio::test]
async fn the_query_stays_with_the_registry() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    let digest = put(&bucket, "content");
    let response = front.get(&format!("{}?ns=x", blob(&digest)), PARIS).await;
    assert_eq!(location(&response), at(&bucket, &digest));
    assert_eq!(bucket.requests()[0].method, Method::HEAD);
    assert_eq!(bucket.requests()[0].path_and_query, format!("/containers/images/{digest}"));
}

#[tokio::test]
async fn the_key_is_the_configured_prefix_and_the_digest() {
    let bucket = TestBucket::start().await;
    let digest = Digest::sha256(b"x");
    for (prefix, key) in [("''", format!("deep/{digest}")), ("a/b/", format!("deep/a/b/{digest}"))]
    {
        bucket.put(&key, "x");
        let store = format!(
            "[{{name: s, url: '{}/deep/', blob_prefix: {prefix}, serves: [{{cloud: aws}}]}}]",
            bucket.url()
        );
        let front =
            start(&format!("upstream: {{endpoint: https://up.example}}\nstores: {store}")).await;
        assert_eq!(front.find(&digest, PARIS).await, format!("{}/{key}", bucket.url()));
    }
}

#[tokio::test]
async fn what_is_refused_says_why_in_the_specifications_shape() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    let (get, long) = (Method::GET, "a".repeat(256));
    for (method, path, status, code) in [
        (Method::POST, "/v2/", 405, "UNSUPPORTED"),
        (Method::PUT, "/v2/pause/manifests/x", 405, "UNSUPPORTED"),
        (Method::DELETE, "/", 405, "UNSUPPORTED"),
        (Method::OPTIONS, "/nowhere", 405, "UNSUPPORTED"),
        (get.clone(), "/v2/_catalog", 404, "UNSUPPORTED"),
        (get.clone(), "/v2/_catalog?n=5", 404, "UNSUPPORTED"),
        (get.clone(), "/v2/pause", 404, "UNSUPPORTED"),
        (get.clone(), "/v2/pause/blobs/uploads/", 404, "UNSUPPORTED"),
        (get.clone(), "/v2foo", 404, "UNSUPPORTED"),
        (get.clone(), "/v2foo/manifests/x", 404, "UNSUPPORTED"),
        (get.clone(), "/privacyx", 404, "UNSUPPORTED"),
        (get.clone(), "/v1/x", 404, "UNSUPPORTED"),
        (get.clone(), "/v2/Pause/manifests/x", 400, "NAME_INVALID"),
        (get.clone(), "/v2/a/../b/manifests/x", 400, "NAME_INVALID"),
        (get.clone(), "/v2/a%2fb/manifests/x", 400, "NAME_INVALID"),
        (get.clone(), &format!("/v2/{long}/manifests/x"), 400, "NAME_INVALID"),
        (get.clone(), "/v2/a/blobs/sha256:12", 400, "DIGEST_INVALID"),
        (get.clone(), "/v2/a/blobs/nodigest", 400, "DIGEST_INVALID"),
        (get.clone(), "/v2/a/manifests/sha256:12", 400, "DIGEST_INVALID"),
        (get.clone(), "/v2/a/referrers/latest", 400, "DIGEST_INVALID"),
        (get.clone(), "/v2/a/manifests/-x", 404, "MANIFEST_UNKNOWN"),
        (get.clone(), &format!("/v2/a/manifests/{long}"), 404, "MANIFEST_UNKNOWN"),
    ] {
        let response = front.ask(method.clone(), path, PARIS).await;
        assert_eq!(response.status(), status, "{method} {path}");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert!(!response.headers().contains_key("location"), "{path}");
        let allow = response.headers().get("allow").map(|value| value.to_str().unwrap());
        assert_eq!(allow, (status == 405).then_some("GET, HEAD"));
        let body: ErrorBody =
            serde_saphyr::from_str(str::from_utf8(response.body()).unwrap()).unwrap();
        assert_eq!(body.errors.len(), 1);
        assert_eq!(body.errors[0].code, code, "{method} {path}");
        assert!(!body.errors[0].message.is_empty());
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    let digest = put(&bucket, "content");
    for path in [
        "/".to_owned(),
        "/v2/".to_owned(),
        "/v2/pause/manifests/3.9".to_owned(),
        "/v2/pause/tags/list?n=1".to_owned(),
        blob(&digest),
        blob(&Digest::sha256(b"missing")),
        "/v2/_catalog".to_owned(),
        "/v2/pause/blobs/bad".to_owned(),
        "/nowhere".to_owned(),
    ] {
        let get = front.get(&path, PARIS).await;
        let head = front.ask(Method::HEAD, &path, PARIS).await;
        assert_eq!(head.status(), get.status(), "{path}");
        assert!(head.body().is_empty());
        let headers = |response: &http::Response<_>| {
            let mut headers = response.headers().clone();
            headers.remove("date");
            // The length of no body may be left out.
            if headers.get("content-length").is_some_and(|length| length == "0") {
                headers.remove("content-length");
            }
            headers
        };
        assert_eq!(headers(&head), headers(&get), "{path}");
    }
}
