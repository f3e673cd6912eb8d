//! Conditional requests.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use testkit::fixture::{self, TestImage};

use crate::peer::{Headers, Peer, header, refusal, refused};

/// Pushes two images; the second one under no tag.
async fn two_images(peer: &Peer) -> (TestImage, TestImage) {
    let (first, second) = (fixture::image(1, 1), fixture::image(2, 1));
    peer.push("a", "v1", &first).await;
    peer.push("a", &second.digest().to_string(), &second).await;
    (first, second)
}

async fn put(
    peer: &Peer,
    tag: &str,
    image: &TestImage,
    condition: (&str, &str),
) -> Response<Bytes> {
    let headers = [("content-type", &*image.descriptor.media_type), condition];
    peer.ask(Method::PUT, &format!("/v2/a/manifests/{tag}"), &headers, image.bytes.clone()).await
}

pub(crate) async fn what_is_known_is_not_sent_again(peer: &Peer) {
    let (image, other) = two_images(peer).await;
    let blob = image.blobs[1].descriptor.digest;
    for (path, digest) in [
        ("/v2/a/manifests/v1".to_owned(), image.digest()),
        (format!("/v2/a/manifests/{}", image.digest()), image.digest()),
        (format!("/v2/a/blobs/{blob}"), blob),
    ] {
        let etag = header(&peer.get(&path).await, "etag");
        assert_eq!(etag, format!("\"{digest}\""));
        for method in [Method::GET, Method::HEAD] {
            let known = [("if-none-match", &*etag)];
            let found = peer.ask(method.clone(), &path, &known, "").await;
            assert_eq!(found.status(), StatusCode::NOT_MODIFIED, "{path}");
            assert!(found.body().is_empty());
            assert_eq!(header(&found, "etag"), etag);
            assert_eq!(header(&found, "docker-content-digest"), digest.to_string());
            let older = [("if-none-match", &*format!("\"{}\"", other.digest()))];
            assert_eq!(peer.ask(method, &path, &older, "").await.status(), StatusCode::OK);
        }
        let failed = peer.ask(Method::GET, &path, &[("if-match", "\"x\"")], "").await;
        assert_eq!(refusal(&failed), refused(412, "DENIED"));
    }
}

pub(crate) async fn a_range_counts_for_the_same_content(peer: &Peer) {
    let digest = peer.push_blob("a", b"0123456789").await;
    let etag = format!("\"{digest}\"");
    let headers: Headers<'_> = &[("range", "bytes=2-3"), ("if-range", &etag)];
    let found = peer.ask(Method::GET, &format!("/v2/a/blobs/{digest}"), headers, "").await;
    assert_eq!((found.status(), &**found.body()), (StatusCode::PARTIAL_CONTENT, &b"23"[..]));
}

pub(crate) async fn a_tag_is_written_only_if_its_condition_holds(peer: &Peer) {
    let (first, second) = two_images(peer).await;
    let [on_first, on_second] = [&first, &second].map(|image| format!("\"{}\"", image.digest()));
    let is_on = async |tag: &str, image: &TestImage| {
        let found = peer.get(&format!("/v2/a/manifests/{tag}")).await;
        assert_eq!(found.body(), &image.bytes, "{tag}");
    };
    for refused_by in [("if-none-match", "*"), ("if-match", &*on_second)] {
        let failed = put(peer, "v1", &second, refused_by).await;
        assert_eq!(refusal(&failed), refused(412, "DENIED"), "{refused_by:?}");
        assert_eq!(header(&failed, "etag"), on_first, "what is there now");
        is_on("v1", &first).await;
    }
    let failed = put(peer, "new", &second, ("if-match", "*")).await;
    assert_eq!(refusal(&failed), refused(412, "DENIED"));
    assert_eq!(peer.status("/v2/a/manifests/new").await, StatusCode::NOT_FOUND);
    let written = put(peer, "new", &second, ("if-none-match", "*")).await;
    assert_eq!((written.status(), header(&written, "etag")), (StatusCode::CREATED, on_second));
    is_on("new", &second).await;
    let moved = put(peer, "v1", &second, ("if-match", &on_first)).await;
    assert_eq!(moved.status(), StatusCode::CREATED);
    is_on("v1", &second).await;
}

pub(crate) async fn of_many_who_write_a_new_tag_one_does(peer: &Peer) {
    let (first, second) = two_images(peer).await;
    for round in 0..5 {
        let tag = format!("round{round}");
        let writes = (0..16).map(|at| {
            let image = if at % 2 == 0 { &first } else { &second };
            put(peer, &tag, image, ("if-none-match", "*"))
        });
        let responses = futures_util::future::join_all(writes).await;
        let written: Vec<_> =
            responses.iter().filter(|response| response.status() == StatusCode::CREATED).collect();
        let [winner] = &written[..] else { panic!("{} wrote", written.len()) };
        let lost =
            |response: &&Response<Bytes>| response.status() == StatusCode::PRECONDITION_FAILED;
        assert_eq!(responses.iter().filter(lost).count(), 15);
        let found = peer.get(&format!("/v2/a/manifests/{tag}")).await;
        assert_eq!(header(&found, "etag"), header(winner, "etag"));
    }
}

pub(crate) async fn deleting_honours_conditions(peer: &Peer) {
    let (first, second) = two_images(peer).await;
    let delete = async |image: &TestImage| {
        let etag = format!("\"{}\"", image.digest());
        peer.ask(Method::DELETE, "/v2/a/manifests/v1", &[("if-match", &etag)], "").await
    };
    assert_eq!(refusal(&delete(&second).await), refused(412, "DENIED"));
    assert_eq!(peer.status("/v2/a/manifests/v1").await, StatusCode::OK);
    assert_eq!(delete(&first).await.status(), StatusCode::ACCEPTED);
    assert_eq!(peer.status("/v2/a/manifests/v1").await, StatusCode::NOT_FOUND);
}
