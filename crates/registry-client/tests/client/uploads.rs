//! What is pushed arrives whole or not at all.

use std::{io, time::Duration};

use bytes::Bytes;
use credentials::{Credential, Credentials};
use futures_util::{StreamExt as _, stream};
use http::Method;
use oci::{Digest, Digester, ErrorCode, Host};
use registry_client::{
    BlobPush, Error, FoundBlob, Mount, RegistryClient, RequestFault, Retries, Upload,
};
use testkit::{TestRegistry, TestServer, fixture};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::support::{BLOB, SHORT, Scripted, at, client, digest, name, read, reply, tag};

/// A stream of these pieces.
fn pieces(
    pieces: impl IntoIterator<Item = &'static str, IntoIter: Send + 'static>,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::iter(pieces).map(|piece| Ok(Bytes::from(piece)))
}

async fn mount(host: &Host) -> Result<Mount, Error> {
    at(&client(), host).mount_blob(&digest(), &name("b/c")).await
}

async fn session(client: &RegistryClient, host: &Host) -> Upload {
    at(client, host).start_upload().await.expect("a session")
}

/// A registry that opens sessions and takes what comes.
async fn taking() -> Scripted {
    Scripted::start(|request| match request.method {
        Method::POST => reply(202, &["Location: /up/1"], ""),
        Method::PUT => reply(201, &[], ""),
        _ => reply(204, &[], ""),
    })
    .await
}

#[tokio::test]
async fn an_image_is_pushed_as_it_is() {
    let registry = TestRegistry::start().await;
    let image = fixture::image(1, 2);
    let repository = at(&client(), &registry.host());
    for blob in &image.blobs {
        let upload = repository.start_upload().await.expect("a session");
        let body = stream::iter([Ok::<_, io::Error>(blob.bytes.clone())]);
        upload.put(&blob.descriptor.digest, blob.descriptor.size, body).await.expect("it is kept");
    }
    let media_type = &image.descriptor.media_type;
    for reference in [image.digest().into(), tag("v1")] {
        let put = repository.put_manifest(&reference, media_type, image.bytes.clone()).await;
        assert_eq!(put.expect("it is kept"), image.digest());
    }
    assert!(registry.holds("a", &image).await);
    assert_eq!(registry.tags("a").await, ["v1"]);
}

#[tokio::test]
async fn a_mount_needs_no_content_or_opens_a_session() {
    let registry = TestRegistry::start().await;
    let image = fixture::image(1, 2);
    registry.load("b/c", None, &image).await;
    let blob = &image.blobs[0].descriptor.digest;
    let repository = at(&client(), &registry.host());
    let mounted = repository.mount_blob(blob, &name("b/c")).await.expect("a response");
    assert!(matches!(mounted, Mount::Mounted));
    let size = image.blobs[0].descriptor.size;
    assert!(repository.find_blob(blob, size).await.expect("a response").is_present());
    let Mount::Upload(upload) = mount(&registry.host()).await.expect("a response") else {
        panic!("there is no such blob to mount");
    };
    upload.put(&digest(), 6, pieces([BLOB])).await.expect("it is kept");
    assert!(repository.find_blob(&digest(), 6).await.expect("a response").is_present());
}

#[tokio::test]
async fn content_with_another_digest_is_not_kept() {
    let registry = TestRegistry::start().await;
    let repository = at(&client(), &registry.host());
    let upload = session(&client(), &registry.host()).await;
    let error = upload.put(&digest(), 6, pieces(["A blob"])).await.expect_err("a refusal");
    assert!(error.has_code(ErrorCode::DigestInvalid), "{error}");
    assert!(error.to_string().contains(": 400 Bad Request (DIGEST_INVALID: "), "{error}");
    assert!(!repository.find_blob(&digest(), 6).await.expect("a response").is_present());
    let other = Digest::sha256(b"other");
    let requests = registry.requests().len();
    let put = repository.put_manifest(&other.into(), "x/y", Bytes::from_static(b"{}")).await;
    assert!(matches!(
        put.expect_err("not its digest").fault(),
        RequestFault::DigestMismatch { .. }
    ));
    assert_eq!(registry.requests().len(), requests, "nothing was sent");
}

#[tokio::test]
async fn a_registry_that_stores_another_manifest_is_found_out() {
    let header = format!("Docker-Content-Digest: {}", Digest::sha256(b"other"));
    let server = Scripted::start(move |_| reply(201, &[&header], "")).await;
    let repository = at(&client(), &server.host);
    let put = repository.put_manifest(&tag("t"), "x/y", Bytes::from_static(b"{}")).await;
    assert!(matches!(put.expect_err("another").fault(), RequestFault::DigestMismatch { .. }));
}

#[tokio::test]
async fn content_that_breaks_off_is_never_complete_at_the_registry() {
    let long = "it is longer than announced";
    for (pieces, text) in [
        (vec![Ok("a "), Err("the source is gone")], "after 2 bytes: the source is gone"),
        (vec![Ok("a blob"), Err("its digest is wrong")], "after 0 bytes: its digest is wrong"),
        (vec![Ok("a "), Ok("blob"), Err("too late")], "after 2 bytes: too late"),
        (vec![Ok("a blo")], "after 5 bytes: it is 1 bytes shorter than announced"),
        (vec![], "after 0 bytes: it is 6 bytes shorter than announced"),
        (vec![Ok("a blob!")], &format!("after 0 bytes: {long}")),
        (vec![Ok("a blob"), Ok("!")], &format!("after 0 bytes: {long}")),
    ] {
        let (registry, server) = (TestRegistry::start().await, taking().await);
        for host in [&registry.host(), &server.host] {
            let body = stream::iter(pieces.clone()).map(|piece| piece.map(Bytes::from));
            let error = session(&client(), host).await.put(&digest(), 6, body).await;
            let error = error.expect_err("it broke off");
            assert!(
                error.to_string().ends_with(&format!(": the content broke off {text}")),
                "{error}"
            );
            assert!(!error.is_transient() && !error.is_unreachable());
        }
        let kept = at(&client(), &registry.host()).find_blob(&digest(), 6).await;
        assert_eq!(kept.expect("a response"), FoundBlob::Absent);
        let (last, requests) = (registry.requests().pop().expect("a request"), server.received());
        assert_eq!(last.method, Method::GET, "the blob was looked for");
        assert_eq!(registry.count(|request| request.method == Method::DELETE), 1, "cancelled");
        let whole = |method: &Method| *method == Method::PUT;
        assert!(
            !requests.iter().any(|request| whole(&request.method) && request.body.is_some()),
            "{requests:?}"
        );
        assert_eq!(requests.last().expect("a request").method, Method::DELETE);
    }
}

#[tokio::test]
async fn a_blob_beyond_all_buffers_is_pushed() {
    const SIZE: u64 = 16 << 20;
    let registry = TestRegistry::start().await;
    let piece = Bytes::from(vec![7; 1 << 20]);
    let mut digester = Digester::new(oci::Algorithm::Sha256);
    (0..16).for_each(|_| digester.update(&piece));
    let digest = digester.finish();
    let body = stream::iter(std::iter::repeat_n(piece, 16)).map(Ok::<_, io::Error>);
    let upload = session(&client(), &registry.host()).await;
    upload.put(&digest, SIZE, body).await.expect("it is kept");
    let blob = at(&client(), &registry.host()).blob(&digest).await.expect("a blob");
    assert_eq!(blob.size(), Some(SIZE));
    assert_eq!(read(blob).await.expect("its bytes").len() as u64, SIZE);
}

#[tokio::test]
async fn an_empty_blob_is_pushed_and_read() {
    let registry = TestRegistry::start().await;
    let empty = Digest::sha256(b"");
    session(&client(), &registry.host())
        .await
        .put(&empty, 0, pieces([]))
        .await
        .expect("it is kept");
    let blob = at(&client(), &registry.host()).blob(&empty).await.expect("a blob");
    assert_eq!(read(blob).await.expect("its bytes"), b"");
}

#[tokio::test]
async fn the_digest_joins_the_query_of_a_session() {
    for (location, target) in [
        ("/up/1", "/up/1?digest="),
        ("/up/1?_state=a%2Fb%3D&x", "/up/1?_state=a%2Fb%3D&x&digest="),
        ("http://HOST/up/1?y=1", "/up/1?y=1&digest="),
    ] {
        let server = Scripted::start(move |request| match request.method {
            Method::POST => {
                let location = location.replace("HOST", request.header("host"));
                reply(202, &[&format!("Location: {location}")], "")
            }
            _ => reply(201, &[], ""),
        })
        .await;
        let upload = session(&client(), &server.host).await;
        upload.put(&digest(), 6, pieces(["a ", "", "blob"])).await.expect("it is taken");
        let requests = server.received();
        assert_eq!(requests[0].header("content-length"), "0");
        let digest = digest().to_string().replace(':', "%3A");
        assert_eq!(requests[1].target, format!("{target}{digest}"));
        assert_eq!(
            (&requests[1].method, requests[1].body.as_deref()),
            (&Method::PUT, Some(BLOB.as_bytes()))
        );
        assert_eq!(requests[1].header("content-length"), "6");
        assert_eq!(requests[1].header("content-type"), "application/octet-stream");
    }
}

#[tokio::test]
async fn a_session_that_is_no_url_or_downgrades_is_refused_and_names_the_proxy() {
    let plain =
        "plain HTTP is allowed only for hosts that --plain-http names, and between loopback hosts";
    let proxy = "its scheme is https, but that of the registry is http; set `X-Forwarded-Proto: http` in the proxy in front of the registry";
    for (location, text) in [
        ("", "was not followed: the response has no `Location`".to_owned()),
        ("gopher://x", "was not followed: it is not an http or https URL".to_owned()),
        (
            "http://registry.example/up?secret",
            format!("to http://registry.example/up was not followed: {plain}"),
        ),
        ("https://HOST/up", format!("to https://HOST/up was not followed: {proxy}")),
    ] {
        let server = Scripted::start(move |request| {
            let location = location.replace("HOST", request.header("host"));
            match location.as_str() {
                "" => reply(202, &[], ""),
                location => reply(202, &[&format!("Location: {location}")], ""),
            }
        })
        .await;
        let error = at(&client(), &server.host).start_upload().await.expect_err("a refusal");
        let start = format!("POST http://{}/v2/a/blobs/uploads/: the upload session", server.host);
        let text = text.replace("HOST", server.host.as_str());
        assert_eq!(error.to_string(), format!("{start} {text}"));
        assert!(matches!(
            mount(&server.host).await.expect_err("a refusal").fault(),
            RequestFault::NotFollowed { .. }
        ));
    }
}

#[tokio::test]
async fn a_session_at_another_host_is_followed_without_the_authorization_of_the_registry() {
    for (path, credentials_of_other, last) in [
        ("/v2/a/blobs/uploads/1", true, vec!["", "Basic b3RoZXI6cA=="]),
        ("/v2/a/blobs/uploads/1", false, vec![""]),
        // Such a URL could mean anything to a host that knows the user.
        ("/v2/a/manifests/v1", true, vec![""]),
    ] {
        let is_challenged = credentials_of_other;
        let other = Scripted::start(move |request| match request.header("authorization") {
            "" if is_challenged => reply(401, &["WWW-Authenticate: Basic realm=x"], ""),
            _ => reply(201, &[], ""),
        })
        .await;
        let location = format!("Location: http://{}{path}", other.host);
        let registry = Scripted::start(move |request| match request.header("authorization") {
            "" => reply(401, &["WWW-Authenticate: Basic realm=x"], ""),
            _ => reply(202, &[&location], ""),
        })
        .await;
        let known = |user: &str| Credential::Basic {
            user: user.to_owned(),
            password: "p".to_owned().into(),
        };
        let mut credentials = Credentials::builder().with(&registry.host, known("me"));
        if credentials_of_other {
            credentials = credentials.with(&other.host, known("other"));
        }
        let retries = Retries::default().base(Duration::from_millis(1));
        let client =
            RegistryClient::builder().retries(retries).credentials(credentials.build()).build();
        let push = BlobPush::new(digest(), 6);
        let pushed = at(&client, &registry.host).push_blob(&push, &Bytes::from(BLOB)).await;
        assert_eq!(pushed.is_ok(), path.contains("uploads"), "{path}: {pushed:?}");
        let puts = other.received().into_iter().filter(|it| it.method == Method::PUT);
        let mut sent: Vec<_> = puts.map(|it| it.header("authorization").to_owned()).collect();
        sent.dedup();
        assert_eq!(sent, last, "{path}");
    }
}

/// The result of an upload to a registry that responds so to the content, and the requests.
async fn put_with_response(
    status: u16,
    header: Option<String>,
) -> (Result<(), Error>, Vec<Method>) {
    let server = Scripted::start(move |request| match request.method {
        Method::POST => reply(202, &["Location: /up/1"], ""),
        Method::PUT => reply(status, header.as_deref().as_slice(), ""),
        _ => reply(204, &[], ""),
    })
    .await;
    let put = session(&client(), &server.host).await.put(&digest(), 6, pieces([BLOB])).await;
    (put, server.received().into_iter().map(|request| request.method).collect())
}

#[tokio::test]
async fn only_201_and_204_say_that_a_blob_is_stored() {
    for status in [201, 204] {
        let (put, requests) = put_with_response(status, None).await;
        put.expect("it is kept");
        assert_eq!(requests, [Method::POST, Method::PUT]);
    }
    for (status, text) in [(200, "200 OK"), (202, "202 Accepted"), (203, "203 Non Authoritative")] {
        let (put, requests) = put_with_response(status, None).await;
        let error = put.expect_err("it may not be kept");
        assert!(matches!(error.fault(), RequestFault::NotStored { .. }), "{error}");
        assert!(error.to_string().contains(&format!("/up/1: {text}")), "{error}");
        let reason = "; expected 201 or 204";
        assert!(error.to_string().ends_with(reason), "{error}");
        assert!(!error.is_transient() && !error.is_unreachable());
        assert_eq!(requests, [Method::POST, Method::PUT, Method::DELETE], "cancelled");
    }
}

#[tokio::test]
async fn a_registry_that_stores_another_blob_is_found_out() {
    let sha512 = Digest::of(oci::Algorithm::Sha512, b"other");
    for (named, stored) in [
        (digest().to_string(), true),
        (sha512.to_string(), true),
        ("no digest".to_owned(), true),
        (Digest::sha256(b"other").to_string(), false),
    ] {
        let header = format!("Docker-Content-Digest: {named}");
        let (put, _) = put_with_response(201, Some(header)).await;
        let fault =
            put.map_err(|error| matches!(error.fault(), RequestFault::DigestMismatch { .. }));
        assert_eq!(fault, if stored { Ok(()) } else { Err(true) }, "{named}");
    }
}

#[tokio::test]
async fn a_cancelled_session_is_deleted() {
    let server = taking().await;
    let Mount::Upload(upload) = mount(&server.host).await.expect("a session") else {
        panic!("no session");
    };
    upload.cancel().await;
    let mount = format!("POST /v2/a/blobs/uploads/?mount={}&from=b%2Fc", digest());
    assert_eq!(server.lines(), [mount.replace("sha256:", "sha256%3A"), "DELETE /up/1".into()]);
}

#[tokio::test]
async fn a_response_that_is_lost_is_transient() {
    let registry = TestRegistry::start().await;
    let upload = session(&client(), &registry.host()).await;
    registry.fail(testkit::Fault::on(Method::PUT, "/uploads/").lose_response());
    let error = upload.put(&digest(), 6, pieces([BLOB])).await.expect_err("no response");
    assert!(error.is_transient() && !error.is_unreachable(), "{error}");
}

#[tokio::test]
async fn a_registry_that_stops_taking_content_is_given_up() {
    // More than the buffers of the system and of the connection hold.
    const SIZE: u64 = 64 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let host: Host = listener.local_addr().expect("address").to_string().parse().expect("a host");
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let _head = stream.read(&mut [0; 4096]).await.expect("the POST");
        let response = b"HTTP/1.1 202 Accepted\r\nLocation: /up\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(response).await.expect("it is sent");
        // Nothing is read: neither the PUT nor the DELETE on a connection of its own.
        std::future::pending::<()>().await;
        drop((stream, listener));
    });
    let piece = Bytes::from(vec![0; 1 << 20]);
    let body = stream::iter(std::iter::repeat_n(piece, 64)).map(Ok::<_, io::Error>);
    // Named for plain HTTP, so that the only connection is not one of a probe.
    let builder = RegistryClient::builder().retries(Retries::none()).plain_http(host.clone());
    let client = builder.request_timeout(SHORT).idle_timeout(SHORT).build();
    let upload = session(&client, &host).await;
    let error = upload.put(&digest(), SIZE, body).await.expect_err("a stall");
    let RequestFault::Transport(registry_client::TransportError::Stalled { after, sent }) =
        error.fault()
    else {
        panic!("{error}")
    };
    assert_eq!(*after, SHORT);
    assert!(*sent < SIZE, "{error}");
    assert!(error.is_transient() && !error.is_unreachable());
    server.abort();
}

#[tokio::test]
async fn a_registry_that_takes_content_too_slowly_is_given_up() {
    const SIZE: u64 = 64 << 20;
    let server = TestServer::start(|request| async move {
        let put = request.method() == Method::PUT;
        let mut body = request.into_body().into_data_stream();
        while let Some(Ok(_)) = body.next().await {
            tokio::time::sleep(SHORT / 20).await;
        }
        reply(if put { 201 } else { 202 }, &["Location: /up"], "")
    });
    let server = server.await;
    let piece = Bytes::from(vec![0; 64 << 10]);
    let body = stream::iter(std::iter::repeat_n(piece, 1024)).map(Ok::<_, io::Error>);
    // Far more than one piece in each pause, and far less than the pauses between two pieces allow.
    let client =
        RegistryClient::builder().retries(Retries::none()).least_rate(1 << 30, SHORT / 5).build();
    let upload = session(&client, &server.host()).await;
    let error = upload.put(&digest(), SIZE, body).await.expect_err("too slow");
    let RequestFault::Transport(registry_client::TransportError::TakenTooSlowly {
        sent,
        after,
        ..
    }) = error.fault()
    else {
        panic!("{error}")
    };
    assert!(*sent < SIZE && *after >= SHORT / 5, "{error}");
    assert!(error.to_string().contains(": transfer too slow: "), "{error}");
    assert!(error.is_transient() && !error.is_unreachable());
}

#[tokio::test]
async fn a_source_that_is_slow_is_not_held_against_the_registry() {
    let server = taking().await;
    let client = RegistryClient::builder()
        .retries(Retries::none())
        .least_rate(1 << 20, Duration::from_millis(50))
        .build();
    let body = stream::iter(["a ", "bl", "ob"]).then(|piece| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok::<_, io::Error>(Bytes::from(piece))
    });
    let upload = session(&client, &server.host).await;
    upload.put(&digest(), 6, body).await.expect("it is taken");
}

#[tokio::test]
async fn a_registry_that_never_commits_is_given_up_later() {
    let server = taking().await;
    server.fail(testkit::Fault::on(Method::PUT, "").hang());
    let hasty = RegistryClient::builder()
        .retries(Retries::none())
        .request_timeout(Duration::from_millis(200))
        .build();
    let upload = session(&hasty, &server.host).await;
    let error = upload.put(&digest(), 6, pieces([BLOB])).await.expect_err("no response");
    let text = format!(
        "PUT http://{}/up/1: no response within 400ms after all of the content was sent",
        server.host
    );
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn a_slow_source_has_all_the_time_it_needs() {
    let server = taking().await;
    let short = Duration::from_millis(500);
    let hasty = RegistryClient::builder()
        .retries(Retries::none())
        .request_timeout(short)
        .idle_timeout(short)
        .build();
    let body = stream::iter(["a ", "blob"]).then(|piece| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok::<_, io::Error>(Bytes::from(piece))
    });
    let upload = session(&hasty, &server.host).await;
    upload.put(&digest(), 6, body).await.expect("it is taken");
    assert_eq!(server.received()[1].body.as_deref(), Some(BLOB.as_bytes()));
}

#[tokio::test]
async fn a_refusal_before_the_end_of_the_content_is_heard() {
    let server = taking().await;
    server.fail(testkit::Fault::on(Method::PUT, "").status(413));
    let piece = Bytes::from(vec![0; 1 << 20]);
    let body = stream::iter(std::iter::repeat_n(piece, 64)).map(Ok::<_, io::Error>);
    let error = session(&client(), &server.host).await.put(&digest(), 64 << 20, body).await;
    let text = format!("PUT http://{}/up/1: 413 Payload Too Large", server.host);
    assert_eq!(error.expect_err("a refusal").to_string(), text);
}
