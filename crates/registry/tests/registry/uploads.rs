//! Blobs: in by every way, out whole or in part.

use http::{Method, StatusCode};
use oci::{Algorithm, Digest};
use registry::{Limits, Registry, RegistrySettings, Storage, limits};
use testkit::fixture::noise;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::peer::{Headers, Peer, header, refusal, refused};

pub(crate) async fn every_way_to_push_a_blob_gives_the_same_blob(peer: &Peer) {
    let bytes = noise(1, 300_000);
    let digest = Digest::sha256(&bytes);
    let blob = format!("/v2/a/b/blobs/{digest}");
    for way in 0..6 {
        let last = match way {
            // At once.
            0 => {
                let path = format!("/v2/a/b/blobs/uploads/?digest={digest}");
                peer.ask(Method::POST, &path, &[], bytes.clone()).await
            }
            // At the end.
            1 => {
                let path = format!("{}?digest={digest}", peer.start("a/b").await);
                peer.ask(Method::PUT, &path, &[], bytes.clone()).await
            }
            // In one PATCH without a range, of unknown length.
            2 => {
                let session = peer.start("a/b").await;
                let pieces: Vec<_> = bytes.chunks(70_000).map(<[u8]>::to_vec).collect();
                let pieces = pieces.into_iter().map(Ok::<_, std::io::Error>);
                let body = testkit::Body::from_stream(futures_util::stream::iter(pieces));
                let patched = peer.ask(Method::PATCH, &session, &[], body).await;
                assert_eq!(patched.status(), StatusCode::ACCEPTED);
                let path = format!("{}?digest={digest}", header(&patched, "location"));
                peer.ask(Method::PUT, &path, &[], "").await
            }
            // In chunks with ranges, the last one with the PUT, or before it.
            3 => in_chunks(peer, &bytes, digest, 2).await,
            4 => in_chunks(peer, &bytes, digest, 3).await,
            // Under its other name.
            _ => {
                let sha512 = Digest::of(Algorithm::Sha512, &bytes);
                let path = format!("{}?digest={sha512}", peer.start("a/b").await);
                let put = peer.ask(Method::PUT, &path, &[], bytes.clone()).await;
                let found = peer.get(&format!("/v2/a/b/blobs/{sha512}")).await;
                assert_eq!(found.body(), &bytes);
                assert_eq!(header(&put, "docker-content-digest"), sha512.to_string());
                continue;
            }
        };
        assert_eq!(last.status(), StatusCode::CREATED, "way {way}: {last:?}");
        assert_eq!(header(&last, "location"), blob);
        assert_eq!(header(&last, "docker-content-digest"), digest.to_string());
        let found = peer.get(&blob).await;
        assert_eq!((found.status(), found.body()), (StatusCode::OK, &bytes), "way {way}");
        assert_eq!(header(&found, "docker-content-digest"), digest.to_string());
        let head = peer.ask(Method::HEAD, &blob, &[], "").await;
        assert_eq!(
            (head.status(), header(&head, "content-length")),
            (StatusCode::OK, "300000".into())
        );
        assert!(head.body().is_empty());
        let deleted = peer.ask(Method::DELETE, &blob, &[], "").await;
        assert_eq!(deleted.status(), StatusCode::ACCEPTED, "way {way}");
    }
}

/// Pushes in this many chunks of 100,000 bytes; what is left goes with the PUT.
async fn in_chunks(
    peer: &Peer,
    bytes: &[u8],
    digest: Digest,
    chunks: usize,
) -> http::Response<bytes::Bytes> {
    let mut session = peer.start("a/b").await;
    let (patched, rest) = bytes.split_at(chunks * 100_000);
    for (at, chunk) in patched.chunks(100_000).enumerate() {
        let last = (at + 1) * 100_000 - 1;
        let range = format!("{}-{last}", at * 100_000);
        let headers = [("content-range", &*range)];
        let patched = peer.ask(Method::PATCH, &session, &headers, chunk.to_vec()).await;
        assert_eq!(patched.status(), StatusCode::ACCEPTED);
        assert_eq!(header(&patched, "range"), format!("0-{last}"));
        session = header(&patched, "location");
        let status = peer.get(&session).await;
        assert_eq!(status.status(), StatusCode::NO_CONTENT);
        assert_eq!(header(&status, "range"), format!("0-{last}"));
        assert_eq!(header(&status, "location"), session);
    }
    let range = format!("{}-{}", patched.len(), bytes.len() - 1);
    let headers: Headers<'_> = if rest.is_empty() { &[] } else { &[("content-range", &range)] };
    peer.ask(Method::PUT, &format!("{session}?digest={digest}"), headers, rest.to_vec()).await
}

pub(crate) async fn an_empty_blob_is_a_blob(peer: &Peer) {
    let digest = peer.push_blob("a", b"").await;
    let found = peer.get(&format!("/v2/a/blobs/{digest}")).await;
    assert_eq!((found.status(), header(&found, "content-length")), (StatusCode::OK, "0".into()));
}

pub(crate) async fn a_wrong_digest_is_never_kept(peer: &Peer) {
    let [expected, real] = [b"first", b"other"].map(|bytes| Digest::sha256(bytes));
    let session = peer.start("a").await;
    for path in
        [format!("/v2/a/blobs/uploads/?digest={expected}"), format!("{session}?digest={expected}")]
    {
        let method = if path.starts_with(&session) { Method::PUT } else { Method::POST };
        let pushed = peer.ask(method, &path, &[], "other").await;
        assert_eq!(refusal(&pushed), refused(400, "DIGEST_INVALID"));
        for digest in [expected, real] {
            let found = peer.get(&format!("/v2/a/blobs/{digest}")).await;
            assert_eq!(refusal(&found), refused(404, "BLOB_UNKNOWN"));
        }
    }
    assert_eq!(refusal(&peer.get(&session).await), refused(404, "BLOB_UPLOAD_UNKNOWN"));
    let sha512 = Digest::of(Algorithm::Sha512, b"expected");
    let path = format!("/v2/a/blobs/uploads/?digest={sha512}");
    let pushed = peer.ask(Method::POST, &path, &[], "other").await;
    assert_eq!(refusal(&pushed), refused(400, "DIGEST_INVALID"));
    assert_eq!(peer.status("/v2/a/tags/list").await, StatusCode::NOT_FOUND);
}

pub(crate) async fn an_upload_out_of_order_is_refused_and_goes_on(peer: &Peer) {
    let session = peer.start("a").await;
    let chunk = async |range: &str, bytes: &'static str| {
        peer.ask(Method::PATCH, &session, &[("content-range", range)], bytes).await
    };
    assert_eq!(chunk("0-4", "01234").await.status(), StatusCode::ACCEPTED);
    let twice = [("content-range", "5-9"), ("content-range", "5-9")];
    let twice = peer.ask(Method::PATCH, &session, &twice, "56789").await;
    assert_eq!(refusal(&twice), refused(416, "BLOB_UPLOAD_INVALID"));
    for range in ["6-9", "0-4", "4-8", "x", "bytes 5-9", "9-5"] {
        let refusal_of = chunk(range, "56789").await;
        assert_eq!(refusal(&refusal_of), refused(416, "BLOB_UPLOAD_INVALID"), "{range}");
        if range == "6-9" {
            assert_eq!(header(&refusal_of, "range"), "0-4");
            assert_eq!(header(&refusal_of, "location"), session);
        }
    }
    assert_eq!(chunk("5-9", "56789").await.status(), StatusCode::ACCEPTED);
    let digest = Digest::sha256(b"0123456789");
    let put = peer.ask(Method::PUT, &format!("{session}?digest={digest}"), &[], "").await;
    assert_eq!(put.status(), StatusCode::CREATED);
}

pub(crate) async fn chunks_of_another_length_than_announced_are_refused(peer: &Peer) {
    let session = peer.start("a").await;
    let range = [("content-range", "0-9")];
    let short = peer.ask(Method::PATCH, &session, &range, "01234").await;
    assert_eq!(refusal(&short), refused(400, "SIZE_INVALID"));
    assert_eq!(header(&peer.get(&session).await, "range"), "0-0", "nothing was taken");
    // Nor where the length of the body is only known at its end.
    let begun = peer.ask(Method::PATCH, &session, &[("content-range", "0-1")], "01").await;
    assert_eq!(begun.status(), StatusCode::ACCEPTED);
    // One that goes on and on is refused once it is longer than announced.
    let endless = "x".repeat(2_000_000);
    for body in ["234", "23456", &endless] {
        let pieces = [Ok::<_, std::io::Error>(body.to_owned())];
        let body = testkit::Body::from_stream(futures_util::stream::iter(pieces));
        let wrong = peer.ask(Method::PATCH, &session, &[("content-range", "2-5")], body).await;
        assert_eq!(refusal(&wrong), refused(400, "SIZE_INVALID"));
        assert_eq!(header(&peer.get(&session).await, "range"), "0-1");
    }
    let path = format!("{session}?digest={}", Digest::sha256(b"012345"));
    let put = peer.ask(Method::PUT, &path, &[("content-range", "2-5")], "2345").await;
    assert_eq!(put.status(), StatusCode::CREATED, "{put:?}");
}

pub(crate) async fn a_cancelled_upload_is_gone(peer: &Peer) {
    let session = peer.start("a").await;
    // A session belongs to its repository.
    let elsewhere = session.replacen("/a/", "/b/", 1);
    let unknown = refused(404, "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(refusal(&peer.get(&elsewhere).await), unknown);
    assert_eq!(refusal(&peer.ask(Method::DELETE, &elsewhere, &[], "").await), unknown);
    let cancelled = peer.ask(Method::DELETE, &session, &[], "").await;
    assert_eq!(cancelled.status(), StatusCode::NO_CONTENT);
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        assert_eq!(refusal(&peer.ask(method, &session, &[], "x").await), unknown);
    }
    let digest = Digest::sha256(b"x");
    let put = peer.ask(Method::PUT, &format!("{session}?digest={digest}"), &[], "x").await;
    assert_eq!(refusal(&put), unknown);
}

pub(crate) async fn an_upload_cut_off_goes_on_where_it_broke(peer: &Peer) {
    let bytes = noise(2, 500_000);
    let session = peer.start("a").await;
    let mut stream = peer.under_way(Method::PATCH, &session, bytes.len()).await;
    stream.write_all(&bytes[..200_000]).await.expect("it is sent");
    drop(stream);
    // This waits until that one has ended.
    let received = header(&peer.get(&session).await, "range");
    let received: usize = received.trim_start_matches("0-").parse().expect("a number");
    let received = if received == 0 { 0 } else { received + 1 };
    assert!(received <= 200_000, "{received}");
    let range = format!("{received}-499999");
    let rest = bytes.slice(received..);
    let patched = peer.ask(Method::PATCH, &session, &[("content-range", &range)], rest).await;
    assert_eq!(patched.status(), StatusCode::ACCEPTED, "{range}: {patched:?}");
    let digest = Digest::sha256(&bytes);
    let put = peer.ask(Method::PUT, &format!("{session}?digest={digest}"), &[], "").await;
    assert_eq!(put.status(), StatusCode::CREATED, "{put:?}");
    assert_eq!(peer.get(&format!("/v2/a/blobs/{digest}")).await.body(), &bytes);
}

pub(crate) async fn a_mount_needs_the_blob_there(peer: &Peer) {
    let digest = peer.push_blob("a", b"mounted").await;
    let mount = async |from: &str| {
        let path = format!("/v2/b/blobs/uploads/?mount={digest}{from}");
        peer.ask(Method::POST, &path, &[], "").await
    };
    for from in ["&from=c", "&from=b"] {
        let session = mount(from).await;
        assert_eq!(session.status(), StatusCode::ACCEPTED, "{from}");
        let session = header(&session, "location");
        assert_eq!(peer.status(&session).await, StatusCode::NO_CONTENT, "{from}");
    }
    for from in ["&from=a", "&from=a", ""] {
        let mounted = mount(from).await;
        assert_eq!(mounted.status(), StatusCode::CREATED);
        assert_eq!(header(&mounted, "location"), format!("/v2/b/blobs/{digest}"));
    }
    // It stays when it goes from where it came.
    peer.ask(Method::DELETE, &format!("/v2/a/blobs/{digest}"), &[], "").await;
    assert_eq!(peer.get(&format!("/v2/b/blobs/{digest}")).await.body(), "mounted");
}

pub(crate) async fn parts_of_blobs_are_read(peer: &Peer) {
    let bytes = noise(3, 400_000);
    let digest = peer.push_blob("a", &bytes).await;
    let part = async |range: &str| {
        peer.ask(Method::GET, &format!("/v2/a/blobs/{digest}"), &[("range", range)], "").await
    };
    for (range, from, to) in
        [("bytes=0-0", 0, 1), ("bytes=1000-", 1_000, 400_000), ("bytes=-5", 399_995, 400_000)]
    {
        let found = part(range).await;
        assert_eq!(found.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(found.body(), &bytes.slice(from..to), "{range}");
        assert_eq!(header(&found, "content-range"), format!("bytes {from}-{}/400000", to - 1));
        assert_eq!(header(&found, "content-length"), (to - from).to_string());
    }
    assert_eq!(part("bytes=0-1,4-5").await.status(), StatusCode::OK);
    let outside = part("bytes=400000-").await;
    assert_eq!(refusal(&outside), refused(416, "SIZE_INVALID"));
    assert_eq!(header(&outside, "content-range"), "bytes */400000");
}

pub(crate) async fn the_whole_blob_is_meant_where_a_range_does_not_count(peer: &Peer) {
    let bytes = noise(3, 1_000);
    let path = format!("/v2/a/blobs/{}", peer.push_blob("a", &bytes).await);
    for range in ["bytes=0-9", "bytes=1000-"] {
        for validator in ["\"etag\"", "W/\"etag\"", "Wed, 21 Oct 2015 07:28:00 GMT", ""] {
            let headers = [("range", range), ("if-range", validator)];
            let found = peer.ask(Method::GET, &path, &headers, "").await;
            assert_eq!((found.status(), found.body()), (StatusCode::OK, &bytes), "{validator}");
            assert_eq!(header(&found, "content-range"), "");
        }
        let head = peer.ask(Method::HEAD, &path, &[("range", range)], "").await;
        let length = header(&head, "content-length");
        assert_eq!((head.status(), &*length), (StatusCode::OK, "1000"), "{range}");
        assert_eq!(header(&head, "content-range"), "");
    }
}

pub(crate) async fn a_blob_is_seen_only_where_it_was_pushed(peer: &Peer) {
    let digest = peer.push_blob("a/b", b"x").await;
    for other in ["a", "b", "a/b/c"] {
        let found = peer.get(&format!("/v2/{other}/blobs/{digest}")).await;
        assert_eq!(refusal(&found), refused(404, "BLOB_UNKNOWN"), "{other}");
    }
}

pub(crate) async fn deleted_blobs_are_gone(peer: &Peer) {
    let digest = peer.push_blob("a", b"x").await;
    let path = format!("/v2/a/blobs/{digest}");
    assert_eq!(peer.ask(Method::DELETE, &path, &[], "").await.status(), StatusCode::ACCEPTED);
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(refusal(&peer.ask(method, &path, &[], "").await), refused(404, "BLOB_UNKNOWN"));
    }
}

#[tokio::test]
async fn finished_uploads_make_room() {
    let peer = Peer::in_memory().await;
    for number in 0..=limits::MAX_UPLOADS {
        let content = number.to_string();
        let path =
            format!("{}?digest={}", peer.start("a").await, Digest::sha256(content.as_bytes()));
        assert_eq!(peer.ask(Method::PUT, &path, &[], content).await.status(), StatusCode::CREATED);
    }
}

#[tokio::test]
async fn an_upload_in_one_request_needs_room_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let limits = Limits { max_uploads: 2 * limits::CLIENT_DIVISOR, ..Limits::default() };
    let storage = Storage::directory(directory.path()).expect("a directory of our own");
    let settings = RegistrySettings { limits, ..RegistrySettings::default() };
    let peer = Peer::of(Registry::with(storage, settings, None)).await;
    let digest = Digest::sha256(b"x");
    let (sessions, whole) =
        ("/v2/a/blobs/uploads/", format!("/v2/a/blobs/uploads/?digest={digest}"));
    let mut under_way = peer.under_way(Method::POST, &whole, 1).await;
    let other = peer.under_way(Method::PATCH, &peer.start("a").await, 1).await;
    for path in [sessions, &*whole] {
        let one_more = peer.ask(Method::POST, path, &[], "").await;
        assert_eq!(refusal(&one_more), refused(429, "TOOMANYREQUESTS"), "{path}");
    }
    under_way.write_all(b"x").await.expect("it is sent");
    let mut response = [0; 12];
    under_way.read_exact(&mut response).await.expect("a response");
    assert_eq!(&response, b"HTTP/1.1 201");
    assert_eq!(peer.ask(Method::POST, &whole, &[], "x").await.status(), StatusCode::CREATED);
    drop(other);
}

pub(crate) async fn a_session_may_say_its_algorithm_first(peer: &Peer) {
    let (bytes, digest) = (&b"long"[..], Digest::of(Algorithm::Sha512, b"long"));
    for path in [
        "/v2/a/blobs/uploads/?digest-algorithm=sha512",
        "/v2/a/blobs/uploads/?digest-algorithm=sha256",
        "/v2/a/blobs/uploads/",
    ] {
        let started = peer.ask(Method::POST, path, &[], "").await;
        let session = header(&started, "location");
        // What was said at first is not binding.
        let put = peer.ask(Method::PUT, &format!("{session}?digest={digest}"), &[], bytes).await;
        assert_eq!(put.status(), StatusCode::CREATED, "{path}: {put:?}");
        let blob = format!("/v2/a/blobs/{digest}");
        assert_eq!(peer.get(&blob).await.body(), bytes);
        peer.ask(Method::DELETE, &blob, &[], "").await;
    }
    let md5 = peer.ask(Method::POST, "/v2/a/blobs/uploads/?digest-algorithm=md5", &[], "").await;
    assert_eq!(refusal(&md5), refused(400, "DIGEST_INVALID"));
}
