//! Bytes that no HTTP library would write: every framing of a body, whole and broken.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use oci::Host;
use registry_client::{RegistryClient, RequestFault, Retries};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::JoinHandle,
};

use crate::support::{BLOB, at, client, digest, fault_of, hasty, read};

/// How a connection ends.
#[derive(Clone, Copy, Debug)]
enum ConnectionEnd {
    Close,
    Reset,
    Open,
}

/// The first byte of a TLS client's first message.
const HANDSHAKE: u8 = 22;

/// Responds to each request with the same bytes, with CRLF for `\n`. Stops when dropped.
struct Wire {
    host: Host,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Wire {
    async fn start(response: &'static str, end: ConnectionEnd) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let host = listener.local_addr().expect("its address").to_string().parse().expect("a host");
        let requests = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                // The probe for TLS gets what plain servers respond with.
                if stream.fill_buf().await.expect("a request").first() == Some(&HANDSHAKE) {
                    let refusal = b"HTTP/1.1 400 Bad Request\r\n\r\n";
                    stream.write_all(refusal).await.expect("it is taken");
                    continue;
                }
                let mut line = Vec::new();
                while line != b"\r\n" {
                    line.clear();
                    stream.read_until(b'\n', &mut line).await.expect("a request");
                }
                count.fetch_add(1, Ordering::Relaxed);
                let response = response.replace('\n', "\r\n");
                stream.write_all(response.as_bytes()).await.expect("it is taken");
                match end {
                    ConnectionEnd::Close => {}
                    ConnectionEnd::Reset => stream.get_ref().set_zero_linger().expect("a reset"),
                    ConnectionEnd::Open => std::future::pending().await,
                }
            }
        });
        Self { host, requests, task }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn every_framing_of_a_right_blob_is_read() {
    for response in [
        "HTTP/1.1 200 OK\nContent-Length: 6\n\na blob",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\na \n4\nblob\n0\n\n",
        "HTTP/1.1 200 OK\nConnection: close\n\na blob",
        // What is sent in chunks has no other length (RFC 9112 §6.3).
        "HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked\n\n6\na blob\n0\n\n",
        // A folded line (RFC 9112 §5.2).
        "HTTP/1.1 200 OK\nX-A: a\n b\nContent-Length: 6\n\na blob",
    ] {
        let wire = Wire::start(response, ConnectionEnd::Close).await;
        let blob = at(&client(), &wire.host).blob(&digest()).await.expect("headers");
        assert_eq!(blob.size(), response.contains("Length: 6").then_some(6));
        assert_eq!(read(blob).await.expect("a blob"), BLOB.as_bytes());
    }
}

#[tokio::test]
async fn every_way_to_break_off_is_an_error() {
    const HEAD: &str = "HTTP/1.1 200 OK\nContent-Length: 6\n\na bl";
    const CHUNKED: &str = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n6\na blob\n";
    let broke = "the connection broke after ";
    for (response, end, expected) in [
        (HEAD, ConnectionEnd::Close, "the response ended after 4 of 6 bytes"),
        (HEAD, ConnectionEnd::Reset, broke),
        (HEAD, ConnectionEnd::Open, "no data for 1s after 4 bytes of the response"),
        (CHUNKED, ConnectionEnd::Close, "the connection broke after 6 bytes of the response: "),
        (
            "",
            ConnectionEnd::Close,
            "the connection broke after 0 bytes of the response: connection closed",
        ),
        ("HTTP/1.1 200", ConnectionEnd::Reset, broke),
        ("nonsense\n\n", ConnectionEnd::Close, "the response is not valid HTTP: invalid HTTP"),
    ] {
        let wire = Wire::start(response, end).await;
        let (fault, error) = fault_of(&hasty(), &wire.host).await;
        assert!(fault.starts_with(expected), "{fault}");
        assert!(error.is_transient() && !error.is_unreachable(), "{fault}");
    }
}

#[tokio::test]
async fn a_response_may_have_more_than_a_hundred_headers() {
    let headers: String = (0..200).map(|number| format!("X-{number}: a\n")).collect();
    let response = format!("HTTP/1.1 200 OK\n{headers}Content-Length: 6\n\na blob");
    let wire = Wire::start(response.leak(), ConnectionEnd::Close).await;
    let blob = at(&client(), &wire.host).blob(&digest()).await.expect("headers");
    assert_eq!(read(blob).await.expect("a blob"), BLOB.as_bytes());
}

#[tokio::test]
async fn a_response_that_cannot_be_read_is_requested_once_more() {
    for response in [
        "HTTP/1.1 200 OK\nBad Header: x\nContent-Length: 6\n\na blob",
        "HTTP/1.1 200 OK\nContent-Length: 6\nContent-Length: 7\n\na blob",
    ] {
        let wire = Wire::start(response, ConnectionEnd::Close).await;
        let client = RegistryClient::builder().retries(Retries::default()).build();
        let error = at(&client, &wire.host).blob(&digest()).await.expect_err("no response");
        assert!(error.to_string().contains(": the response is not valid HTTP: "), "{error}");
        assert_eq!(wire.requests.load(Ordering::Relaxed), 2, "{error}");
    }
}

#[tokio::test]
async fn a_blob_with_another_digest_is_refused_before_its_last_piece() {
    for (response, length) in [
        ("HTTP/1.1 200 OK\nContent-Length: 6\n\na bloB", 6),
        ("HTTP/1.1 200 OK\nContent-Length: 7\n\na blob!", 7),
        ("HTTP/1.1 200 OK\nContent-Length: 5\n\na blo", 5),
        ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", 1),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\na \n4\nbloB\n0\n\n", 6),
        ("HTTP/1.1 200 OK\nConnection: close\n\na bloB", 6),
    ] {
        let wire = Wire::start(response, ConnectionEnd::Close).await;
        let mut blob = at(&client(), &wire.host).blob(&digest()).await.expect("headers");
        let mut seen = 0;
        let error = loop {
            match blob.next().await {
                Ok(piece) => seen += piece.expect("an error before the end").len(),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(error.fault(), RequestFault::DigestMismatch { .. }),
            "{response:?}: {error}"
        );
        assert!(error.to_string().ends_with(&format!(", not {}", digest())), "{error}");
        assert!(seen < length, "{response:?}");
        assert!(blob.next().await.expect("nothing after an error").is_none());
    }
}

#[tokio::test]
async fn a_head_without_length_is_followed_by_a_get() {
    // To GET this is an empty body, which is no manifest of that digest: the error is that of GET.
    let response = "HTTP/1.1 200 OK\nConnection: close\n\n";
    let wire = Wire::start(response, ConnectionEnd::Close).await;
    let head = at(&client(), &wire.host).find_manifest(&digest().into()).await;
    let start = format!("GET http://{}/v2/a/manifests/{}: ", wire.host, digest());
    let error = head.expect_err("a wrong digest").to_string();
    assert!(error.starts_with(&start), "{error}");
}
