//! The end of an upload: a registry that has all of a blob, and does not respond.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use oci::{Digest, Host};
use registry_client::{BlobPush, Error, Pushed, RegistryClient, RequestFault, Retries};
use testkit::{Fault, TestRegistry, fixture};

use crate::support::{SHORT, at, stubborn};

/// Pushed by one request, and by more than one.
const SIZES: [usize; 2] = [1000, 5 << 20];

/// A client that tries again at once, and waits for a second for a commit: twice the request timeout.
fn client() -> RegistryClient {
    let retries = Retries::default().base(Duration::from_millis(1));
    RegistryClient::builder().retries(retries).request_timeout(SHORT / 2).build()
}

/// Pushes other bytes of this size for each seed.
async fn push(
    client: &RegistryClient,
    host: &Host,
    seed: u64,
    size: usize,
) -> Result<Pushed, Error> {
    let bytes: Bytes = fixture::noise(seed, size);
    let push = BlobPush::new(Digest::sha256(&bytes), size as u64);
    at(client, host).push_blob(&push, &bytes).await
}

fn commits(registry: &TestRegistry) -> usize {
    registry.count(|request| request.method == Method::PUT)
}

#[tokio::test]
async fn a_commit_without_a_response_is_sent_twice_at_most() {
    for size in SIZES {
        let registry = TestRegistry::start().await;
        registry.fail(Fault::on(Method::PUT, "/uploads/").hang());
        let error = push(&client(), &registry.host(), 1, size).await.expect_err("no response");
        let end = ": no response within 1s after all of the content was sent (2 tries), and the \
                   registry does not have the blob; check the registry and its storage";
        assert!(error.to_string().starts_with("PUT "), "{error}");
        assert!(error.to_string().ends_with(end), "{error}");
        assert!(error.is_transient() && !error.is_unreachable(), "{error}");
        assert_eq!(commits(&registry), 2, "{size}");
    }
}

#[tokio::test]
async fn a_blob_that_was_committed_without_a_response_is_found() {
    for size in SIZES {
        let registry = TestRegistry::start().await;
        registry.fail(Fault::on(Method::PUT, "/uploads/").withhold_response());
        let pushed = push(&stubborn(), &registry.host(), 1, size).await;
        assert_eq!(pushed.expect("it is there"), Pushed::Sent, "{size}");
        assert_eq!(commits(&registry), 1, "{size}");
    }
}

#[tokio::test]
async fn a_host_that_commits_no_blob_again_and_again_is_unreachable() {
    let (registry, client) = (TestRegistry::start().await, client());
    let is_unreachable = async |seed| {
        let error = push(&client, &registry.host(), seed, 1000).await.expect_err("no response");
        assert!(matches!(error.fault(), RequestFault::NotCommitted { .. }), "{error}");
        error.is_unreachable()
    };
    let four = Fault::on(Method::PUT, "/uploads/").hang().times(4);
    registry.fail(four);
    assert!(!is_unreachable(1).await && !is_unreachable(2).await);
    push(&client, &registry.host(), 3, 1000).await.expect("it commits a blob");
    registry.fail(Fault::on(Method::PUT, "/uploads/").hang());
    assert!(!is_unreachable(4).await && !is_unreachable(5).await, "the count began again");
    assert!(is_unreachable(6).await, "three in a row");
}
