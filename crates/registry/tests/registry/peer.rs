//! A running registry and a client for it.

use std::path::Path;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::LOCATION};
use http_server::{ClientIp, ClientIpPolicy, DefaultTrust};
use oci::{Digest, ErrorBody, Host};
use registry::{Access, Listeners, Registry, RegistrySettings, Storage};
use testkit::{Body, fixture::TestImage, send};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

pub(crate) struct Peer {
    pub(crate) host: Host,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

/// A request's headers.
pub(crate) type Headers<'a> = &'a [(&'a str, &'a str)];

impl Peer {
    pub(crate) async fn in_memory() -> Self {
        Self::serve(Storage::memory()).await
    }

    pub(crate) async fn on(directory: &Path) -> Self {
        Self::serve(Storage::directory(directory).expect("a directory of our own")).await
    }

    async fn serve(storage: Storage) -> Self {
        Self::of(Registry::new(storage)).await
    }

    /// One in memory that behaves like this.
    pub(crate) async fn with(settings: RegistrySettings, access: Option<Access>) -> Self {
        Self::of(Registry::with(Storage::memory(), settings, access)).await
    }

    pub(crate) async fn of(registry: Registry) -> Self {
        Self::behind(registry, ClientIp::new(ClientIpPolicy::default(), DefaultTrust::None)).await
    }

    /// One that believes what balancers say of their clients.
    pub(crate) async fn behind(registry: Registry, client_ip: ClientIp) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let host = listener.local_addr().expect("an address").to_string();
        let listeners = Listeners { client_ip, ..Listeners::from(listener) };
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        let serving = tokio::spawn(registry::serve(registry, listeners, stopped));
        Self { host: host.parse().expect("a host"), stop, serving }
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("it is running");
        self.serving.await.expect("no panic").expect("no error");
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: Headers<'_>,
        body: impl Into<Body>,
    ) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a request");
        send(&self.host, request).await.expect("a response")
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Bytes> {
        self.ask(Method::GET, path, &[], "").await
    }

    /// Begins a request whose body is announced to have this many bytes; it is being carried out, and
    /// has sent none of them yet.
    pub(crate) async fn under_way(&self, method: Method, path: &str, length: usize) -> TcpStream {
        const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
        let mut stream = TcpStream::connect(self.host.as_str()).await.expect("it listens");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\
             content-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("it is sent");
        // The server sends this once the handler reads the body.
        let mut response = vec![0; CONTINUE.len()];
        stream.read_exact(&mut response).await.expect("a response");
        assert_eq!(response, CONTINUE);
        stream
    }

    /// The status of a GET.
    pub(crate) async fn status(&self, path: &str) -> StatusCode {
        self.get(path).await.status()
    }

    /// Begins an upload; the path of its session.
    pub(crate) async fn start(&self, repository: &str) -> String {
        let path = format!("/v2/{repository}/blobs/uploads/");
        let started = self.ask(Method::POST, &path, &[], "").await;
        assert_eq!(started.status(), StatusCode::ACCEPTED);
        header(&started, LOCATION.as_str())
    }

    pub(crate) async fn push_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let pushed = self.ask(Method::POST, &path, &[], bytes.to_vec()).await;
        assert_eq!(pushed.status(), StatusCode::CREATED, "{pushed:?}");
        digest
    }

    /// Pushes the manifest alone.
    pub(crate) async fn push_manifest(
        &self,
        repository: &str,
        reference: &str,
        image: &TestImage,
    ) -> Response<Bytes> {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let headers = [("content-type", &*image.descriptor.media_type)];
        self.ask(Method::PUT, &path, &headers, image.bytes.clone()).await
    }

    /// Pushes all that `image` reaches, and itself under `tag`.
    pub(crate) async fn push(&self, repository: &str, tag: &str, image: &TestImage) {
        for manifest in image.manifests() {
            for blob in &manifest.blobs {
                self.push_blob(repository, &blob.bytes).await;
            }
            let digest = manifest.digest().to_string();
            let reference = if manifest.digest() == image.digest() { tag } else { &digest };
            let pushed = self.push_manifest(repository, reference, manifest).await;
            assert_eq!(pushed.status(), StatusCode::CREATED, "{pushed:?}");
        }
    }
}

/// A header of a response, as text; empty if there is none.
pub(crate) fn header(response: &Response<Bytes>, name: &str) -> String {
    let value = response.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
    value.unwrap_or_default()
}

/// The status and the one code of an error response.
pub(crate) fn refusal(response: &Response<Bytes>) -> (u16, String) {
    let body: ErrorBody = serde_json::from_slice(response.body()).expect("the error body");
    let [error] = &body.errors[..] else { panic!("one error: {body:?}") };
    assert!(!error.message.is_empty());
    assert_eq!(header(response, "content-type"), "application/json");
    (response.status().as_u16(), error.code.clone())
}

/// What [`refusal`] is to be.
pub(crate) fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}
