//! What a request must have, and clients that half close their connection.

use std::time::Duration;

use tokio::{io::AsyncWriteExt as _, time::sleep};

use crate::harness::{ONE, get, settings, start, start_at};

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_its_sending_half_gets_its_response() {
    let server = start(settings(10)).await;
    // `P` is how HTTP/2 begins too, and is looked at by other code.
    for method in ["GET", "PUT"] {
        let mut client = server.connect(ONE).await;
        client.send(&get("/wait").replace("GET", method)).await;
        client.0.shutdown().await.expect("the half is closed");
        server.has_open(1).await;
        // The clock goes on once the server has nothing to do: it has noticed that the half is closed.
        sleep(Duration::from_secs(1)).await;
        server.waiting.add_permits(1);
        assert!(client.rest().await.ends_with("waited"), "{method}");
        server.has_open(0).await;
    }
}

#[tokio::test]
async fn a_host_that_is_missing_or_double_is_refused() {
    let server = start(settings(10)).await;
    for (headers, status) in [
        ("host: a\r\n", "200"),
        ("", "400"),
        ("host: a\r\nhost: a\r\n", "400"),
        ("host: a\r\nHost: b\r\n", "400"),
        ("host: a b\r\n", "400"),
    ] {
        let mut client = server.connect(ONE).await;
        client.send(&format!("GET / HTTP/1.1\r\n{headers}connection: close\r\n\r\n")).await;
        let response = client.rest().await;
        assert_eq!(response.get(9..12), Some(status), "{headers:?}: {response}");
    }
    let mut client = server.connect(ONE).await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    assert!(client.rest().await.starts_with("HTTP/1.0 200 "), "HTTP/1.0 need not name it");
}

#[tokio::test]
async fn ipv4_and_ipv6_are_served_at_one_address() {
    let server = start_at("[::]:0", settings(10), None).await;
    let mut client = server.connect(ONE).await;
    assert!(client.ask("/peer").await.ends_with("\r\n127.0.0.1"), "and not IPv4-mapped");
    if server.address.is_ipv6() {
        let port = server.address.port();
        let stream = tokio::net::TcpStream::connect(("::1", port)).await.expect("it listens");
        assert!(crate::harness::TestClient(stream).ask("/peer").await.ends_with("\r\n::1"));
    }
}
