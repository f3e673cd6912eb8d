//! `docs/reference/front.md`, "Whether the store has the blob".

use std::time::{Duration, Instant};

use http::{Method, Response, StatusCode};
use oci::Digest;
use testkit::{Body, Fault, TestBucket, TestServer};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::watch, task::JoinSet};

use crate::harness::{PARIS, at, blob, put, start, until, upstream, within, yaml};

/// Longer than any test waits for it.
const NEVER: &str = "presence: {timeout: 60s}";

#[tokio::test]
async fn a_store_is_probed_once_for_a_blob_that_it_has() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    let digest = put(&bucket, "content");
    for _ in 0..3 {
        assert_eq!(front.find(&digest, PARIS).await, at(&bucket, &digest));
    }
    assert_eq!(bucket.requests().len(), 1);
    let checks = "portolan_redirector_presence_checks_total";
    assert_eq!(front.metric(&format!("{checks}{{result=\"probed\"}}")).await, 1);
    assert_eq!(front.metric(&format!("{checks}{{result=\"cached_present\"}}")).await, 2);
    assert_eq!(front.metric("portolan_redirector_presence_entries{cache=\"present\"}").await, 1);
}

#[tokio::test]
async fn a_store_is_probed_once_for_a_blob_that_it_lacks() {
    for status in [404, 403] {
        let bucket = TestBucket::start().await;
        let front = start(&yaml(&bucket, "")).await;
        let digest = put(&bucket, "content");
        bucket.fail(Fault::everywhere("").status(status));
        for _ in 0..3 {
            assert_eq!(front.find(&digest, PARIS).await, upstream(&digest));
        }
        assert_eq!(bucket.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_blob_that_a_store_lacked_is_probed_again_after_its_ttl() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "presence: {negative_ttl: 20ms}")).await;
    let digest = Digest::sha256(b"late");
    assert_eq!(front.find(&digest, PARIS).await, upstream(&digest));
    put(&bucket, "late");
    until(async || front.find(&digest, PARIS).await == at(&bucket, &digest)).await;
}

#[tokio::test]
async fn a_blob_that_a_store_had_is_probed_again_after_its_ttl() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "presence: {positive_ttl: 20ms}")).await;
    let digest = put(&bucket, "content");
    assert_eq!(front.find(&digest, PARIS).await, at(&bucket, &digest));
    bucket.delete(&format!("containers/images/{digest}"));
    until(async || front.find(&digest, PARIS).await == upstream(&digest)).await;
}

#[tokio::test]
async fn without_a_negative_ttl_nothing_absent_is_cached() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "presence: {negative_ttl: 0s}")).await;
    let digest = Digest::sha256(b"late");
    for probes in 1..=3 {
        assert_eq!(front.find(&digest, PARIS).await, upstream(&digest));
        assert_eq!(bucket.requests().len(), probes);
    }
}

#[tokio::test]
async fn an_inconclusive_response_is_not_cached() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    let digest = put(&bucket, "content");
    for (least, fault) in [
        Fault::everywhere("").status(500),
        Fault::everywhere("").status(503),
        Fault::everywhere("").status(429),
        Fault::everywhere("").status(401),
        Fault::everywhere("").status(204),
        Fault::everywhere("").status(200).header("content-type", "text/html"),
        Fault::everywhere("").status(200).header("content-type", "Text/HTML; charset=utf-8"),
        Fault::everywhere("").status(301).header("location", "http://127.0.0.1:1/"),
        Fault::everywhere("").status(307).header("location", "http://127.0.0.1:1/"),
        Fault::everywhere("").reset(),
    ]
    .into_iter()
    .enumerate()
    {
        let case = format!("{fault:?}");
        bucket.fail(fault);
        assert_eq!(front.find(&digest, PARIS).await, upstream(&digest), "{case}");
        assert!(bucket.requests().len() > least, "{case}");
        bucket.clear_faults();
    }
    assert_eq!(front.find(&digest, PARIS).await, at(&bucket, &digest));
    assert_eq!(front.metric("portolan_redirector_presence_entries{cache=\"absent\"}").await, 0);
}

#[tokio::test]
async fn an_html_page_with_status_200_is_a_failure_of_the_store_and_no_blob() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    let digest = put(&bucket, "content");
    bucket.fail(Fault::everywhere("").times(2).status(200).header("content-type", "text/html"));
    for _ in 0..2 {
        assert_eq!(front.find(&digest, PARIS).await, upstream(&digest));
    }
    assert_eq!(front.find(&digest, PARIS).await, at(&bucket, &digest));
    let probes = async |result: &str| {
        let name =
            format!("portolan_redirector_probes_total{{store=\"paris\",result=\"{result}\"}}");
        front.metric(&name).await
    };
    assert_eq!((probes("failed").await, probes("present").await), (2, 1));
}

#[tokio::test]
async fn no_pull_fails_while_a_store_is_down() {
    // A port that is closed.
    let gone = TestBucket::start().await.url();
    let yaml = |url: &str| {
        format!(
            "upstream: {{endpoint: https://up.example, path: prod/images}}\n\
             stores: [{{name: s, url: '{url}', serves: [{{cloud: '*'}}]}}]"
        )
    };
    let digest = Digest::sha256(b"x");
    let front = start(&yaml(&gone)).await;
    assert_eq!(front.find(&digest, PARIS).await, upstream(&digest));
    // A server that does not speak TLS.
    let plain = TestBucket::start().await;
    let front = start(&yaml(&plain.url().replace("http:", "https:"))).await;
    assert_eq!(front.find(&digest, PARIS).await, upstream(&digest));
    assert_eq!(plain.requests().len(), 0);
    let failed = "portolan_redirector_probes_total{store=\"s\",result=\"failed\"}";
    assert_eq!(front.metric(failed).await, 1);
}

#[tokio::test]
async fn a_store_that_does_not_respond_delays_a_pull_by_the_timeout_only() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "presence: {timeout: 100ms}")).await;
    let digest = put(&bucket, "content");
    bucket.fail(Fault::on(Method::HEAD, "").times(2).hang());
    for _ in 0..2 {
        let start = Instant::now();
        assert_eq!(within(front.find(&digest, PARIS)).await, upstream(&digest));
        assert!(start.elapsed() >= Duration::from_millis(100));
    }
    let timeouts = "portolan_redirector_probes_total{store=\"paris\",result=\"timeout\"}";
    assert_eq!(front.metric(timeouts).await, 2);
    assert_eq!(front.find(&digest, PARIS).await, at(&bucket, &digest), "it is well again");
}

/// A store that has every blob, and responds when the test lets it.
async fn slow_store() -> (TestServer, watch::Sender<bool>) {
    let (gate, opened) = watch::channel(false);
    let server = TestServer::start(move |_| {
        let mut opened = opened.clone();
        async move {
            opened.wait_for(|open| *open).await.expect("the test opens the gate");
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::OK;
            response
        }
    });
    (server.await, gate)
}

fn slow_yaml(store: &TestServer) -> String {
    format!(
        "upstream: {{endpoint: https://up.example, path: prod/images}}\n\
         stores: [{{name: slow, url: '{}', serves: [{{cloud: aws}}]}}]\n{NEVER}",
        store.url()
    )
}

#[tokio::test]
async fn a_slow_store_is_waited_for_within_the_deadline() {
    let (store, gate) = slow_store().await;
    let front = start(&slow_yaml(&store)).await;
    let digest = Digest::sha256(b"x");
    let (found, ()) = tokio::join!(within(front.find(&digest, PARIS)), async {
        until(async || store.requests().len() == 1).await;
        gate.send_replace(true);
    });
    assert_eq!(found, format!("{}/containers/images/{digest}", store.url()));
}

#[tokio::test]
async fn a_hundred_requests_for_one_blob_are_one_question() {
    let (store, gate) = slow_store().await;
    let front = std::sync::Arc::new(start(&slow_yaml(&store)).await);
    let digest = Digest::sha256(b"x");
    let mut requests = JoinSet::new();
    for _ in 0..100 {
        let front = std::sync::Arc::clone(&front);
        requests.spawn(async move { front.find(&digest, PARIS).await });
    }
    let joined = "portolan_redirector_presence_checks_total{result=\"joined\"}";
    until(async || front.metric(joined).await == 99).await;
    gate.send_replace(true);
    for found in within(requests.join_all()).await {
        assert_eq!(found, format!("{}/containers/images/{digest}", store.url()));
    }
    assert_eq!(store.requests().len(), 1);
}

#[tokio::test]
async fn a_client_that_disconnects_does_not_end_the_probe() {
    let (store, gate) = slow_store().await;
    let front = start(&slow_yaml(&store)).await;
    let digest = Digest::sha256(b"x");
    let mut first = TcpStream::connect(front.address).await.unwrap();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {PARIS}, 10.0.0.1\r\n\r\n",
        blob(&digest)
    );
    first.write_all(request.as_bytes()).await.unwrap();
    until(async || store.requests().len() == 1).await;
    drop(first);
    let joined = "portolan_redirector_presence_checks_total{result=\"joined\"}";
    let (found, ()) = tokio::join!(within(front.find(&digest, PARIS)), async {
        until(async || front.metric(joined).await == 1).await;
        gate.send_replace(true);
    });
    assert_eq!(found, format!("{}/containers/images/{digest}", store.url()));
    assert_eq!(store.requests().len(), 1);
    // It might have closed its half only, so that it is seen with the response that it has gone.
    until(async || front.metric("portolan_redirector_open_connections").await == 0).await;
}

/// By the end of their half or by a reset: what they leave behind ends with the deadline of the probe, at the
/// latest.
#[tokio::test]
async fn a_flood_of_clients_that_disconnect_leaves_nothing_behind_after_the_deadline() {
    const CLIENTS: u64 = 300;
    let (store, gate) = slow_store().await;
    let front = start(&slow_yaml(&store).replace("60s", "2s")).await;
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let digest = Digest::sha256(&n.to_le_bytes());
        let mut client = TcpStream::connect(front.address).await.unwrap();
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {PARIS}, 10.0.0.1\r\n\r\n",
            blob(&digest)
        );
        client.write_all(request.as_bytes()).await.unwrap();
        if n % 2 == 0 {
            client.set_zero_linger().unwrap();
        }
        clients.push(client);
    }
    let results = async |result: &str| {
        let name = format!("portolan_redirector_presence_checks_total{{result=\"{result}\"}}");
        front.metric(&name).await
    };
    until(async || results("probed").await + results("over_limit").await == CLIENTS).await;
    drop(clients);
    until(async || front.metric("portolan_redirector_open_connections").await == 0).await;
    gate.send_replace(true);
    // The permits are free again.
    let digest = Digest::sha256(b"afterwards");
    let near = format!("{}/containers/images/{digest}", store.url());
    until(async || front.find(&digest, PARIS).await == near).await;
}

#[tokio::test]
async fn above_the_limit_of_open_probes_clients_go_to_the_upstream_at_once() {
    const LIMIT: usize = 128;
    let (store, gate) = slow_store().await;
    let front = std::sync::Arc::new(start(&slow_yaml(&store)).await);
    let mut requests = JoinSet::new();
    for n in 0..LIMIT {
        let front = std::sync::Arc::clone(&front);
        let digest = Digest::sha256(&n.to_le_bytes());
        requests.spawn(async move { (digest, front.find(&digest, PARIS).await) });
    }
    until(async || store.requests().len() == LIMIT).await;
    let one_more = Digest::sha256(b"one more");
    assert_eq!(within(front.find(&one_more, PARIS)).await, upstream(&one_more));
    assert_eq!(store.requests().len(), LIMIT);
    let over = "portolan_redirector_presence_checks_total{result=\"over_limit\"}";
    assert_eq!(front.metric(over).await, 1);
    gate.send_replace(true);
    for (digest, found) in within(requests.join_all()).await {
        assert_eq!(found, format!("{}/containers/images/{digest}", store.url()));
    }
    let near = format!("{}/containers/images/{one_more}", store.url());
    assert_eq!(front.find(&one_more, PARIS).await, near, "it was not cached as absent");
}

#[tokio::test]
async fn stores_do_not_share_results() {
    let (paris, ohio) = (TestBucket::start().await, TestBucket::start().await);
    let more = format!("  - {{name: ohio, url: '{}', serves: [{{cloud: aws}}]}}", ohio.url());
    let front = start(&yaml(&paris, &more)).await;
    let digest = put(&paris, "content");
    assert_eq!(front.find(&digest, crate::harness::OHIO).await, upstream(&digest));
    assert_eq!(front.find(&digest, PARIS).await, at(&paris, &digest));
    assert_eq!(ohio.requests().len(), 1);
}
