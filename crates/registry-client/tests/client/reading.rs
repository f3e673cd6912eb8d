//! What is read is verified, and redirects are followed as far as they may be.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::Response;
use oci::{Digest, media_type};
use registry_client::{FoundBlob, PointerRefusal, RegistryClient, RequestFault, Retries};
use testkit::{Body, TestRegistry, TestServer, fixture};

use crate::support::{
    BLOB, Scripted, at, client, digest, fault_of, hasty, name, read, read_from, redirect, reply,
    tag,
};

#[tokio::test]
async fn an_image_is_read_as_it_was_pushed() {
    let registry = TestRegistry::start().await;
    let image = fixture::index(1, 2, 2);
    registry.load("a/b", "v1", &image).await;
    let repository = client().repository(&registry.host(), &name("a/b"));
    assert_eq!(repository.to_string(), format!("{}/a/b", registry.host()));
    for reference in [tag("v1"), image.digest().into()] {
        let manifest = repository.manifest(&reference).await.expect("a manifest");
        assert_eq!(manifest.digest, image.digest());
        assert_eq!(manifest.media_type, image.descriptor.media_type);
        assert_eq!(manifest.bytes, image.bytes);
        let head = repository.find_manifest(&reference).await.expect("a response").expect("a head");
        assert_eq!((head.digest, head.media_type), (manifest.digest, manifest.media_type));
        assert_eq!(head.size, image.descriptor.size);
    }
    for blob in image.manifests().into_iter().flat_map(|manifest| &manifest.blobs) {
        let digest = &blob.descriptor.digest;
        assert!(
            repository
                .find_blob(digest, blob.descriptor.size)
                .await
                .expect("a response")
                .is_present()
        );
        let reader = repository.blob(digest).await.expect("a blob");
        assert_eq!(reader.size(), Some(blob.descriptor.size));
        assert_eq!(read(reader).await.expect("its bytes"), blob.bytes);
    }
    let missing = Digest::sha256(b"missing");
    assert_eq!(repository.find_manifest(&missing.into()).await.expect("a response"), None);
    assert_eq!(repository.find_blob(&missing, 7).await.expect("a response"), FoundBlob::Absent);
    assert!(repository.manifest(&tag("v2")).await.expect_err("no such tag").is_not_found());
    assert!(repository.blob(&missing).await.expect_err("no such blob").is_not_found());
    repository.delete_manifest(&tag("v1")).await.expect("it is deleted");
    assert_eq!(repository.find_manifest(&tag("v1")).await.expect("a response"), None);
}

#[tokio::test]
async fn a_large_blob_comes_in_small_pieces() {
    const SIZE: u64 = 64 << 20;
    // Of 64 MiB of the byte 7: `head -c 64M /dev/zero | tr '\0' '\7' | sha256sum`.
    const DIGEST: &str = "sha256:08fc7f5f33ae0938ae102cce12411f3cb1771056331da72a62fddaeedfa633cb";
    // Larger than what the reader may hold.
    let piece = Bytes::from(vec![7; 4 << 20]);
    let server = TestServer::start(move |_| {
        let pieces =
            stream::iter(std::iter::repeat_n(piece.clone(), 16)).map(Ok::<_, std::io::Error>);
        async move { Response::new(Body::from_stream(pieces)) }
    });
    let server = server.await;
    let repository = at(&client(), &server.host());
    let mut blob = repository.blob(&DIGEST.parse().expect("a digest")).await.expect("a blob");
    let (mut total, mut largest) = (0, 0);
    while let Some(piece) = blob.next().await.expect("a piece") {
        total += piece.len() as u64;
        largest = largest.max(piece.len());
    }
    assert_eq!(total, SIZE);
    assert!(largest <= 512 << 10, "{largest}");
}

#[tokio::test]
async fn faults_of_a_blob_are_errors() {
    for (fault, text, transient) in [
        (get().truncate_after(4), "the response ended after 4 of 6 bytes", true),
        (
            get().reset(),
            "the connection broke after 0 bytes of the response: connection error: Connection reset by peer",
            true,
        ),
        (get().hang(), "no response within 1s", true),
        (get().stall_after(4), "no data for 1s after 4 bytes of the response", true),
        (get().corrupt(), "the content's digest is sha256:", false),
        (get().wrong_length(), "the content's digest is sha256:", false),
        (get().status(404), "404 Not Found", false),
        (get().status(403), "403 Forbidden", false),
        (get().status(503), "503 Service Unavailable", true),
    ] {
        let server = Scripted::start(|_| reply(200, &[], BLOB)).await;
        server.fail(fault);
        let (found, error) = fault_of(&hasty(), &server.host).await;
        assert!(found.starts_with(text), "{found}");
        assert_eq!(error.is_transient(), transient, "{found}");
        assert_eq!(error.is_unreachable(), found.starts_with("no response"), "{found}");
    }
}

fn get() -> testkit::Fault {
    testkit::Fault::on(http::Method::GET, "/blobs/")
}

#[tokio::test]
async fn a_slow_blob_is_read_as_long_as_something_comes() {
    let server = Scripted::start(|_| reply(200, &[], BLOB)).await;
    server.fail(get().drip(1, Duration::from_millis(250)));
    let client = RegistryClient::builder()
        .retries(Retries::none())
        .idle_timeout(Duration::from_secs(1))
        .build();
    assert_eq!(read_from(&client, &server.host).await.expect("a blob"), BLOB.as_bytes());
}

#[tokio::test]
async fn a_blob_that_drips_is_given_up_in_the_end() {
    let server = Scripted::start(|_| reply(200, &[], BLOB)).await;
    server.fail(get().drip(1, Duration::from_millis(100)));
    let client = RegistryClient::builder()
        .retries(Retries::none())
        .least_rate(100, Duration::from_millis(200))
        .build();
    let (fault, error) = fault_of(&client, &server.host).await;
    let RequestFault::Transport(registry_client::TransportError::CameTooSlowly {
        received,
        after,
        least: 100,
    }) = error.fault()
    else {
        panic!("{error}")
    };
    assert!(*received < BLOB.len() as u64 && *after >= Duration::from_millis(200), "{error}");
    assert!(fault.starts_with("transfer too slow: "), "{fault}");
    assert!(error.is_transient() && !error.is_unreachable());
}

#[tokio::test]
async fn a_blob_whose_reader_pauses_is_not_too_slow() {
    let server = Scripted::start(|_| reply(200, &[], BLOB)).await;
    server.fail(get().drip(3, Duration::from_millis(50)));
    let client = RegistryClient::builder()
        .retries(Retries::none())
        .least_rate(20, Duration::from_millis(150))
        .build();
    let mut blob = at(&client, &server.host).blob(&digest()).await.expect("headers");
    let mut length = 0;
    // Slower than the least rate, by the clock.
    while let Some(piece) = blob.next().await.expect("it is all there") {
        length += piece.len();
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert_eq!(length, BLOB.len());
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_drips_is_given_up_in_the_end() {
    let server = Scripted::start(|_| reply(200, &[], &"x".repeat(1000))).await;
    server.fail(testkit::Fault::everywhere("").drip(1, Duration::from_secs(1)));
    let error = at(&client(), &server.host).manifest(&tag("t")).await.expect_err("too slow");
    assert!(error.to_string().contains(": the response was incomplete after 130s: "), "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_manifest_that_is_not_the_requested_one_is_rejected() {
    let other = Digest::sha256(b"other");
    let header = format!("Docker-Content-Digest: {other}");
    let server = Scripted::start(move |_| reply(200, &[&header], "{}")).await;
    let repository = at(&client(), &server.host);
    let found = Digest::sha256(b"{}");
    for reference in [tag("t"), other.into(), found.into()] {
        let error = repository.manifest(&reference).await.expect_err("not the digest");
        let text = format!(
            "GET http://{}/v2/a/manifests/{reference}: the content's digest is {found}, not {other}",
            server.host
        );
        assert_eq!(error.to_string(), text);
    }
    let head = repository.find_manifest(&found.into()).await.expect_err("not the digest");
    assert!(matches!(head.fault(), RequestFault::DigestMismatch { .. }));
}

#[tokio::test]
async fn a_manifest_beyond_the_limit_is_refused() {
    let long = "x".repeat(registry_client::MAX_MANIFEST_BYTES + 1);
    let server = Scripted::start(move |_| reply(200, &[], &long)).await;
    let error = at(&client(), &server.host).manifest(&tag("t")).await.expect_err("too long");
    assert!(error.to_string().ends_with(": the response is longer than 16777216 bytes"), "{error}");
}

#[tokio::test]
async fn a_head_without_digest_is_followed_by_a_get() {
    let found = Digest::sha256(b"{}");
    for (header, requests) in [
        ("X: ".to_owned(), 2),
        ("Docker-Content-Digest: sha256:nonsense".to_owned(), 2),
        (format!("Docker-Content-Digest: {found}"), 1),
    ] {
        let media_type = "Content-Type: application/vnd.oci.image.index.v1+json; charset=utf-8";
        let server = Scripted::start(move |_| reply(200, &[media_type, &header], "{}")).await;
        let head = at(&client(), &server.host).find_manifest(&tag("t")).await.expect("a response");
        let head = head.expect("a manifest");
        assert_eq!((head.digest, head.size), (found, 2));
        assert_eq!(head.media_type, media_type::OCI_INDEX);
        assert_eq!(server.lines().len(), requests);
        assert!(server.received()[0].header("accept").contains(media_type::DOCKER_LIST));
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_is_followed_without_what_is_meant_for_the_first() {
    let store = Scripted::start(|_| reply(200, &[], BLOB)).await;
    let location = format!("http://{}/bucket/x?Signature=secret#fragment", store.host);
    let front = Scripted::start(move |_| redirect(&location)).await;
    let client = RegistryClient::builder()
        .retries(Retries::none())
        .forwarded_for("203.0.113.9".parse().expect("an address"));
    let blob = at(&client.build(), &front.host).blob(&digest()).await.expect("a blob");
    assert_eq!(blob.served_by().to_string(), format!("http://{}/bucket/x", store.host));
    assert_eq!(blob.served_by().authority(), store.host.as_str());
    assert!(!format!("{blob:?}").contains("secret"));
    assert_eq!(read(blob).await.expect("the bytes"), BLOB.as_bytes());
    let (front, store) = (front.received(), store.received());
    assert_eq!(front[0].header("x-forwarded-for"), "203.0.113.9");
    assert_eq!(front[0].header("accept-encoding"), "identity");
    assert!(front[0].header("user-agent").starts_with("portolan/"));
    assert_eq!(store[0].target, "/bucket/x?Signature=secret");
    assert_eq!(store[0].header("x-forwarded-for"), "");
}

#[tokio::test]
async fn errors_behind_a_redirect_do_not_print_its_signature() {
    let store = Scripted::start(|_| reply(403, &[], "")).await;
    let location = format!("http://user:password@{}/x?Signature=secret", store.host);
    let front = Scripted::start(move |_| redirect(&location)).await;
    let error = read_from(&client(), &front.host).await.expect_err("a refusal");
    assert_eq!(error.to_string(), format!("GET http://{}/x: 403 Forbidden", store.host));
    assert_eq!(format!("{error:?}"), error.to_string());
    assert!(error.is_unauthorized());
}

#[tokio::test]
async fn five_redirects_in_a_row_are_the_limit() {
    for (redirects, fine) in [(5, true), (6, false)] {
        let server = Scripted::start(move |request| {
            let hops: usize =
                request.target.strip_prefix("/hop").map_or(0, |n| n.parse().expect(n));
            if hops == redirects {
                return reply(200, &[], BLOB);
            }
            reply([301, 302, 307, 308][hops % 4], &[&format!("Location: /hop{}", hops + 1)], "")
        })
        .await;
        let read = read_from(&client(), &server.host).await;
        assert_eq!(read.is_ok(), fine, "{read:?}");
        assert_eq!(server.lines().len(), 6);
        if let Err(error) = read {
            let at = format!("http://{}/hop", server.host);
            let why = "was not followed: the limit is 5 redirects in a row";
            assert_eq!(error.to_string(), format!("GET {at}5: the redirect to {at}6 {why}"));
        }
    }
}

#[tokio::test]
async fn redirects_that_lead_nowhere_are_refused() {
    let itself = format!("/v2/a/blobs/{}", digest());
    for (location, reason) in [
        ("", PointerRefusal::Missing),
        ("ftp://h/x", PointerRefusal::NotHttp),
        ("file:///etc/passwd", PointerRefusal::NotHttp),
        ("http://", PointerRefusal::NotHttp),
        ("http://registry.example/x", PointerRefusal::PlainHttp),
        (itself.as_str(), PointerRefusal::Loop),
    ] {
        let header = (!location.is_empty()).then(|| format!("Location: {location}"));
        let server = Scripted::start(move |_| match &header {
            Some(header) => reply(307, &[header], ""),
            None => reply(307, &[], ""),
        })
        .await;
        let error = read_from(&client(), &server.host).await.expect_err("a refusal");
        let RequestFault::NotFollowed { reason: found, .. } = error.fault() else {
            panic!("{error}")
        };
        assert_eq!(*found, reason, "{location}");
        assert_eq!(server.lines().len(), 1);
    }
}
