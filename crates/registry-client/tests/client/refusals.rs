//! Rejected requests and unreachable hosts: the texts, and the predicates for callers.

use bytes::Bytes;
use oci::{Host, media_type};
use registry_client::{RegistryClient, Retries};
use testkit::TestHost;

use crate::support::{
    BLOB, Scripted, at, client, fault_of, hasty, printed, read_from, redirect, reply, tag,
};

#[tokio::test]
async fn a_refused_connection_is_unreachable() {
    let host = TestHost::unreachable();
    let error = client().ping(&host).await.expect_err("the port is closed");
    let cause = "cannot connect: Connection refused";
    assert_eq!(printed(&error), format!("GET http://{host}/v2/: {cause}"));
    assert!(error.is_unreachable() && error.is_transient());
}

#[tokio::test]
async fn a_name_without_address_is_unreachable() {
    // A label has 63 characters at most (RFC 1035), so that no query is sent to a name server.
    let host: Host = format!("{}.invalid", "x".repeat(64)).parse().expect("a host");
    let client =
        RegistryClient::builder().retries(Retries::none()).plain_http(host.clone()).build();
    let error = client.ping(&host).await.expect_err("no such name");
    let text = format!("GET http://{host}/v2/: cannot resolve {host}: no such host");
    assert_eq!(printed(&error), text);
    assert!(error.is_unreachable());
}

#[tokio::test]
async fn a_host_that_no_url_can_have_is_unreachable() {
    let host: Host = "0.0.0.999".parse().expect("a host");
    let error = client().ping(&host).await.expect_err("no such address");
    let text = "GET https://0.0.0.999/v2/: the host cannot be used in a URL: invalid IPv4 address";
    assert_eq!(printed(&error), text);
    assert!(error.is_unreachable() && !error.is_transient());
}

#[tokio::test]
async fn no_tls_where_tls_is_due_is_unreachable() {
    let plain = Scripted::start(|_| reply(200, &[], BLOB)).await;
    // The same address in words that are not taken for a loopback host.
    let host: Host = plain.host.as_str().replace("127.0.0.1", "127.1").parse().expect("a host");
    let error = client().ping(&host).await.expect_err("no TLS there");
    let authority = &plain.host;
    let text = format!(
        "GET https://{authority}/v2/: this port speaks plain HTTP; use --plain-http {authority}"
    );
    assert_eq!(printed(&error), text, "no other host than a loopback one falls back to it");
    assert!(error.is_unreachable() && !error.is_transient());
}

#[tokio::test]
async fn a_host_behind_a_redirect_is_not_the_requested_one() {
    let (plain, closed) =
        (Scripted::start(|_| reply(200, &[], BLOB)).await, TestHost::unreachable());
    for (location, fault, transient) in [
        (format!("http://{closed}/x"), "cannot connect: ", true),
        (format!("https://{}/x", plain.host), "this port speaks plain HTTP", false),
    ] {
        let start = format!("GET {location}: {fault}");
        let front = Scripted::start(move |_| redirect(&location)).await;
        let error = read_from(&client(), &front.host).await.expect_err("no response");
        assert!(printed(&error).starts_with(&start), "{error}");
        assert!(!error.is_unreachable());
        assert_eq!(error.is_transient(), transient, "{error}");
    }
}

#[tokio::test]
async fn a_silent_host_is_unreachable_once_the_deadline_has_passed() {
    let silent = TestHost::silent();
    let error = hasty().ping(&silent.host()).await.expect_err("it says nothing");
    let text = format!("GET https://{}/v2/: no response within 1s", silent.host());
    assert_eq!(printed(&error), text);
    assert!(error.is_unreachable() && error.is_transient());
}

#[tokio::test]
async fn refusals_say_status_codes_and_messages() {
    let unauthorized =
        r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":[]}]}"#;
    for (status, body, text) in [
        (404, "<html>", "404 Not Found"),
        (401, unauthorized, "401 Unauthorized (UNAUTHORIZED: authentication required)"),
        (500, r#"{"errors":[{"code":"UNKNOWN"}]}"#, "500 Internal Server Error (UNKNOWN)"),
        (503, "", "503 Service Unavailable"),
        (300, "", "300 Multiple Choices"),
        (304, "", "304 Not Modified"),
    ] {
        let server = Scripted::start(move |_| reply(status, &[], body)).await;
        let (found, error) = fault_of(&client(), &server.host).await;
        assert_eq!(found, text);
        assert_eq!(error.status().map(|status| status.as_u16()), Some(status));
    }
}

#[tokio::test]
async fn a_refusal_is_not_read_without_end() {
    let json = format!(r#"{{"errors":[{{"code":"{}"}}]}}"#, "X".repeat(64 << 10));
    let server = Scripted::start(move |_| reply(502, &[], &json)).await;
    assert_eq!(fault_of(&client(), &server.host).await.0, "502 Bad Gateway");
    server.fail(testkit::Fault::everywhere("").stall_after(1));
    assert_eq!(fault_of(&hasty(), &server.host).await.0, "502 Bad Gateway");
}

#[tokio::test]
async fn any_response_but_a_server_error_is_a_registry_that_responds() {
    for (status, fine) in
        [(200, true), (401, true), (404, true), (307, true), (500, false), (503, false)]
    {
        let server = Scripted::start(move |_| reply(status, &[], "")).await;
        let pinged = client().ping(&server.host).await;
        assert_eq!(pinged.is_ok(), fine, "{status}: {pinged:?}");
        assert_eq!(server.lines(), ["GET /v2/"]);
        // The same after a redirect, such as to a login page.
        let server = Scripted::start(move |request| match &*request.target {
            "/v2/" => redirect("/login"),
            _ => reply(status, &[], ""),
        })
        .await;
        let pinged = client().ping(&server.host).await;
        assert_eq!(pinged.is_ok(), fine, "{status} after a redirect: {pinged:?}");
    }
}

#[tokio::test]
async fn only_get_and_head_are_redirected() {
    let server = Scripted::start(|_| redirect("/x")).await;
    let repository = at(&client(), &server.host);
    let put = repository.put_manifest(&tag("t"), media_type::OCI_INDEX, Bytes::new()).await;
    let text = format!(
        "PUT http://{0}/v2/a/manifests/t: the redirect to http://{0}/x was not followed: \
         only GET and HEAD are redirected, and a POST without content by 307 or 308",
        server.host
    );
    assert_eq!(put.expect_err("a refusal").to_string(), text);
    assert_eq!(server.lines().len(), 1);
}
