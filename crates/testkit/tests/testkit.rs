//! What testkit promises to the tests that use it, seen by a client.
#![expect(clippy::expect_used, reason = "a panic is a failed test")]

use std::{io::ErrorKind, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header::CONTENT_LENGTH};
use testkit::{Body, Fault, TestBucket, TestHost, TestRegistry, TestServer, fixture, get, send};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    time::{Instant, timeout},
};

const CONTENT: &[u8] = b"0123456789";

/// Long enough to be sure that nothing comes; every test that waits for it expects nothing.
const A_WHILE: Duration = Duration::from_millis(200);
/// Longer than anything takes that is expected.
const LONG: Duration = Duration::from_secs(30);

async fn bucket() -> TestBucket {
    let bucket = TestBucket::start().await;
    bucket.put("key", CONTENT);
    bucket
}

const GET_KEY: &str = "GET /key HTTP/1.1\r\nhost: x\r\n\r\n";

/// How a connection ends: `None` if it does not.
type End = Option<Result<(), ErrorKind>>;

/// What a client reads that sends this request, and how the connection ends, which it awaits for `long`.
async fn read_raw(server: &TestServer, request: &str, long: Duration) -> (String, End) {
    use tokio::io::AsyncWriteExt as _;
    let mut stream = TcpStream::connect(server.address()).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut response = Vec::new();
    let end = timeout(long, stream.read_to_end(&mut response)).await;
    let end = end.ok().map(|end| end.map(drop).map_err(|error| error.kind()));
    (String::from_utf8(response).expect("text"), end)
}

#[tokio::test]
async fn requests_are_recorded_counted_and_forgotten() {
    let bucket = bucket().await;
    let request = Request::head("/key?a=b").header("x-mark", "1").body(Body::empty());
    let response = send(&bucket.host(), request.expect("a request")).await.expect("a response");
    assert_eq!((response.status(), response.body().len()), (StatusCode::OK, 0));
    assert_eq!(response.headers()[CONTENT_LENGTH], "10");
    assert_eq!(
        get(&bucket.host(), "/none").await.expect("a response").status(),
        StatusCode::NOT_FOUND
    );
    let [head, none] = &bucket.requests()[..] else { panic!("{:?}", bucket.requests()) };
    assert_eq!((&head.method, &*head.path_and_query), (&Method::HEAD, "/key?a=b"));
    assert_eq!(head.headers["x-mark"], "1");
    assert_eq!((&none.method, &*none.path_and_query), (&Method::GET, "/none"));
    assert_eq!(bucket.count(|request| request.method == Method::HEAD), 1);
    bucket.clear_requests();
    assert!(bucket.requests().is_empty());
}

#[tokio::test]
async fn the_bytes_of_a_request_are_counted_both_ways() {
    let registry = TestRegistry::start().await;
    let layer = fixture::noise(1, 300_000);
    let digest = oci::Digest::sha256(&layer);
    let (upload, blob) =
        (format!("/v2/a/blobs/uploads/?digest={digest}"), format!("/v2/a/blobs/{digest}"));
    let on = || Fault::everywhere("");
    for (fault, method, body_bytes, sent_bytes) in [
        (None, Method::POST, 300_000..=300_000, 0..=0),
        (None, Method::GET, 0..=0, 300_000..=300_000),
        (None, Method::HEAD, 0..=0, 0..=0),
        (Some(on().status(503)), Method::POST, 0..=0, 0..=0),
        (Some(on().reset_after_request(1000)), Method::POST, 1000..=299_999, 0..=0),
        (Some(on().truncate_after(1000)), Method::GET, 0..=0, 1000..=1000),
        (Some(on().wrong_length()), Method::GET, 0..=0, 299_999..=299_999),
        (Some(on().drip(100_000, Duration::ZERO)), Method::GET, 0..=0, 300_000..=300_000),
    ] {
        let case = format!("{method} {fault:?}");
        registry.clear_requests();
        registry.clear_faults();
        fault.into_iter().for_each(|fault| registry.fail(fault));
        let (path, content) = match method {
            Method::POST => (&upload, layer.clone()),
            _ => (&blob, Bytes::new()),
        };
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::from(content)).expect("a request");
        // Of some it is the fault that no whole response comes.
        let _ = send(&registry.host(), request).await;
        let [record] = &registry.requests()[..] else { panic!("{case}: not one request") };
        assert!(body_bytes.contains(&record.body_bytes()), "{case}: {}", record.body_bytes());
        assert!(sent_bytes.contains(&record.sent_bytes()), "{case}: {}", record.sent_bytes());
    }
}

#[tokio::test]
async fn a_fault_applies_to_its_requests_and_as_often_as_given() {
    let bucket = bucket().await;
    bucket.fail(Fault::on(Method::GET, "key").times(2).status(503).header("retry-after", "7"));
    bucket.fail(Fault::everywhere("other").status(418));
    let status =
        async |path| get(&bucket.host(), path).await.expect("a response").status().as_u16();
    let head = Request::head("/key").body(Body::empty()).expect("a request");
    assert_eq!(send(&bucket.host(), head).await.expect("a response").status(), StatusCode::OK);
    let first = get(&bucket.host(), "/key").await.expect("a response");
    assert_eq!(first.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(first.headers()["retry-after"], "7");
    assert_eq!(
        [status("/key").await, status("/key").await, status("/other").await],
        [503, 200, 418]
    );
    bucket.clear_faults();
    assert_eq!(status("/other").await, 404);
}

#[tokio::test]
async fn bodies_are_changed_as_said() {
    let bucket = bucket().await;
    let host = bucket.host();
    let body = async |fault: Fault| {
        bucket.clear_faults();
        bucket.fail(fault);
        get(&host, "/key").await.map(|response| response.into_body())
    };
    let on = || Fault::on(Method::GET, "");
    let read = body(on().drip(3, Duration::from_millis(1))).await.expect("all of it");
    assert_eq!(read, CONTENT);
    let read = body(on().corrupt()).await.expect("all of it");
    assert_eq!((read.len(), &read[1..]), (10, &CONTENT[1..]));
    assert_ne!(read[0], CONTENT[0]);
    assert_eq!(body(on().wrong_length()).await.expect("all of it"), &CONTENT[..9]);
    body(on().truncate_after(4)).await.expect_err("it is truncated");
    body(on().reset_after(4)).await.expect_err("it is truncated");
    body(on().reset()).await.expect_err("there is no response");
    timeout(A_WHILE, body(on().stall_after(4))).await.expect_err("it does not end");
    timeout(A_WHILE, body(on().hang())).await.expect_err("there is no response");
}

#[tokio::test]
async fn a_drip_takes_its_time() {
    let bucket = bucket().await;
    let interval = Duration::from_millis(20);
    bucket.fail(Fault::on(Method::GET, "").drip(4, interval));
    let start = Instant::now();
    assert_eq!(get(&bucket.host(), "/key").await.expect("all of it").body(), CONTENT);
    assert!(start.elapsed() >= 2 * interval, "three pieces have two pauses between them");
}

#[tokio::test]
async fn what_is_let_through_before_a_cut_arrives() {
    let bucket = bucket().await;
    let on = || Fault::on(Method::GET, "");
    for (fault, tail, expected) in [
        (on().truncate_after(4), "\r\n\r\n0123", Some(Ok(()))),
        (on().truncate_after(0), "\r\n\r\n", Some(Ok(()))),
        (on().reset_after(4), "\r\n\r\n0123", Some(Err(ErrorKind::ConnectionReset))),
        (on().reset_after(0), "\r\n\r\n", Some(Err(ErrorKind::ConnectionReset))),
        (on().stall_after(4), "\r\n\r\n0123", None),
    ] {
        bucket.clear_faults();
        bucket.fail(fault.clone());
        let long = if expected.is_none() { A_WHILE } else { LONG };
        let (response, end) = read_raw(&bucket, GET_KEY, long).await;
        assert_eq!(end, expected, "{fault:?}");
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{fault:?}: {response}");
        assert!(response.contains("content-length: 10\r\n"), "{fault:?}: {response}");
        assert!(response.ends_with(tail), "{fault:?}: {response}");
    }
}

#[tokio::test]
async fn a_reset_is_one_on_the_wire_and_a_close_is_not() {
    let bucket = bucket().await;
    let put = "PUT /key HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n1234";
    let reset = Err(ErrorKind::ConnectionReset);
    for (fault, request, expected) in [
        (Fault::on(Method::GET, "").reset(), GET_KEY, reset),
        (Fault::on(Method::PUT, "").reset_after_request(4), put, reset),
        (Fault::on(Method::GET, "").lose_response(), GET_KEY, Ok(())),
    ] {
        bucket.clear_faults();
        bucket.fail(fault.clone());
        let (response, end) = read_raw(&bucket, request, LONG).await;
        assert_eq!(response, "", "{fault:?}");
        assert_eq!(end, Some(expected), "{fault:?}");
    }
}

#[tokio::test]
async fn a_long_body_is_cut_where_it_was_said() {
    let bucket = TestBucket::start().await;
    bucket.put("long", fixture::noise(1, 8 << 20));
    bucket.fail(Fault::on(Method::GET, "").truncate_after(5 << 20));
    get(&bucket.host(), "/long").await.expect_err("it is truncated");
}

#[tokio::test]
async fn a_request_with_a_lost_response_was_carried_out_and_a_reset_one_was_not() {
    let registry = TestRegistry::start().await;
    let push = async |bytes: &'static [u8]| {
        let digest = oci::Digest::sha256(bytes);
        let request = Request::post(format!("/v2/a/blobs/uploads/?digest={digest}"));
        let request = request.body(Body::from(bytes)).expect("a request");
        let pushed = send(&registry.host(), request).await;
        registry.clear_faults();
        let path = format!("/v2/a/blobs/{digest}");
        let there = get(&registry.host(), &path).await.expect("a response").status();
        (pushed.is_ok(), there == StatusCode::OK)
    };
    registry.fail(Fault::on(Method::POST, "uploads").lose_response());
    assert_eq!(push(b"lost").await, (false, true));
    registry.fail(Fault::on(Method::POST, "uploads").reset_after_request(2));
    assert_eq!(push(b"reset").await, (false, false));
    assert_eq!(push(b"fine").await, (true, true));
}

#[tokio::test]
async fn a_refused_mount_begins_an_upload() {
    let registry = TestRegistry::start().await;
    let image = fixture::image(1, 1);
    registry.load("a", None, &image).await;
    let digest = image.blobs[0].descriptor.digest;
    registry.fail(Fault::on(Method::POST, "mount=").times(1).refuse_mount());
    for (status, location, there) in [
        (StatusCode::ACCEPTED, "/v2/b/blobs/uploads/", StatusCode::NOT_FOUND),
        (StatusCode::CREATED, "/v2/b/blobs/sha256:", StatusCode::OK),
    ] {
        let mount = Request::post(format!("/v2/b/blobs/uploads/?mount={digest}&from=a"));
        let mount = mount.body(Body::empty()).expect("a request");
        let response = send(&registry.host(), mount).await.expect("a response");
        assert_eq!(response.status(), status);
        let found = response.headers()["location"].to_str().expect("text");
        assert!(found.starts_with(location), "{found}");
        let blob = get(&registry.host(), &format!("/v2/b/blobs/{digest}")).await;
        assert_eq!(blob.expect("a response").status(), there);
    }
}

#[tokio::test]
async fn a_refused_mount_loses_its_parameters_and_nothing_else() {
    let echo = TestServer::start(async |request: Request<Body>| {
        http::Response::new(Body::from(request.uri().to_string()))
    });
    let echo = echo.await;
    echo.fail(Fault::everywhere("").refuse_mount());
    for (method, path, carried_out) in [
        (Method::POST, "/a?mount=x&from=y", "/a"),
        (Method::POST, "/a?from=y&digest=z&mount=x&n=1", "/a?digest=z&n=1"),
        (Method::POST, "/a?from=y&digest=z", "/a?from=y&digest=z"),
        (Method::POST, "/a", "/a"),
        (Method::GET, "/a?mount=x&from=y", "/a?mount=x&from=y"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty());
        let response = send(&echo.host(), request.expect("a request")).await.expect("a response");
        assert_eq!(response.body(), carried_out, "{path}");
        assert!(echo.requests().iter().any(|request| request.path_and_query == path), "{path}");
    }
}

#[tokio::test]
async fn a_wrong_digest_is_well_formed_and_the_content_right() {
    let registry = TestRegistry::start().await;
    let image = fixture::image(1, 1);
    registry.load("a", "v1", &image).await;
    registry.fail(Fault::everywhere("/v2/").wrong_digest());
    for method in [Method::GET, Method::HEAD] {
        let request = Request::builder().method(method.clone()).uri("/v2/a/manifests/v1");
        let request = request.body(Body::empty()).expect("a request");
        let response = send(&registry.host(), request).await.expect("a response");
        let named = response.headers()["docker-content-digest"].to_str().expect("text");
        assert_ne!(named.parse::<oci::Digest>().expect("a digest"), image.digest());
        assert_eq!(response.headers()[CONTENT_LENGTH], image.bytes.len().to_string());
        let expected = if method == Method::GET { &*image.bytes } else { b"" };
        assert_eq!(response.body(), expected);
    }
    let tagged = TestServer::start(async |_| {
        let response = http::Response::builder().header("etag", "\"x\"");
        response.body(Body::from(CONTENT)).expect("a response")
    });
    let tagged = tagged.await;
    let headers = async || get(&tagged.host(), "/").await.expect("a response").headers().clone();
    assert_eq!(headers().await["etag"], "\"x\"");
    tagged.fail(Fault::everywhere("").wrong_digest());
    let headers = headers().await;
    let named = headers["docker-content-digest"].to_str().expect("text");
    assert_eq!(headers["etag"], format!("\"{named}\""));
}

#[tokio::test]
async fn a_truncated_listing_does_not_say_that_it_is_one() {
    const GOOGLE: &str = r#"{"child":["c"],"manifest":{"sha256:1":{"tag":["v1"]},"sha256:2":{}},"tags":["v1","v2"]}"#;
    let listings = TestServer::start(async |request: Request<Body>| {
        let body = match request.uri().path() {
            "/tags" => r#"{"name":"a","tags":["v1","v2","v3"]}"#,
            "/catalog" => r#"{"repositories":["a","b"]}"#,
            "/google" => GOOGLE,
            "/other" => r#"{ "errors": [1, 2] }"#,
            _ => "no JSON",
        };
        let response = http::Response::builder().header("link", "</next>; rel=\"next\"");
        response.body(Body::from(body)).expect("a response")
    });
    let listings = listings.await;
    for (entries, path, expected, is_linked) in [
        (1, "/tags", r#"{"name":"a","tags":["v1"]}"#, false),
        (0, "/tags", r#"{"name":"a","tags":[]}"#, false),
        (9, "/tags", r#"{"name":"a","tags":["v1","v2","v3"]}"#, false),
        (1, "/catalog", r#"{"repositories":["a"]}"#, false),
        (
            1,
            "/google",
            r#"{"child":["c"],"manifest":{"sha256:1":{"tag":["v1"]}},"tags":["v1"]}"#,
            false,
        ),
        (1, "/other", r#"{ "errors": [1, 2] }"#, true),
        (1, "/text", "no JSON", true),
    ] {
        listings.clear_faults();
        listings.fail(Fault::on(Method::GET, "").truncate_listing(entries));
        let response = get(&listings.host(), path).await.expect("a response");
        assert_eq!(response.body(), expected, "{path}");
        assert_eq!(response.headers()[CONTENT_LENGTH], expected.len().to_string(), "{path}");
        assert_eq!(response.headers().contains_key("link"), is_linked, "{path}");
    }
}

#[tokio::test]
async fn what_is_loaded_is_held_and_listed() {
    let registry = TestRegistry::start().await;
    for (at, image) in [
        fixture::image(1, 3),
        fixture::docker_image(2, 1),
        fixture::index(3, 6, 3),
        fixture::docker_list(4, 2, 0),
        fixture::helm_chart(5),
        fixture::image_with_layers(6, &[0, 1, 100_000]),
    ]
    .into_iter()
    .enumerate()
    {
        let repository = format!("a/{at}");
        assert!(!registry.holds(&repository, &image).await);
        registry.load(&repository, None, &image).await;
        assert!(registry.tags(&repository).await.is_empty());
        registry.load(&repository, "v1", &image).await;
        assert!(registry.holds(&repository, &image).await);
        assert_eq!(registry.tags(&repository).await, ["v1"]);
        assert_eq!(registry.digest_of(&repository, "v1").await, Some(image.digest()));
        assert_eq!(registry.digest_of(&repository, "v2").await, None);
    }
    assert_eq!(registry.repositories().await, ["a/0", "a/1", "a/2", "a/3", "a/4", "a/5"]);
    assert!(registry.requests().is_empty(), "what a test does itself is not recorded");
    assert_eq!(registry.prefix("a").to_string(), format!("{}/a", registry.host()));
}

#[test]
fn fixtures_are_the_same_for_a_seed_and_differ_between_seeds() {
    let index = |seed| fixture::index(seed, 3, 2);
    assert_eq!(index(1).digest(), index(1).digest());
    assert!(index(1).digests().is_disjoint(&index(2).digests()));
    // The index, and for each platform a manifest, a config and a layer; one layer is shared.
    assert_eq!(index(1).digests().len(), 1 + 3 * 3 + 1);
    let manifests: Vec<_> = index(1).manifests().iter().map(|one| one.children.len()).collect();
    assert_eq!(manifests, [0, 0, 0, 3]);
}

#[tokio::test]
async fn a_bucket_over_a_directory_reads_its_files() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(directory.path().join("a/b")).expect("it is made");
    std::fs::write(directory.path().join("a/b/c"), CONTENT).expect("it is written");
    let bucket = TestBucket::over(&directory.path().join("a")).await;
    let status =
        async |path| get(&bucket.host(), path).await.expect("a response").status().as_u16();
    assert_eq!(get(&bucket.host(), "/b/c").await.expect("a response").body(), CONTENT);
    assert_eq!([status("/b").await, status("/b/../../a/b/c").await], [404, 404]);
    bucket.put("b/c", "other");
    assert_eq!(get(&bucket.host(), "/b/c").await.expect("a response").body(), "other");
    bucket.delete("b/c");
    assert_eq!(get(&bucket.host(), "/b/c").await.expect("a response").body(), CONTENT);
}

#[tokio::test]
async fn unreachable_hosts_refuse_and_silent_ones_say_nothing() {
    let refused = get(&TestHost::unreachable(), "/").await.expect_err("the port is closed");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let silent = TestHost::silent();
    timeout(A_WHILE, get(&silent.host(), "/")).await.expect_err("it says nothing");
    let host = silent.host();
    drop(silent);
    get(&host, "/").await.expect_err("it is gone");
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let bucket = bucket().await;
    let address = bucket.address();
    let mut idle = TcpStream::connect(address).await.expect("it listens");
    get(&bucket.host(), "/key").await.expect("a response");
    drop(bucket);
    let end = idle.read(&mut [0]).await;
    assert!(matches!(end, Ok(0) | Err(_)), "its connections are closed: {end:?}");
    TcpStream::connect(address).await.expect_err("the port is closed");
}
