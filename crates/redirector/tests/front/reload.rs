//! `docs/reference/front.md`, "Reload": a new configuration while the front serves.

use redirector::Config;
use testkit::TestBucket;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use crate::harness::{OHIO, PARIS, at, blob, put, start, upstream, within, world};

fn yaml(stores: &[(&str, &TestBucket, &str)]) -> String {
    let stores: String = stores
        .iter()
        .map(|(name, bucket, region)| {
            let url = bucket.url();
            format!("  - {{name: {name}, url: '{url}', serves: [{{cloud: aws, regions: [{region}]}}]}}\n")
        })
        .collect();
    format!("upstream: {{endpoint: https://up.example, path: prod/images}}\nstores:\n{stores}")
}

fn config(stores: &[(&str, &TestBucket, &str)]) -> Config {
    Config::from_yaml("test.yaml", &yaml(stores)).unwrap()
}

#[tokio::test]
async fn reordered_stores_keep_the_meaning_of_the_cache() {
    let (paris, ohio) = (TestBucket::start().await, TestBucket::start().await);
    let (in_paris, in_ohio) = (("paris", &paris, "eu-west-3"), ("ohio", &ohio, "us-east-2"));
    let digest = put(&paris, "content");
    let front = start(&yaml(&[in_paris, in_ohio])).await;
    assert_eq!(front.find(&digest, PARIS).await, at(&paris, &digest));
    assert_eq!(front.find(&digest, OHIO).await, upstream(&digest));
    let ids = front.front.store_ids();
    front.front.update(config(&[in_ohio, in_paris]), world());
    assert_eq!(front.find(&digest, PARIS).await, at(&paris, &digest));
    assert_eq!(front.find(&digest, OHIO).await, upstream(&digest), "not the result of paris");
    assert_eq!((paris.requests().len(), ohio.requests().len()), (1, 1), "both were cached");
    let reordered: Vec<_> = front.front.store_ids().into_iter().rev().collect();
    assert_eq!(reordered, ids);
    let redirects = "portolan_redirector_store_redirects_total{store=\"paris\"}";
    assert_eq!(front.metric(redirects).await, 2);
}

#[tokio::test]
async fn a_store_under_another_url_does_not_inherit_cached_results() {
    let (old, new) = (TestBucket::start().await, TestBucket::start().await);
    let digest = put(&old, "content");
    let front = start(&yaml(&[("paris", &old, "eu-west-3")])).await;
    assert_eq!(front.find(&digest, PARIS).await, at(&old, &digest));
    front.front.update(config(&[("paris", &new, "eu-west-3")]), world());
    assert_eq!(front.find(&digest, PARIS).await, upstream(&digest));
    assert_eq!(new.requests().len(), 1);
}

#[tokio::test]
async fn new_ranges_move_clients() {
    let paris = TestBucket::start().await;
    let digest = put(&paris, "content");
    let stores = [("paris", &paris, "eu-west-3")];
    let front = start(&yaml(&stores)).await;
    assert_eq!(front.find(&digest, PARIS).await, at(&paris, &digest));
    front.front.update(config(&stores), cloud_ranges::Ranges::default());
    assert_eq!(front.find(&digest, PARIS).await, upstream(&digest));
    assert_eq!(front.metric("portolan_redirector_ranges_prefixes").await, 0);
}

#[tokio::test]
async fn a_connection_that_is_kept_alive_sees_the_update() {
    let (old, new) = (TestBucket::start().await, TestBucket::start().await);
    let digest = put(&old, "content");
    put(&new, "content");
    let front = start(&yaml(&[("paris", &old, "eu-west-3")])).await;
    let mut connection = BufReader::new(TcpStream::connect(front.address).await.unwrap());
    let path = blob(&digest);
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {PARIS}, 10.0.0.1\r\n\r\n");
    for (url, update) in [(at(&old, &digest), true), (at(&new, &digest), false)] {
        // The second of each is cached.
        for _ in 0..2 {
            connection.write_all(request.as_bytes()).await.unwrap();
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(within(connection.read_line(&mut head)).await.unwrap(), 0, "{head}");
            }
            assert!(head.contains(&format!("location: {url}\r\n")), "{head}");
        }
        if update {
            front.front.update(config(&[("paris", &new, "eu-west-3")]), world());
        }
    }
}
