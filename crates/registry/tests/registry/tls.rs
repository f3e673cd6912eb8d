//! TLS: with a certificate made here, by clients that trust it.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use http_server::{ClientIp, ClientIpPolicy, DefaultTrust, PemFile, Tls, TlsError};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use registry::{Listeners, Registry, Storage};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsConnector;

struct Identity {
    chain: String,
    key: String,
    der: CertificateDer<'static>,
}

fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("it is made");
    Identity {
        chain: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        der: made.cert.der().clone(),
    }
}

/// What trusts this certificate, and offers these protocols.
fn connector(der: CertificateDer<'static>, protocols: &[&[u8]]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(der).expect("a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("they are known")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn a_registry_speaks_tls() {
    let identity = identity();
    // As editors on Windows write them.
    let [chain, key] = [&identity.chain, &identity.key]
        .map(|text| format!("\u{feff}{}", text.replace('\n', "\r\n")));
    let tls = made(&chain, &key);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let listeners = Listeners {
        registry: listener,
        tls: Some(tls.expect("it is right")),
        admin: None,
        client_ip: ClientIp::new(ClientIpPolicy::default(), DefaultTrust::None),
    };
    let registry = Registry::new(Storage::memory());
    tokio::spawn(registry::serve(registry, listeners, std::future::pending()));

    let name = ServerName::try_from("127.0.0.1").expect("a name");
    for (protocols, spoken) in
        [(&[&b"h2"[..], b"http/1.1"][..], &b"h2"[..]), (&[b"http/1.1"], b"http/1.1")]
    {
        let stream = TcpStream::connect(address).await.expect("it listens");
        let connector = connector(identity.der.clone(), protocols);
        let mut stream = connector.connect(name.clone(), stream).await.expect("it is trusted");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(spoken));
        if spoken == b"h2" {
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
            tokio::spawn(connection);
            // A response to HEAD that has a body is an error of the protocol here.
            for (method, path, status) in [
                ("GET", "/v2/", 200),
                ("HEAD", "/v2/_catalog", 200),
                ("HEAD", "/v2/a/tags/list", 404),
            ] {
                let request = http::Request::builder().method(method).uri(path);
                let request = request.body(testkit::Body::empty()).expect("a request");
                let response = sender.send_request(request).await.expect("a response");
                assert_eq!(response.status(), status, "{method} {path}");
                let body = response.into_body().collect().await.expect("a whole body").to_bytes();
                assert!(body.is_empty(), "{method} {path}");
            }
            continue;
        }
        let request = b"GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.expect("it is sent");
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.expect("a response");
        assert!(response.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&response));
    }
    // In clear there is a refusal and the end.
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is sent");
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.expect("a response");
    assert!(response.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&response));
}

/// Of `openssl x509 -req` without extensions, which is still its default in places. It does not have to be trusted.
const VERSION_1: &str = include_str!("version-1.pem");

fn made(chain: &str, key: &str) -> Result<Tls, TlsError> {
    let chain = PemFile { name: "c.pem", content: chain.as_bytes() };
    Tls::from_pem(chain, PemFile { name: "k.pem", content: key.as_bytes() })
}

#[test]
fn what_is_no_certificate_is_refused() {
    let (ours, other) = (identity(), identity());
    assert!(made(&ours.chain, &ours.key).is_ok());
    let damaged = ours.chain.replacen("MII", "!!!", 1);
    let cut = &ours.chain[..ours.chain.len() / 2];
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (chain, key, said) in [
        (
            "",
            &*ours.key,
            "c.pem has no certificate; a PEM file has a line `-----BEGIN CERTIFICATE-----`",
        ),
        (
            &ours.key,
            &ours.chain,
            "c.pem has no certificate, but a private key; are the two files swapped?",
        ),
        (
            &ours.chain,
            "",
            "k.pem has no private key; a PEM file has a line `-----BEGIN PRIVATE KEY-----`",
        ),
        (
            &ours.chain,
            &ours.chain,
            "k.pem has no private key, but a certificate; name the file of its private key",
        ),
        (
            &ours.chain,
            encrypted,
            "k.pem is encrypted with a password; decrypt it: `openssl pkey -in k.pem -out FILE`",
        ),
        (
            &ours.chain,
            "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n",
            "k.pem has no usable private key; use an RSA, ECDSA (P-256, P-384) or Ed25519 key",
        ),
        (&ours.chain, &other.key, "k.pem is not the key of the first certificate in c.pem"),
        (VERSION_1, &ours.key, "c.pem is an X.509 version 1 certificate; issue it as version 3"),
        (
            "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
            &ours.key,
            "c.pem cannot be used: the certificate is malformed",
        ),
        (&damaged, &ours.key, "c.pem is not readable as PEM: the text of a section is not base64"),
        (
            cut,
            &ours.key,
            "c.pem is not readable as PEM: a section has no `-----END …-----` line; is the file cut off?",
        ),
    ] {
        let error = made(chain, key).expect_err(said);
        assert_eq!(error.to_string(), said);
        // A printer joins the causes: none may repeat another.
        assert!(std::error::Error::source(&error).is_none(), "{said}");
    }
    assert!(!format!("{:?}", made(&ours.chain, &ours.key)).contains("BEGIN"));
}
