//! TLS: a client that never finishes its handshake, and a certificate that is replaced.

use std::sync::Arc;

use http_server::{PemFile, Tls};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::TlsConnector;

use crate::{
    harness::{ONE, TIMEOUTS, settings, start_at},
    limits::assert_after,
};

fn identity() -> (Tls, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("it is made");
    let key = made.signing_key.serialize_pem();
    let chain = made.cert.pem();
    let chain = PemFile { name: "c.pem", content: chain.as_bytes() };
    let key = PemFile { name: "k.pem", content: key.as_bytes() };
    let tls = Tls::from_pem(chain, key).expect("they go together");
    (tls, made.cert.der().clone())
}

/// Whether the server at `address` has this certificate.
async fn has(address: std::net::SocketAddr, certificate: &CertificateDer<'static>) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("they are known")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.expect("it listens");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.is_ok()
}

#[tokio::test]
async fn a_certificate_is_replaced_for_new_connections() {
    let ((tls, before), (newer, after)) = (identity(), identity());
    let server = start_at("127.0.0.1:0", settings(10), Some(tls.clone())).await;
    assert!(has(server.address, &before).await && !has(server.address, &after).await);
    tls.replace_with(&newer);
    assert!(has(server.address, &after).await && !has(server.address, &before).await);
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_certificate_is_counted_as_a_failed_handshake() {
    let ((tls, certificate), (_, other)) = (identity(), identity());
    let server = start_at("127.0.0.1:0", settings(10), Some(tls)).await;
    assert!(has(server.address, &certificate).await);
    assert!(!has(server.address, &other).await);
    let failures = &server.metrics.tls_handshake_errors;
    let counted = async {
        while failures.get() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUTS.first_request, counted).await.expect("it is counted");
    assert_eq!(failures.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_counts_as_time_to_the_first_request() {
    let server = start_at("127.0.0.1:0", settings(10), Some(identity().0)).await;
    let mut silent = server.connect(ONE).await;
    let begin = Instant::now();
    assert_eq!(silent.rest().await, "");
    assert_after(TIMEOUTS.first_request, begin);
}

#[tokio::test]
async fn plain_http_at_a_tls_port_gets_a_400_that_says_so() {
    let server = start_at("127.0.0.1:0", settings(10), Some(identity().0)).await;
    let mut client = server.connect(ONE).await;
    let response = client.ask("/").await;
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
    assert!(response.contains("\r\nconnection: close\r\n"), "{response}");
    assert_eq!(client.rest().await, "", "the connection has ended");
    assert!(
        response.ends_with("a plain HTTP request was sent to a TLS port; use https\n"),
        "{response}"
    );
}

#[tokio::test(start_paused = true)]
async fn http2_in_clear_text_at_a_tls_port_is_closed() {
    let server = start_at("127.0.0.1:0", settings(10), Some(identity().0)).await;
    let mut client = server.connect(ONE).await;
    let begin = Instant::now();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(client.rest().await, "");
    assert!(begin.elapsed() < TIMEOUTS.first_request, "at once");
}
