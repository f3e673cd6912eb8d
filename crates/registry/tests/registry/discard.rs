//! What becomes of the body of a refused request.

use registry::{Access, NamedText, RegistrySettings, limits};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::peer::Peer;

/// Sends the head of a request whose body has so many bytes; the connection, and the response.
async fn send_head(peer: &Peer, address: &str, length: usize) -> (TcpStream, String) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{address}:0").parse().expect("an address")).expect("it is loopback");
    let to = peer.host.as_str().parse().expect("an address");
    let mut stream = socket.connect(to).await.expect("it listens");
    let head =
        format!("PUT /v2/a/manifests/v1 HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("it is sent");
    let response = response(&mut stream).await;
    (stream, response)
}

async fn response(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("]}") {
        let mut piece = [0; 1_024];
        let length = stream.read(&mut piece).await.expect("a response");
        assert_ne!(length, 0, "{text}");
        text += &String::from_utf8_lossy(piece.get(..length).expect("it was read"));
    }
    text
}

#[tokio::test]
async fn of_the_bodies_that_are_discarded_one_client_has_its_share() {
    let peer = Peer::in_memory().await;
    let too_long = 2 * usize::try_from(limits::MAX_MANIFEST_BYTES).expect("it is small");
    let mut stalled = Vec::new();
    for number in 0..=limits::MAX_DISCARDS / limits::CLIENT_DIVISOR {
        let (stream, response) = send_head(&peer, "127.0.0.1", too_long).await;
        assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
        let closes = number == limits::MAX_DISCARDS / limits::CLIENT_DIVISOR;
        assert_eq!(response.contains("connection: close"), closes, "{number}: {response}");
        stalled.push(stream);
    }
    let mut last = stalled.pop().expect("it is the one that is closed");
    assert_eq!(last.read(&mut [0]).await.unwrap_or(0), 0);
    let (_other, response) = send_head(&peer, "127.0.0.2", too_long).await;
    assert!(!response.contains("connection: close"), "{response}");
}

#[tokio::test]
async fn little_is_read_of_a_request_without_valid_credentials() {
    const PIECE: usize = 1 << 20;
    /// More than the system buffers between the two, and less than a user may send.
    const PIECES: usize = 64;
    let users = format!("a:{}\n", bcrypt::hash("a", 4).expect("it is hashed"));
    let access = Access::new(NamedText { name: "users", text: &users }, None).expect("it is right");
    let peer = Peer::with(RegistrySettings::default(), Some(access)).await;
    let (mut stream, refused) = send_head(&peer, "127.0.0.1", PIECES * PIECE).await;
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    assert!(refused.contains("connection: close"), "{refused}");
    let piece = vec![0; PIECE];
    let mut taken = 0;
    while taken < PIECES && stream.write_all(&piece).await.is_ok() {
        taken += 1;
    }
    assert!(taken < PIECES, "all of it was read");

    // A client that makes the mistake with a manifest reads the response, and goes on.
    let (mut stream, refused) = send_head(&peer, "127.0.0.1", 1_000).await;
    assert!(!refused.contains("connection: close"), "{refused}");
    stream.write_all(&[b' '; 1_000]).await.expect("it is taken");
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("it is sent");
    assert!(response(&mut stream).await.starts_with("HTTP/1.1 401 "));
}
