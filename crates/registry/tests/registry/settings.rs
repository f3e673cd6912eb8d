//! Settings, each on a registry of its own. Storages make no difference to them.

use http::{Method, StatusCode};
use oci::{Digest, media_type};
use registry::{Limits, Registry, RegistrySettings, Storage};
use testkit::{
    Body,
    fixture::{self, noise},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::peer::{Peer, header, refusal, refused};

#[tokio::test]
async fn a_registry_that_is_read_only_writes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let image = fixture::image(1, 1);
    let peer = Peer::on(directory.path()).await;
    peer.push("a", "v1", &image).await;
    peer.stop().await;
    let storage = Storage::directory(directory.path()).expect("it is free");
    let settings = RegistrySettings { read_only: true, ..RegistrySettings::default() };
    let peer = Peer::of(Registry::with(storage, settings, None)).await;
    assert_eq!(peer.get("/v2/a/manifests/v1").await.body(), &image.bytes);
    let digest = image.digest();
    for (method, path) in [
        (Method::PUT, "/v2/a/manifests/v2".to_owned()),
        (Method::DELETE, "/v2/a/manifests/v1".to_owned()),
        (Method::DELETE, format!("/v2/a/manifests/{digest}")),
        (Method::DELETE, format!("/v2/a/blobs/{}", image.blobs[0].descriptor.digest)),
        (Method::POST, "/v2/a/blobs/uploads/".to_owned()),
        (Method::POST, format!("/v2/b/blobs/uploads/?mount={digest}&from=a")),
    ] {
        let response = peer.ask(method, &path, &[], image.bytes.clone()).await;
        assert_eq!(refusal(&response), refused(405, "UNSUPPORTED"), "{path}");
        assert_eq!(header(&response, "allow"), "GET, HEAD");
    }
    assert_eq!(peer.get("/v2/a/tags/list").await.body(), r#"{"name":"a","tags":["v1"]}"#);
}

#[tokio::test]
async fn immutable_tags_stay_where_they_are() {
    let settings = RegistrySettings { immutable_tags: true, ..RegistrySettings::default() };
    let peer = Peer::with(settings, None).await;
    let (first, second) = (fixture::image(1, 1), fixture::image(2, 1));
    let digest = second.digest().to_string();
    peer.push("a", "v1", &first).await;
    peer.push("a", &digest, &second).await;
    let moved = peer.push_manifest("a", "v1", &second).await;
    assert_eq!(refusal(&moved), refused(409, "DENIED"));
    let text = String::from_utf8_lossy(moved.body()).into_owned();
    assert!(text.contains("`v1`") && text.contains(&first.digest().to_string()), "{text}");
    // None of several is written if one may not be.
    let moved = peer.push_manifest("a", &format!("{digest}?tag=new&tag=v1"), &second).await;
    assert_eq!(refusal(&moved), refused(409, "DENIED"));
    assert_eq!(peer.status("/v2/a/manifests/new").await, StatusCode::NOT_FOUND);
    // What it is on already is no move.
    assert_eq!(peer.push_manifest("a", "v1", &first).await.status(), StatusCode::CREATED);
    for (path, status) in [
        ("/v2/a/manifests/v1".to_owned(), 405),
        (format!("/v2/a/manifests/{}", first.digest()), 405),
        (format!("/v2/a/manifests/{digest}"), 202),
    ] {
        let deleted = peer.ask(Method::DELETE, &path, &[], "").await;
        assert_eq!(deleted.status(), status, "{path}");
    }
    assert_eq!(peer.get("/v2/a/manifests/v1").await.body(), &first.bytes);
}

#[tokio::test]
async fn references_may_be_missing_where_that_is_allowed() {
    let settings =
        RegistrySettings { allow_missing_references: true, ..RegistrySettings::default() };
    let peer = Peer::with(settings, None).await;
    let index = fixture::index(1, 2, 1);
    for manifest in [&index.children[0], &index] {
        let put = peer.push_manifest("a", "v1", manifest).await;
        assert_eq!(put.status(), StatusCode::CREATED, "{put:?}");
    }
    assert_eq!(peer.get("/v2/a/manifests/v1").await.body(), &index.bytes);
}

#[tokio::test]
async fn limits_are_settings() {
    let limits = Limits {
        max_manifest_bytes: 2_000,
        max_blob_bytes: Some(1_000),
        max_uploads: 4,
        ..Limits::default()
    };
    let peer = Peer::with(RegistrySettings { limits, ..RegistrySettings::default() }, None).await;
    let fits = peer.push_blob("a", &noise(1, 1_000)).await;
    let long = noise(2, 1_001);
    let (wrong, path) = (Digest::sha256(&long), "/v2/a/blobs/uploads/");
    let post = peer.ask(Method::POST, &format!("{path}?digest={wrong}"), &[], long.clone()).await;
    assert_eq!(refusal(&post), refused(413, "SIZE_INVALID"));
    // By pieces too, and then what was taken before stays.
    let session = peer.start("a").await;
    let patched = peer.ask(Method::PATCH, &session, &[], long.slice(..600)).await;
    assert_eq!(patched.status(), StatusCode::ACCEPTED);
    let patched = peer.ask(Method::PATCH, &session, &[], long.slice(600..)).await;
    assert_eq!(refusal(&patched), refused(413, "SIZE_INVALID"));
    assert_eq!(header(&peer.get(&session).await, "range"), "0-599");
    let mut uploading = Vec::new();
    for session in [session, peer.start("a").await] {
        uploading.push(peer.under_way(Method::PATCH, &session, 1).await);
    }
    let third = peer.ask(Method::POST, path, &[], "").await;
    assert_eq!(refusal(&third), refused(429, "TOOMANYREQUESTS"));
    assert_eq!(header(&third, "retry-after"), "1");

    let manifest = |padding: usize| {
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": { "mediaType": "a/b", "digest": fits, "size": 1_000 }, "layers": [],
        });
        manifest.to_string() + &" ".repeat(padding)
    };
    let padding = 2_000 - manifest(0).len();
    let headers = [("content-type", media_type::OCI_MANIFEST)];
    for (padding, status) in [(padding + 1, 413), (padding, 201)] {
        let put = peer.ask(Method::PUT, "/v2/a/manifests/v1", &headers, manifest(padding)).await;
        assert_eq!(put.status(), status);
    }
}

#[tokio::test]
async fn requests_over_the_limit_get_retry_after() {
    let limits = Limits { max_requests: 1, ..Limits::default() };
    let peer = Peer::with(RegistrySettings { limits, ..RegistrySettings::default() }, None).await;
    let session = peer.start("a").await;
    let mut under_way = peer.under_way(Method::PATCH, &session, 1).await;
    let one_more = peer.ask(Method::POST, "/v2/a/blobs/uploads/", &[], "").await;
    assert_eq!(refusal(&one_more), refused(429, "TOOMANYREQUESTS"));
    assert_eq!(header(&one_more, "retry-after"), "1");
    under_way.write_all(b"x").await.expect("it is sent");
    let mut response = [0; 12];
    under_way.read_exact(&mut response).await.expect("a response");
    assert_eq!(&response, b"HTTP/1.1 202");
    // Its place is free once the last byte of its response is written.
    let start = async || peer.ask(Method::POST, "/v2/a/blobs/uploads/", &[], "").await.status();
    let mut free = start().await;
    while free == StatusCode::TOO_MANY_REQUESTS {
        free = start().await;
    }
    assert_eq!(free, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_response_that_is_not_read_yet_is_a_request_in_flight() {
    let limits = Limits { max_requests: 1, ..Limits::default() };
    let settings = RegistrySettings { limits, ..RegistrySettings::default() };
    let registry = Registry::with(Storage::memory(), settings, None);
    let ping = || http::Request::get("/v2/").body(Body::empty()).expect("a request");
    let first = registry.respond(ping()).await;
    assert_eq!(registry.respond(ping()).await.status(), StatusCode::TOO_MANY_REQUESTS);
    drop(first);
    assert_eq!(registry.respond(ping()).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_response_to_head_is_that_to_get_without_its_body() {
    let registry = Registry::new(Storage::memory());
    let ask = async |method: Method, path: &str, body: &[u8], media_type: &str| {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header("content-type", media_type).body(Body::from(body.to_vec()));
        registry.respond(request.expect("a request")).await
    };
    let image = fixture::image(1, 1);
    for blob in &image.blobs {
        let path = format!("/v2/a/blobs/uploads/?digest={}", blob.descriptor.digest);
        ask(Method::POST, &path, &blob.bytes, "").await;
    }
    let media_type = &image.descriptor.media_type;
    ask(Method::PUT, "/v2/a/manifests/v1", &image.bytes, media_type).await;
    for path in [
        "/v2/",
        "/v2/_catalog",
        "/v2/a/tags/list",
        "/v2/b/tags/list",
        "/v2/a/manifests/v1",
        "/v2/a/manifests/v2",
        &format!("/v2/a/referrers/{}", image.digest()),
        &format!("/v2/a/blobs/{}", image.blobs[0].descriptor.digest),
        &format!("/v2/b/blobs/{}", image.blobs[0].descriptor.digest),
    ] {
        let (got, head) =
            (ask(Method::GET, path, b"", "").await, ask(Method::HEAD, path, b"", "").await);
        assert_eq!(head.status(), got.status(), "{path}");
        let body = whole(got.into_parts()).await;
        let mut expected = body.0;
        // What the server adds to a response whose length is known.
        expected.entry("content-length").or_insert(body.1.len().into());
        let (found, none) = whole(head.into_parts()).await;
        assert_eq!(found, expected, "{path}");
        assert!(none.is_empty(), "{path}");
    }
    // Where there is no content, none is announced (RFC 9110 §8.6).
    let etag = format!("\"{}\"", image.digest());
    let request = http::Request::head("/v2/a/manifests/v1").header("if-none-match", etag);
    let head = registry.respond(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(head.status(), StatusCode::NOT_MODIFIED);
    assert!(!head.headers().contains_key("content-length"));
}

/// The headers and the whole body.
async fn whole((head, body): (http::response::Parts, Body)) -> (http::HeaderMap, bytes::Bytes) {
    use http_body_util::BodyExt as _;
    (head.headers, body.collect().await.expect("a body").to_bytes())
}
