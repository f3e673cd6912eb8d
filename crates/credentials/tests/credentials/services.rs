//! How Google's services are reached: by a proxy, with a private certificate authority, again after a failure, and with
//! a bound on the time and the size of a response.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use credentials::{Credentials, CredentialsBuilder, Google};
use futures_util::stream;
use http::{Request, Response};
use http_client::{Pool, PoolSettings, Proxies, ProxyVariables, TlsSettings};
use testkit::{Body, Fault, TestProxy, TestServer, TestTlsServer};
use tokio::time::Instant;

use crate::support::{TestDirectory, basic, fail, get};

const TOKEN: &str = r#"{"access_token":"t1","expires_in":3600}"#;
/// Short for a response that does not come, and long for one on loopback.
const SHORT: Duration = Duration::from_millis(300);

/// A server that issues one token.
async fn token_server() -> TestServer {
    TestServer::start(|_: Request<Body>| async { Response::new(Body::from(TOKEN)) }).await
}

/// Credentials of a user, whose tokens are requested at `url`.
fn user(place: &TestDirectory, url: &str) -> CredentialsBuilder {
    let file = r#"{"type":"authorized_user","client_id":"c","client_secret":"hunter2-c","refresh_token":"hunter2-r"}"#;
    let google = Google::new().named_file(place.file("google.json", file));
    Credentials::builder().google(google.token_url(url.parse().expect("a URL")))
}

/// Connections by this proxy, that trust this authority besides.
fn pool(proxy: Option<&TestProxy>, authority: Option<&str>) -> Arc<Pool> {
    let url = proxy.map(|proxy| format!("http://user:hunter2@{}", proxy.address()));
    let variables = ProxyVariables { http: url.clone(), https: url, ..ProxyVariables::default() };
    let mut tls = TlsSettings::none();
    if let Some(pem) = authority {
        tls.trust_pem(pem.as_bytes()).expect("a certificate");
    }
    let proxies = Proxies::new(&variables).expect("proxies");
    Arc::new(Pool::new(PoolSettings { proxies, ..PoolSettings::new(tls) }))
}

#[tokio::test]
async fn tokens_are_requested_by_the_proxy() {
    let (place, server) = (TestDirectory::new(), token_server().await);
    let hosts = [("tokens.example:80", server.address())];
    let proxy = TestProxy::start(&hosts, Some("Basic dXNlcjpodW50ZXIy")).await;
    let credentials = user(&place, "http://tokens.example/users").build();
    credentials.connect_by(&pool(Some(&proxy), None));
    assert_eq!(get(&credentials, "gcr.io").await, Some(basic("oauth2accesstoken", "t1")));
    let lines: Vec<_> = proxy.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(lines, ["POST http://tokens.example/users"]);
}

#[tokio::test]
async fn the_metadata_server_is_never_requested_by_a_proxy() {
    let server = token_server().await;
    // The proxy would find this name (RFC 6761 §6.4); without it there is no such host.
    let proxy = TestProxy::start(&[("metadata.invalid:80", server.address())], None).await;
    let google = Google::new()
        .metadata_host("metadata.invalid".parse().expect("a host"))
        .metadata_wait(Duration::ZERO);
    let credentials = Credentials::builder().google(google).build();
    credentials.connect_by(&pool(Some(&proxy), None));
    assert_eq!(get(&credentials, "gcr.io").await, None);
    assert_eq!(proxy.requests(), []);
}

#[tokio::test]
async fn a_token_server_may_have_a_certificate_of_a_private_authority() {
    let server = TestTlsServer::start("tokens.example", TOKEN).await;
    let proxy = TestProxy::start(&[("tokens.example:443", server.address())], None).await;
    let place = TestDirectory::new();
    for authority in [None, Some(server.certificate())] {
        let credentials = user(&place, "https://tokens.example/users").build();
        credentials.connect_by(&pool(Some(&proxy), authority));
        match authority {
            Some(_) => {
                let credential = get(&credentials, "gcr.io").await;
                assert_eq!(credential, Some(basic("oauth2accesstoken", "t1")));
            }
            None => {
                let error = fail(&credentials, "gcr.io").await.to_string();
                assert!(error.contains("POST https://tokens.example/users: TLS "), "{error}");
            }
        }
    }
    assert!(proxy.requests().iter().all(|request| request.line == "CONNECT tokens.example:443"));
}

#[tokio::test]
async fn a_request_is_sent_again_after_the_time_that_the_response_names() {
    for status in [429, 503] {
        let (place, server) = (TestDirectory::new(), token_server().await);
        server.fail(Fault::everywhere("").times(1).status(status).header("retry-after", "1"));
        let credentials = user(&place, &server.url()).build();
        let start = Instant::now();
        assert_eq!(get(&credentials, "gcr.io").await, Some(basic("oauth2accesstoken", "t1")));
        assert!(start.elapsed() >= Duration::from_secs(1), "{status}: {:?}", start.elapsed());
        assert_eq!(server.requests().len(), 2, "{status}");
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_an_error() {
    let place = TestDirectory::new();
    let endless = TestServer::start(|_: Request<Body>| async {
        let piece = Bytes::from_static(&[b'x'; 1 << 14]);
        let pieces = stream::repeat_with(move || Ok::<_, io::Error>(piece.clone()));
        Response::new(Body::from_stream(pieces))
    })
    .await;
    let credentials = user(&place, &endless.url()).build();
    let error = fail(&credentials, "gcr.io").await;
    assert!(error.to_string().ends_with("the response is longer than 1048576 bytes"), "{error}");
    assert!(!error.is_transient());
    assert_eq!(endless.requests().len(), 1);

    let silent = TestServer::start(|_: Request<Body>| async {
        Response::new(Body::from_stream(stream::pending::<Result<Bytes, io::Error>>()))
    })
    .await;
    let credentials = user(&place, &silent.url()).service_deadline(SHORT).build();
    let error = fail(&credentials, "gcr.io").await;
    let text = "the response was incomplete after 300ms: 0 bytes had arrived";
    assert!(error.to_string().ends_with(text), "{error}");
    assert!(error.is_transient());
    assert_eq!(silent.requests().len(), 4);
}
