//! At the connection limit: which connections are closed, which wait, and that one client never has all.

use std::time::Duration;

use http_server::ServerSettings;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::harness::{ONE, OTHER, get, settings, start, trusted};

/// Longer than the age of connections is rounded to.
const A_WHILE: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn what_has_been_idle_longest_is_closed_for_a_new_connection() {
    let server = start(settings(3)).await;
    let mut used = server.idle(ONE).await;
    sleep(A_WHILE).await;
    let mut longest_idle = server.idle(ONE).await;
    let mut busy = server.busy(ONE).await;
    sleep(A_WHILE).await;
    used.ask("/").await;
    let _new = server.idle(ONE).await;
    assert_eq!(longest_idle.rest().await, "");
    assert!(used.ask("/").await.ends_with("here"));
    server.waiting.add_permits(1);
    assert!(busy.response().await.ends_with("waited"));
    assert_eq!(server.metrics.evicted.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn silent_connections_and_dripping_heads_are_closed_for_a_new_connection() {
    let server = start(settings(2)).await;
    let mut silent = server.connect(ONE).await;
    let mut dripping = server.connect(ONE).await;
    dripping.send("GET / HT").await;
    server.has_open(2).await;
    let _first = server.idle(ONE).await;
    let _second = server.idle(ONE).await;
    assert_eq!((silent.rest().await, dripping.rest().await), (String::new(), String::new()));
}

#[tokio::test(start_paused = true)]
async fn where_all_are_busy_new_connections_wait() {
    let server = start(settings(2)).await;
    let mut busy = [server.busy(ONE).await, server.busy(ONE).await];
    server.has_open(2).await;
    let mut late = server.connect(ONE).await;
    late.send(&get("/")).await;
    // The clock goes on once the server has nothing to do.
    let response = timeout(A_WHILE, late.0.readable()).await;
    response.expect_err("it waits");
    assert_eq!(server.metrics.open.get(), 2);
    server.waiting.add_permits(2);
    for busy in &mut busy {
        assert!(busy.response().await.ends_with("waited"));
    }
    assert!(late.response().await.ends_with("here"));
}

#[tokio::test]
async fn thousands_of_simultaneous_connects_are_all_responded_to() {
    const CLIENTS: usize = 2_000;
    let server = start(settings(200)).await;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let connect = tokio::net::TcpStream::connect(server.address);
        clients.spawn(async {
            let mut client = crate::harness::TestClient(connect.await.expect("it is not refused"));
            client.ask("/").await
        });
    }
    let responses = clients.join_all().await;
    assert_eq!(responses.iter().filter(|text| text.ends_with("here")).count(), CLIENTS);
}

#[tokio::test]
async fn one_address_has_its_share_and_no_more() {
    let server = start(ServerSettings { max_connections_per_address: 3, ..settings(100) }).await;
    let _busy = [server.busy(OTHER).await, server.busy(OTHER).await, server.busy(OTHER).await];
    server.has_open(3).await;
    assert_eq!(server.connect(OTHER).await.rest().await, "", "one more is refused");
    assert_eq!(server.metrics.refused.get(), 1);
    assert!(server.idle(ONE).await.ask("/").await.ends_with("here"), "others are served");
}

#[tokio::test]
async fn an_address_with_its_share_loses_an_idle_connection_for_a_new_one() {
    let server = start(ServerSettings { max_connections_per_address: 2, ..settings(100) }).await;
    let (mut idle, _busy) = (server.idle(OTHER).await, server.busy(OTHER).await);
    let mut of_another = server.idle(ONE).await;
    server.has_open(3).await;
    let _new = server.idle(OTHER).await;
    assert_eq!(idle.rest().await, "");
    assert!(of_another.ask("/").await.ends_with("here"));
}

#[tokio::test]
async fn a_trusted_peer_has_no_share() {
    let settings = ServerSettings {
        max_connections_per_address: 1,
        trusted_peers: trusted(&["127.0.0.2"]),
        ..settings(100)
    };
    let server = start(settings).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(server.busy(OTHER).await);
    }
    server.has_open(10).await;
    server.waiting.add_permits(10);
    for client in &mut clients {
        assert!(client.response().await.ends_with("waited"));
    }
}

#[tokio::test]
async fn fresh_connections_that_send_their_requests_at_once_stay_within_the_share() {
    const SHARE: usize = 8;
    const CLIENTS: usize = 5 * SHARE;
    let settings = ServerSettings { max_connections_per_address: SHARE, ..settings(100) };
    let server = start(settings).await;
    // Without a pause: the server accepts them all before it has read a request.
    let connect = || {
        let mut stream = std::net::TcpStream::connect(server.address).expect("it listens");
        std::io::Write::write_all(&mut stream, get("/wait").as_bytes()).expect("it is sent");
        stream
    };
    let _clients: Vec<_> = (0..CLIENTS).map(|_| connect()).collect();
    let mut most = 0;
    while server.metrics.refused.get() < (CLIENTS - SHARE) as u64 {
        most = most.max(server.metrics.open.get());
        assert!(most <= SHARE as i64, "{most} connections of one address are open");
        tokio::task::yield_now().await;
    }
    assert_eq!(server.metrics.open.get(), SHARE as i64);
}
