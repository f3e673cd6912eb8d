//! Responses that succeed, and hold something else than the content.

use http::Method;
use oci::Digest;
use registry_client::{FoundBlob, RequestFault};

use crate::support::{BLOB, Scripted, at, client, digest, fault_of, read_from, reply, tag};

const COMPRESSED: &str = "the response is compressed (Content-Encoding: gzip) although no compression was requested; \
                          a proxy changes responses";

#[tokio::test]
async fn a_compressed_response_is_reported_as_that_and_not_as_a_wrong_digest() {
    let named = format!("Docker-Content-Digest: {}", digest());
    // With a length, as a whole blob is sent; the digest of what was compressed; and neither.
    for headers in [&["Content-Encoding: gzip", &named][..], &["Content-Encoding: gzip"]] {
        let headers: Vec<_> = headers.iter().map(|&header| header.to_owned()).collect();
        let server = Scripted::start(move |_| {
            let headers: Vec<_> = headers.iter().map(String::as_str).collect();
            reply(200, &headers, "\u{1f}\u{8b}: a compressed body")
        })
        .await;
        let (fault, _) = fault_of(&client(), &server.host).await;
        assert!(fault.starts_with(COMPRESSED), "{fault}");
        let repository = at(&client(), &server.host);
        for reference in [tag("v1"), digest().into()] {
            let read = repository.manifest(&reference).await.expect_err("it is compressed");
            let found = repository.find_manifest(&reference).await.expect_err("it is compressed");
            for error in [read, found] {
                assert!(error.to_string().contains(COMPRESSED), "{error}");
                assert!(!error.is_wrong_content(), "a proxy in the way does not break an image");
            }
        }
        let found = repository.find_blob(&digest(), 6).await.expect_err("it is compressed");
        assert!(found.to_string().contains(COMPRESSED), "{found}");
        let tags = repository.tags().await.expect_err("it is compressed");
        assert!(tags.to_string().contains(COMPRESSED), "{tags}");
    }
}

#[tokio::test]
async fn content_with_its_digest_is_read_whatever_encoding_its_storage_names() {
    let server = Scripted::start(|_| reply(200, &["Content-Encoding: aws-chunked"], BLOB)).await;
    assert_eq!(read_from(&client(), &server.host).await.expect("a blob"), BLOB.as_bytes());
    let repository = at(&client(), &server.host);
    let manifest = repository.manifest(&digest().into()).await.expect("a manifest");
    assert_eq!(manifest.bytes, BLOB);
    let found = repository.find_blob(&digest(), 6).await.expect("a result");
    assert_eq!(found, FoundBlob::Present);
}

#[tokio::test]
async fn a_tag_with_an_empty_response_is_an_error_and_has_no_digest() {
    let empty = format!("Docker-Content-Digest: {}", Digest::sha256(b""));
    for (status, headers) in [(204, vec![]), (200, vec![]), (200, vec![empty.as_str()])] {
        let headers: Vec<_> = headers.into_iter().map(str::to_owned).collect();
        let server = Scripted::start(move |_| {
            let headers: Vec<_> = headers.iter().map(String::as_str).collect();
            reply(status, &headers, "")
        })
        .await;
        let repository = at(&client(), &server.host);
        let read = repository.manifest(&tag("v1")).await.expect_err("nothing came");
        let found = repository.find_manifest(&tag("v1")).await.expect_err("nothing came");
        let by_get = repository.find_manifest_by_get(&tag("v1")).await.expect_err("nothing came");
        for error in [read, found, by_get] {
            let text = error.to_string();
            assert!(text.contains(": empty response instead of a manifest"), "{text}");
            assert!(!text.contains("e3b0c442"), "{text}");
            assert!(matches!(error.fault(), RequestFault::Empty { .. }) && !error.is_not_found());
        }
        assert!(
            server.received().iter().all(|it| [Method::GET, Method::HEAD].contains(&it.method))
        );
    }
}

#[tokio::test]
async fn a_blob_with_an_empty_response_is_neither_present_nor_of_a_wrong_digest() {
    let server = Scripted::start(|_| reply(204, &[], "")).await;
    let (fault, _) = fault_of(&client(), &server.host).await;
    assert!(fault.starts_with("empty response instead of a blob"), "{fault}");
    let repository = at(&client(), &server.host);
    let found = repository.find_blob(&digest(), 6).await.expect_err("nothing came");
    assert!(matches!(found.fault(), RequestFault::Empty { .. }), "{found}");
}

#[tokio::test]
async fn a_page_that_names_the_digest_of_the_blob_is_reported_as_a_page() {
    let named = format!("Docker-Content-Digest: {}", digest());
    for (body, is_blob) in [("<html>hello</html>", false), ("<html>", false), (BLOB, true)] {
        let named = named.clone();
        let headers = move || ["Content-Type: text/html".to_owned(), named.clone()];
        let server = Scripted::start(move |_| {
            let headers = headers();
            reply(200, &headers.each_ref().map(String::as_str), body)
        })
        .await;
        if is_blob {
            let read = read_from(&client(), &server.host).await.expect("it has the digest");
            assert_eq!(read, BLOB.as_bytes());
            continue;
        }
        let (fault, error) = fault_of(&client(), &server.host).await;
        assert!(
            fault.starts_with("got an HTML page (text/html) instead of the content"),
            "{fault}"
        );
        assert!(!error.is_wrong_content(), "a page in the way does not break an image");
    }
}

#[tokio::test]
async fn an_error_with_a_status_of_success_is_no_manifest_and_has_no_digest() {
    const ERROR: &str = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such tag"}]}"#;
    let text = "the response has a success status, but contains an error instead of a manifest \
                (MANIFEST_UNKNOWN: no such tag)";
    let named = format!("Docker-Content-Digest: {}", Digest::sha256(ERROR.as_bytes()));
    for headers in [vec!["Content-Type: application/json".to_owned()], vec![named]] {
        let has_digest = headers[0].starts_with("Docker");
        let server = Scripted::start(move |request| match request.method {
            Method::GET => reply(200, &[&headers[0]], ERROR),
            _ => reply(404, &[], ""),
        })
        .await;
        let repository = at(&client(), &server.host);
        let read = repository.manifest(&tag("v1")).await.expect_err("it is an error");
        let found = repository.find_manifest(&tag("v1")).await.expect_err("it is an error");
        for error in [read, found] {
            assert!(error.to_string().ends_with(text), "{has_digest}: {error}");
            assert!(!error.is_not_found(), "the status is what proves absence");
        }
    }
    // A manifest may have such a member of its own.
    let manifest = r#"{"schemaVersion":2,"errors":[{"code":"X"}]}"#;
    let server = Scripted::start(move |_| reply(200, &[], manifest)).await;
    let read = at(&client(), &server.host).manifest(&tag("v1")).await.expect("a manifest");
    assert_eq!(read.digest, Digest::sha256(manifest.as_bytes()));
}
