//! The authorities that TLS trusts, client certificates, and where TLS is used. A host named `127.1` is one on loopback that
//! is not taken for one.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use http_client::TlsSettings;
use oci::Host;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedKey, DnType, IsCa, KeyPair, date_time_ymd,
};
use registry_client::{ClientBuilder, Error, PemError, RegistryClient, Retries};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

pub(crate) fn made(name: &str) -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed([name.to_owned()]).expect("it is made")
}

/// A registry under TLS; it lets in only who shows the certificate of `client`, if there is one.
pub(crate) async fn serve(
    server: &CertifiedKey<KeyPair>,
    client: Option<&CertifiedKey<KeyPair>>,
) -> Host {
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
                    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(response).await.expect("it is taken");
                }
            });
        }
    });
    format!("127.1:{port}").parse().expect("a host")
}

/// Settings that trust these certificates (PEM).
pub(crate) fn trust(pem: &str) -> TlsSettings {
    let mut tls = TlsSettings::none();
    tls.trust_pem(pem.as_bytes()).expect("certificates");
    tls
}

async fn ping(builder: ClientBuilder, host: &Host) -> Result<(), Error> {
    builder.retries(Retries::none()).build().ping(host).await
}

#[tokio::test]
async fn an_authority_of_a_file_is_trusted() {
    let server = made("127.0.0.1");
    let host = serve(&server, None).await;
    let error = ping(RegistryClient::builder(), &host).await.expect_err("it is not trusted");
    let text = error.to_string();
    assert!(text.contains("TLS failed: ") || text.contains("TLS is impossible"), "{text}");
    let pem = server.cert.pem();
    let trusting = RegistryClient::builder().tls_settings(trust(&pem));
    ping(trusting, &host).await.expect("it is trusted");
}

#[tokio::test]
async fn a_client_certificate_is_sent_where_it_is_requested() {
    let (server, client) = (made("127.0.0.1"), made("client"));
    let host = serve(&server, Some(&client)).await;
    let pem = server.cert.pem();
    let trusting = || RegistryClient::builder().tls_settings(trust(&pem));
    ping(trusting(), &host).await.expect_err("nothing is shown");
    let (chain, key) = (client.cert.pem(), client.signing_key.serialize_pem());
    let mut known = trust(&pem);
    known.identify(chain.as_bytes(), key.as_bytes()).expect("a pair");
    ping(RegistryClient::builder().tls_settings(known), &host).await.expect("it is let in");
}

/// A server that requires the certificate of `client`, and its connections so far.
async fn demanding(
    server: &CertifiedKey<KeyPair>,
    client: &CertifiedKey<KeyPair>,
    protocols: &[&[u8]],
) -> (Host, Arc<AtomicUsize>) {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(client.cert.der().clone()).expect("a certificate");
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server.signing_key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("they are known")
        .with_client_cert_verifier(verifier.build().expect("roots"))
        .with_single_cert(vec![server.cert.der().clone()], key)
        .expect("a key");
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let connections = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // The alert is sent. What the client has sent is read, so that the connection is not reset.
                let refused = acceptor.accept(stream).into_fallible().await;
                let (_, mut stream) = refused.map(drop).expect_err("no client has the certificate");
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    (format!("127.1:{port}").parse().expect("a host"), connections)
}

#[tokio::test]
async fn an_alert_after_the_handshake_is_a_failure_of_tls_and_not_tried_again() {
    let name = |params: &mut CertificateParams| {
        params.distinguished_name.push(DnType::CommonName, "foreign");
    };
    let (server, client, foreign) = (made("127.0.0.1"), made("client"), authority("foreign", name));
    let pem = server.cert.pem();
    let identified = || {
        let mut tls = trust(&pem);
        let (chain, key) = (foreign.cert.pem(), foreign.signing_key.serialize_pem());
        tls.identify(chain.as_bytes(), key.as_bytes()).expect("a pair");
        tls
    };
    for protocols in [&[][..], &[&b"http/1.1"[..]], &[&b"h2"[..]]] {
        for (tls, problem) in [
            (
                trust(&pem),
                "the server requires a client certificate; use --client-certificate and --client-key",
            ),
            (identified(), "the server does not accept the client certificate"),
        ] {
            let (host, connections) = demanding(&server, &client, protocols).await;
            let client = RegistryClient::builder().tls_settings(tls).build();
            let error = client.ping(&host).await.expect_err("TLS fails");
            let text = error.to_string();
            assert!(text.ends_with(&format!(": TLS failed: {problem}")), "{protocols:?}: {text}");
            assert!(error.is_unreachable() && !error.is_transient(), "{text}");
            assert_eq!(connections.load(Ordering::Relaxed), 1, "{protocols:?}: {text}");
        }
    }
}

#[tokio::test]
async fn files_that_are_not_certificates_have_different_errors() {
    let (one, other) = (made("a"), made("b"));
    let (chain, key) = (one.cert.pem(), other.signing_key.serialize_pem());
    let (mut tls, error) = (TlsSettings::none(), |result: Result<(), PemError>| {
        result.expect_err("no PEM").to_string()
    });
    let none = error(tls.trust_pem(b"words"));
    assert_eq!(none, "it has no certificate (`-----BEGIN CERTIFICATE-----`)");
    let torn = error(tls.trust_pem(b"-----BEGIN CERTIFICATE-----\nAA"));
    assert!(torn.starts_with("it is not PEM: "), "{torn}");
    let strange = error(tls.identify(chain.as_bytes(), key.as_bytes()));
    assert!(strange.starts_with("it cannot be used: "), "{strange}");
}

/// The same address, named so that it is taken for loopback.
fn on_loopback(host: &Host) -> Host {
    host.as_str().replace("127.1:", "127.0.0.1:").parse().expect("a host")
}

/// A self-signed certificate that is also one of an authority, as `openssl req -x509` makes it.
fn authority(name: &str, change: impl Fn(&mut CertificateParams)) -> CertifiedKey<KeyPair> {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let signing_key = KeyPair::generate().expect("a key");
    let cert = params.self_signed(&signing_key).expect("it is made");
    CertifiedKey { cert, signing_key }
}

#[tokio::test]
async fn a_certificate_of_a_file_is_accepted_from_the_server_itself() {
    let (same, expired) = (
        authority("127.0.0.1", |_| {}),
        authority("127.0.0.1", |params| {
            params.not_after = date_time_ymd(2020, 1, 2);
        }),
    );
    let (other_name, other_key) =
        (authority("other.example", |_| {}), authority("127.0.0.1", |_| {}));
    let self_signed =
        "the certificate is self-signed, or an authority's own; use --ca-file to trust it";
    for (case, server, trusted, problem) in [
        ("it is pinned", &same, &same, None),
        ("another one is", &same, &other_key, Some(self_signed)),
        (
            "it is pinned, and has expired",
            &expired,
            &expired,
            Some("the certificate expired on Thu, 02 Jan 2020 00:00:00 GMT"),
        ),
        (
            "it is pinned, and of another name",
            &other_name,
            &other_name,
            Some("the certificate is for other.example, not 127.0.0.1"),
        ),
    ] {
        let host = serve(server, None).await;
        let pem = trusted.cert.pem();
        let trusting = RegistryClient::builder().tls_settings(trust(&pem));
        let response = ping(trusting, &host).await.map_err(|error| error.to_string());
        let authority = host.as_str().replace("127.1:", "127.0.0.1:");
        let text = |problem| format!("GET https://{authority}/v2/: TLS failed: {problem}");
        assert_eq!(response.err(), problem.map(text), "{case}");
    }
}

#[tokio::test]
async fn a_host_on_loopback_is_tried_with_tls_first() {
    let server = authority("127.0.0.1", |_| {});
    let tls = on_loopback(&serve(&server, None).await);
    let pem = server.cert.pem();
    let trusting = || RegistryClient::builder().tls_settings(trust(&pem));
    ping(trusting(), &tls).await.expect("TLS is found");
    ping(trusting().tls(tls.clone()), &tls).await.expect("TLS is named");
    let error = ping(RegistryClient::builder(), &tls).await.expect_err("it is not trusted");
    let start = format!("GET https://{tls}/v2/: TLS ");
    assert!(error.to_string().starts_with(&start), "it does not fall back: {error}");
    let error = ping(trusting().plain_http(tls.clone()), &tls).await.expect_err("it speaks TLS");
    let text = format!("GET http://{tls}/v2/: this port speaks TLS; leave out --plain-http {tls}");
    assert_eq!(error.to_string(), text);
    assert!(error.is_unreachable() && !error.is_transient());
}

#[tokio::test]
async fn a_plain_host_on_loopback_costs_one_probe_however_many_requests_there_are() {
    let registry = testkit::TestRegistry::start().await;
    let host = registry.host();
    let client = RegistryClient::builder().retries(Retries::none()).build();
    let pings = futures_util::future::join_all((0..20).map(|_| client.ping(&host))).await;
    assert!(pings.iter().all(Result::is_ok));
    assert_eq!(registry.requests().len(), 20, "the probe is no request");
    let error = ping(
        RegistryClient::builder().tls_settings(trust(&made("a").cert.pem())).tls(host.clone()),
        &host,
    )
    .await
    .expect_err("no TLS there");
    let text =
        format!("GET https://{host}/v2/: this port speaks plain HTTP; leave out --tls {host}");
    assert_eq!(error.to_string(), text);
}

/// Says nothing before the end of a request's head.
async fn respond_after_the_head(mut stream: TcpStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => seen.push(byte),
            Err(_) => return,
        }
    }
    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(response).await.expect("it is taken");
}

/// A TLS server that does not respond to its first `ClientHello`, and in plain HTTP as this to the connection
/// after that. Gives all that it got without TLS.
async fn slow_tls_server(
    server: &CertifiedKey<KeyPair>,
    response: &'static str,
) -> (Host, Arc<Mutex<Vec<u8>>>) {
    let tls = on_loopback(&serve(server, None).await);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let host = listener.local_addr().expect("its address").to_string().parse().expect("a host");
    let seen = Arc::<Mutex<Vec<u8>>>::default();
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.expect("the handshake");
        let mut hello = Vec::new();
        first.read_to_end(&mut hello).await.expect("it is given up");
        let (mut second, _) = listener.accept().await.expect("the request");
        let mut head = [0; 4096];
        let length = second.read(&mut head).await.expect("a request");
        log.lock().expect("the log").extend_from_slice(&head[..length]);
        second.write_all(response.as_bytes()).await.expect("it is taken");
        drop(second);
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut upstream = TcpStream::connect(tls.as_str()).await.expect("the server");
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut upstream).await;
            });
        }
    });
    (host, seen)
}

#[tokio::test]
async fn a_slow_tls_server_on_loopback_is_never_sent_plain_http_with_credentials() {
    let server = authority("127.0.0.1", |_| {});
    let pem = server.cert.pem();
    for response in [
        "",
        "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
        "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://127.0.0.1/\r\n\r\n",
    ] {
        let (host, seen) = slow_tls_server(&server, response).await;
        let client =
            RegistryClient::builder().tls_settings(trust(&pem)).retries(Retries::none()).build();
        for _ in 0..2 {
            client.ping(&host).await.expect("it speaks TLS");
        }
        let seen = String::from_utf8(seen.lock().expect("the log").clone()).expect("text");
        let request = format!("GET /v2/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(seen, request, "{response}");
    }
}

#[tokio::test]
async fn certificates_and_keys_may_begin_with_a_byte_order_mark() {
    let (server, client) = (made("127.0.0.1"), made("client"));
    let host = serve(&server, Some(&client)).await;
    let marked = |text: String| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    // As two files of that kind make one.
    let bundle = marked(made("other").cert.pem()) + &marked(server.cert.pem());
    let (chain, key) = (marked(client.cert.pem()), marked(client.signing_key.serialize_pem()));
    let mut tls = trust(&bundle);
    tls.identify(chain.as_bytes(), key.as_bytes()).expect("a pair");
    ping(RegistryClient::builder().tls_settings(tls), &host).await.expect("both are read");
}

#[tokio::test]
async fn a_plain_server_that_waits_for_a_line_is_not_waited_for_long() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let host: Host =
        listener.local_addr().expect("its address").to_string().parse().expect("a host");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(respond_after_the_head(stream));
        }
    });
    let begun = std::time::Instant::now();
    ping(RegistryClient::builder(), &host).await.expect("it speaks plain HTTP");
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
}

#[tokio::test]
async fn a_port_that_accepts_and_stays_silent_fails_by_the_limit_of_the_handshake() {
    let (silent, begun) = (testkit::TestHost::silent(), std::time::Instant::now());
    let short = std::time::Duration::from_millis(200);
    let retries = Retries::default().base(std::time::Duration::from_millis(1));
    let client =
        RegistryClient::builder().tls(silent.host()).connect_timeout(short).retries(retries);
    let client = client.tls_settings(trust(&made("a").cert.pem()));
    let error = client.build().ping(&silent.host()).await.expect_err("there is no response");
    let text = error.to_string();
    assert!(
        text.contains(": cannot connect: TLS handshake timed out: the port accepted"),
        "{text}"
    );
    assert!(error.is_unreachable() && error.is_transient(), "{text}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}
