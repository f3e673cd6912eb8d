//! Where the client dials when a registry names the host.

use bytes::Bytes;
use oci::Host;
use registry_client::{BlobPush, ClientBuilder, RegistryClient};
use testkit::TestServer;

use crate::support::{BLOB, Scripted, at, digest, printed, read_from, redirect, reply};

/// A client to which `registry` is public, though its address is not.
fn wary_of(registry: &TestServer) -> ClientBuilder {
    RegistryClient::builder().treat_as_public(registry.host())
}

#[tokio::test]
async fn a_public_host_leads_to_no_private_address() {
    let private = Scripted::start(|_| reply(200, &[], BLOB)).await;
    let port = private.address().port();
    for (request, target) in [("localhost", "127.0.0.1"), ("127.0.0.1", "localhost")] {
        private.clear_requests();
        let to = format!("http://{target}:{port}/secret");
        let public = Scripted::start(move |_| redirect(&to)).await;
        let host: Host = format!("{request}:{}", public.address().port()).parse().expect("a host");
        let wary = || RegistryClient::builder().treat_as_public(host.clone());
        let error = read_from(&wary().build(), &host).await.expect_err("it is refused");
        let text = printed(&error);
        assert!(text.contains("a public host points to the private address"), "{text}");
        assert!(!error.is_unreachable() && !error.is_transient(), "{text}");
        assert_eq!(private.requests().len(), 0, "{target}");

        let client = wary().allow_private(target).build();
        read_from(&client, &host).await.expect("it is allowed");
        assert_eq!(private.requests().len(), 1, "{target}");
    }
}

#[tokio::test]
async fn a_public_host_opens_no_upload_session_at_a_private_address() {
    let private = Scripted::start(|_| reply(201, &[], "")).await;
    let to = format!("Location: http://127.0.0.1:{}/up", private.address().port());
    let public = Scripted::start(move |_| reply(202, &[&to], "")).await;
    let host: Host = format!("localhost:{}", public.address().port()).parse().expect("a host");
    let client = RegistryClient::builder().treat_as_public(host.clone()).build();
    let (push, bytes) = (BlobPush::new(digest(), 6), Bytes::from(BLOB));
    let error = at(&client, &host).push_blob(&push, &bytes).await.expect_err("it is refused");
    assert!(printed(&error).contains("points to the private address 127.0.0.1"), "{error}");
    assert!(!error.is_unreachable(), "the registry itself responds");
    assert_eq!(private.requests().len(), 0);
}

#[tokio::test]
async fn a_public_host_may_lead_to_itself() {
    let public = Scripted::start(|request| match request.target.as_str() {
        "/x" => reply(200, &[], BLOB),
        _ => redirect("/x"),
    })
    .await;
    read_from(&wary_of(&public).build(), &public.host).await.expect("it is the same host");
}

#[tokio::test]
async fn a_private_host_may_lead_to_another() {
    let private = Scripted::start(|_| reply(200, &[], BLOB)).await;
    let to = format!("http://{}/x", private.host);
    let front = Scripted::start(move |_| redirect(&to)).await;
    read_from(&RegistryClient::builder().build(), &front.host).await.expect("both are private");
}

#[tokio::test]
async fn a_realm_on_a_private_address_gets_no_request() {
    let realm = Scripted::start(|_| reply(200, &[], r#"{"token":"t"}"#)).await;
    let port = realm.address().port();
    let public = Scripted::start(move |_| {
        let challenge =
            format!(r#"WWW-Authenticate: Bearer realm="http://127.0.0.1:{port}/token""#);
        reply(401, &[&challenge], "")
    })
    .await;
    let host: Host = format!("localhost:{}", public.address().port()).parse().expect("a host");
    let client = RegistryClient::builder().treat_as_public(host.clone()).build();
    let text = printed(&read_from(&client, &host).await.expect_err("it is refused"));
    assert!(text.contains("points to the private address 127.0.0.1"), "{text}");
    assert_eq!((realm.requests().len(), public.requests().len()), (0, 1));

    let client = RegistryClient::builder().build();
    let error = read_from(&client, &host).await.expect_err("the token is not good");
    assert!(error.is_unauthorized(), "both are private: {error}");
    assert!(!realm.requests().is_empty());
}
