//! `docs/reference/front.md`, "portolan explain"; with the real ranges where they are at hand.

use std::path::PathBuf;

use oci::Digest;
use redirector::{Config, Front, load_ranges};

use crate::harness::{self, GCP, NOWHERE, PARIS, yaml};

fn explain(front: &Front, client: &str, path: &str) -> String {
    front.explain(client.parse().unwrap(), path).to_string()
}

#[tokio::test]
async fn every_step_of_a_blob_is_reported() {
    let bucket = testkit::TestBucket::start().await;
    let config = Config::from_yaml("f", &yaml(&bucket, "")).unwrap();
    let front = Front::new(&harness::outbound(), config, harness::world());
    let digest = Digest::sha256(b"x");
    let path = harness::blob(&digest);
    let (near, far) = (harness::at(&bucket, &digest), harness::upstream(&digest));
    let policy = "from --ip; serve would take the entry before the last of X-Forwarded-For if the peer is \
         loopback, otherwise the peer's address";
    let expected = format!(
        "request:     blob {digest}\n\
         client:      {PARIS}, {policy}\n\
         matched:     35.180.0.0/16\n\
         location:    cloud aws, region eu-west-3\n\
         candidates:  1. store paris {near}\n\
         \x20            2. upstream {far}?ns=y\n\
         response:    307 to store paris if it has the blob, otherwise to the upstream (`explain` does not check)\n"
    );
    assert_eq!(explain(&front, PARIS, &format!("{path}?ns=y")), expected);
    assert_eq!(explain(&front, "::ffff:35.180.1.1", &format!("{path}?ns=y")), expected);
    let kept = explain(&front, GCP, &path);
    assert!(kept.contains("location:    cloud gcp, region asia-east2\n"), "{kept}");
    assert!(kept.contains(&format!("candidates:  upstream {far}\n")), "{kept}");
    assert!(kept.ends_with("307 to the upstream: the cloud is in `keep_upstream`\n"), "{kept}");
    let unknown = explain(&front, NOWHERE, &path);
    assert!(unknown.contains("matched:     none (4 prefixes loaded)\nlocation:    unknown\n"));
    assert!(unknown.ends_with("307 to the upstream: no store serves this location\n"), "{unknown}");
    assert_eq!(bucket.requests().len(), 0, "no store is probed");
}

#[tokio::test]
async fn other_requests_are_logged_too() {
    let bucket = testkit::TestBucket::start().await;
    let config = Config::from_yaml("f", &yaml(&bucket, "")).unwrap();
    let front = Front::new(&harness::outbound(), config, harness::world());
    let hex = Digest::sha256(b"x").hex();
    for (path, response) in [
        ("/".to_owned(), "response:    307 to https://info.example/about?x=1\n".to_owned()),
        ("/v2/".to_owned(), "response:    200, this is a registry\n".to_owned()),
        (
            "/v2/a/manifests/x?y".to_owned(),
            format!("response:    307 to {}a/manifests/x?y\n", harness::UPSTREAM),
        ),
        (
            format!("/v2/a/referrers/sha256:{hex}"),
            format!("response:    307 to {}a/referrers/sha256:{hex}\n", harness::CANONICAL),
        ),
        (
            "/v2/_catalog".to_owned(),
            "response:    404 Not Found, UNSUPPORTED: this registry does not list its repositories\n".to_owned(),
        ),
        ("nonsense".to_owned(), "404 Not Found, UNSUPPORTED: not found: the registry API is under /v2/\n".to_owned()),
    ] {
        let explained = explain(&front, PARIS, &path);
        assert!(explained.ends_with(&response), "{path}: {explained}");
    }
}

#[tokio::test]
async fn real_addresses_go_where_registry_k8s_io_would_send_them() {
    let data = std::env::var_os("PORTOLAN_DATA")
        .map_or_else(
            || concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data").into(),
            PathBuf::from,
        )
        .join("ranges");
    let lists = [("aws", "aws-ip-ranges.json"), ("gcp", "gcp-cloud.json")];
    let overrides = lists.map(|(cloud, file)| (cloud.to_owned(), data.join(file)));
    if !overrides.iter().all(|(_, path)| path.exists()) {
        println!("skipped: no address ranges in {}", data.display());
        return;
    }
    let (ranges, sources) =
        load_ranges(&harness::outbound(), &Config::built_in(), &overrides).await;
    assert!(sources.iter().all(|source| !source.has_failures()), "{sources:?}");
    let front = Front::new(&harness::outbound(), Config::built_in(), ranges);
    let path = harness::blob(&Digest::sha256(b"x"));
    for (client, location, candidate) in [
        (
            "35.180.1.1",
            "cloud aws, region eu-west-3",
            "1. store eu-west-3 https://prod-registry-k8s-io-eu-west-3.s3.",
        ),
        (
            "35.220.26.1",
            "cloud gcp, region europe-north1",
            "upstream https://us-central1-docker.pkg.dev/v2/k8s-artifacts-prod/images/",
        ),
        ("2600:1f01:4874::47", "cloud aws, region us-west-2", "1. store us-west-2 "),
        ("15.193.7.9", "cloud aws, region us-west-2", "1. store us-west-2 "),
        (
            "203.0.113.9",
            "unknown",
            "1. store default https://d1be1w964nk82h.cloudfront.net/containers/images/",
        ),
    ] {
        let explained = explain(&front, client, &path);
        println!("{explained}");
        assert!(explained.contains(&format!("location:    {location}")), "{explained}");
        assert!(explained.contains(&format!("candidates:  {candidate}")), "{explained}");
    }
}
