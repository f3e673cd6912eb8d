//! The server: what it does with connections, and the admin address.

use http::StatusCode;
use http_server::settings;
use oci::{Digest, Host};
use registry::{Listeners, Registry, RegistrySettings, Storage};
use testkit::{fixture, get};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use crate::peer::Peer;

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed() {
    let peer = Peer::in_memory().await;
    let mut stream = TcpStream::connect(peer.host.as_str()).await.expect("it listens");
    let start = Instant::now();
    let read = stream.read(&mut [0; 16]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    let waited = start.elapsed();
    assert!(
        waited >= settings::FIRST_REQUEST && waited < 2 * settings::FIRST_REQUEST,
        "{waited:?}"
    );
}

#[tokio::test]
async fn the_admin_address_has_metrics_and_health() {
    let (public, admin) =
        with_admin(Registry::with(Storage::memory(), RegistrySettings::default(), None)).await;
    let image = fixture::image(1, 1);
    for path in ["/v2/", "/v2/a/manifests/v1", "/v2/a/manifests/v1"] {
        get(&public, path).await.expect("a response");
    }
    let push = format!("/v2/a/blobs/uploads/?digest={}", image.blobs[0].descriptor.digest);
    let push = http::Request::post(push).body(image.blobs[0].bytes.clone().into());
    testkit::send(&public, push.expect("a request")).await.expect("a response");
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/v2/", 404), ("/metrics", 200)] {
        assert_eq!(get(&admin, path).await.expect("a response").status(), status, "{path}");
    }
    let text = get(&admin, "/metrics").await.expect("a response");
    let text = String::from_utf8_lossy(text.body()).into_owned();
    for line in [
        "portolan_registry_requests_total{operation=\"ping\",status=\"200\"} 1",
        "portolan_registry_requests_total{operation=\"read_manifest\",status=\"404\"} 2",
        "portolan_registry_requests_total{operation=\"start_upload\",status=\"201\"} 1",
        "portolan_registry_request_duration_seconds_count{operation=\"ping\"} 1",
        &format!("portolan_registry_received_bytes_total {}", image.blobs[0].bytes.len()),
        "portolan_registry_uploads 0",
        "portolan_registry_requests_in_flight 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert_eq!(get(&public, "/metrics").await.expect("a response").status(), StatusCode::NOT_FOUND);
}

/// The hosts of a registry and of its admin address, which are running.
async fn with_admin(registry: Registry) -> (Host, Host) {
    let [listener, admin] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0"));
    let listeners = Listeners {
        admin: Some(admin.await.expect("a free port")),
        ..Listeners::from(listener.await.expect("a free port"))
    };
    let host = |listener: &TcpListener| -> Host {
        listener.local_addr().expect("an address").to_string().parse().expect("a host")
    };
    let public = host(&listeners.registry);
    let admin = listeners.admin.as_ref().map(host).expect("it was given");
    tokio::spawn(registry::serve(registry, listeners, std::future::pending()));
    (public, admin)
}

#[tokio::test]
async fn a_client_that_does_not_read_is_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = Storage::directory(directory.path()).expect("a directory of our own");
    let (host, admin) = with_admin(Registry::new(storage)).await;
    // More than the system buffers between the two.
    let content = vec![0; 32 << 20];
    let digest = Digest::sha256(&content);
    let push = http::Request::post(format!("/v2/a/blobs/uploads/?digest={digest}"));
    let pushed = testkit::send(&host, push.body(content.into()).expect("a request")).await;
    assert_eq!(pushed.expect("a response").status(), StatusCode::CREATED);
    let mut stream = TcpStream::connect(host.as_str()).await.expect("it listens");
    let request = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    stream.readable().await.expect("the response begins");
    // From here on time jumps to the next deadline.
    tokio::time::pause();
    let start = Instant::now();
    let is_in_flight = async || {
        let metrics = get(&admin, "/metrics").await.expect("a response");
        let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
        metrics.contains("portolan_registry_requests_in_flight 1")
    };
    // A request to the registry itself would not be served, and the client would be closed for it.
    while is_in_flight().await {
        tokio::time::sleep(settings::WRITE_TIMEOUT / 10).await;
    }
    let waited = start.elapsed();
    assert!(
        waited >= settings::WRITE_TIMEOUT && waited < 2 * settings::WRITE_TIMEOUT,
        "{waited:?}"
    );
}

#[tokio::test]
async fn a_request_with_no_host_or_two_is_refused_with_the_error_body() {
    let peer = Peer::in_memory().await;
    for hosts in ["", "host: a\r\nhost: a\r\n"] {
        let mut stream = TcpStream::connect(peer.host.as_str()).await.expect("it listens");
        let request = format!("GET /v2/ HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is sent");
        let mut response = String::new();
        stream.read_to_string(&mut response).await.expect("a response");
        assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
        assert!(response.contains(r#"{"errors":[{"code":"UNSUPPORTED""#), "{response}");
    }
}

/// How a request announces its body.
#[derive(Clone, Copy, Debug)]
enum Announced {
    Length,
    Chunked,
}

#[tokio::test]
async fn a_manifest_over_the_limit_is_refused_before_it_is_sent_and_may_still_be_sent() {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 32;
    let peer = Peer::in_memory().await;
    for announced in [Announced::Length, Announced::Chunked] {
        let mut stream = TcpStream::connect(peer.host.as_str()).await.expect("it listens");
        let header = match announced {
            Announced::Length => format!("content-length: {}", PIECES * PIECE),
            Announced::Chunked => "transfer-encoding: chunked".to_owned(),
        };
        let head = format!("PUT /v2/a/manifests/v1 HTTP/1.1\r\nhost: x\r\n{header}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("it is sent");
        let piece = match announced {
            Announced::Length => vec![b' '; PIECE],
            Announced::Chunked => {
                [format!("{PIECE:x}\r\n").as_bytes(), &vec![b' '; PIECE], b"\r\n"].concat()
            }
        };
        let before = match announced {
            Announced::Length => 0,
            Announced::Chunked => 5,
        };
        for _ in 0..before {
            stream.write_all(&piece).await.expect("it is taken");
        }
        let response = read_until(&mut stream, "]}").await;
        assert!(response.starts_with("HTTP/1.1 413"), "{announced:?}: {response}");
        assert!(response.contains("SIZE_INVALID"), "{announced:?}: {response}");
        // Clients that send everything before they read meet no broken pipe.
        for _ in before..PIECES {
            stream.write_all(&piece).await.expect("it is taken");
        }
        if matches!(announced, Announced::Chunked) {
            stream.write_all(b"0\r\n\r\n").await.expect("it is taken");
        }
        stream.write_all(b"GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is sent");
        let response = read_until(&mut stream, "\r\n\r\n").await;
        assert!(response.starts_with("HTTP/1.1 200"), "{announced:?}: {response}");
    }
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut response = String::new();
    while !response.contains(end) {
        let mut piece = [0; 1024];
        let length = stream.read(&mut piece).await.expect("a response");
        assert_ne!(length, 0, "{response}");
        response += &String::from_utf8_lossy(piece.get(..length).expect("it was read"));
    }
    response
}
