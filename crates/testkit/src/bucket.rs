//! An object-storage bucket as anonymous readers see it: GET and HEAD of keys, nothing else.

use std::{
    collections::HashMap,
    ops::Deref,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::ALLOW};

use crate::TestServer;

/// A bucket. The object `key` is at `/key`. See [`TestServer`] for records and faults.
#[derive(Debug)]
pub struct TestBucket {
    server: TestServer,
    objects: Arc<Mutex<HashMap<String, Bytes>>>,
}

impl TestBucket {
    /// An empty bucket in memory.
    pub async fn start() -> Self {
        Self::serve(None).await
    }

    /// The files below `directory`, read at each request. Objects that are put go into memory and
    /// come before files.
    pub async fn over(directory: &Path) -> Self {
        Self::serve(Some(directory.to_owned())).await
    }

    async fn serve(directory: Option<PathBuf>) -> Self {
        let objects = Arc::<Mutex<HashMap<String, Bytes>>>::default();
        let held = Arc::clone(&objects);
        let server = TestServer::start(move |request| {
            let response = respond(&request, &held, directory.as_deref());
            async move { response }
        });
        Self { server: server.await, objects }
    }

    /// Puts an object, in place of one of that key.
    pub fn put(&self, key: &str, content: impl Into<Bytes>) {
        self.lock().insert(key.to_owned(), content.into());
    }

    /// Deletes an object that was put.
    pub fn delete(&self, key: &str) {
        self.lock().remove(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for TestBucket {
    type Target = TestServer;

    fn deref(&self) -> &TestServer {
        &self.server
    }
}

fn respond(
    request: &Request<Body>,
    objects: &Mutex<HashMap<String, Bytes>>,
    directory: Option<&Path>,
) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let key = request.uri().path().trim_start_matches('/');
    let held = objects.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
    match held.or_else(|| read(directory?, key)) {
        Some(content) => *response.body_mut() = content.into(),
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

fn read(directory: &Path, key: &str) -> Option<Bytes> {
    if key.split('/').any(|part| part == "..") {
        return None;
    }
    std::fs::read(directory.join(key)).ok().map(Bytes::from)
}
