//! `docs/reference/front.md`, "Client address": that the policy, the peer and all header lines reach the
//! decision. The rows themselves are tested where the rule is, in `http-server`.

use http::Request;
use redirector::Config;
use testkit::{Body, TestBucket};

use crate::harness::{self, NOWHERE, PARIS, at, blob, location, put, start, upstream, yaml};

async fn find(front: &harness::TestFront, path: &str, lines: &[&str]) -> String {
    let mut request = Request::get(path);
    for line in lines {
        request = request.header("X-Forwarded-For", *line);
    }
    location(&front.send(request.body(Body::empty()).unwrap()).await)
}

#[tokio::test]
async fn several_header_lines_are_one_list() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "client_ip: {trusted_hops: 1}")).await;
    let digest = put(&bucket, "content");
    let (near, far) = (at(&bucket, &digest), upstream(&digest));
    for (lines, expected) in [
        (&["35.180.1.1, 10.0.0.1"][..], &near),
        (&["35.180.1.1", "10.0.0.1"], &near),
        (&["203.0.113.9", "35.180.1.1:4711", "10.0.0.1"], &near),
        (&["203.0.113.9, [2600:1f01:4874::47]:443", "10.0.0.1:80"], &near),
        (&["35.180.1.1", "203.0.113.9, 10.0.0.1"], &far),
        (&["35.180.1.1"], &far),
        (&["35.180.1.x, 10.0.0.1"], &far),
        (&[], &far),
    ] {
        assert_eq!(&find(&front, &blob(&digest), lines).await, expected, "{lines:?}");
    }
    let unknown = "portolan_redirector_unknown_clients_total";
    assert_eq!(front.metric(&format!("{unknown}{{reason=\"too_short\"}}")).await, 1);
    assert_eq!(front.metric(&format!("{unknown}{{reason=\"unreadable\"}}")).await, 1);
}

#[tokio::test]
async fn a_header_is_used_only_from_trusted_peers() {
    let bucket = TestBucket::start().await;
    let digest = put(&bucket, "content");
    let (near, far) = (at(&bucket, &digest), upstream(&digest));
    for (policy, expected, reason) in [
        ("{forwarded: never}", &far, None),
        ("{forwarded: auto, trusted_peers: [10.0.0.0/8]}", &far, None),
        ("{forwarded: auto, trusted_peers: [10.0.0.0/8, 127.0.0.1]}", &near, None),
        ("{forwarded: required}", &near, None),
        ("{forwarded: required, trusted_peers: [10.0.0.0/8]}", &far, Some("untrusted_peer")),
    ] {
        let front = start(&yaml(&bucket, &format!("client_ip: {policy}"))).await;
        assert_eq!(&front.find(&digest, PARIS).await, expected, "{policy}");
        for counted in ["untrusted_peer", "missing", "too_short", "unreadable"] {
            let name = format!("portolan_redirector_unknown_clients_total{{reason=\"{counted}\"}}");
            assert_eq!(front.metric(&name).await, u64::from(reason == Some(counted)), "{policy}");
        }
    }
    let front = start(&yaml(&bucket, "client_ip: {forwarded: required}")).await;
    assert_eq!(find(&front, &blob(&digest), &[]).await, far);
    let missing = "portolan_redirector_unknown_clients_total{reason=\"missing\"}";
    assert_eq!(front.metric(missing).await, 1);
}

#[tokio::test]
async fn an_unknown_client_goes_to_the_store_for_all_clients() {
    let bucket = TestBucket::start().await;
    let digest = put(&bucket, "content");
    let all_peers =
        format!("  - {{name: all, url: '{}/all', serves: [{{cloud: '*'}}]}}", bucket.url());
    bucket.put(&format!("all/containers/images/{digest}"), "content");
    let front = start(&yaml(&bucket, &all_peers)).await;
    let shared = format!("{}/all/containers/images/{digest}", bucket.url());
    for lines in [&["x, 10.0.0.1"][..], &["35.180.1.1"], &[""]] {
        assert_eq!(find(&front, &blob(&digest), lines).await, shared, "{lines:?}");
    }
    assert_eq!(front.find(&digest, NOWHERE).await, shared);
}

#[tokio::test]
async fn the_built_in_configuration_rejects_no_client_for_a_header() {
    let mut config = Config::built_in();
    config.stores.clear();
    let front = harness::serve_config(config).await;
    let base = "https://us-central1-docker.pkg.dev/v2/k8s-artifacts-prod/images/";
    let path = blob(&oci::Digest::sha256(b"x"));
    for lines in [&[][..], &["nonsense"], &["35.180.1.1, 10.0.0.1"]] {
        assert_eq!(find(&front, &path, lines).await, format!("{base}{}", &path[4..]));
    }
}

#[tokio::test]
async fn with_an_access_log_an_unknown_client_is_counted_once() {
    let bucket = TestBucket::start().await;
    let digest = put(&bucket, "content");
    let front = start(&yaml(&bucket, "access_log: true")).await;
    find(&front, &blob(&digest), &["nonsense, 10.0.0.1"]).await;
    // Only blobs depend on the address.
    find(&front, "/v2/pause/manifests/v1", &["nonsense, 10.0.0.1"]).await;
    let unknown = "portolan_redirector_unknown_clients_total{reason=\"unreadable\"}";
    assert_eq!(front.metric(unknown).await, 1);
}

#[tokio::test]
async fn brackets_around_ipv4_are_read() {
    let bucket = TestBucket::start().await;
    let digest = put(&bucket, "content");
    let front = start(&yaml(&bucket, "")).await;
    for entry in ["[35.180.1.1]", "[35.180.1.1]:443"] {
        let line = format!("{entry}, 10.0.0.1");
        assert_eq!(find(&front, &blob(&digest), &[&line]).await, at(&bucket, &digest), "{entry}");
    }
}
