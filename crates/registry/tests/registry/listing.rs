//! Lists, the ping and the shape of errors.

use http::{Method, StatusCode};
use oci::Digest;
use testkit::fixture;

use crate::peer::{Peer, header, refusal, refused};

/// All pages of a list, each page's names joined by spaces.
async fn pages(peer: &Peer, first: &str, member: &str) -> Vec<String> {
    let mut pages = Vec::new();
    let mut next = first.to_owned();
    loop {
        let page = peer.get(&next).await;
        assert_eq!(page.status(), StatusCode::OK, "{next}");
        let list: serde_json::Value = serde_json::from_slice(page.body()).expect("JSON");
        let names = list[member].as_array().expect("a list");
        let names: Vec<_> = names.iter().map(|name| name.as_str().expect("text")).collect();
        pages.push(names.join(" "));
        let link = header(&page, "link");
        let Some(link) = link.strip_prefix('<') else { return pages };
        next = link.strip_suffix(">; rel=\"next\"").expect("a link to the next page").to_owned();
    }
}

pub(crate) async fn tags_are_listed_by_pages(peer: &Peer) {
    let image = fixture::image(1, 1);
    let list = "/v2/a/b/tags/list";
    assert_eq!(refusal(&peer.get(list).await), refused(404, "NAME_UNKNOWN"));
    for blob in &image.blobs {
        peer.push_blob("a/b", &blob.bytes).await;
    }
    assert_eq!(peer.get(list).await.body(), r#"{"name":"a/b","tags":[]}"#);
    for tag in ["v2", "v1", "V1", "v10", "_x"] {
        peer.push("a/b", tag, &image).await;
    }
    assert_eq!(peer.get(list).await.body(), r#"{"name":"a/b","tags":["V1","_x","v1","v10","v2"]}"#);
    for (query, expected) in [
        ("", &["V1 _x v1 v10 v2"][..]),
        ("?n=5", &["V1 _x v1 v10 v2"]),
        ("?n=2", &["V1 _x", "v1 v10", "v2"]),
        ("?last=v1", &["v10 v2"]),
        ("?last=v1a&n=1", &["v2"]),
        ("?n=0", &[""]),
    ] {
        assert_eq!(pages(peer, &format!("{list}{query}"), "tags").await, expected, "{query}");
    }
}

pub(crate) async fn repositories_that_hold_something_are_listed(peer: &Peer) {
    let all = "/v2/_catalog";
    assert_eq!(pages(peer, all, "repositories").await, [""]);
    // A session is not content, and neither is a mount that found nothing.
    peer.start("started").await;
    let digest = Digest::sha256(b"x");
    let mount = format!("/v2/mounted/blobs/uploads/?mount={digest}&from=b");
    peer.ask(Method::POST, &mount, &[], "").await;
    for repository in ["b", "a/b/c", "a"] {
        peer.push_blob(repository, b"x").await;
    }
    peer.push("a-b", "v1", &fixture::image(1, 1)).await;
    assert_eq!(pages(peer, all, "repositories").await, ["a a-b a/b/c b"]);
    assert_eq!(pages(peer, "/v2/_catalog?n=3", "repositories").await, ["a a-b a/b/c", "b"]);
    peer.ask(Method::DELETE, &format!("/v2/a/blobs/{digest}"), &[], "").await;
    assert_eq!(pages(peer, all, "repositories").await, ["a-b a/b/c b"]);
}

pub(crate) async fn every_error_has_the_specifications_body(peer: &Peer) {
    let ping = peer.get("/v2/").await;
    assert_eq!(ping.status(), StatusCode::OK);
    assert_eq!(header(&ping, "docker-distribution-api-version"), "registry/2.0");
    let digest = Digest::sha256(b"x");
    let session = peer.start("a").await;
    for (method, path, status, code) in [
        ("GET", "/", 404, "UNSUPPORTED"),
        ("GET", "/v2/a", 404, "UNSUPPORTED"),
        ("GET", "/v2/_catalog/x", 404, "UNSUPPORTED"),
        ("GET", "/v2/a/referrers/sha256:12", 400, "DIGEST_INVALID"),
        ("POST", &format!("/v2/a/referrers/{digest}"), 405, "UNSUPPORTED"),
        ("POST", "/v2/", 405, "UNSUPPORTED"),
        ("PUT", &format!("/v2/a/blobs/{digest}"), 405, "UNSUPPORTED"),
        ("GET", "/v2/a/blobs/uploads/", 405, "UNSUPPORTED"),
        ("POST", "/v2/a/manifests/v1", 405, "UNSUPPORTED"),
        ("GET", "/v2/_catalog?n=x", 400, "UNSUPPORTED"),
        ("GET", "/v2/A/manifests/v1", 400, "NAME_INVALID"),
        ("POST", "/v2/a/../b/blobs/uploads/", 400, "NAME_INVALID"),
        ("GET", "/v2/a/blobs/sha256:12", 400, "DIGEST_INVALID"),
        ("GET", "/v2/a/manifests/v1", 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/a/manifests/.x", 404, "MANIFEST_UNKNOWN"),
        ("GET", &format!("/v2/a/blobs/{digest}"), 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/a/blobs/uploads/x", 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PUT", &session, 400, "DIGEST_INVALID"),
        ("POST", "/v2/a/blobs/uploads/?digest=x", 400, "DIGEST_INVALID"),
    ] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let response = peer.ask(method.clone(), path, &[], "").await;
        assert_eq!(refusal(&response), refused(status, code), "{method} {path}");
        assert_eq!(status == 405, !header(&response, "allow").is_empty(), "{method} {path}");
    }
}
