//! Redirects: which are followed, with which method, and what is not taken along.

use credentials::{Credential, Credentials};
use http::{HeaderValue, Method, header};
use oci::media_type;
use registry_client::{Mount, RegistryClient};

use crate::support::{BLOB, Scripted, at, client, digest, name, read_from, redirect, reply, tag};

fn authorization() -> Credential {
    Credential::Basic { user: "me".to_owned(), password: "very-secret".to_owned().into() }
}

/// A registry that wants `Basic` credentials, and redirects what has them to `location` with `status`.
async fn redirecting(status: u16, location: String) -> Scripted {
    Scripted::start(move |request| match request.header("authorization") {
        "" => reply(401, &["WWW-Authenticate: Basic realm=x"], ""),
        _ => reply(status, &[&format!("Location: {location}")], ""),
    })
    .await
}

#[tokio::test]
async fn a_post_that_begins_an_upload_follows_307_and_308_to_where_the_session_is() {
    for status in [307, 308] {
        let other = Scripted::start(|request| match request.method {
            Method::POST => reply(202, &["Location: session?state=1"], ""),
            _ => reply(201, &[], ""),
        })
        .await;
        let to = format!("http://{}/v2/there/blobs/uploads/", other.host);
        let registry = redirecting(status, to).await;
        let credentials = Credentials::builder().with(&registry.host, authorization()).build();
        let client = RegistryClient::builder().credentials(credentials).build();
        let repository = at(&client, &registry.host);
        let upload = repository.start_upload().await.expect("a session");
        upload.finish(&digest(), 6).await.expect("it is stored");
        let mount = repository.mount_blob(&digest(), &name("b")).await;
        assert!(matches!(mount, Ok(Mount::Upload(_))), "{mount:?}");
        let path = "/v2/there/blobs/uploads/";
        let put = format!("PUT {path}session?state=1&digest={}", digest()).replace(":", "%3A");
        assert_eq!(other.lines(), [format!("POST {path}"), put, format!("POST {path}")]);
        for request in other.received() {
            assert_eq!(request.header("authorization"), "", "it is for the registry alone");
        }
    }
}

#[tokio::test]
async fn a_post_follows_no_other_redirect_no_downgrade_and_no_loop() {
    const METHOD: &str =
        "only GET and HEAD are redirected, and a POST without content by 307 or 308";
    for (status, location, reason) in [
        (301, "/elsewhere", METHOD),
        (302, "/elsewhere", METHOD),
        (303, "/elsewhere", METHOD),
        (307, "http://registry.example/x", "plain HTTP is allowed only for hosts"),
        (308, "/v2/a/blobs/uploads/", "it leads back to where it came from"),
    ] {
        let location = format!("Location: {location}");
        let server = Scripted::start(move |_| reply(status, &[&location], "")).await;
        let error = at(&client(), &server.host).start_upload().await.expect_err("not followed");
        assert!(error.to_string().contains(reason), "{status}: {error}");
        assert_eq!(server.lines(), ["POST /v2/a/blobs/uploads/"]);
    }
    let server = Scripted::start(|request| redirect(&format!("{}x", request.target))).await;
    let error = at(&client(), &server.host).start_upload().await.expect_err("no end");
    assert!(error.to_string().ends_with("the limit is 5 redirects in a row"), "{error}");
    assert_eq!(server.lines().len(), 6);
}

#[tokio::test]
async fn a_303_is_followed_to_blobs_and_manifests() {
    let storage = Scripted::start(|_| reply(200, &[], BLOB)).await;
    let to = format!("Location: http://{}/x", storage.host);
    let registry = Scripted::start(move |_| reply(303, &[&to], "")).await;
    let read = read_from(&client(), &registry.host).await.expect("a blob");
    assert_eq!(read, BLOB.as_bytes());
    let repository = at(&client(), &registry.host);
    assert_eq!(repository.manifest(&tag("v1")).await.expect("a manifest").bytes, BLOB);
    assert!(repository.find_blob(&digest(), 6).await.expect("a result").is_present());
    assert_eq!(storage.lines(), ["GET /x", "GET /x", "HEAD /x"]);
    let put = repository.put_manifest(&tag("t"), media_type::OCI_INDEX, BLOB.into()).await;
    let error = put.expect_err("what is sent is not read");
    assert!(error.to_string().contains("only GET and HEAD are redirected"), "{error}");
}

#[tokio::test]
async fn a_location_in_utf_8_is_percent_encoded_and_one_in_another_encoding_is_named_so() {
    let latin: &[u8] = b"/gr\xfc\xdfe";
    for (location, leads_to) in [("/gr\u{fc}\u{df}e?n=\u{e9}".as_bytes(), true), (latin, false)] {
        let location = HeaderValue::from_bytes(location).expect("a value");
        let server = Scripted::start(move |request| {
            if request.target.starts_with("/gr") {
                return reply(200, &[], BLOB);
            }
            let mut response = redirect("");
            response.headers_mut().insert(header::LOCATION, location.clone());
            response
        })
        .await;
        let read = read_from(&client(), &server.host).await;
        match read {
            Ok(read) if leads_to => assert_eq!(read, BLOB.as_bytes()),
            Err(error) if !leads_to => {
                let text = "the redirect was not followed: it is neither ASCII nor UTF-8";
                assert!(error.to_string().contains(text), "{error}");
            }
            other => panic!("{other:?}"),
        }
        let last = server.lines().pop().expect("a request");
        assert_eq!(last == "GET /gr%C3%BC%C3%9Fe?n=%C3%A9", leads_to, "{last}");
    }
}
