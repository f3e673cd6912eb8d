//! "Retries" and "How content moves": what each fault leads to, and how many requests that
//! takes.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::join_all};
use http::Method;
use oci::{Descriptor, Repository};
use registry_client::{
    BlobPush, Error, OnProgress, Pushed, Quota, RegistryClient, RemoteBlob, RequestFault, Retries,
};
use testkit::{Fault, RecordedRequest, TestLink, TestRegistry, fixture};

use crate::support::{Scripted, at, name, read, reply, stubborn, tag};

/// Of many pieces, and above what is pushed by one request.
const LARGE: usize = 12 << 20;

/// A registry with a blob in repository `a`, and the blob.
async fn with_blob(size: usize) -> (TestRegistry, Descriptor, Bytes) {
    let image = fixture::image_with_layers(1, &[size]);
    let registry = TestRegistry::start().await;
    registry.load("a", "v1", &image).await;
    let layer = image.blobs[1].clone();
    (registry, layer.descriptor, layer.bytes)
}

fn methods(registry: &TestRegistry) -> Vec<Method> {
    registry.requests().into_iter().map(|request| request.method).collect()
}

async fn read_blob(
    client: &RegistryClient,
    registry: &TestRegistry,
    blob: &Descriptor,
) -> Result<Vec<u8>, Error> {
    read(at(client, &registry.host()).blob(&blob.digest).await?).await
}

#[tokio::test]
async fn transient_failures_are_retried() {
    let get = || Fault::on(Method::GET, "/manifests/");
    for (case, fault, requests) in [
        ("nothing", get().times(0), 1),
        ("429", get().times(2).status(429), 3),
        ("429 without an end to it", get().times(9).status(429).header("retry-after", "0"), 10),
        ("503 once", get().times(1).status(503), 2),
        ("408, 500, 502", get().times(3).status(502), 4),
        ("504 five times", get().times(5).status(504), 6),
        ("520", get().times(1).status(520), 2),
        ("reset", get().times(2).reset(), 3),
        ("closed without a response", get().times(1).lose_response(), 2),
        ("no response in time", get().times(1).hang(), 2),
        ("cut", get().times(1).truncate_after(10), 2),
        ("cut by a reset", get().times(1).reset_after(10), 2),
        ("silent", get().times(1).stall_after(10), 2),
    ] {
        let (registry, ..) = with_blob(1).await;
        registry.fail(fault);
        let found = at(&stubborn(), &registry.host()).manifest(&tag("v1")).await;
        assert!(found.is_ok(), "{case}: {found:?}");
        assert_eq!(registry.requests().len(), requests, "{case}");
    }
}

#[tokio::test]
async fn a_permanent_failure_is_the_result() {
    let get = || Fault::on(Method::GET, "/manifests/");
    for (case, fault, requests, text) in [
        ("503 without end", get().status(503), 8, "503 Service Unavailable"),
        ("hanging without end", get().hang(), 8, "no response within 1s"),
        ("404", get().status(404), 1, "404 Not Found"),
        ("401 without a challenge", get().status(401), 1, "401 Unauthorized"),
        ("403", get().status(403), 1, "403 Forbidden"),
        ("400", get().status(400), 1, "400 Bad Request"),
        ("501", get().status(501), 1, "501 Not Implemented"),
        ("another digest", get().wrong_digest(), 1, "the content's digest is"),
        ("other content", get().corrupt(), 1, "the content's digest is"),
        ("shorter content", get().wrong_length(), 1, "the content's digest is"),
    ] {
        let (registry, ..) = with_blob(1).await;
        registry.fail(fault);
        let error = at(&stubborn(), &registry.host()).manifest(&tag("v1")).await.expect_err(case);
        assert!(error.to_string().contains(text), "{case}: {error}");
        assert_eq!(registry.requests().len(), requests, "{case}");
    }
}

#[tokio::test]
async fn retry_after_is_obeyed_in_both_forms() {
    // As the client takes it for.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_776);
    for (after, status) in [("1", 429), ("Sun, 06 Nov 1994 08:49:37 GMT", 429), ("1", 503)] {
        let (registry, ..) = with_blob(1).await;
        let fault = Fault::on(Method::HEAD, "").times(1).status(status);
        registry.fail(fault.header("retry-after", after));
        let retries = Retries::default().base(Duration::from_millis(1));
        let client = RegistryClient::builder().retries(retries).clock(move || now).build();
        let begun = Instant::now();
        at(&client, &registry.host()).find_manifest(&tag("v1")).await.expect("it is there");
        assert!(begun.elapsed() >= Duration::from_secs(1), "{after}: {:?}", begun.elapsed());
        assert_eq!(registry.requests().len(), 2, "{after}");
    }
}

#[tokio::test]
async fn in_an_outage_retries_do_not_multiply_the_load() {
    let (registry, ..) = with_blob(1).await;
    registry.fail(Fault::everywhere("").status(503));
    let client = stubborn();
    let (repository, v1) = (at(&client, &registry.host()), tag("v1"));
    let requests = join_all((0..100).map(|_| repository.find_manifest(&v1))).await;
    assert!(requests.iter().all(Result::is_err));
    let requests = registry.requests().len();
    // A fifth more, and 20 at the beginning: the GET after a HEAD that failed is a retry.
    assert!((100..=140).contains(&requests), "{requests}");
}

#[tokio::test]
async fn a_retry_after_that_is_over_is_no_pause() {
    for after in ["0", "Sun, 06 Nov 1994 08:49:37 GMT"] {
        let number = AtomicU32::new(0);
        let registry = Scripted::start(move |_| {
            let is_refused = number.fetch_add(1, Ordering::Relaxed) % 20 == 7;
            if is_refused {
                reply(429, &[&format!("Retry-After: {after}")], "")
            } else {
                reply(404, &[], "")
            }
        });
        let (registry, client) = (registry.await, RegistryClient::builder().build());
        let (repository, v1) = (at(&client, &registry.host), tag("v1"));
        let begun = Instant::now();
        let found = join_all((0..500).map(|_| repository.find_manifest(&v1))).await;
        assert!(found.iter().all(|found| matches!(found, Ok(None))), "{after}: {found:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{after}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_retry_after_delays_the_request_on_503_and_the_host_on_429() {
    for (status, is_held_up) in [(503, false), (429, true)] {
        let (registry, ..) = with_blob(1).await;
        let fault = Fault::on(Method::HEAD, "/v1").times(1).status(status);
        registry.fail(fault.header("retry-after", "2"));
        let client = RegistryClient::builder().build();
        let repository = at(&client, &registry.host());
        let (v1, v2) = (tag("v1"), tag("v2"));
        let begun = Instant::now();
        let mut refused = Box::pin(repository.find_manifest(&v1));
        // Until its first response it is the only one; then it waits.
        while registry.requests().is_empty() {
            assert!(refused.as_mut().now_or_never().is_none(), "it waits");
            tokio::task::yield_now().await;
        }
        let (refused, other) = tokio::join!(refused, async {
            // A second one, so that the client has seen the response to the first.
            let requests = async { repository.find_manifest(&v2).await };
            requests.await.expect("a response");
            repository.find_manifest(&v2).await.expect("a response");
            begun.elapsed()
        });
        refused.expect("it is there");
        assert!(begun.elapsed() >= Duration::from_secs(2), "{status}");
        assert_eq!(other >= Duration::from_secs(2), is_held_up, "{status}: {other:?}");
    }
}

#[tokio::test]
async fn a_conditional_write_is_not_repeated_blindly() {
    let registry = Scripted::start(|_| reply(500, &[], "")).await;
    let error = at(&stubborn(), &registry.host).start_upload().await.expect_err("it is refused");
    assert!(error.is_transient());
    assert_eq!(registry.lines().len(), 8, "a session that is begun twice is only left over");
}

#[tokio::test]
async fn a_broken_read_goes_on_from_where_it_broke() {
    for (case, fault) in [
        ("reset", Fault::on(Method::GET, "/blobs/").times(3).reset_after(LARGE / 5)),
        ("closed", Fault::on(Method::GET, "/blobs/").times(3).truncate_after(LARGE / 5)),
        ("silent", Fault::on(Method::GET, "/blobs/").times(1).stall_after(LARGE / 5)),
    ] {
        let (registry, blob, bytes) = with_blob(LARGE).await;
        registry.fail(fault);
        let all = read_blob(&stubborn(), &registry, &blob).await.expect(case);
        assert!(all == bytes, "{case}");
        let requests = registry.requests();
        let ranges: Vec<_> = requests.iter().map(|request| request.headers.get("range")).collect();
        assert_eq!(ranges[0], None, "{case}");
        let last = format!("-{}", LARGE - 1);
        let is_closed = |range: &Option<&http::HeaderValue>| {
            range.is_some_and(|range| range.to_str().is_ok_and(|range| range.ends_with(&last)))
        };
        assert!(ranges[1..].iter().all(is_closed), "{case}: {ranges:?}");
        // What a reset throws away on the way was handed out by the server all the same.
        let sent: u64 = requests.iter().map(RecordedRequest::sent_bytes).sum();
        assert!(case == "reset" || sent <= LARGE as u64 * 105 / 100, "{case}: {sent}");
    }
}

#[tokio::test]
async fn a_read_that_breaks_without_anything_coming_ends() {
    let (registry, blob, _) = with_blob(LARGE).await;
    registry.fail(Fault::on(Method::GET, "/blobs/").truncate_after(0));
    let error = read_blob(&stubborn(), &registry, &blob).await.expect_err("nothing comes");
    assert!(
        matches!(
            error.fault(),
            RequestFault::Transport(registry_client::TransportError::Truncated { .. })
        ),
        "{error}"
    );
    assert_eq!(registry.requests().len(), 8);
}

#[tokio::test]
async fn a_server_without_ranges_sends_all_again() {
    let blob = fixture::noise(1, 1 << 20);
    let (content, digest) = (blob.clone(), oci::Digest::sha256(&blob));
    let server = testkit::TestServer::start(move |_| {
        let content = content.clone();
        async move { http::Response::new(testkit::Body::from(content)) }
    })
    .await;
    server.fail(Fault::on(Method::GET, "/blobs/").times(2).reset_after(1 << 19));
    let all = read(at(&stubborn(), &server.host()).blob(&digest).await.expect("a blob")).await;
    assert!(all.expect("it comes in the end") == blob);
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_source_that_refuses_or_garbles_ranges_is_read_again_from_the_start() {
    let blob = fixture::noise(1, 1 << 20);
    let digest = oci::Digest::sha256(&blob);
    for (status, content_range) in [
        (400, None),
        (405, None),
        (416, None),
        (416, Some("bytes */1048576")),
        (501, None),
        (206, None),
        (206, Some("bytes 0-1048575/1048576")),
        (206, Some("bytes 524288-1048575/524288")),
    ] {
        let content = blob.clone();
        let server = testkit::TestServer::start(move |request: http::Request<testkit::Body>| {
            let mut response = http::Response::new(testkit::Body::from(content.clone()));
            if request.headers().contains_key("range") {
                *response.status_mut() = status.try_into().expect("a status");
                let value = content_range.map(http::HeaderValue::from_static);
                response.headers_mut().extend(value.map(|it| (http::header::CONTENT_RANGE, it)));
            }
            async move { response }
        })
        .await;
        server.fail(Fault::on(Method::GET, "/blobs/").times(3).truncate_after(1 << 19));
        let read = read(at(&stubborn(), &server.host()).blob(&digest).await.expect("a blob")).await;
        assert!(read.expect("it comes in the end") == blob, "{status} {content_range:?}");
        let sent = server.requests();
        let ranges = sent.iter().filter(|request| request.headers.contains_key("range")).count();
        assert_eq!((sent.len(), ranges), (4, 1), "{status} {content_range:?}");
    }
}

#[tokio::test]
async fn another_blob_behind_the_same_name_is_found_out() {
    let before = std::sync::atomic::AtomicBool::new(true);
    let server = Scripted::start(move |request| match request.header("range") {
        "" if before.swap(false, Ordering::Relaxed) => reply(200, &[], "0123456789"),
        "" => reply(200, &[], "01234567890123456789"),
        _ => reply(206, &["Content-Range: bytes 5-19/20"], "567890123456789"),
    })
    .await;
    server.fail(Fault::on(Method::GET, "").times(1).truncate_after(5));
    let digest = oci::Digest::sha256(b"0123456789");
    let blob = at(&stubborn(), &server.host).blob(&digest).await.expect("it begins");
    let error = read(blob).await.expect_err("it is another one");
    assert!(error.to_string().ends_with("its length changed from 10 to 20 bytes"), "{error}");
}

fn destination() -> Repository {
    name("to/here")
}

#[tokio::test]
async fn a_blob_is_pushed_with_the_fewest_requests() {
    for (case, size, requests) in [
        ("small", 1000, vec![Method::POST, Method::PUT]),
        ("large", LARGE, vec![Method::POST, Method::PATCH, Method::PUT]),
        ("empty", 0, vec![Method::POST, Method::PUT]),
    ] {
        let (registry, bytes) = (TestRegistry::start().await, fixture::noise(2, size));
        let digest = oci::Digest::sha256(&bytes);
        let repository = stubborn().repository(&registry.host(), &destination());
        let push = BlobPush::new(digest, bytes.len() as u64);
        assert_eq!(repository.push_blob(&push, &bytes).await.expect(case), Pushed::Sent);
        assert_eq!(methods(&registry), requests, "{case}");
        registry.clear_requests();
        assert_eq!(repository.push_blob(&push, &bytes).await.expect(case), Pushed::Mounted);
        assert_eq!(methods(&registry), [Method::POST, Method::HEAD], "{case}: it is there already");
        let other = name("other");
        let other = stubborn().repository(&registry.host(), &other);
        registry.clear_requests();
        let push = push.mounted_from(repository.name());
        assert_eq!(other.push_blob(&push, &bytes).await.expect(case), Pushed::Mounted);
        assert_eq!(methods(&registry), [Method::POST, Method::HEAD], "{case}: mounted");
    }
}

#[tokio::test]
async fn a_broken_upload_goes_on_from_the_offset_of_its_session() {
    let (source, blob, bytes) = with_blob(LARGE).await;
    for (case, fault) in [
        ("reset", Fault::on(Method::PATCH, "").times(2).reset_after_request(LARGE / 4)),
        ("the response is lost", Fault::on(Method::PATCH, "").times(1).lose_response()),
        ("503", Fault::on(Method::PATCH, "").times(1).status(503)),
        ("429", Fault::on(Method::PATCH, "").times(1).status(429)),
        ("416", Fault::on(Method::PATCH, "").times(1).status(416)),
        ("401", Fault::on(Method::PATCH, "").times(1).status(401)),
        ("never taken", Fault::on(Method::PATCH, "").times(1).hang()),
        ("the end is lost", Fault::on(Method::PUT, "").times(1).lose_response()),
        ("503 at the end", Fault::on(Method::PUT, "").times(1).status(503)),
        ("the session is gone", Fault::on(Method::PATCH, "").times(1).status(404)),
    ] {
        let to = TestRegistry::start().await;
        to.fail(fault);
        let client = stubborn();
        let from = at(&client, &source.host());
        let repository = client.repository(&to.host(), &destination());
        let counted = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counter = std::sync::Arc::clone(&counted);
        let mut push = BlobPush::new(blob.digest, blob.size);
        push.progress = OnProgress::new(move |at| {
            counter.store(at, Ordering::Relaxed);
        });
        let source_blob = RemoteBlob::new(&from, blob.digest, blob.size);
        let pushed = repository.push_blob(&push, &source_blob).await;
        pushed.unwrap_or_else(|error| panic!("{case}: {error}: {:?}", methods(&to)));
        let stored = read(repository.blob(&blob.digest).await.expect("it is there")).await;
        assert!(stored.expect("it is whole") == bytes, "{case}");
        assert_eq!(counted.load(Ordering::Relaxed), blob.size, "{case}");
        let sessions = methods(&to).iter().filter(|method| **method == Method::POST).count();
        assert_eq!(sessions, 1, "{case}: {:?}", methods(&to));
    }
}

#[tokio::test]
async fn a_broken_upload_is_completed_whatever_its_session_says_of_itself() {
    let (source, blob, bytes) = with_blob(LARGE).await;
    let state = || Fault::on(Method::GET, "/uploads/").times(1);
    for (case, fault, sessions) in [
        ("nothing, as Quay says it", state().status(204).header("range", "bytes=0--1"), 1),
        ("nothing, without the unit", state().status(204).header("range", "0--1"), 1),
        ("a last byte alone", state().status(204).header("range", "-1"), 1),
        ("no range", state().status(204), 2),
        ("a range that begins later", state().status(204).header("range", "5-9"), 2),
        ("no such method", state().status(405), 2),
        ("a refusal", state().status(400), 2),
        ("no right to read it", state().status(403), 2),
    ] {
        let to = TestRegistry::start().await;
        to.fail(Fault::on(Method::PATCH, "").times(1).status(503));
        to.fail(fault);
        let client = stubborn();
        let repository = client.repository(&to.host(), &destination());
        let from = RemoteBlob::new(&at(&client, &source.host()), blob.digest, blob.size);
        let pushed = repository.push_blob(&BlobPush::new(blob.digest, blob.size), &from).await;
        pushed.unwrap_or_else(|error| panic!("{case}: {error}: {:?}", methods(&to)));
        let stored = read(repository.blob(&blob.digest).await.expect("it is there")).await;
        assert!(stored.expect("it is whole") == bytes, "{case}");
        let posts = methods(&to).iter().filter(|method| **method == Method::POST).count();
        assert_eq!(posts, sessions, "{case}: {:?}", methods(&to));
    }
    // Not for ever.
    let to = TestRegistry::start().await;
    to.fail(Fault::on(Method::PATCH, "").status(503));
    to.fail(Fault::on(Method::GET, "/uploads/").status(405));
    let repository = stubborn().repository(&to.host(), &destination());
    let error = repository.push_blob(&BlobPush::new(blob.digest, blob.size), &bytes).await;
    assert!(error.expect_err("it never ends well").to_string().contains("405"), "the last error");
    let posts = methods(&to).iter().filter(|method| **method == Method::POST).count();
    assert_eq!(posts, 8, "{:?}", methods(&to));
}

#[tokio::test]
async fn a_small_blob_is_sent_anew() {
    let bytes = fixture::noise(3, 100_000);
    let digest = oci::Digest::sha256(&bytes);
    for (case, fault, sessions) in [
        ("reset", Fault::on(Method::PUT, "").times(2).reset_after_request(10), 3),
        ("503", Fault::on(Method::PUT, "").times(1).status(503), 2),
        ("the response is lost", Fault::on(Method::PUT, "").times(1).lose_response(), 2),
    ] {
        let registry = TestRegistry::start().await;
        registry.fail(fault);
        let repository = stubborn().repository(&registry.host(), &destination());
        let push = BlobPush::new(digest, bytes.len() as u64);
        repository.push_blob(&push, &bytes).await.expect(case);
        let posts = methods(&registry).iter().filter(|method| **method == Method::POST).count();
        assert_eq!(posts, sessions, "{case}");
    }
}

#[tokio::test]
async fn a_push_that_cannot_be_is_cancelled_and_says_why() {
    let bytes = fixture::noise(4, LARGE);
    let digest = oci::Digest::sha256(&bytes);
    for (case, fault, text) in [
        ("refused", Fault::on(Method::PATCH, "").status(400), "400 Bad Request"),
        ("denied at the end", Fault::on(Method::PUT, "").status(403), "403 Forbidden"),
    ] {
        let registry = TestRegistry::start().await;
        registry.fail(fault);
        let repository = stubborn().repository(&registry.host(), &destination());
        let push = BlobPush::new(digest, bytes.len() as u64);
        let error = repository.push_blob(&push, &bytes).await.expect_err(case);
        assert!(error.to_string().contains(text), "{case}: {error}");
        assert_eq!(methods(&registry).last(), Some(&Method::DELETE), "{case}");
    }
    // What the source says is wrong, no registry gets to see.
    let wrong = oci::Digest::sha256(b"something else");
    let (source, ..) = with_blob(1).await;
    source.fail(Fault::on(Method::GET, "/blobs/").status(404));
    let client = stubborn();
    let registry = TestRegistry::start().await;
    let repository = client.repository(&registry.host(), &destination());
    let blob = RemoteBlob::new(&at(&client, &source.host()), wrong, LARGE as u64);
    let error = repository.push_blob(&BlobPush::new(wrong, LARGE as u64), &blob).await;
    let error = error.expect_err("the source has it not");
    assert!(error.is_not_found() && error.url().authority() == source.host().as_str(), "{error}");
    assert_eq!(methods(&registry), [Method::POST, Method::DELETE], "the session is not left over");
}

#[tokio::test]
async fn a_refused_mount_leaves_no_session_behind() {
    for (case, fault, requests) in [
        (
            "refused as the specification has it",
            Fault::on(Method::POST, "").refuse_mount(),
            vec![Method::POST, Method::PUT],
        ),
        (
            "refused by an error",
            Fault::on(Method::POST, "mount=").status(405),
            vec![Method::POST, Method::POST, Method::PUT],
        ),
    ] {
        let (registry, blob, bytes) = with_blob(1000).await;
        registry.fail(fault);
        let repository = stubborn().repository(&registry.host(), &destination());
        let a = name("a");
        let push = BlobPush::new(blob.digest, blob.size).mounted_from(&a);
        assert_eq!(repository.push_blob(&push, &bytes).await.expect(case), Pushed::Sent);
        assert_eq!(methods(&registry), requests, "{case}");
    }
}

#[tokio::test]
async fn chunks_are_made_where_a_request_is_too_long() {
    let bytes = fixture::noise(5, LARGE);
    let digest = oci::Digest::sha256(&bytes);
    let registry = TestRegistry::start().await;
    registry.fail(Fault::on(Method::PATCH, "").times(1).status(413));
    let repository = stubborn().repository(&registry.host(), &destination());
    let push = BlobPush::new(digest, bytes.len() as u64);
    repository.push_blob(&push, &bytes).await.expect("it is taken in parts");
    let sizes: Vec<_> = registry
        .requests()
        .iter()
        .filter(|request| request.method == Method::PATCH)
        .map(RecordedRequest::body_bytes)
        .collect();
    assert_eq!(sizes[1..], [LARGE as u64 / 4; 4]);
}

#[tokio::test]
async fn the_shortest_chunk_of_a_registry_is_respected() {
    let registry = Scripted::start(|request| match request.method {
        Method::POST => reply(202, &["Location: /up", "OCI-Chunk-Min-Length: 5000000"], ""),
        Method::GET => reply(204, &["Location: /up", "Range: 0-0"], ""),
        Method::PATCH if request.header("content-length") == "9000000" => reply(413, &[], ""),
        Method::PATCH => reply(202, &["Location: /up"], ""),
        _ => reply(201, &[], ""),
    })
    .await;
    let bytes = fixture::noise(6, 9_000_000);
    let repository = at(&stubborn(), &registry.host);
    let push = BlobPush::new(oci::Digest::sha256(&bytes), bytes.len() as u64);
    repository.push_blob(&push, &bytes).await.expect("it is taken");
    let ranges: Vec<_> = registry
        .received()
        .iter()
        .filter(|request| request.method == Method::PATCH)
        .map(|request| request.header("content-range").to_owned())
        .collect();
    assert_eq!(ranges, ["0-8999999", "0-4999999", "5000000-8999999"]);
}

/// Enough for ten cuts with megabytes between them.
const CUT: usize = 128 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_cut_ten_times_costs_next_to_nothing() {
    let image = fixture::image_with_layers(9, &[CUT]);
    let (source, to) = (TestRegistry::start().await, TestRegistry::start().await);
    source.load("a", "v1", &image).await;
    let layer = &image.blobs[1].descriptor;
    for cut_the_source in [true, false] {
        let (down, up) = (TestLink::to(&source.host()).await, TestLink::to(&to.host()).await);
        let cut = if cut_the_source { &down } else { &up };
        cut.cut_every(CUT as u64 / 11, 10);
        let client = stubborn();
        let blob = RemoteBlob::new(&at(&client, &down.host()), layer.digest, layer.size);
        let repository = client.repository(&up.host(), &name(&format!("to/{cut_the_source}")));
        let push = BlobPush::new(layer.digest, layer.size);
        let pushed = repository.push_blob(&push, &blob).await.expect("it arrives");
        assert_eq!((pushed, cut.cuts()), (Pushed::Sent, 10));
        let moved = cut.passed() as f64 / CUT as f64;
        eprintln!(
            "cut at the source: {cut_the_source}: {moved:.3} of the blob moved over that link"
        );
        assert!(moved <= 1.05, "{moved}");
        let stored = repository.find_blob(&layer.digest, layer.size).await.expect("a response");
        assert!(stored.is_present());
    }
}

#[tokio::test]
async fn a_request_that_waits_for_a_retry_holds_no_permit() {
    let bytes = fixture::noise(7, 1 << 20);
    let (content, digest) = (bytes.clone(), oci::Digest::sha256(&bytes));
    // A HEAD that does not say enough is followed by a GET.
    let server = testkit::TestServer::start(move |_| {
        let content = content.clone();
        async move { http::Response::new(testkit::Body::from(content)) }
    })
    .await;
    let quota = Quota { requests_at_once: 2, ..Quota::default() };
    let retries = Retries::default().base(Duration::from_millis(1));
    let client = RegistryClient::builder().retries(retries).quota(server.host(), quota).build();
    let repository = at(&client, &server.host());
    let v1 = tag("v1");
    let heads = join_all((0..8).map(|_| repository.find_manifest(&v1)));
    let heads = tokio::time::timeout(Duration::from_secs(10), heads).await.expect("no deadlock");
    assert!(heads.iter().all(Result::is_ok));
    server.fail(Fault::on(Method::GET, "/blobs/").times(4).reset_after(1 << 19));
    let reads = (0..8).map(|_| async { read(repository.blob(&digest).await?).await });
    let reads = tokio::time::timeout(Duration::from_secs(10), join_all(reads)).await;
    assert!(reads.expect("no deadlock").iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_range_that_is_cut_short_is_continued() {
    let server = Scripted::start(|request| match request.header("range") {
        "" => reply(200, &[], "0123456789"),
        "bytes=5-9" => reply(206, &["Content-Range: bytes 5-6/10"], "56"),
        _ => reply(206, &["Content-Range: bytes 7-9/10"], "789"),
    })
    .await;
    server.fail(Fault::on(Method::GET, "").times(1).truncate_after(5));
    let digest = oci::Digest::sha256(b"0123456789");
    let blob = at(&stubborn(), &server.host).blob(&digest).await.expect("it begins");
    assert_eq!(read(blob).await.expect("it comes"), b"0123456789");
    assert_eq!(server.lines().len(), 3);
}

#[tokio::test]
async fn a_mount_that_is_not_allowed_is_no_reason_not_to_push() {
    let (registry, blob, bytes) = with_blob(1000).await;
    registry.fail(Fault::on(Method::POST, "mount=").status(403));
    let repository = stubborn().repository(&registry.host(), &destination());
    let a = name("a");
    let push = BlobPush::new(blob.digest, blob.size).mounted_from(&a);
    let pushed = repository.push_blob(&push, &bytes).await.expect("it is pushed");
    assert_eq!(pushed, Pushed::Sent);
}

#[tokio::test]
async fn a_registry_that_refuses_every_mount_can_be_pushed_to() {
    let mount = || Fault::on(Method::POST, "mount=");
    for (case, fault, most) in [
        ("401", mount().status(401), 1),
        ("403", mount().status(403), 1),
        ("400", mount().status(400), 1),
        ("501", mount().status(501), 1),
        ("500", mount().status(500), 5),
        ("503", mount().status(503), 5),
        ("a closed connection", mount().reset(), 5),
    ] {
        let registry = TestRegistry::start().await;
        registry.fail(fault);
        let repository = stubborn().repository(&registry.host(), &destination());
        for number in 0..6 {
            let bytes = fixture::noise(number, 1000);
            let push = BlobPush::new(oci::Digest::sha256(&bytes), 1000);
            let pushed = repository.push_blob(&push, &bytes).await.expect(case);
            assert_eq!(pushed, Pushed::Sent, "{case}");
            // Without mounts, what is there is seen by HEAD; before, it is sent again.
            let again = repository.push_blob(&push, &bytes).await.expect(case);
            assert!(number < 2 || again == Pushed::Mounted, "{case}: {again:?}");
        }
        let is_mount = |request: &RecordedRequest| request.path_and_query.contains("mount=");
        let mounts = registry.requests().iter().filter(|request| is_mount(request)).count();
        assert_eq!(mounts, most, "{case}");
    }
}

#[tokio::test]
async fn mounts_are_given_up_only_where_the_host_refuses_them() {
    let mount = |from: &str| Fault::on(Method::POST, &format!("from={from}"));
    let is_mount = |request: &RecordedRequest| request.path_and_query.contains("mount=");
    // What fails, by which blobs it is met, and how many mounts the blobs after those cost.
    for (case, fault, failing, after) in [
        ("429", mount("").times(8).status(429), 8, 25),
        ("408", mount("").times(8).status(408), 8, 25),
        ("404 of one repository", mount("gone").status(404), 8, 25),
        ("503, not in a row for long", mount("").times(4).status(503), 4, 25),
        ("503, five in a row", mount("").times(5).status(503), 5, 5),
        ("507, five in a row", mount("").times(5).status(507), 5, 5),
        ("501", mount("").times(1).status(501), 1, 0),
        ("403", mount("").times(1).status(403), 1, 0),
    ] {
        let registry = TestRegistry::start().await;
        registry.fail(fault);
        let repository = stubborn().repository(&registry.host(), &destination());
        let (gone, own) = (name("gone"), destination());
        let begin = async |number: u64, from: &Repository| {
            let digest = oci::Digest::sha256(&fixture::noise(number, 10));
            repository.begin_blob(&digest, 10, Some(from)).await.expect(case)
        };
        let from = if case.contains("404") { &gone } else { &own };
        for number in 0..failing {
            begin(number, from).await;
        }
        assert_eq!(registry.count(is_mount) as u64, failing, "{case}");
        registry.clear_requests();
        for number in 100..125 {
            begin(number, &own).await;
        }
        assert_eq!(registry.count(is_mount), after, "{case}");
    }
}

#[tokio::test]
async fn a_session_that_moves_to_another_host_goes_on_there() {
    let other = Scripted::start(|request| match request.method {
        Method::GET => reply(204, &["Location: /s", "Range: 0-0"], ""),
        Method::PUT => reply(201, &[], ""),
        _ => reply(202, &["Location: /s"], ""),
    })
    .await;
    let to = format!("http://{}/x", other.host);
    let registry = Scripted::start(move |request| match request.method {
        Method::POST => reply(202, &["Location: /up"], ""),
        Method::GET => crate::support::redirect(&to),
        _ => reply(503, &[], ""),
    })
    .await;
    let bytes = fixture::noise(8, LARGE);
    let push = BlobPush::new(oci::Digest::sha256(&bytes), bytes.len() as u64);
    let pushed = at(&stubborn(), &registry.host).push_blob(&push, &bytes).await;
    assert_eq!(pushed.expect("it is stored"), Pushed::Sent);
    let methods: Vec<_> = other.received().into_iter().map(|it| it.method).collect();
    assert_eq!(methods, [Method::GET, Method::PATCH, Method::PUT]);
}
