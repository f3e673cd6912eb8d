//! `docs/reference/front.md`, "Limits" and "Stopping"; and the protocols that are spoken.

use std::time::Duration;

use http::{Request, Version};
use http_body_util::Empty;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use oci::Digest;
use testkit::{Fault, TestBucket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{PARIS, put, start, until, upstream, within, yaml};

#[tokio::test]
async fn requests_under_way_are_finished_before_the_end() {
    let bucket = TestBucket::start().await;
    let mut front = start(&yaml(&bucket, "presence: {timeout: 500ms}")).await;
    let digest = put(&bucket, "content");
    bucket.fail(Fault::everywhere("").hang());
    assert_eq!(front.admin("/readyz").await, (200, "ready\n".into()));
    let host = front.address.to_string().parse().unwrap();
    let path = crate::harness::blob(&digest);
    let request = Request::get(path).header("X-Forwarded-For", format!("{PARIS}, 10.0.0.1"));
    let request = request.body(testkit::Body::empty()).unwrap();
    let pull = tokio::spawn(async move { testkit::send(&host, request).await });
    until(async || bucket.requests().len() == 1).await;
    let mut idle = TcpStream::connect(front.address).await.unwrap();
    until(async || front.metric("portolan_redirector_open_connections").await == 2).await;
    front.stop();
    until(async || front.admin("/readyz").await == (503, "draining\n".into())).await;
    until(async || TcpStream::connect(front.address).await.is_err()).await;
    assert_eq!(within(idle.read(&mut [0])).await.unwrap(), 0, "an idle connection is closed");
    let response = within(pull).await.unwrap().unwrap();
    assert_eq!(crate::harness::location(&response), upstream(&digest));
    front.ended().await;
    until(async || TcpStream::connect(front.admin).await.is_err()).await;
}

/// With the clock standing still but for what is waited for, the drain time is over at once.
#[tokio::test(start_paused = true)]
async fn what_does_not_finish_is_cut() {
    let bucket = TestBucket::start().await;
    let mut front = start(&yaml(&bucket, "presence: {timeout: 60s}")).await;
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    // Headers that never end.
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    until(async || front.metric("portolan_redirector_open_connections").await == 1).await;
    let begin = tokio::time::Instant::now();
    front.stop();
    tokio::time::timeout(Duration::from_secs(15), front.ended()).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(8), "{:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert_eq!(rest, b"");
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_closed() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    let mut silent = TcpStream::connect(front.address).await.unwrap();
    silent.write_all(b"GET / HT").await.unwrap();
    let begin = tokio::time::Instant::now();
    let _ = silent.read(&mut [0]).await;
    assert!(begin.elapsed() >= Duration::from_secs(30));
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_outlives_the_balancers_patience() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    let mut idle = TcpStream::connect(front.address).await.unwrap();
    idle.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let begin = tokio::time::Instant::now();
    let mut response = Vec::new();
    idle.read_to_end(&mut response).await.unwrap();
    assert!(response.starts_with(b"HTTP/1.1 200"));
    assert!(begin.elapsed() >= Duration::from_secs(620), "{:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(635), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_connection_carries_many_requests() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    let pipelined = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
    stream.write_all(&pipelined).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut responses = String::new();
    within(stream.read_to_string(&mut responses)).await.unwrap();
    assert_eq!(responses.matches("HTTP/1.1 200").count(), 50);
    assert_eq!(responses.matches("HTTP/1.1 307").count(), 1);
}

#[tokio::test]
async fn cleartext_http_2_is_spoken_too() {
    let bucket = TestBucket::start().await;
    let front = start(&yaml(&bucket, "")).await;
    let mut client = Client::builder(TokioExecutor::new());
    let client = client.http2_only(true).build::<_, Empty<bytes::Bytes>>(HttpConnector::new());
    let digest = Digest::sha256(b"missing");
    let url = format!("http://{}{}", front.address, crate::harness::blob(&digest));
    let request = Request::get(url).header("X-Forwarded-For", format!("{PARIS}, 10.0.0.1"));
    let response = within(client.request(request.body(Empty::new()).unwrap())).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(response.headers()["location"], upstream(&digest));
    assert_eq!(bucket.requests().len(), 1);
}
