//! Whether something is there: the rows of `docs/internals/registry-client.md`, "Presence: HEAD and GET".

use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use oci::Digest;
use registry_client::{Existence, FoundBlob, RequestFault};
use testkit::{Fault, TestRegistry, fixture, fixture::TestImage};

use crate::support::{
    Scripted, at, client, digest, name, printed, read, redirect, reply, stubborn, tag,
};

async fn holding(image: &TestImage) -> TestRegistry {
    let registry = TestRegistry::start().await;
    registry.load("a", "v1", image).await;
    registry
}

fn gets(registry: &TestRegistry) -> usize {
    registry.count(|request| request.method == Method::GET)
}

#[tokio::test]
async fn a_head_that_fails_is_confirmed_by_get() {
    let image = fixture::image(1, 1);
    for status in [400, 403, 404, 405, 406, 410, 500, 501, 502, 503] {
        let registry = holding(&image).await;
        registry.fail(Fault::on(Method::HEAD, "/v2/a/").status(status));
        let repository = at(&stubborn(), &registry.host());
        for reference in [tag("v1"), image.digest().into()] {
            let found = repository.find_manifest(&reference).await.expect("GET succeeds");
            assert_eq!(found.expect("it is there").digest, image.digest(), "{status}");
        }
        let blob = &image.blobs[0].descriptor;
        let found = repository.find_blob(&blob.digest, blob.size).await.expect("GET succeeds");
        assert_eq!(found, FoundBlob::Present, "{status}");
        let absent = Digest::sha256(b"absent");
        let found = repository.find_manifest(&absent.into()).await.expect("GET succeeds");
        assert_eq!(found, None, "{status}");
        let found = repository.find_blob(&absent, 8).await.expect("GET succeeds");
        assert_eq!(found, FoundBlob::Absent, "{status}");
        let sent = registry.requests();
        let most = sent.iter().filter(|it| it.path_and_query.contains("/blobs/")).count();
        assert!(most <= 4, "{status}: a HEAD that failed is not repeated: {sent:?}");
    }
}

#[tokio::test]
async fn a_head_of_404_is_only_a_hint() {
    let image = fixture::image(1, 1);
    let registry = holding(&image).await;
    let repository = at(&client(), &registry.host());
    let absent = Digest::sha256(b"absent");
    assert!(repository.hint_manifest(&tag("v1")).await.expect("a head").is_present());
    assert_eq!(repository.hint_manifest(&absent.into()).await.expect("a hint"), Existence::Unknown);
    assert_eq!(gets(&registry), 0);
    registry.fail(Fault::on(Method::HEAD, "/v2/a/").status(405));
    let hint = repository.hint_manifest(&absent.into()).await;
    assert_eq!(hint.expect("GET succeeds"), Existence::Absent);
}

#[tokio::test]
async fn a_host_that_refuses_head_gets_get_at_once() {
    let image = fixture::image(1, 1);
    let registry = holding(&image).await;
    registry.fail(Fault::on(Method::HEAD, "/v2/a/").status(405));
    let repository = at(&client(), &registry.host());
    for _ in 0..3 {
        assert!(repository.find_manifest(&tag("v1")).await.expect("GET succeeds").is_some());
    }
    assert_eq!((registry.requests().len(), gets(&registry)), (4, 3));
}

#[tokio::test]
async fn a_head_that_fails_for_what_get_does_not_find_says_nothing_of_the_host() {
    let image = fixture::image(1, 1);
    let registry = holding(&image).await;
    registry.fail(Fault::on(Method::HEAD, "/v2/other/").status(403));
    let (client, host) = (client(), registry.host());
    let other = client.repository(&host, &name("other"));
    assert_eq!(other.find_manifest(&tag("v1")).await.expect("GET succeeds"), None);
    let found = other.find_blob(&digest(), 6).await.expect("GET succeeds");
    assert_eq!(found, FoundBlob::Absent);
    let repository = at(&client, &host);
    registry.clear_requests();
    assert!(repository.find_manifest(&tag("v1")).await.expect("a head").is_some());
    let blob = &image.blobs[0].descriptor;
    let found = repository.find_blob(&blob.digest, blob.size).await.expect("a head");
    assert_eq!(found, FoundBlob::Present);
    assert_eq!((registry.requests().len(), gets(&registry)), (2, 0));
}

#[tokio::test]
async fn what_get_does_not_show_either_stays_an_error() {
    let image = fixture::image(1, 1);
    for status in [401, 429] {
        let registry = holding(&image).await;
        registry.fail(Fault::on(Method::HEAD, "/v2/a/").status(status));
        let repository = at(&client(), &registry.host());
        let error = repository.find_manifest(&tag("v1")).await.expect_err("nothing is known");
        assert_eq!(error.status().map(|it| it.as_u16()), Some(status), "{error}");
        let error = repository.find_blob(&image.digest(), 1).await.expect_err("nothing is known");
        assert_eq!(error.status().map(|it| it.as_u16()), Some(status), "{error}");
        assert_eq!(gets(&registry), 0);
    }
}

/// As ECR Public responds: a token is needed, and the HEAD of `refused` gets 401 with any.
async fn refusing_heads_with_a_token(refused: &'static str, status: u16) -> Scripted {
    let tokens = AtomicUsize::new(0);
    Scripted::start(move |request| {
        let number = tokens.fetch_add(1, Ordering::Relaxed);
        let is_refused = request.method == Method::HEAD && request.target.contains(refused);
        match request.target.as_str() {
            target if target.starts_with("/token") => {
                reply(200, &[], &format!(r#"{{"token":"t{number}"}}"#))
            }
            _ if is_refused || request.header("authorization").is_empty() => {
                let realm = format!("http://{}/token", request.header("host"));
                let challenge =
                    format!(r#"WWW-Authenticate: Bearer realm="{realm}",service="s",scope="aws""#);
                reply(
                    401,
                    &[&challenge],
                    r#"{"errors":[{"code":"DENIED","message":"Not Authorized"}]}"#,
                )
            }
            _ if status == 404 => reply(404, &[], ""),
            _ if request.target.contains("/blobs/") => {
                reply(206, &["Content-Range: bytes 0-0/9"], "x")
            }
            _ => reply(status, &[], r#"{"schemaVersion":2,"layers":[]}"#),
        }
    })
    .await
}

#[tokio::test]
async fn a_head_that_is_401_in_spite_of_a_new_token_is_confirmed_by_get_and_not_sent_again() {
    let blob = Digest::sha256(b"nine byte");
    for (status, expected) in [(200, FoundBlob::Present), (404, FoundBlob::Absent)] {
        let server = refusing_heads_with_a_token("/blobs/", status).await;
        let repository = at(&client(), &server.host);
        for _ in 0..3 {
            let found = repository.find_blob(&blob, 9).await.expect("GET succeeds");
            assert_eq!(found, expected);
        }
        let heads = server.received().iter().filter(|it| it.method == Method::HEAD).count();
        let gets = server.lines().iter().filter(|it| it.starts_with("GET /v2/")).count();
        assert!(heads <= 3 && gets == 3, "{:?}", server.lines());

        let server = refusing_heads_with_a_token("/manifests/", status).await;
        let repository = at(&client(), &server.host);
        for _ in 0..3 {
            let found = repository.find_manifest(&tag("v1")).await.expect("GET succeeds");
            assert_eq!(found.is_some(), status == 200);
        }
        let heads = server.received().iter().filter(|it| it.method == Method::HEAD).count();
        assert!(heads <= 3, "{:?}", server.lines());
    }
}

#[tokio::test]
async fn a_head_that_is_401_for_lack_of_credentials_is_not_followed_by_a_get() {
    let server =
        Scripted::start(|_| reply(401, &[r#"WWW-Authenticate: Basic realm="r""#], "")).await;
    let repository = at(&client(), &server.host);
    let error = repository.find_blob(&Digest::sha256(b"x"), 1).await.expect_err("not known");
    assert!(error.is_unauthorized() && printed(&error).contains("no credentials for"), "{error}");
    assert_eq!(server.lines().len(), 1, "{:?}", server.lines());
}

#[tokio::test]
async fn what_a_listing_names_and_get_does_not_find_is_an_error_of_that_tag_alone() {
    let image = fixture::image(1, 1);
    let registry = holding(&image).await;
    registry.load("a", "v2", &image).await;
    registry.load("a", "v3", &image).await;
    registry.fail(Fault::everywhere("/manifests/v1").status(404));
    registry.fail(Fault::everywhere("/manifests/v3").status(400));
    let repository = at(&client(), &registry.host());
    let wanted = [tag("v1"), tag("v2"), tag("v3")];
    let inventory = repository.inventory(&wanted).await.expect("the others are known");
    let error = inventory.unread(&wanted[0]).expect("it is not known");
    assert!(matches!(error.fault(), RequestFault::ListedNotFound), "{error}");
    assert!(printed(&error).contains("404 Not Found, although the registry lists it"), "{error}");
    assert!(inventory.unread(&wanted[2]).is_some() && inventory.unread(&wanted[1]).is_none());
    let v = |text: &str| inventory.tag(&text.parse().expect("a tag")).present().copied();
    assert_eq!([v("v1"), v("v2"), v("v3")], [None, Some(image.digest()), None]);
}

#[tokio::test]
async fn signed_urls_that_are_good_for_get_only_are_followed_by_get() {
    let image = fixture::image(1, 1);
    let (manifest, blob) = (image.bytes.clone(), image.blobs[0].bytes.clone());
    // As object storage does: whatever is not the signed method is refused, and nothing names a digest.
    let storage =
        Scripted::start(move |request| match (&request.method, request.target.as_str()) {
            (&Method::GET, "/manifest?sig=1") => {
                let text = std::str::from_utf8(&manifest).expect("JSON");
                reply(200, &["Content-Type: application/octet-stream"], text)
            }
            (&Method::GET, "/blob?sig=1") if request.header("range") == "bytes=0-0" => {
                reply(206, &[&format!("Content-Range: bytes 0-0/{}", blob.len())], "x")
            }
            _ => reply(403, &["Content-Type: application/xml"], "<Error/>"),
        })
        .await;
    let base = format!("http://{}", storage.host);
    let registry = Scripted::start(move |request| {
        let what = if request.target.contains("/blobs/") { "blob" } else { "manifest" };
        redirect(&format!("{base}/{what}?sig=1"))
    })
    .await;
    let repository = at(&client(), &registry.host);
    let found =
        repository.find_manifest(&tag("v1")).await.expect("GET succeeds").expect("a manifest");
    assert_eq!((found.digest, found.size), (image.digest(), image.bytes.len() as u64));
    let blob = &image.blobs[0].descriptor;
    let found = repository.find_blob(&blob.digest, blob.size).await.expect("GET succeeds");
    assert_eq!(found, FoundBlob::Present);
}

#[tokio::test]
async fn one_byte_proves_a_blob_whatever_the_server_does_with_ranges() {
    let blob = Digest::sha256(b"");
    let large = "x".repeat(1 << 20);
    let present = FoundBlob::Present;
    for (status, headers, body, size, expected) in [
        (200, &[][..], large.as_str(), 1 << 20, present),
        (200, &[], large.as_str(), 9, FoundBlob::OtherLength(1 << 20)),
        (206, &["Content-Range: bytes 0-0/9"], "x", 9, present),
        (206, &["Content-Range: bytes 0-0/9"], "x", 10, FoundBlob::OtherLength(9)),
        (206, &["Content-Range: bytes 0-0/*"], "x", 10, present),
        (416, &["Content-Range: bytes */0"], "", 0, present),
        (416, &["Content-Range: bytes */0"], "", 1, FoundBlob::OtherLength(0)),
        (404, &[], "", 0, FoundBlob::Absent),
    ] {
        let body = body.to_owned();
        let server = Scripted::start(move |request| match request.method {
            Method::HEAD => reply(403, &[], ""),
            _ => reply(status, headers, &body),
        })
        .await;
        let found = at(&client(), &server.host).find_blob(&blob, size).await;
        assert_eq!(found.expect("GET succeeds"), expected, "{status} {headers:?}");
        assert_eq!(server.lines().len(), 2, "{status}");
    }
    // One that knows no ranges at all.
    let server = Scripted::start(|request| match request.header("range") {
        "" if request.method == Method::GET => reply(200, &[], "x"),
        _ => reply(416, &[], ""),
    })
    .await;
    let found = at(&client(), &server.host).find_blob(&blob, 1).await;
    assert_eq!(found.expect("GET succeeds"), present);
}

#[tokio::test]
async fn a_wrong_length_of_head_is_corrected_by_get_and_head_is_not_sent_again() {
    let whole = |headers: &'static [&'static str]| {
        Scripted::start(move |request| match request.method {
            Method::HEAD => reply(200, headers, ""),
            _ => reply(206, &["Content-Range: bytes 0-0/9"], "x"),
        })
    };
    let blob = Digest::sha256(b"nine byte");
    let server = whole(&["Content-Length: 3"]).await;
    let repository = at(&client(), &server.host);
    for _ in 0..2 {
        let found = repository.find_blob(&blob, 9).await.expect("GET succeeds");
        assert_eq!(found, FoundBlob::Present);
    }
    assert_eq!(server.lines().len(), 3, "HEAD, GET, GET");
}

#[tokio::test]
async fn a_page_for_people_is_no_proof_of_presence() {
    let page = ["Content-Type: text/html; charset=utf-8"];
    let server = Scripted::start(move |_| reply(200, &page, "<html>Please log in</html>")).await;
    let repository = at(&client(), &server.host);
    let digest = Digest::sha256(b"x");
    let by_tag = repository.find_manifest(&tag("v1")).await.expect_err("no manifest");
    let by_digest = repository.find_manifest(&digest.into()).await.expect_err("no manifest");
    let blob = repository.find_blob(&digest, 1).await.expect_err("no blob");
    let listing = repository.tags().await.expect_err("no listing");
    let inventory = repository.inventory(&[tag("v1")]).await.expect_err("no listing");
    let catalog = client().catalog(&server.host).await.expect_err("no listing");
    for error in [by_tag, by_digest, blob, listing, inventory, catalog] {
        assert!(printed(&error).contains("got an HTML page (text/html) instead"), "{error}");
        assert!(printed(&error).contains(&server.url()), "it says where: {error}");
    }
}

#[tokio::test]
async fn a_page_in_place_of_content_is_reported_as_such() {
    let page = "<!DOCTYPE html><title>Welcome to the hotel</title>";
    for headers in [&["Content-Type: text/html"][..], &[]] {
        let server = Scripted::start(move |_| reply(200, headers, page)).await;
        let repository = at(&client(), &server.host);
        let expected = "a proxy or a login page is in the way";
        let manifest = repository.manifest(&digest().into()).await.expect_err("no manifest");
        assert!(manifest.to_string().contains(expected), "{manifest}");
        if headers.is_empty() {
            continue;
        }
        let blob = read(repository.blob(&digest()).await.expect("it begins")).await;
        let blob = blob.expect_err("no blob").to_string();
        assert!(blob.contains(expected) && !blob.contains("digest"), "{blob}");
    }
    // Content that is HTML, and has its digest, is content.
    let html = "<html>an artifact</html>";
    let server = Scripted::start(move |_| reply(200, &["Content-Type: text/html"], html)).await;
    let wanted = Digest::sha256(html.as_bytes());
    let blob = at(&client(), &server.host).blob(&wanted).await.expect("it begins");
    assert_eq!(read(blob).await.expect("it is right"), html.as_bytes());
    // In place of a token.
    let registry = Scripted::start(move |request| match request.target.starts_with("/token") {
        true => reply(200, &["Content-Type: text/html"], page),
        false => {
            let realm = format!("http://{}/token", request.header("host"));
            reply(401, &[&format!(r#"WWW-Authenticate: Bearer realm="{realm}""#)], "")
        }
    })
    .await;
    let error = at(&client(), &registry.host).tags().await.expect_err("no token");
    assert!(printed(&error).contains("cannot get a token: GET"), "{error}");
    assert!(printed(&error).contains("got an HTML page"), "{error}");
}

#[tokio::test]
async fn a_404_of_the_target_of_a_redirect_is_no_proof_of_absence() {
    let server = Scripted::start(|request| match request.target.starts_with("/v2/") {
        true => redirect("/signed/x?signature=1"),
        false => reply(404, &["Content-Type: application/xml"], "<Code>NoSuchKey</Code>"),
    })
    .await;
    let (client, digest) = (client(), digest());
    let repository = at(&client, &server.host);
    let by_tag = repository.find_manifest(&tag("v1")).await.expect_err("nothing is known");
    let by_digest = repository.find_manifest_by_get(&digest.into()).await;
    let by_digest = by_digest.expect_err("nothing is known");
    let hint = repository.hint_manifest(&tag("v1")).await.expect_err("nothing is known");
    let blob = repository.find_blob(&digest, 6).await.expect_err("nothing is known");
    let tags = repository.tags().await.expect_err("nothing is known");
    let inventory = repository.inventory(&[tag("v1")]).await.expect_err("nothing is known");
    let referrers = repository.referrers(&digest, None).await.expect_err("nothing is known");
    for error in [by_tag, by_digest, hint, blob, tags, inventory, referrers] {
        assert!(!error.is_not_found(), "{error}");
        let expected =
            format!("redirected to http://{}/signed/x, which responded with 404", server.host);
        assert!(printed(&error).contains(&expected), "{error}");
    }
}
