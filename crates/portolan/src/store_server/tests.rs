//! The requests that `docs/reference/mirror.md` lists under "The store", and the graceful end.

use std::{fs, net::SocketAddr, os::unix::fs::symlink, path::Path, time::Duration};

use blob_store::{BlobStore, key};
use bytes::Bytes;
use http_server::{
    Bodies, ClientConnection, ConnectionMetrics, Server, ServerSettings,
    settings::{EVICTION_STALL, WRITE_TIMEOUT},
};
use oci::Digest;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use super::{files::FileBudget, served};

/// More than the system buffers between the two, in bytes; and a part of it that is.
const LARGE: u64 = 64 << 20;
const PIECE: usize = 3 << 20;

/// A served directory.
struct TestStoreServer {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl TestStoreServer {
    async fn new(directory: &Path) -> Self {
        Self::with(directory, 100, 100).await
    }

    /// One that may have so many connections and files open.
    async fn with(directory: &Path, connections: usize, files: usize) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { stopped.await.expect("the sender lives") };
        let served = served::Served::new(directory, FileBudget::new(files));
        let service = move |connection: &ClientConnection| {
            let (served, connection) = (served.clone(), connection.clone());
            http_server::handler(move |request| {
                let (served, connection) = (served.clone(), connection.clone());
                async move { served.respond(request, connection).await }
            })
        };
        let settings =
            ServerSettings::new("test", connections, Bodies::Streamed, Duration::from_secs(10));
        let metrics = ConnectionMetrics::default();
        let server = Server { listener, tls: None, settings, metrics };
        let ended = tokio::spawn(async move { server.run(service, shutdown).await });
        Self { address, stop, ended }
    }

    /// A connection from this address with a response under way of which the client reads nothing.
    async fn unread(&self, path: &str, client: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        // So that the system buffers little between the two.
        socket.set_recv_buffer_size(32 << 10).expect("it is settable");
        socket.bind(SocketAddr::new(client.parse().expect(client), 0)).expect("it is ours");
        let mut connection = socket.connect(self.address).await.expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n");
        connection.write_all(request.as_bytes()).await.expect("it is sent");
        connection.readable().await.expect("the response begins");
        connection
    }

    /// The response to a request on a new connection, with headers in lower case.
    async fn request(&self, method: &str, path: &str, header: &str) -> String {
        let mut connection = TcpStream::connect(self.address).await.expect("a connection");
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{header}\r\n");
        connection.write_all(request.as_bytes()).await.expect("it is sent");
        let mut response = String::new();
        connection.read_to_string(&mut response).await.expect("a response");
        response
    }

    async fn status(&self, method: &str, path: &str) -> String {
        let response = self.request(method, path, "").await;
        response.split(' ').nth(1).expect("a status line").to_owned()
    }
}

async fn directory_with(content: &'static str) -> (TempDir, Digest) {
    let directory = TempDir::new().expect("a directory");
    let store =
        BlobStore::open(&format!("file://{}", directory.path().display())).expect("a store");
    let digest = Digest::sha256(content.as_bytes());
    store.put(&digest, Bytes::from_static(content.as_bytes())).await.expect("it is put");
    (directory, digest)
}

#[tokio::test]
async fn a_blob_is_served_whole_in_part_and_by_its_head() {
    let (directory, digest) = directory_with("portolan").await;
    let served = TestStoreServer::new(directory.path()).await;
    let path = format!("/{}", key(&digest));
    let whole = served.request("GET", &path, "").await;
    assert!(whole.starts_with("HTTP/1.1 200 ") && whole.ends_with("\r\n\r\nportolan"), "{whole}");
    assert!(whole.contains("content-type: application/octet-stream\r\n"), "{whole}");
    assert!(whole.contains("content-length: 8\r\n"), "{whole}");
    let head = served.request("HEAD", &path, "").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(head.contains("content-length: 8\r\n"), "{head}");
    let part = served.request("GET", &path, "range: bytes=4-\r\n").await;
    assert!(part.starts_with("HTTP/1.1 206 ") && part.ends_with("\r\n\r\nolan"), "{part}");
    assert!(part.contains("content-range: bytes 4-7/8\r\n"), "{part}");
    let beyond = served.request("GET", &path, "range: bytes=9-\r\n").await;
    assert!(beyond.starts_with("HTTP/1.1 416 "), "{beyond}");
    let escaped = served.request("GET", &path.replace(':', "%3A"), "").await;
    assert!(escaped.ends_with("\r\n\r\nportolan"), "{escaped}");
    let with_query = served.request("GET", &format!("{path}?X-Trace=1"), "").await;
    assert!(with_query.ends_with("\r\n\r\nportolan"), "{with_query}");
}

#[tokio::test]
async fn ranges_and_conditions_are_those_of_http_and_the_entity_tag_is_the_digest() {
    let (directory, digest) = directory_with("portolan").await;
    let (copy, _) = directory_with("portolan").await;
    let [served, copy] =
        [TestStoreServer::new(directory.path()).await, TestStoreServer::new(copy.path()).await];
    let path = format!("/{}", key(&digest));
    let etag = format!("etag: \"{digest}\"\r\n");
    for served in [&served, &copy] {
        let whole = served.request("GET", &path, "").await;
        assert!(whole.contains(&etag), "{whole}");
        assert!(whole.contains("accept-ranges: bytes\r\n"), "{whole}");
        assert!(!whole.contains("last-modified"), "copies would not agree: {whole}");
    }
    let (ours, other) = (format!("\"{digest}\""), "\"other\"");
    for (method, header, status, body) in [
        ("GET", "range: bytes=0-3\r\n".to_owned(), "206", "port"),
        ("GET", "range: bytes=-4\r\n".to_owned(), "206", "olan"),
        ("GET", format!("range: bytes=0-3\r\nif-range: {ours}\r\n"), "206", "port"),
        ("GET", format!("range: bytes=0-3\r\nif-range: {other}\r\n"), "200", "portolan"),
        ("GET", format!("range: bytes=0-3\r\nif-range: W/{ours}\r\n"), "200", "portolan"),
        ("GET", "range: items=0-3\r\n".to_owned(), "200", "portolan"),
        ("GET", "range: bytes=0-1,3-4\r\n".to_owned(), "200", "portolan"),
        ("GET", "range: bytes=x\r\n".to_owned(), "200", "portolan"),
        ("HEAD", "range: bytes=0-3\r\n".to_owned(), "200", ""),
        ("HEAD", "range: bytes=9-\r\n".to_owned(), "200", ""),
        ("GET", "range: bytes=8-\r\n".to_owned(), "416", ""),
        ("GET", format!("if-none-match: {ours}\r\n"), "304", ""),
        ("GET", format!("if-none-match: {other}\r\n"), "200", "portolan"),
        ("HEAD", format!("if-none-match: {ours}\r\n"), "304", ""),
        ("GET", format!("if-match: {other}\r\n"), "412", ""),
        ("GET", format!("if-match: {ours}\r\n"), "200", "portolan"),
    ] {
        let response = served.request(method, &path, &header).await;
        let case = format!("{method} {header}: {response}");
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{case}");
        assert!(response.ends_with(&format!("\r\n\r\n{body}")), "{case}");
        assert!(response.contains(&etag), "{case}");
        if status == "416" {
            assert!(response.contains("content-range: bytes */8\r\n"), "{case}");
        }
        if method == "HEAD" && status == "200" {
            assert!(response.contains("content-length: 8\r\n"), "{case}");
        }
    }
    let (directory, digest) = directory_with("").await;
    let empty = TestStoreServer::new(directory.path()).await;
    let response =
        empty.request("GET", &format!("/{}", key(&digest)), "range: bytes=0-0\r\n").await;
    assert!(response.starts_with("HTTP/1.1 416 "), "{response}");
    assert!(response.contains("content-range: bytes */0\r\n"), "{response}");
}

#[tokio::test]
async fn nothing_else_is_served() {
    let (directory, digest) = directory_with("portolan").await;
    let outside = TempDir::new().expect("a directory");
    let secret = outside.path().join("secret");
    fs::write(&secret, b"secret").expect("it is written");
    let linked = Digest::sha256(b"linked");
    symlink(&secret, directory.path().join(key(&linked))).expect("it is linked");
    let nested = Digest::sha256(b"directory");
    fs::create_dir(directory.path().join(key(&nested))).expect("it is made");
    fs::write(directory.path().join("containers/images/readme"), b"x").expect("it is written");
    let served = TestStoreServer::new(directory.path()).await;
    let path = format!("/{}", key(&digest));
    for absent in [
        "/",
        "/containers/images/",
        "/containers/images/readme",
        "/.portolan/lock",
        &format!("/{}", key(&linked)),
        &format!("/{}", key(&nested)),
        &format!("/{}", key(&Digest::sha256(b"absent"))),
        &path.to_uppercase(),
        &path[..path.len() - 1],
        &format!("{path}/"),
        &format!("{path}/x"),
        &format!("/{path}"),
        &format!("/containers/images/../images/{digest}"),
        &format!("/containers/images/..%2Fimages%2F{digest}"),
        "/containers/images/..%2F..%2F..%2Fetc%2Fpasswd",
    ] {
        assert_eq!(served.status("GET", absent).await, "404", "{absent}");
    }
    for method in ["PUT", "POST", "DELETE", "PATCH", "OPTIONS"] {
        assert_eq!(served.status(method, &path).await, "405", "{method}");
        assert_eq!(served.status(method, "/").await, "404", "{method}");
    }
}

/// Each is the whole of the way to the blobs, or leads out of the store.
#[tokio::test]
async fn nothing_is_served_below_what_is_no_directory() {
    let (outside, digest) = directory_with("portolan").await;
    let content = outside.path().join("containers");
    for name in ["containers", "containers/images"] {
        let target = if name == "containers" { content.clone() } else { content.join("images") };
        for target in [target, "absent".into(), Path::new(name).file_name().expect("a name").into()]
        {
            let directory = TempDir::new().expect("a directory");
            let link = directory.path().join(name);
            fs::create_dir_all(link.parent().expect("a parent")).expect("it is made");
            symlink(target, &link).expect("it is linked");
            let served = TestStoreServer::new(directory.path()).await;
            let path = format!("/{}", key(&digest));
            assert_eq!(served.status("GET", &path).await, "404", "{}", link.display());
            fs::remove_file(&link).expect("it is there");
            fs::write(&link, "x").expect("it is written");
            assert_eq!(served.status("GET", &path).await, "404", "{}", link.display());
        }
    }
}

#[tokio::test]
async fn it_ends_at_the_shutdown() {
    let (directory, digest) = directory_with("portolan").await;
    let served = TestStoreServer::new(directory.path()).await;
    assert_eq!(served.status("GET", &format!("/{}", key(&digest))).await, "200");
    served.stop.send(()).expect("it runs");
    served.ended.await.expect("no panic");
    assert!(TcpStream::connect(served.address).await.is_err(), "the listener is closed");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_delays_the_end_by_the_drain_at_most() {
    let directory = TempDir::new().expect("a directory");
    let store =
        BlobStore::open(&format!("file://{}", directory.path().display())).expect("a store");
    // More than the buffers of both ends of a connection hold.
    let content = Bytes::from(vec![0; 64 << 20]);
    let digest = Digest::sha256(&content);
    store.put(&digest, content).await.expect("it is put");
    let served = TestStoreServer::new(directory.path()).await;
    let mut connection = TcpStream::connect(served.address).await.expect("a connection");
    let request = format!("GET /{} HTTP/1.1\r\nhost: h\r\n\r\n", key(&digest));
    connection.write_all(request.as_bytes()).await.expect("it is sent");
    connection.read_exact(&mut [0; 9]).await.expect("a response begins");
    served.stop.send(()).expect("it runs");
    let stopped_at = tokio::time::Instant::now();
    served.ended.await.expect("no panic");
    assert!(stopped_at.elapsed() >= Duration::from_secs(10), "the response had its time");
}

/// A directory with a blob that is larger than what the system buffers between the two, and its path.
fn directory_with_a_large_blob() -> (TempDir, String) {
    let directory = TempDir::new().expect("a directory");
    let digest = Digest::sha256(b"large");
    let path = directory.path().join(key(&digest));
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    // Its content is not checked.
    fs::File::create(&path).and_then(|file| file.set_len(LARGE)).expect("a file");
    (directory, format!("/{}", key(&digest)))
}

#[tokio::test]
async fn two_addresses_that_do_not_read_do_not_keep_a_third_out() {
    let (directory, path) = directory_with_a_large_blob();
    // What they use up: connections, or files.
    for (connections, files) in [(2, 100), (100, 2)] {
        let served = TestStoreServer::with(directory.path(), connections, files).await;
        let mut slow = served.unread(&path, "127.0.0.2").await;
        let _unread = served.unread(&path, "127.0.0.3").await;
        let third = async {
            while served.status("HEAD", &path).await != "200" {
                tokio::task::yield_now().await;
            }
        };
        let time_passes = async {
            for _ in 0..4 {
                slow.read_exact(&mut vec![0; PIECE]).await.expect("it is still served");
                tokio::time::pause();
                tokio::time::advance(EVICTION_STALL * 7 / 10).await;
                tokio::time::resume();
            }
        };
        // The clients that do not read would be closed after two minutes anyway.
        let both =
            tokio::time::timeout(WRITE_TIMEOUT / 2, futures_util::future::join(third, time_passes));
        both.await.expect("the third is served");
        slow.read_exact(&mut vec![0; PIECE]).await.expect("a client that reads slowly is served");
    }
}

#[tokio::test]
async fn one_client_has_half_of_the_open_files_until_they_are_closed() {
    let (directory, path) = directory_with_a_large_blob();
    let served = TestStoreServer::with(directory.path(), 100, 2).await;
    let slow = served.unread(&path, "127.0.0.1").await;
    let refused = served.request("HEAD", &path, "").await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    drop(slow);
    while served.status("HEAD", &path).await != "200" {
        tokio::task::yield_now().await;
    }
}
