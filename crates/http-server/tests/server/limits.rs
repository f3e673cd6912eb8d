//! How long a connection may be silent, and the end of them all. The clock jumps to the next deadline when all
//! that is left is waiting.

use std::time::Duration;

use tokio::{
    io::AsyncReadExt as _,
    time::{Instant, sleep},
};

use crate::harness::{ONE, TIMEOUTS, get, settings, start};

/// What a limit may be exceeded by.
const GRACE: Duration = Duration::from_secs(2);

pub(crate) fn assert_after(limit: Duration, begin: Instant) {
    let elapsed = begin.elapsed();
    assert!(elapsed + Duration::from_millis(200) >= limit, "{elapsed:?} is before {limit:?}");
    assert!(elapsed < limit + GRACE, "{elapsed:?} is long after {limit:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_closed() {
    let server = start(settings(10)).await;
    let mut silent = server.connect(ONE).await;
    let begin = Instant::now();
    assert_eq!(silent.rest().await, "");
    assert_after(TIMEOUTS.first_request, begin);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_is_cut_off_as_a_whole() {
    let server = start(settings(10)).await;
    let mut dripping = server.idle(ONE).await;
    let begin = Instant::now();
    for byte in get("/").chars().cycle().filter(|byte| !byte.is_control()) {
        dripping.send(&byte.to_string()).await;
        let next = sleep(Duration::from_secs(1));
        tokio::select! {
            closed = dripping.0.read_u8() => {
                closed.expect_err("there is nothing to respond to");
                break;
            }
            () = next => assert!(begin.elapsed() < TIMEOUTS.idle, "it lives as long as an idle one"),
        }
    }
    assert_after(TIMEOUTS.request_head, begin);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_for_long() {
    let server = start(settings(10)).await;
    let mut idle = server.idle(ONE).await;
    sleep(TIMEOUTS.idle - 2 * GRACE).await;
    assert!(idle.ask("/").await.ends_with("here"), "it was still open");
    let begin = Instant::now();
    assert_eq!(idle.rest().await, "");
    assert_after(TIMEOUTS.idle, begin);
}

#[tokio::test(start_paused = true)]
async fn a_response_may_take_its_time() {
    let server = start(settings(10)).await;
    let mut busy = server.busy(ONE).await;
    sleep(2 * TIMEOUTS.idle).await;
    server.waiting.add_permits(1);
    assert!(busy.response().await.ends_with("waited"));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let server = start(settings(10)).await;
    let mut client = server.connect(ONE).await;
    client.send(&get("/large")).await;
    client.0.readable().await.expect("the response begins");
    tokio::time::pause();
    let begin = Instant::now();
    while server.metrics.open.get() > 0 {
        sleep(GRACE / 4).await;
    }
    assert!(begin.elapsed() >= TIMEOUTS.stall - GRACE, "{:?}", begin.elapsed());
    assert!(begin.elapsed() < TIMEOUTS.stall + 2 * GRACE, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn at_the_end_requests_under_way_are_responded_to_and_idle_connections_closed() {
    let mut server = start(settings(10)).await;
    let (mut idle, mut busy) = (server.idle(ONE).await, server.busy(ONE).await);
    server.has_open(2).await;
    server.stop();
    assert_eq!(idle.rest().await, "");
    server.waiting.add_permits(1);
    assert!(busy.response().await.ends_with("waited"));
    assert_eq!(busy.rest().await, "", "and then it is closed");
    server.ended().await;
}

#[tokio::test(start_paused = true)]
async fn at_the_end_what_takes_too_long_is_cut() {
    let mut server = start(settings(10)).await;
    let mut busy = server.busy(ONE).await;
    server.has_open(1).await;
    let begin = Instant::now();
    server.stop();
    server.ended().await;
    assert_after(TIMEOUTS.drain, begin);
    assert_eq!(busy.rest().await, "");
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_a_further_head_that_has_arrived_in_part_is_not_waited_for() {
    let mut server = start(settings(10)).await;
    let mut further = server.idle(ONE).await;
    further.send("GET / HT").await;
    let mut first = server.connect(ONE).await;
    first.send("GET / HT").await;
    // The clock goes on once the server has read all of it.
    sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    server.stop();
    assert_eq!(further.rest().await, "");
    assert!(begin.elapsed() < GRACE, "{:?}", begin.elapsed());
    first.send("TP/1.1\r\nhost: test\r\n\r\n").await;
    assert!(first.rest().await.ends_with("here"));
    server.ended().await;
}
