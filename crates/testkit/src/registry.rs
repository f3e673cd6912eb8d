//! The embedded registry behind a test server.

use std::ops::Deref;

use ::registry::{Registry, Storage};
use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::BodyExt as _;
use oci::{Digest, RegistryPrefix};

use crate::{TestServer, fixture::TestImage};

/// A registry. Requests over the network are recorded and may fail ([`TestServer`]); what the
/// test does through the functions here is not recorded and never fails.
#[derive(Debug)]
pub struct TestRegistry {
    server: TestServer,
    registry: Registry,
}

impl TestRegistry {
    /// An empty registry in memory.
    pub async fn start() -> Self {
        Self::over(Registry::new(Storage::memory())).await
    }

    /// This registry, served.
    pub async fn over(registry: Registry) -> Self {
        let served = registry.clone();
        let respond = move |request| {
            let registry = served.clone();
            async move { registry.respond(request).await }
        };
        Self::behind(registry, respond).await
    }

    /// This registry, served by what stands in front of it.
    pub(crate) async fn behind<F>(
        registry: Registry,
        respond: impl Fn(Request<Body>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self { server: TestServer::start(respond).await, registry }
    }

    /// The prefix of the repositories below `path`; `""` is the root.
    #[must_use]
    pub fn prefix(&self, path: &str) -> RegistryPrefix {
        let path = (!path.is_empty()).then(|| path.parse().expect("a repository name"));
        RegistryPrefix { host: self.host(), path }
    }

    /// Puts `image` with all that it reaches into `repository`, and `tag` on it unless that is `None`.
    pub async fn load<'a>(
        &self,
        repository: &str,
        tag: impl Into<Option<&'a str>>,
        image: &TestImage,
    ) {
        for manifest in image.manifests() {
            for blob in &manifest.blobs {
                let path =
                    format!("/v2/{repository}/blobs/uploads/?digest={}", blob.descriptor.digest);
                self.put(Method::POST, &path, "", &blob.bytes).await;
            }
            self.put_manifest(repository, &manifest.digest().to_string(), manifest).await;
        }
        if let Some(tag) = tag.into() {
            self.put_manifest(repository, tag, image).await;
        }
    }

    async fn put_manifest(&self, repository: &str, reference: &str, manifest: &TestImage) {
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.put(Method::PUT, &path, &manifest.descriptor.media_type, &manifest.bytes).await;
    }

    async fn put(&self, method: Method, path: &str, content_type: &str, bytes: &Bytes) {
        let response = self.ask(method, path, content_type, bytes.clone()).await;
        let text = String::from_utf8_lossy(response.body());
        assert_eq!(response.status(), StatusCode::CREATED, "{path}: {text}");
    }

    /// Deletes a blob of `repository`; the manifests that list it stay.
    pub async fn delete_blob(&self, repository: &str, digest: &Digest) {
        let path = format!("/v2/{repository}/blobs/{digest}");
        let response = self.ask(Method::DELETE, &path, "", Bytes::new()).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{path}");
    }

    /// The digest of the manifest at this tag or digest, if there is one.
    pub async fn digest_of(&self, repository: &str, reference: &str) -> Option<Digest> {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let found = self.read(&path).await?;
        let digest = found.headers().get("docker-content-digest");
        let digest = digest.and_then(|digest| digest.to_str().ok()?.parse().ok());
        Some(digest.expect("the registry names the digest"))
    }

    /// The tags of `repository`, in ASCII order.
    pub async fn tags(&self, repository: &str) -> Vec<String> {
        let Some(found) = self.read(&format!("/v2/{repository}/tags/list")).await else {
            return Vec::new();
        };
        let list: serde_json::Value = serde_json::from_slice(found.body()).expect("JSON");
        let tags = list["tags"].as_array().expect("a list of tags");
        tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect()
    }

    /// The repositories that hold something, in ASCII order.
    pub async fn repositories(&self) -> Vec<String> {
        let found = self.read("/v2/_catalog").await.expect("the catalogue is always there");
        let list: serde_json::Value = serde_json::from_slice(found.body()).expect("JSON");
        let names = list["repositories"].as_array().expect("a list of repositories");
        names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    }

    /// Whether `repository` holds `image` and all that it reaches, byte for byte.
    pub async fn holds(&self, repository: &str, image: &TestImage) -> bool {
        for manifest in image.manifests() {
            let path = format!("/v2/{repository}/manifests/{}", manifest.digest());
            if !self.serves(&path, &manifest.bytes).await {
                return false;
            }
            for blob in &manifest.blobs {
                let path = format!("/v2/{repository}/blobs/{}", blob.descriptor.digest);
                if !self.serves(&path, &blob.bytes).await {
                    return false;
                }
            }
        }
        true
    }

    async fn serves(&self, path: &str, bytes: &Bytes) -> bool {
        self.read(path).await.is_some_and(|found| found.body() == bytes)
    }

    async fn read(&self, path: &str) -> Option<Response<Bytes>> {
        let found = self.ask(Method::GET, path, "", Bytes::new()).await;
        match found.status() {
            StatusCode::OK => Some(found),
            StatusCode::NOT_FOUND => None,
            other => panic!("{path}: {other}: {}", String::from_utf8_lossy(found.body())),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> Response<Bytes> {
        let request =
            Request::builder().method(method).uri(path).header(CONTENT_TYPE, content_type);
        let request = request.body(Body::from(body)).expect("a request");
        let (head, body) = self.registry.respond(request).await.into_parts();
        let body = body.collect().await.expect("a storage in order").to_bytes();
        Response::from_parts(head, body)
    }
}

impl Deref for TestRegistry {
    type Target = TestServer;

    fn deref(&self) -> &TestServer {
        &self.server
    }
}
