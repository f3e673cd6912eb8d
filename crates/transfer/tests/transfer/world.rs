//! Sources and destinations for the other files.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use blob_store::BlobStore;
use http::{Method, Response};
use http_body_util::BodyExt as _;
use oci::{Descriptor, Digest};
use registry_client::{RegistryClient, RepositoryClient, Retries};
use tempfile::TempDir;
use testkit::{Body, TestRegistry, TestServer, fixture::TestImage};
use transfer::Destination;

/// The repository of the images, at every registry here.
pub(crate) const REPOSITORY: &str = "team/app";

/// How long clients here wait: long enough for a busy machine, short enough for a test of silence.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn client() -> RegistryClient {
    RegistryClient::builder()
        .retries(Retries::none())
        .request_timeout(PATIENCE)
        .idle_timeout(PATIENCE)
        .build()
}

pub(crate) fn repository(server: &TestServer) -> RepositoryClient {
    repository_named(server, REPOSITORY)
}

pub(crate) fn repository_named(server: &TestServer, name: &str) -> RepositoryClient {
    client().repository(&server.host(), &name.parse().expect("a name"))
}

/// A registry that holds `image`.
pub(crate) async fn source_of(image: &TestImage) -> TestRegistry {
    let source = TestRegistry::start().await;
    source.load(REPOSITORY, None, image).await;
    source
}

/// Several empty registries and a store to copy to.
pub(crate) struct TestDestinations {
    pub(crate) registries: Vec<TestRegistry>,
    pub(crate) store: BlobStore,
    directory: TempDir,
}

impl TestDestinations {
    pub(crate) async fn new(registries: usize) -> Self {
        let directory = TempDir::new().expect("a directory");
        let url = format!("file://{}", directory.path().display());
        let mut started = Vec::new();
        for _ in 0..registries {
            started.push(TestRegistry::start().await);
        }
        let store = BlobStore::open(&url).expect("a store");
        Self { registries: started, store, directory }
    }

    /// The registries, then the store.
    pub(crate) fn destinations(&self) -> Vec<Destination> {
        let registries = self.registries.iter().map(|registry| repository(registry));
        let store = Destination::Store(self.store.clone());
        registries.map(Destination::Registry).chain([store]).collect()
    }

    /// Whether everything holds all of `image`.
    pub(crate) async fn hold(&self, image: &TestImage) -> bool {
        for registry in &self.registries {
            if !registry.holds(REPOSITORY, image).await {
                return false;
            }
        }
        self.store_holds(image).await
    }

    pub(crate) async fn store_holds(&self, image: &TestImage) -> bool {
        for digest in image.digests() {
            if blob_store::found(self.store.head(&digest).await).expect("a response").is_none() {
                return false;
            }
        }
        true
    }

    /// Whether nothing at all is visible of `digest`.
    pub(crate) async fn know_nothing_of(&self, digest: &Digest) -> bool {
        for registry in &self.registries {
            let path = format!("/v2/{REPOSITORY}/blobs/{digest}");
            let response = testkit::get(&registry.host(), &path).await.expect("a response");
            if response.status() != 404 {
                return false;
            }
        }
        blob_store::found(self.store.head(digest).await).expect("a response").is_none()
    }

    /// The names of the partial files of the store.
    pub(crate) fn partial_files(&self) -> Vec<String> {
        let hidden = self.directory.path().join(".portolan");
        let Ok(entries) = std::fs::read_dir(hidden) else { return Vec::new() };
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| name != "lock").collect()
    }
}

/// A server of fixed content, each at its digest, whatever a registry would say to it: broken images too.
pub(crate) async fn serving(content: Vec<(Descriptor, Vec<u8>)>) -> TestServer {
    let named = |(listed, bytes): (Descriptor, _)| (listed.digest.to_string(), (listed, bytes));
    let content: Arc<HashMap<_, _>> = Arc::new(content.into_iter().map(named).collect());
    TestServer::start(move |request| {
        let name = request.uri().path().rsplit('/').next().unwrap_or_default();
        let response = match content.get(name) {
            Some((listed, bytes)) => Response::builder()
                .header("content-type", &listed.media_type)
                .body(Body::from(bytes.clone())),
            None => Response::builder().status(404).body(Body::empty()),
        };
        async { response.expect("a response") }
    })
    .await
}

/// A registry that verifies nothing: it keeps whatever arrives complete. It mounts nothing, but responds
/// with an upload session, as the specification requires.
pub(crate) struct LaxRegistry {
    pub(crate) server: TestServer,
    kept: Arc<Mutex<Vec<String>>>,
}

impl LaxRegistry {
    pub(crate) async fn start() -> Self {
        let kept = Arc::<Mutex<Vec<String>>>::default();
        let keeper = Arc::clone(&kept);
        let server = TestServer::start(move |request| {
            let keeper = Arc::clone(&keeper);
            async move {
                let method = request.method().clone();
                let name = request.uri().to_string();
                let arrived = request.into_body().collect().await;
                let response = Response::builder();
                let response = match method {
                    Method::POST => {
                        response.status(202).header("location", "/v2/x/blobs/uploads/1")
                    }
                    Method::PUT if arrived.is_ok() => {
                        keeper.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                        response.status(201)
                    }
                    Method::DELETE => response.status(204),
                    _ => response.status(404),
                };
                response.body(Body::empty()).expect("a response")
            }
        });
        Self { server: server.await, kept }
    }

    /// The URLs of what it keeps.
    pub(crate) fn kept(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Runs `work` until `happened`, and then drops it, which is the same as a kill for the work.
pub(crate) async fn kill_when(work: impl Future<Output: Sized>, happened: impl Fn() -> bool) {
    let watch = async {
        while !happened() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ended = work => panic!("it ended before it could be killed"),
        () = watch => {}
    }
}
