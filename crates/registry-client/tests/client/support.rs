//! Registries with scripted responses, and what the tests share.

use std::{
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;
use oci::{Digest, Host, Reference, Repository, Tag};
use registry_client::{BlobReader, Error, RegistryClient, RepositoryClient, Retries};
use testkit::{Body, TestServer};

/// Long for a loopback connection, short for a person who waits for the tests.
pub(crate) const SHORT: Duration = Duration::from_secs(1);
/// What the tests read and write.
pub(crate) const BLOB: &str = "a blob";

/// A client that asks once.
pub(crate) fn client() -> RegistryClient {
    RegistryClient::builder().retries(Retries::none()).build()
}

/// The same, and it does not wait for long.
pub(crate) fn hasty() -> RegistryClient {
    let builder = RegistryClient::builder().retries(Retries::none());
    builder.request_timeout(SHORT).idle_timeout(SHORT).build()
}

/// A client that asks again at once, or nearly.
pub(crate) fn stubborn() -> RegistryClient {
    let retries = Retries::default().base(Duration::from_millis(1));
    RegistryClient::builder().retries(retries).request_timeout(SHORT).idle_timeout(SHORT).build()
}

/// The repository `a` at `host`.
pub(crate) fn at(client: &RegistryClient, host: &Host) -> RepositoryClient {
    client.repository(host, &name("a"))
}

pub(crate) fn name(text: &str) -> Repository {
    text.parse().expect("a name")
}

pub(crate) fn tag(text: &str) -> Reference {
    text.parse::<Tag>().expect("a tag").into()
}

pub(crate) fn digest() -> Digest {
    Digest::sha256(BLOB.as_bytes())
}

pub(crate) async fn read(mut blob: BlobReader) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while let Some(piece) = blob.next().await? {
        assert!(!piece.is_empty());
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

pub(crate) async fn read_from(client: &RegistryClient, host: &Host) -> Result<Vec<u8>, Error> {
    read(at(client, host).blob(&digest()).await?).await
}

/// The text of an error and its causes, as it is printed.
pub(crate) fn printed(error: &dyn std::error::Error) -> String {
    wording::Chain(error).to_string()
}

/// The error of reading the blob at `host`, and its text without method and URL.
pub(crate) async fn fault_of(client: &RegistryClient, host: &Host) -> (String, Error) {
    let error = read_from(client, host).await.expect_err("a fault");
    let start = format!("GET http://{host}/v2/a/blobs/{}: ", digest());
    let text = printed(&error);
    let fault = text.strip_prefix(&start).unwrap_or_else(|| panic!("{text}"));
    (fault.to_owned(), error)
}

/// A request as received.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    /// None if the connection broke.
    pub(crate) body: Option<Bytes>,
}

impl ReceivedRequest {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }
}

/// A registry whose response is a function of the whole request.
pub(crate) struct Scripted {
    pub(crate) host: Host,
    received: Arc<Mutex<Vec<ReceivedRequest>>>,
    server: TestServer,
}

impl Scripted {
    pub(crate) async fn start(
        script: impl Fn(&ReceivedRequest) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        let received = Arc::<Mutex<Vec<ReceivedRequest>>>::default();
        let (log, script) = (Arc::clone(&received), Arc::new(script));
        let server = TestServer::start(move |request: Request<Body>| {
            let (log, script) = (Arc::clone(&log), Arc::clone(&script));
            async move {
                let (head, body) = request.into_parts();
                let request = ReceivedRequest {
                    method: head.method,
                    target: head.uri.to_string(),
                    headers: head.headers,
                    body: body.collect().await.map(http_body_util::Collected::to_bytes).ok(),
                };
                let response = script(&request);
                log.lock().expect("the log").push(request);
                response
            }
        });
        let server = server.await;
        Self { host: server.host(), received, server }
    }

    /// The requests so far.
    pub(crate) fn received(&self) -> Vec<ReceivedRequest> {
        self.received.lock().expect("the log").clone()
    }

    /// Method and target of the requests so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.received()
            .iter()
            .map(|request| format!("{} {}", request.method, request.target))
            .collect()
    }
}

impl Deref for Scripted {
    type Target = TestServer;

    fn deref(&self) -> &TestServer {
        &self.server
    }
}

/// A response with these headers, each `name: value`.
pub(crate) fn reply(status: u16, headers: &[&str], body: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = status.try_into().expect("a status");
    for header in headers {
        let (name, value) = header.split_once(": ").expect("a header");
        let name: HeaderName = name.parse().expect("a name");
        response.headers_mut().append(name, HeaderValue::from_str(value).expect("a value"));
    }
    response
}

/// A redirect to `location`, wherever that is.
pub(crate) fn redirect(location: &str) -> Response<Body> {
    reply(307, &[&format!("Location: {location}")], "")
}
