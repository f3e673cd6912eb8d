//! Memory does not grow with the size of a blob. Alone in its binary, since it measures the process.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "a panic is a failed test")]

use bytes::Bytes;
use futures_util::stream;
use http::{Request, StatusCode};
use oci::{Algorithm, Digester};
use registry::{Registry, Storage};
use testkit::{Body, fixture::noise, send};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A piece of the blob, which has this many of them: 64 MiB.
const PIECE_BYTES: usize = 1 << 20;
const PIECES: usize = 64;

/// How much the process may grow, in KiB: a quarter of the blob, and far more than the buffers.
const MAX_GROWTH_KIB: u64 = 16 << 10;

/// The most memory that the process has had so far, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the process's status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().split(' ').next());
    number.and_then(|number| number.parse().ok()).expect("a number of KiB")
}

#[tokio::test]
async fn a_directory_takes_and_gives_a_long_blob_in_little_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = Storage::directory(directory.path()).expect("a directory of our own");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(registry::serve(Registry::new(storage), listener, std::future::pending()));

    let piece = noise(1, PIECE_BYTES);
    let mut digester = Digester::new(Algorithm::Sha256);
    (0..PIECES).for_each(|_| digester.update(&piece));
    let digest = digester.finish();
    let before = peak_kib();

    let pieces = std::iter::repeat_n(piece, PIECES).map(Ok::<Bytes, std::io::Error>);
    let push = Request::post(format!("/v2/a/blobs/uploads/?digest={digest}"))
        .body(Body::from_stream(stream::iter(pieces)))
        .expect("a request");
    let host = address.to_string().parse().expect("a host");
    let pushed = send(&host, push).await.expect("a response");
    assert_eq!(pushed.status(), StatusCode::CREATED, "{pushed:?}");

    let mut pull = TcpStream::connect(address).await.expect("it listens");
    let request =
        format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    pull.write_all(request.as_bytes()).await.expect("it is sent");
    let (mut read, mut buffer) = (0, vec![0; 64 << 10]);
    loop {
        match pull.read(&mut buffer).await.expect("no error") {
            0 => break,
            length => read += length,
        }
    }
    assert!(read > PIECES * PIECE_BYTES, "the head and all of the body: {read}");

    let growth = peak_kib() - before;
    assert!(growth < MAX_GROWTH_KIB, "{growth} KiB for {PIECES} MiB");
}
