//! The end of a registry, and of clients that say nothing more. Time is paused: it jumps to the next
//! deadline when all that is left is waiting.

use std::time::Duration;

use http::Method;
use registry::limits;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

use crate::Peer;

/// An upload that has sent half of its body.
async fn half_an_upload(peer: &Peer) -> TcpStream {
    let session = peer.start("a").await;
    let mut stream = peer.under_way(Method::PATCH, &session, 10).await;
    stream.write_all(b"01234").await.expect("it is sent");
    stream
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_refused() {
    let peer = Peer::in_memory().await;
    let mut stream = half_an_upload(&peer).await;
    let start = Instant::now();
    let mut response = [0; 4096];
    let length = stream.read(&mut response).await.expect("a response");
    let response = String::from_utf8_lossy(&response[..length]);
    assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
    assert!(response.contains("BLOB_UPLOAD_INVALID"), "{response}");
    let waited = start.elapsed();
    assert!(waited >= limits::BODY_IDLE && waited < 2 * limits::BODY_IDLE, "{waited:?}");
}

#[tokio::test]
async fn requests_under_way_end_before_the_registry_does() {
    let peer = Peer::in_memory().await;
    let mut stream = half_an_upload(&peer).await;
    let stopping = tokio::spawn(peer.stop());
    stream.write_all(b"56789").await.expect("it is sent");
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.expect("a response, and the end");
    assert!(response.starts_with(b"HTTP/1.1 202 "), "{}", String::from_utf8_lossy(&response));
    stopping.await.expect("it stops");
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_does_not_hold_the_registry() {
    let peer = Peer::in_memory().await;
    let _stream = half_an_upload(&peer).await;
    let start = Instant::now();
    peer.stop().await;
    assert!(start.elapsed() < limits::DRAIN + Duration::from_secs(1), "{:?}", start.elapsed());
}
