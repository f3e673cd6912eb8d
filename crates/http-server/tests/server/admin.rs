//! The admin address.

use std::net::SocketAddr;

use http_server::{Admin, listen};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let text = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.expect("it reads");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("a response");
    response
}

#[tokio::test]
async fn pages_say_how_the_product_is() {
    let listener = listen("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let admin = Admin::start(listener, || "# EOF\n".to_owned());
    for (path, status, body) in [
        ("/metrics", "200 OK", "# EOF\n"),
        ("/healthz", "200 OK", "ok\n"),
        ("/readyz", "200 OK", "ready\n"),
        ("/", "404 Not Found", "there are /metrics, /healthz and /readyz\n"),
    ] {
        let response = get(address, path).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{path}: {response}");
        assert!(response.ends_with(&format!("\r\n\r\n{body}")), "{path}: {response}");
    }
    admin.drain();
    let response = get(address, "/readyz").await;
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert!(response.ends_with("\r\n\r\ndraining\n"), "{response}");
    assert!(get(address, "/healthz").await.ends_with("\r\n\r\nok\n"), "it is alive until its end");
    admin.end().await;
    assert!(TcpStream::connect(address).await.is_err(), "it has ended");
}
