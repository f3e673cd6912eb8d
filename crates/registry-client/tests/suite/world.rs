//! The registry that the suite is run against, and what the tests share.

#![expect(
    clippy::print_stdout,
    reason = "which registry it is, and how it differs, is for who runs the suite"
)]

use std::{
    fmt::Display,
    sync::{
        Arc, LazyLock, Mutex, Once, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use credentials::{Credential, Credentials, Secret};
use futures_util::{Stream, stream};
use http::{HeaderValue, Method, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::BodyExt as _;
use oci::{Digest, Host, Reference, Repository, Tag};
use registry_client::{BlobPush, Error, Pushed, RegistryClient, RepositoryClient};
use testkit::{
    Body, TestRegistry, TestServer,
    fixture::{self, TestImage},
};

/// Repositories of this run begin so: another run has others.
static PREFIX: LazyLock<String> = LazyLock::new(|| format!("suite-{:016x}", fastrand::u64(..)));
/// Content of this run begins here, so that no registry has any of it from another run.
static SEED: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(fastrand::u64(..)));
static SAID: Once = Once::new();

/// A registry, and a part of it that is this test's alone.
pub(crate) struct World {
    pub(crate) host: Host,
    credential: Option<Credential>,
    test: &'static str,
    /// The registry in this process, if it is that.
    _embedded: Option<TestRegistry>,
}

impl World {
    /// The registry, for the test of this name.
    pub(crate) async fn new(test: &'static str) -> Self {
        let text = |name| std::env::var_os(name).map(|value| value.into_string().expect("UTF-8"));
        let host = text("PORTOLAN_SUITE_REGISTRY").map(|host| host.parse().expect("HOST:PORT"));
        let credential = text("PORTOLAN_SUITE_CREDENTIALS").map(|both| {
            let (user, password) = both.split_once(':').expect("user:password");
            Credential::Basic { user: user.to_owned(), password: Secret::new(password) }
        });
        SAID.call_once(|| match (&host, &credential) {
            (Some(host), Some(Credential::Basic { user, .. })) => {
                println!("against: {host}, as {user}");
            }
            (Some(host), _) => println!("against: {host}"),
            (None, _) => println!("against: the embedded registry"),
        });
        if let Some(host) = host {
            return Self { host, credential, test, _embedded: None };
        }
        let embedded = TestRegistry::start().await;
        Self { host: embedded.host(), credential: None, test, _embedded: Some(embedded) }
    }

    /// Who we are there.
    pub(crate) fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }

    /// A client with the default settings.
    pub(crate) fn client(&self) -> RegistryClient {
        client_at(&self.host, self.credential.clone())
    }

    /// The name of a repository of this test.
    pub(crate) fn name(&self, name: &str) -> Repository {
        format!("{}/{}/{name}", *PREFIX, self.test).parse().expect("a name")
    }

    /// A repository of this test.
    pub(crate) fn repository(&self, name: &str) -> RepositoryClient {
        self.client().repository(&self.host, &self.name(name))
    }
}

/// A client, with credentials for one host.
pub(crate) fn client_at(host: &Host, credential: Option<Credential>) -> RegistryClient {
    let mut credentials = Credentials::builder();
    if let Some(credential) = credential {
        credentials = credentials.with(host, credential);
    }
    RegistryClient::builder().credentials(credentials.build()).build()
}

/// Says in one line that this registry does something else than others may, by the specification's leave.
pub(crate) fn differs(what: &str, does: impl Display) {
    println!("differs: {what}: {does}");
}

/// The status and codes of a refusal, for [`differs`]. Anything but a refusal is a failed test.
pub(crate) fn refusal(error: &Error) -> String {
    let status = error.status().unwrap_or_else(|| panic!("no refusal: {error}"));
    assert!(status.is_client_error() || status == StatusCode::NOT_IMPLEMENTED, "{error}");
    status.to_string()
}

/// A seed that is unique, in this run and among runs.
pub(crate) fn seed() -> u64 {
    SEED.fetch_add(1, Ordering::Relaxed)
}

/// New content of this length.
pub(crate) fn content(length: usize) -> Bytes {
    fixture::noise(seed(), length)
}

/// Content as a stream of pieces.
pub(crate) fn pieces(
    bytes: &Bytes,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static + use<> {
    let whole = bytes.clone();
    let starts = (0..whole.len()).step_by(100_000);
    let piece = move |start| Ok(whole.slice(start..whole.len().min(start + 100_000)));
    stream::iter(starts.map(piece).collect::<Vec<_>>())
}

pub(crate) fn tag(text: &str) -> Reference {
    text.parse::<Tag>().expect("a tag").into()
}

pub(crate) async fn push(repository: &RepositoryClient, bytes: &Bytes) -> Result<Pushed, Error> {
    let push = BlobPush::new(Digest::sha256(bytes), bytes.len() as u64);
    repository.push_blob(&push, bytes).await
}

/// Reads a blob to its end.
pub(crate) async fn read(repository: &RepositoryClient, digest: &Digest) -> Result<Bytes, Error> {
    let (mut reader, mut all) = (repository.blob(digest).await?, Vec::new());
    while let Some(piece) = reader.next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all.into())
}

/// Whether a blob is there, by both ways to ask, which must agree.
pub(crate) async fn has_blob(repository: &RepositoryClient, digest: &Digest) -> bool {
    let content = read(repository, digest).await;
    let size = content.as_ref().map_or(0, |bytes| bytes.len() as u64);
    let there = repository.find_blob(digest, size).await.expect("a response").is_present();
    match content {
        Ok(bytes) => assert!(there && digest.matches(&bytes)),
        Err(error) => assert!(!there && error.is_not_found(), "{error}"),
    }
    there
}

/// Pushes all blobs that an image reaches.
pub(crate) async fn push_blobs(repository: &RepositoryClient, image: &TestImage) {
    for blob in image.manifests().iter().flat_map(|manifest| &manifest.blobs) {
        push(repository, &blob.bytes).await.expect("a pushed blob");
    }
}

/// Puts one manifest under a reference.
pub(crate) async fn put(
    repository: &RepositoryClient,
    reference: Reference,
    image: &TestImage,
) -> Result<Digest, Error> {
    let (media_type, bytes) = (&image.descriptor.media_type, image.bytes.clone());
    repository.put_manifest(&reference, media_type, bytes).await
}

/// Pushes an image with all that it reaches: manifests by digest, and the tag if there is one.
pub(crate) async fn push_image(
    repository: &RepositoryClient,
    tagged: Option<&str>,
    image: &TestImage,
) {
    push_blobs(repository, image).await;
    for manifest in image.manifests() {
        let digest = put(repository, manifest.digest().into(), manifest).await;
        assert_eq!(digest.expect("a stored manifest"), manifest.digest());
    }
    if let Some(name) = tagged {
        let digest = put(repository, tag(name), image).await.expect("a tag");
        assert_eq!(digest, image.digest());
    }
}

/// An exchange as it passed by.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) status: StatusCode,
}

/// A proxy to the registry that records the responses.
pub(crate) struct WatchedRegistry {
    pub(crate) client: RegistryClient,
    pub(crate) server: TestServer,
    passed: Arc<Mutex<Vec<Passed>>>,
}

impl WatchedRegistry {
    pub(crate) async fn new(world: &World) -> Self {
        let passed = Arc::<Mutex<Vec<Passed>>>::default();
        let (log, host) = (Arc::clone(&passed), world.host.clone());
        let server =
            TestServer::start(move |request| pass(Arc::clone(&log), host.clone(), request));
        let server = server.await;
        let client = client_at(&server.host(), world.credential.clone());
        Self { client, server, passed }
    }

    /// The exchanges so far.
    pub(crate) fn passed(&self) -> Vec<Passed> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Hands a request on. Pointers back are relative to it, so that they pass here too.
async fn pass(log: Arc<Mutex<Vec<Passed>>>, host: Host, request: Request<Body>) -> Response<Body> {
    let (method, target) = (request.method().clone(), request.uri().to_string());
    let authorization = request.headers().get(AUTHORIZATION).cloned();
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a whole request").to_bytes();
    let request = Request::from_parts(head, Body::from(body));
    let mut response = testkit::send(&host, request).await.expect("a response");
    let status = response.status();
    if let Some(location) = response.headers_mut().get_mut("location") {
        let text = location.to_str().expect("ASCII").replace(&format!("http://{host}"), "");
        *location = text.parse().expect("a location");
    }
    let passed = Passed { method, target, authorization, status };
    log.lock().unwrap_or_else(PoisonError::into_inner).push(passed);
    response.map(Body::from)
}
