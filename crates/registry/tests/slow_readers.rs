//! Clients that do not read cost little memory. Alone in its binary, since it measures the process.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a panic is a failed test")]

use http::{Request, StatusCode};
use oci::Digest;
use registry::{Limits, Registry, RegistrySettings, Storage};
use testkit::{Body, fixture::noise, get, send};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Few enough for a limit of 1,024 open files.
const READERS: usize = 200;

/// More than the kernel holds for a connection.
const BLOB_BYTES: usize = 16 << 20;

/// How much the process may grow for each of them, in KiB: a piece of a file, and more for both
/// ends of the connection.
const MAX_GROWTH_KIB: u64 = 256;

/// The most memory that the process has had so far, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the process's status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().split(' ').next());
    number.and_then(|number| number.parse().ok()).expect("a number of KiB")
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_little_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = Storage::directory(directory.path()).expect("a directory of our own");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    // All of them come from one address.
    let limits = Limits { max_requests: 4 * READERS, ..Limits::default() };
    let registry =
        Registry::with(storage, RegistrySettings { limits, ..RegistrySettings::default() }, None);
    tokio::spawn(registry::serve(registry, listener, std::future::pending()));

    let content = noise(1, BLOB_BYTES);
    let digest = Digest::sha256(&content);
    let host = address.to_string().parse().expect("a host");
    let push = Request::post(format!("/v2/a/blobs/uploads/?digest={digest}"))
        .body(Body::from(content))
        .expect("a request");
    let pushed = send(&host, push).await.expect("a response");
    assert_eq!(pushed.status(), StatusCode::CREATED, "{pushed:?}");

    let before = peak_kib();
    let mut unread = Vec::new();
    for _ in 0..READERS {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is sent");
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.expect("a response");
        assert_eq!(&status, b"HTTP/1.1 200");
        unread.push(stream);
    }
    // Meanwhile the server fills what the sockets take.
    for _ in 0..READERS {
        let other = get(&host, "/v2/").await.expect("a response");
        assert_eq!(other.status(), StatusCode::OK);
    }
    let growth = (peak_kib() - before) / READERS as u64;
    assert!(growth < MAX_GROWTH_KIB, "{growth} KiB for each client");
}
