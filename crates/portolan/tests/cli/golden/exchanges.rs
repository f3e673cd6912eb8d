//! Examples of the errors of requests to registries and proxies, each by a run of `portolan mirror`: kept as `mod.rs`
//! says.

use std::net::SocketAddr;

use http::{HeaderValue, Method, Response, header::LOCATION};
use oci::media_type;
use testkit::{Body, Fault, TestProxy, TestRegistry, TestServer, fixture};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use super::Errors;

const OCI_MANIFEST: &str = media_type::OCI_MANIFEST;

#[tokio::test]
async fn errors_of_exchanges_with_a_registry() {
    let mut errors = Errors::new();
    let registry = TestRegistry::start().await;
    let image = fixture::image(1, 0);
    registry.load("images/app", "v1", &image).await;
    errors.call(&registry.host(), "registry.example");
    let from = format!("{}/images/app", registry.host());
    let to = format!("file://{}/store", errors.path().display());
    let mirror = ["mirror", "--quiet", "--confirm", "--from", &from, "--to", &to];
    let list = || Fault::on(Method::GET, "/tags/list");
    let page = |link: &str| {
        list().status(200).header("link", link).body(r#"{"name": "images/app", "tags": ["v1"]}"#)
    };
    let read =
        |kind: &str| Fault::on(Method::GET, "/manifests/").status(200).header("content-type", kind);
    let long = "x".repeat(17 << 20);
    let bytes = String::from_utf8(image.bytes.to_vec()).expect("JSON");
    let secure = format!("<https://{}/page>; rel=\"next\"", registry.host());
    for (title, fault) in [
        ("a response that breaks off", list().reset_after(3)),
        ("a manifest that is too long", read(OCI_MANIFEST).body(&long)),
        ("a manifest of another media type than its own", read(media_type::OCI_INDEX).body(&bytes)),
        (
            "a manifest of Docker schema 1",
            read(media_type::DOCKER_SCHEMA1_SIGNED).body(r#"{"schemaVersion": 1}"#),
        ),
        ("a next page at another host", page("<https://other.example/page>; rel=\"next\"")),
        ("a next page of another scheme", page(&secure)),
    ] {
        registry.fail(fault);
        errors.run(title, &mirror).await;
        registry.clear_faults();
    }
    let mirror = ["mirror", "--quiet", "--to", &to, "--from"];
    errors.run("a host that no URL can have", &[&mirror[..], &["0.0.0.999/images"]].concat()).await;
    errors.variable("SSL_CERT_FILE", "missing.pem");
    let without_log = ["--log", "off", "mirror", "--to", &to, "--from", "registry.example/images"];
    errors.run("no root certificates", &without_log).await;
    errors.compare("exchanges");
}

#[tokio::test]
async fn errors_of_redirects() {
    let mut errors = Errors::new();
    let registry = TestRegistry::start().await;
    registry.load("images/app", "v1", &fixture::image(1, 0)).await;
    let proxy = TestProxy::start(&[("registry.test:80", registry.address())], None).await;
    let to = format!("file://{}/store", errors.path().display());
    let mirror = ["mirror", "--quiet", "--to", &to, "--from"];
    let redirecting = async |locate: fn(&str) -> Vec<u8>| {
        TestServer::start(move |request: http::Request<Body>| async move {
            let location = HeaderValue::from_bytes(&locate(request.uri().path()));
            let response = Response::builder().status(307);
            let response = response.header(LOCATION, location.expect("a header value"));
            response.body(Body::empty()).expect("a response")
        })
        .await
    };
    for (title, locate) in [
        ("too many redirects", (|path| format!("{path}/1").into_bytes()) as fn(&str) -> Vec<u8>),
        ("a redirect that is not text", |_| b"/\xff".to_vec()),
    ] {
        let server = redirecting(locate).await;
        errors.call(&server.host(), "registry.example");
        let from = format!("{}/images/app", server.host());
        errors.run(title, &[&mirror[..], &[&from]].concat()).await;
    }
    errors.variable("HTTP_PROXY", format!("http://{}", proxy.address()));
    let named =
        ["registry.test/images/app", "--plain-http", "registry.test", "--plain-http", "10.0.0.1"];
    let named = [&named[..], &["--plain-http", "intranet.local"]].concat();
    let named = [&mirror[..], &named].concat();
    for (title, target) in [
        ("a redirect to a private address", "http://10.0.0.1/"),
        ("a redirect to a private name", "http://intranet.local/"),
        ("a redirect to plain HTTP", "http://other.test/"),
    ] {
        registry.fail(Fault::on(Method::GET, "/tags/list").status(307).header("location", target));
        errors.run(title, &named).await;
        registry.clear_faults();
    }
    errors.compare("redirects");
}

/// A proxy that reads the head of a request, sends these bytes, and closes the connection.
async fn broken_proxy(response: &'static [u8]) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4_096];
            // The client sees whatever fails here as a broken connection too.
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(response).await;
        }
    });
    (address, serving)
}

#[tokio::test]
async fn errors_of_proxies() {
    let mut errors = Errors::new();
    let to = format!("file://{}/store", errors.path().display());
    let mirror = ["mirror", "--quiet", "--from", "registry.test/images", "--to", &to];
    let proxy = TestProxy::start(&[], None).await;
    errors.call(&proxy.address(), "proxy.example:3128");
    errors.variable("HTTPS_PROXY", format!("http://{}", proxy.address()));
    errors.run("a proxy that does not connect", &mirror).await;
    for (title, response) in [
        ("a proxy that closes the connection", &b""[..]),
        ("a port that is no proxy", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    ] {
        let (address, serving) = broken_proxy(response).await;
        errors.call(&address, "proxy.example:3128");
        errors.variable("HTTPS_PROXY", format!("http://{address}"));
        errors.run(title, &mirror).await;
        serving.abort();
    }
    errors.compare("proxies");
}

#[tokio::test]
async fn errors_of_certificate_files() {
    let mut errors = Errors::new();
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("made");
    let other = rcgen::generate_simple_self_signed(["b.example".to_owned()]).expect("made");
    let section =
        |kind: &str, text: &str| format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n");
    errors.file("chain.pem", &made.cert.pem());
    errors.file("other-key.pem", &other.signing_key.serialize_pem());
    errors.file("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    errors.file("damaged.pem", &section("CERTIFICATE", "AA=="));
    errors.file("key.pem", &section("PRIVATE KEY", "AA=="));
    let to = format!("file://{}/store", errors.path().display());
    let mirror = ["mirror", "--from", "registry.test/images", "--to", &to];
    for (title, flags) in [
        ("a file that does not exist", &["--ca-file", "missing.pem"][..]),
        ("a file that is cut", &["--ca-file", "cut.pem"]),
        ("a certificate that is damaged", &["--ca-file", "damaged.pem"]),
        (
            "a certificate in place of a key",
            &["--client-certificate", "chain.pem", "--client-key", "chain.pem"],
        ),
        (
            "a key of another kind",
            &["--client-certificate", "chain.pem", "--client-key", "key.pem"],
        ),
        (
            "the key of another certificate",
            &["--client-certificate", "chain.pem", "--client-key", "other-key.pem"],
        ),
    ] {
        errors.run(title, &[&mirror[..], flags].concat()).await;
    }
    errors.compare("certificate-files");
}
