//! Whom TLS trusts, and who it says that we are. The host is named `127.1`, in words that are not taken for
//! loopback, so that TLS is spoken.

use std::sync::Arc;

use oci::Host;
use rcgen::{CertifiedKey, KeyPair};
use registry_client::{Client, ClientBuilder, Error, PemError, Retries};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

fn made(name: &str) -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed([name.to_owned()]).expect("it is made")
}

/// A registry under TLS; it lets in only who shows the certificate of `client`, if there is one.
async fn serve(server: &CertifiedKey<KeyPair>, client: Option<&CertifiedKey<KeyPair>>) -> Host {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("they are known");
    let builder = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let mut roots = RootCertStore::empty();
            roots.add(client.cert.der().clone()).expect("a certificate");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("roots"))
        }
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server.signing_key.serialize_der()));
    let config = builder.with_single_cert(vec![server.cert.der().clone()], key).expect("a key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut head = [0; 4096];
                if stream.read(&mut head).await.is_ok_and(|length| length > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(answer).await.expect("it is taken");
                }
            });
        }
    });
    format!("127.1:{port}").parse().expect("a host")
}

async fn ping(builder: ClientBuilder, host: &Host) -> Result<(), Error> {
    builder.retries(Retries::none()).build().ping(host).await
}

#[tokio::test]
async fn an_authority_of_a_file_is_trusted() {
    let server = made("127.0.0.1");
    let host = serve(&server, None).await;
    let error = ping(Client::builder(), &host).await.expect_err("nobody knows it");
    let text = error.to_string();
    assert!(text.contains("TLS failed: ") || text.contains("TLS is impossible"), "{text}");
    let pem = server.cert.pem();
    let trusting = Client::builder().ca_certificates(pem.as_bytes()).expect("a certificate");
    ping(trusting, &host).await.expect("it is trusted");
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let (server, client) = (made("127.0.0.1"), made("client"));
    let host = serve(&server, Some(&client)).await;
    let pem = server.cert.pem();
    let trusting = || Client::builder().ca_certificates(pem.as_bytes()).expect("a certificate");
    ping(trusting(), &host).await.expect_err("nothing is shown");
    let (chain, key) = (client.cert.pem(), client.signing_key.serialize_pem());
    let known = trusting().client_certificate(chain.as_bytes(), key.as_bytes());
    ping(known.expect("a pair"), &host).await.expect("it is let in");
}

#[tokio::test]
async fn files_that_are_no_certificates_are_told_apart() {
    let (one, other) = (made("a"), made("b"));
    let (chain, key) = (one.cert.pem(), other.signing_key.serialize_pem());
    let error = |result: Result<ClientBuilder, PemError>| match result {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    let none = error(Client::builder().ca_certificates(b"words"));
    assert_eq!(none, "it holds no certificate (`-----BEGIN CERTIFICATE-----`)");
    let torn = error(Client::builder().ca_certificates(b"-----BEGIN CERTIFICATE-----\nAA"));
    assert!(torn.starts_with("it is not PEM: "), "{torn}");
    let strange = error(Client::builder().client_certificate(chain.as_bytes(), key.as_bytes()));
    assert!(strange.starts_with("it cannot be used: "), "{strange}");
}
