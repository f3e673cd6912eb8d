//! Where others wait: connections are closed whose clients take nothing of a response, or send nothing of a request's
//! body. The clock jumps to the next deadline when all that is left is waiting.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use futures_util::future::{join, join_all};
use http_server::ServerSettings;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep},
};

use crate::{
    harness::{LARGE, ONE, OTHER, TIMEOUTS, TestClient, get, settings, start, within},
    limits::assert_after,
};

const THIRD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// Within it a client must do something.
const MOST_OF_STALL: Duration = Duration::from_secs(7);

/// More than the system buffers between the two, so that some of it was sent after its reading began.
const PIECE: usize = 2 << 20;

async fn read_piece(client: &mut TestClient) {
    within(client.0.read_exact(&mut vec![0; PIECE])).await.expect("it is still served");
}

fn upload() -> &'static str {
    "POST /upload HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\n01234"
}

#[tokio::test(start_paused = true)]
async fn two_addresses_that_do_not_read_do_not_keep_a_third_out() {
    let server = start(ServerSettings { max_connections_per_address: 2, ..settings(4) }).await;
    let begin = Instant::now();
    let mut unread = Vec::new();
    for client in [ONE, OTHER, ONE, OTHER] {
        unread.push(server.unread(client).await);
    }
    assert!(server.connect(THIRD).await.ask("/").await.ends_with("here"));
    assert_after(TIMEOUTS.eviction_stall, begin);
    assert_eq!(server.metrics.evicted.get(), 1);
    // The one that has been stalled longest.
    assert!(unread.remove(0).rest().await.len() < LARGE);
    let others = join_all(unread.iter_mut().map(TestClient::rest)).await;
    assert!(others.iter().all(|rest| rest.len() > LARGE), "they are whole");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_is_not_closed_for_others() {
    let server = start(settings(2)).await;
    let (mut slow, mut unread) = (server.unread(ONE).await, server.unread(OTHER).await);
    read_piece(&mut slow).await;
    let mut third = server.connect(THIRD).await;
    third.send(&get("/")).await;
    for _ in 0..4 {
        sleep(MOST_OF_STALL).await;
        read_piece(&mut slow).await;
    }
    assert!(third.response().await.ends_with("here"));
    assert!(unread.rest().await.len() < LARGE, "it was closed");
    assert!(slow.rest().await.len() + 5 * PIECE > LARGE, "it is whole");
}

#[tokio::test(start_paused = true)]
async fn an_address_at_its_share_loses_its_own_stalled_connection_for_a_new_one() {
    let server = start(ServerSettings { max_connections_per_address: 1, ..settings(10) }).await;
    let (mut other, mut unread) = (server.unread(OTHER).await, server.unread(ONE).await);
    assert_eq!(server.connect(ONE).await.rest().await, "", "not yet");
    sleep(TIMEOUTS.eviction_stall).await;
    let _new = server.idle(ONE).await;
    assert!(unread.rest().await.len() < LARGE);
    assert!(other.rest().await.len() > LARGE, "another address has its own share");
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_before_stalled_ones() {
    let server = start(settings(2)).await;
    let mut unread = server.unread(ONE).await;
    sleep(2 * TIMEOUTS.eviction_stall).await;
    let mut idle = server.idle(ONE).await;
    let _new = server.idle(OTHER).await;
    assert_eq!(idle.rest().await, "");
    assert!(unread.rest().await.len() > LARGE, "it is whole");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_sends_nothing_is_closed_for_others_and_one_that_drips_is_not() {
    let server = start(settings(3)).await;
    let mut busy = server.busy(ONE).await;
    let mut dripping = server.connect(ONE).await;
    dripping.send(upload()).await;
    let mut silent = server.connect(OTHER).await;
    silent.send(upload()).await;
    server.has_open(3).await;
    let mut third = server.connect(THIRD).await;
    third.send(&get("/")).await;
    for digit in "56789".chars() {
        sleep(MOST_OF_STALL).await;
        dripping.send(&digit.to_string()).await;
    }
    assert!(third.response().await.ends_with("here"));
    assert_eq!(silent.rest().await, "");
    assert!(dripping.response().await.ends_with("uploaded"));
    server.waiting.add_permits(1);
    assert!(busy.response().await.ends_with("waited"), "it waited for the server");
}

/// The beginning of an HTTP/2 connection with cleartext, and a GET of `/large` for which the client grants no window
/// beyond the first 64 KiB (RFC 9113 §6, RFC 7541 appendix A).
fn http2_request() -> Vec<u8> {
    let headers = b"\x82\x86\x44\x06/large\x41\x04test";
    let frame = |length: u8, kind_and_flags: [u8; 2], stream: u8| {
        [0, 0, length, kind_and_flags[0], kind_and_flags[1], 0, 0, 0, stream]
    };
    let length = u8::try_from(headers.len()).expect("it is short");
    let (settings, request) = (frame(0, [4, 0], 0), frame(length, [1, 5], 1));
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], &request[..], headers].concat()
}

#[tokio::test(start_paused = true)]
async fn an_http2_client_that_grants_no_window_is_closed_for_others() {
    let server = start(settings(1)).await;
    let begin = Instant::now();
    let mut unread = server.connect(ONE).await;
    within(unread.0.write_all(&http2_request())).await.expect("it is sent");
    within(unread.0.read_exact(&mut vec![0; 60 << 10])).await.expect("the response begins");
    let mut third = server.connect(OTHER).await;
    let (rest, response) = join(unread.rest(), third.ask("/")).await;
    assert!(response.ends_with("here"));
    assert!(rest.len() < 8 << 10, "no more is sent than the window has room for");
    assert_after(TIMEOUTS.eviction_stall, begin);
}
