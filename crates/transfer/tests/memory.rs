//! Memory does not grow with the size of a blob. In a process of its own, since it reads the peak of
//! the whole process.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use blob_store::BlobStore;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Method, Response};
use oci::{Descriptor, Digest, media_type};
use registry_client::RegistryClient;
use testkit::{Body, TestServer};
use transfer::{BlobOutcome, Destination, copy_blob};

/// How long the blob is: far more than anything that may be held.
const BLOB: usize = 64 << 20;

/// What the blob is made of.
static PIECE: [u8; 64 << 10] = [0; 64 << 10];

/// The SHA-256 of [`BLOB`] zeros, by `sha256sum`.
const DIGEST: &str = "sha256:3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351";

/// How much more memory may be used at the peak: pieces on their way through three sockets and two
/// channels, and what else a process does in the meantime.
const ALLOWED: usize = 24 << 20;

/// The peak of this process's resident memory so far, in bytes; none where the system does not report it.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<usize>().ok().map(|kib| kib << 10)
}

/// Resolves when `counter` stands still.
async fn stopped(counter: &AtomicUsize) {
    let mut last = usize::MAX;
    while last != counter.load(Ordering::Relaxed) {
        last = counter.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_blob_passes_through_without_staying() {
    let produced = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&produced);
    let source = TestServer::start(move |_| {
        let counter = Arc::clone(&counter);
        let pieces = (0..BLOB / PIECE.len()).map(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(Bytes::from_static(&PIECE))
        });
        async { Response::new(Body::from_stream(stream::iter(pieces))) }
    });
    let source = source.await;
    // Takes nothing before the source has stopped, be it at its end or because everything on the way
    // is full; keeps nothing.
    let sink = TestServer::start(move |request| {
        let produced = Arc::clone(&produced);
        async move {
            let opens = request.method() == Method::POST;
            if !opens {
                stopped(&produced).await;
            }
            let mut pieces = request.into_body().into_data_stream();
            while pieces.next().await.is_some() {}
            let response = Response::builder().status(if opens { 202 } else { 201 });
            let response = response.header("location", "/v2/a/blobs/uploads/1").body(Body::empty());
            response.expect("a response")
        }
    });
    let sink = sink.await;
    let directory = tempfile::TempDir::new().expect("a directory");
    let store = format!("file://{}", directory.path().display());
    let store = Destination::Store(BlobStore::open(&store).expect("a store"));
    let client = RegistryClient::builder().build();
    let name = "a".parse().expect("a name");
    let registry = Destination::Registry(client.repository(&sink.host(), &name));
    let digest: Digest = DIGEST.parse().expect("a digest");
    let blob = Descriptor::new(media_type::OCI_LAYER_GZIP, digest, BLOB as u64);
    let Some(before) = peak() else {
        return eprintln!("skipped: this system does not report peak memory");
    };
    let from = client.repository(&source.host(), &name);
    let outcomes = copy_blob(&from, &digest, &blob, &[&registry, &store]).await;
    let grown = peak().expect("measured before") - before;
    assert!(matches!(outcomes[..], [Ok(BlobOutcome::Sent), Ok(BlobOutcome::Sent)]), "{outcomes:?}");
    assert!(grown < ALLOWED, "{grown} bytes more at the peak");
    eprintln!("{grown} bytes more at the peak");
}
