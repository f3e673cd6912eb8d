//! Requests by an HTTP proxy. The hosts have names that only the proxy knows.

use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use credentials::{Credential, Credentials};
use http::{Response, StatusCode, header};
use http_client::{Proxies, ProxyVariables};
use oci::Host;
use registry_client::{ClientBuilder, Error, RegistryClient, Retries};
use testkit::{Body, TestProxy, TestServer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::tls::{made, serve, trust};

/// `user:secret-7`.
const AUTHORIZATION: &str = "Basic dXNlcjpzZWNyZXQtNw==";
const PLAIN: &str = "plain.example";

fn by(proxy: &TestProxy, user: &str) -> ClientBuilder {
    by_url(format!("http://{user}{}", proxy.address()))
}

fn by_url(url: String) -> ClientBuilder {
    let url = Some(url);
    let variables = ProxyVariables { http: url.clone(), https: url, ..ProxyVariables::default() };
    let proxies = Proxies::new(&variables).expect("proxies");
    let plain = PLAIN.parse().expect("a host");
    RegistryClient::builder().proxies(proxies).plain_http(plain).retries(Retries::none())
}

async fn ping(client: ClientBuilder, host: &str) -> Result<(), Error> {
    client.build().ping(&host.parse().expect("a host")).await
}

/// A registry under TLS with this name, and its certificate.
async fn tls_registry(name: &str) -> (SocketAddr, String) {
    let certificate = made(name);
    let host = serve(&certificate, None).await;
    let port = host.port().expect("a port");
    (SocketAddr::from(([127, 0, 0, 1], port)), certificate.cert.pem())
}

#[tokio::test]
async fn tls_goes_through_a_tunnel_and_plain_http_in_absolute_form() {
    let server = TestServer::start(|_| async { Response::default() }).await;
    let (tls, pem) = tls_registry("tls.example").await;
    let hosts = [("plain.example:80", server.address()), ("tls.example:443", tls)];
    let proxy = TestProxy::start(&hosts, Some(AUTHORIZATION)).await;
    ping(by(&proxy, "user:secret-7@"), PLAIN).await.expect("by the proxy");
    let trusting = by(&proxy, "user:secret-7@").tls_settings(trust(&pem));
    ping(trusting, "tls.example").await.expect("by the tunnel");
    let lines: Vec<_> = proxy.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(lines, ["GET http://plain.example/v2/", "CONNECT tls.example:443"]);
    for request in server.requests() {
        assert!(!request.headers.contains_key(header::PROXY_AUTHORIZATION), "{request:?}");
    }
}

#[tokio::test]
async fn a_proxy_may_speak_tls_itself() {
    let server = TestServer::start(|_| async { Response::default() }).await;
    let (tls, pem) = tls_registry("tls.example").await;
    let hosts = [("plain.example:80", server.address()), ("tls.example:443", tls)];
    let (proxy, own) = TestProxy::start_with_tls(&hosts, Some(AUTHORIZATION)).await;
    let url = |user: &str| format!("https://{user}{}", proxy.address());
    let trusting = || by_url(url("user:secret-7@")).tls_settings(trust(&format!("{own}{pem}")));
    ping(trusting(), PLAIN).await.expect("by the proxy");
    ping(trusting(), "tls.example").await.expect("by the tunnel");
    let lines: Vec<_> = proxy.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(lines, ["GET http://plain.example/v2/", "CONNECT tls.example:443"]);

    // No credentials go to a proxy whose certificate is not trusted.
    let at = proxy.address();
    for host in [PLAIN, "tls.example"] {
        let client = by_url(url("user:secret-7@")).tls_settings(trust(&pem));
        let error = ping(client, host).await.expect_err("no trust");
        assert!(error.to_string().contains(&format!(": proxy {at}: TLS failed: ")), "{error}");
        assert!(error.is_unreachable() && !error.is_transient(), "{error}");
    }
    assert_eq!(proxy.requests().len(), 2);
    let refused = by_url(url("")).tls_settings(trust(&own));
    let error = ping(refused, "tls.example").await.expect_err("no user").to_string();
    assert!(error.ends_with("into HTTPS_PROXY=https://USER:PASSWORD@HOST:PORT"), "{error}");

    let plain = server.address();
    let client = by_url(format!("https://{plain}")).tls_settings(trust(&pem));
    let error = ping(client, "tls.example").await.expect_err("no TLS");
    let advice = "it does not speak TLS; write http://HOST:PORT in HTTPS_PROXY";
    assert_eq!(error.to_string(), format!("GET https://tls.example/v2/: proxy {plain}: {advice}"));
}

#[tokio::test]
async fn a_proxy_that_refuses_the_user_is_named_and_no_secret_is() {
    let (tls, _) = tls_registry("tls.example").await;
    let proxy = TestProxy::start(&[("tls.example:443", tls)], Some(AUTHORIZATION)).await;
    let address = proxy.address();
    for (user, host, advice) in [
        (
            "",
            "tls.example",
            "; put the user and the password into HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT",
        ),
        (
            "",
            PLAIN,
            "; put the user and the password into HTTP_PROXY=http://USER:PASSWORD@HOST:PORT",
        ),
        (
            "user:wrong-9@",
            "tls.example",
            ": the proxy rejected the user or the password in HTTPS_PROXY; correct them",
        ),
        (
            "user:wrong-9@",
            PLAIN,
            ": the proxy rejected the user or the password in HTTP_PROXY; correct them",
        ),
    ] {
        let error = ping(by(&proxy, user), host).await.expect_err("refused");
        let scheme = if host == PLAIN { "http" } else { "https" };
        let text = format!(
            "GET {scheme}://{host}/v2/: proxy {address}: 407 Proxy Authentication Required{advice}"
        );
        assert_eq!(error.to_string(), text);
        assert!(error.is_unreachable() && !error.is_transient(), "{error}");
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_reach_the_host_or_is_not_there_is_named() {
    let proxy = TestProxy::start(&[], None).await;
    let address = proxy.address();
    let error = ping(by(&proxy, ""), "tls.example").await.expect_err("it knows no host");
    let text = format!(
        "GET https://tls.example/v2/: proxy {address}: 503 Service Unavailable in response to CONNECT tls.example:443"
    );
    assert_eq!(error.to_string(), text);
    assert!(error.is_transient());
    let client = by(&proxy, "");
    drop(proxy);
    let server = TestServer::start(|_| async { Response::default() }).await;
    // Nothing is proxied that is on loopback.
    ping(by(&TestProxy::start(&[], None).await, ""), server.host().as_str()).await.expect("direct");
    tokio::task::yield_now().await;
    let error = ping(client, "tls.example").await.expect_err("it is gone");
    assert!(error.to_string().contains(&format!(": proxy {address}: cannot connect: ")), "{error}");
}

#[tokio::test]
async fn a_host_behind_a_proxy_does_not_send_the_client_to_this_network() {
    for (target, reason) in [
        ("http://169.254.169.254/", "points to the private address 169.254.169.254"),
        (
            "https://metadata.google.internal/",
            "points to the private name `metadata.google.internal`",
        ),
    ] {
        let server = TestServer::start(move |_| async move {
            let response = Response::builder().status(StatusCode::TEMPORARY_REDIRECT);
            response.header(header::LOCATION, target).body(Body::empty()).expect("a response")
        });
        let server = server.await;
        let proxy = TestProxy::start(&[("plain.example:80", server.address())], None).await;
        let allowed = "169.254.169.254".parse().expect("a host");
        let error = ping(by(&proxy, "").plain_http(allowed), PLAIN).await.expect_err(target);
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(proxy.requests().len(), 1, "{target}");
    }
}

/// The result of a request by a proxy that responds so to CONNECT, and then opens the tunnel.
async fn ping_after(head: &'static str) -> Result<(), Error> {
    let (tls, pem) = tls_registry("tls.example").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(client.read_u8().await.expect("a request"));
        }
        client.write_all(head.as_bytes()).await.expect("it is taken");
        let mut server = TcpStream::connect(tls).await.expect("the registry");
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    let variables = ProxyVariables { https: Some(url), ..ProxyVariables::default() };
    let proxies = Proxies::new(&variables).expect("proxies");
    let client = RegistryClient::builder().proxies(proxies).tls_settings(trust(&pem));
    ping(client.retries(Retries::none()), "tls.example").await
}

#[tokio::test]
async fn lines_of_a_response_to_connect_may_end_by_a_bare_lf() {
    for head in ["HTTP/1.1 200 OK\n\n", "HTTP/1.0 200 OK\nVia: x\n\n", "HTTP/1.1 200 OK\r\n\n"] {
        ping_after(head).await.expect(head);
    }
}

#[tokio::test]
async fn informational_responses_may_come_before_that_to_connect() {
    for head in [
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.1 103 Early Hints\nLink: x\n\nHTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\n\n",
    ] {
        ping_after(head).await.expect(head);
    }
    let error = ping_after("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n").await;
    let error = error.expect_err("the proxy refuses").to_string();
    assert!(error.ends_with(": 403 Forbidden in response to CONNECT tls.example:443"), "{error}");
    let many: &'static str = "HTTP/1.1 100 Continue\r\n\r\n".repeat(9).leak();
    let error = ping_after(many).await.expect_err("it never ends").to_string();
    assert!(error.ends_with(": 100 Continue in response to CONNECT tls.example:443"), "{error}");
}

#[tokio::test]
async fn a_proxy_whose_name_does_not_resolve_is_named() {
    let host = format!("{}.invalid", "x".repeat(64));
    let error = ping(by_url(format!("http://{host}:3128")), "tls.example").await;
    let text = format!(
        "GET https://tls.example/v2/: proxy {host}:3128: cannot resolve {host}: no such host"
    );
    assert_eq!(error.expect_err("no such name").to_string(), text);
}

#[tokio::test]
async fn a_host_that_is_written_with_the_default_port_gets_the_credentials_of_that_name() {
    let server = TestServer::start(|_| async {
        let challenge = Response::builder().status(StatusCode::UNAUTHORIZED);
        let challenge = challenge.header(header::WWW_AUTHENTICATE, "Basic realm=\"x\"");
        challenge.body(Body::default()).expect("a response")
    })
    .await;
    let proxy = TestProxy::start(&[("plain.example:80", server.address())], None).await;
    let (written, bare): (Host, Host) =
        ("plain.example:80".parse().expect("a host"), PLAIN.parse().expect("a host"));
    let user = |user: &str| Credential::Basic { user: user.to_owned(), password: "p".into() };
    for (credentials, sent) in [
        (Credentials::builder().with(&written, user("with")), "with:p"),
        (Credentials::builder().with(&written, user("with")).with(&bare, user("no")), "with:p"),
        (Credentials::builder().with(&bare, user("without")), "without:p"),
    ] {
        let client = by(&proxy, "").credentials(credentials.build()).plain_http(written.clone());
        client.build().ping(&written).await.expect("a response");
        let requests = server.requests();
        let value = requests.last().and_then(|it| it.headers.get(header::AUTHORIZATION));
        let expected = format!("Basic {}", STANDARD.encode(sent));
        assert_eq!(value.map(|it| it.as_bytes()), Some(expected.as_bytes()), "{sent}");
    }
}
