//! HTTP/2 connections that are to end: a client that answers neither `GOAWAY` nor `PING` does not keep its connection.
//! The clock jumps to the next deadline when all that is left is waiting.

use std::time::Duration;

use http_server::ServerSettings;
use tokio::{
    io::AsyncReadExt as _,
    time::{Instant, sleep},
};

use crate::harness::{
    ONE, OTHER, ServerUnderTest, TIMEOUTS, TestClient, get, settings, start, within,
};

/// Frame types (RFC 9113 §6).
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// `END_STREAM` and `END_HEADERS`.
const WHOLE_REQUEST: u8 = 5;
/// `GET` and `http`, from the static table (RFC 7541, appendix A).
const GET_HTTP: [u8; 2] = [0x82, 0x86];

/// More than a client is given after `GOAWAY`.
const GRACE: Duration = Duration::from_secs(4);

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("it is short");
    [&[0, 0, length, kind, flags, 0, 0, 0, stream][..], payload].concat()
}

/// A request without a body.
fn request(stream: u8, path: &str) -> Vec<u8> {
    let literal = |name: u8, value: &str| {
        let length = u8::try_from(value.len()).expect("it is short");
        [&[name, length][..], value.as_bytes()].concat()
    };
    let block = [&GET_HTTP[..], &literal(4, path), &literal(1, "test")].concat();
    frame(HEADERS, WHOLE_REQUEST, stream, &block)
}

/// Reads frames until one of this type.
async fn read_until(client: &mut TestClient, kind: u8) {
    loop {
        let mut head = [0; 9];
        within(client.0.read_exact(&mut head)).await.expect("a frame");
        let mut payload = vec![0; usize::from(head[1]) * 256 + usize::from(head[2])];
        within(client.0.read_exact(&mut payload)).await.expect("its payload");
        if head[3] == kind {
            return;
        }
    }
}

/// A connection of HTTP/2 that has been responded to.
async fn idle(server: &ServerUnderTest) -> TestClient {
    let mut client = server.connect(ONE).await;
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, &[])[..]].concat();
    write(&client, &preface);
    write(&client, &request(1, "/"));
    read_until(&mut client, HEADERS).await;
    client
}

/// Writes at once, so that the server does nothing meanwhile.
fn write(client: &TestClient, bytes: &[u8]) {
    assert_eq!(client.0.try_write(bytes).expect("it is writable"), bytes.len());
}

/// A connection that was ordered to end for `next` while its request arrived, and that does not respond to `GOAWAY`
/// and `PING`; that request is under way.
async fn told_to_go_away(server: &ServerUnderTest) -> (TestClient, TestClient) {
    let mut client = idle(server).await;
    // The server sees the new connection first, and then the request.
    let next = std::net::TcpStream::connect(server.address).expect("it listens");
    write(&client, &request(3, "/wait"));
    read_until(&mut client, GOAWAY).await;
    next.set_nonblocking(true).expect("it is settable");
    (client, TestClient(tokio::net::TcpStream::from_std(next).expect("a stream")))
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ignores_goaway_is_closed_for_others() {
    let server = start(settings(1)).await;
    let (mut client, mut next) = told_to_go_away(&server).await;
    next.send(&get("/")).await;
    sleep(GRACE).await;
    server.waiting.add_permits(1);
    read_until(&mut client, HEADERS).await;
    let begin = Instant::now();
    assert!(next.response().await.ends_with("here"));
    assert!(begin.elapsed() < GRACE, "{:?}", begin.elapsed());
    client.rest().await;
    assert_eq!(server.metrics.evicted.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ignores_goaway_is_closed_in_its_own_share_and_where_nobody_waits() {
    let share = ServerSettings { max_connections_per_address: 1, ..settings(10) };
    for new_client in [Some(ONE), None] {
        let server = start(share.clone()).await;
        let (mut client, next) = told_to_go_away(&server).await;
        let other = server.idle(OTHER).await;
        server.waiting.add_permits(1);
        read_until(&mut client, HEADERS).await;
        drop(next);
        if let Some(address) = new_client {
            sleep(GRACE).await;
            let _new = server.idle(address).await;
        }
        let begin = Instant::now();
        client.rest().await;
        assert!(begin.elapsed() < TIMEOUTS.idle / 2, "{:?}", begin.elapsed());
        drop(other);
    }
}
