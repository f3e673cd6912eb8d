//! Responses that mean too many requests, by whatever status.

use std::sync::atomic::{AtomicBool, Ordering};

use oci::Host;
use registry_client::{RegistryClient, Retries};

use crate::support::{BLOB, Scripted, at, digest, fault_of, read_from, reply, stubborn};

/// GitHub's form of a reason.
const SECONDARY: &str =
    r#"{"message":"You have exceeded a secondary rate limit.","documentation_url":"x"}"#;
const TOO_MANY: &str = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;

/// How many throttled requests the client has counted at `host`.
fn throttled(client: &RegistryClient, host: &Host) -> u64 {
    let usage = client.usage();
    usage.iter().find(|usage| usage.host == host.as_str()).map_or(0, |usage| usage.throttled)
}

#[tokio::test]
async fn a_403_with_retry_after_and_the_code_of_too_many_requests_are_waited_for_like_a_429() {
    for (status, headers, body) in [
        (403, &["Retry-After: 1"][..], SECONDARY),
        (403, &[], TOO_MANY),
        (400, &[], TOO_MANY),
        (429, &[], TOO_MANY),
    ] {
        let is_first = AtomicBool::new(true);
        let registry = Scripted::start(move |_| match is_first.swap(false, Ordering::Relaxed) {
            true => reply(status, headers, body),
            false => reply(200, &[], BLOB),
        })
        .await;
        // A throttled try does not count.
        let client = RegistryClient::builder().retries(Retries::default().tries(1)).build();
        let read = read_from(&client, &registry.host).await;
        assert_eq!(read.unwrap_or_else(|error| panic!("{error}")), BLOB.as_bytes());
        assert_eq!(registry.lines().len(), 2, "{status} {body}");
        assert_eq!(throttled(&client, &registry.host), 1, "{status} {body}: the rate knows of it");
    }
    // HEAD has no body, and the GET that confirms it must not be sent before the time is over.
    let registry = Scripted::start(|_| reply(403, &["Retry-After: 9"], "")).await;
    let client = RegistryClient::builder().retries(Retries::none()).build();
    let error = at(&client, &registry.host).find_blob(&digest(), 6).await.expect_err("throttled");
    assert!(error.is_transient() && !error.is_unauthorized(), "{error}");
    assert_eq!(registry.lines(), [format!("HEAD /v2/a/blobs/{}", digest())]);
}

#[tokio::test]
async fn a_refusal_shows_a_message_without_a_code() {
    let registry = Scripted::start(|_| reply(403, &[], SECONDARY)).await;
    let (text, error) = fault_of(&stubborn(), &registry.host).await;
    assert_eq!(text, "403 Forbidden (You have exceeded a secondary rate limit.)");
    assert!(error.is_unauthorized() && !error.is_transient());
}
