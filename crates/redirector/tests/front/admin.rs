//! `docs/reference/front.md`, "The admin address".

use testkit::TestBucket;

use crate::harness::{GCP, PARIS, blob, put, start, yaml};

#[tokio::test]
async fn health_readiness_and_nothing_else() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    assert_eq!(front.admin("/healthz").await, (200, "ok\n".into()));
    assert_eq!(front.admin("/readyz").await, (200, "ready\n".into()));
    for path in ["/", "/v2/", "/metrics/"] {
        assert_eq!(front.admin(path).await.0, 404, "{path}");
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(front.get(path, PARIS).await.status(), 404, "{path} is not for the public");
    }
}

#[tokio::test]
async fn every_documented_metric_is_there_and_counts() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    let digest = put(&bucket, "content");
    for (path, client) in [
        ("/", PARIS),
        ("/v2/", PARIS),
        ("/v2/a/manifests/x", PARIS),
        ("/v2/a/tags/list", PARIS),
        ("/v2/_catalog", PARIS),
        (&*blob(&digest), PARIS),
        (&*blob(&digest), GCP),
        (&*blob(&digest), "nonsense"),
    ] {
        front.get(path, client).await;
    }
    for (metric, value) in [
        ("requests_total{route=\"info\"}", 1),
        ("requests_total{route=\"privacy\"}", 0),
        ("requests_total{route=\"ping\"}", 1),
        ("requests_total{route=\"manifest\"}", 1),
        ("requests_total{route=\"tags\"}", 1),
        ("requests_total{route=\"referrers\"}", 0),
        ("requests_total{route=\"blob\"}", 3),
        ("requests_total{route=\"refused\"}", 1),
        ("redirects_total{target=\"info\"}", 1),
        ("redirects_total{target=\"privacy\"}", 0),
        ("redirects_total{target=\"upstream\"}", 4),
        ("redirects_total{target=\"canonical_upstream\"}", 0),
        ("store_redirects_total{store=\"paris\"}", 1),
        ("unknown_clients_total{reason=\"untrusted_peer\"}", 0),
        ("unknown_clients_total{reason=\"missing\"}", 0),
        ("unknown_clients_total{reason=\"too_short\"}", 0),
        ("unknown_clients_total{reason=\"unreadable\"}", 1),
        ("presence_checks_total{result=\"cached_present\"}", 0),
        ("presence_checks_total{result=\"cached_absent\"}", 0),
        ("presence_checks_total{result=\"probed\"}", 1),
        ("presence_checks_total{result=\"joined\"}", 0),
        ("presence_checks_total{result=\"over_limit\"}", 0),
        ("probes_total{store=\"paris\",result=\"present\"}", 1),
        ("probes_total{store=\"paris\",result=\"absent\"}", 0),
        ("probes_total{store=\"paris\",result=\"failed\"}", 0),
        ("probes_total{store=\"paris\",result=\"timeout\"}", 0),
        ("probe_duration_seconds_count", 1),
        ("presence_entries{cache=\"present\"}", 1),
        ("presence_entries{cache=\"absent\"}", 0),
        ("accept_errors_total", 0),
        ("ranges_prefixes", 4),
    ] {
        assert_eq!(front.metric(&format!("portolan_redirector_{metric}")).await, value, "{metric}");
    }
}
