//! One client cannot stop the others: requests in flight, uploads and password checks have shares.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, StatusCode};
use http_server::{ClientIp, ClientIpPolicy, DefaultTrust};
use registry::{Access, Limits, NamedText, Registry, RegistrySettings, Storage, limits};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::peer::{Peer, header, refusal, refused};

/// Sends a request from this address of the loopback network; the connection, and the status of the first
/// response.
async fn send_from(peer: &Peer, address: &str, request: &str) -> (TcpStream, u16) {
    let socket = TcpSocket::new_v4().expect("a socket");
    // So that the system buffers little between the two.
    socket.set_recv_buffer_size(32 << 10).expect("it is settable");
    socket.bind(format!("{address}:0").parse().expect("an address")).expect("it is loopback");
    let to = peer.host.as_str().parse().expect("an address");
    let mut stream = socket.connect(to).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.expect("a response");
    let status = std::str::from_utf8(&status).expect("text").trim_start_matches("HTTP/1.1 ");
    (stream, status.parse().expect("a status"))
}

/// Lets so much time pass for the registry as makes an idle session of a client at its share one that it may lose.
async fn let_sessions_idle() {
    tokio::time::pause();
    tokio::time::advance(limits::LEAST_IDLE).await;
    tokio::time::resume();
}

/// As often as is tried before the clients that stall would be closed anyway, each time after [`MOST_OF_STALL`].
const TRIES: u32 = 6;

/// Within it a client must do something.
const MOST_OF_STALL: Duration = Duration::from_secs(7);

/// Lets a part of the time pass after which a client that stalls is closed for others.
async fn let_clients_stall() {
    tokio::time::pause();
    tokio::time::advance(MOST_OF_STALL).await;
    tokio::time::resume();
}

/// An upload that says `100 Continue` when it has its place, and then sends nothing.
fn stalled_upload() -> String {
    let digest = oci::Digest::sha256(b"x");
    format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\
         content-length: 1\r\n\r\n"
    )
}

#[tokio::test]
async fn stalled_uploads_stop_neither_reads_nor_another_address() {
    let peer = Peer::in_memory().await;
    let mut stalled = Vec::new();
    for _ in 0..limits::MAX_REQUESTS / limits::CLIENT_DIVISOR {
        let (stream, status) = send_from(&peer, "127.0.0.1", &stalled_upload()).await;
        assert_eq!(status, 100);
        stalled.push(stream);
    }
    let (_, status) = send_from(&peer, "127.0.0.1", &stalled_upload()).await;
    assert_eq!(status, 429, "the address has its share");
    assert_eq!(peer.status("/v2/").await, StatusCode::OK);
    let (other, status) = send_from(&peer, "127.0.0.2", &stalled_upload()).await;
    assert_eq!(status, 100);
    drop((stalled, other));
}

/// A registry with so few requests in flight that two clients have all of them.
fn few_requests(storage: Storage) -> Registry {
    let limits = Limits { max_requests: 4, ..Limits::default() };
    Registry::with(storage, RegistrySettings { limits, ..RegistrySettings::default() }, None)
}

#[tokio::test]
async fn two_addresses_that_do_not_read_do_not_keep_a_third_out() {
    /// More than the system buffers between the two; so is what is read at a time.
    const BLOB_BYTES: usize = 32 << 20;
    const PIECE: usize = 3 << 20;
    let directory = tempfile::tempdir().expect("a directory");
    let storage = Storage::directory(directory.path()).expect("a directory of our own");
    let peer = Peer::of(few_requests(storage)).await;
    let digest = peer.push_blob("a", &vec![7; BLOB_BYTES]).await;
    let read = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let (mut slow, _) = send_from(&peer, "127.0.0.2", &read).await;
    let mut unread = Vec::new();
    for address in ["127.0.0.2", "127.0.0.3", "127.0.0.3"] {
        unread.push(send_from(&peer, address, &read).await);
    }
    assert!(unread.iter().all(|(_, status)| *status == 200));
    assert_eq!(send_from(&peer, "127.0.0.1", &read).await.1, 429, "none is stalled yet");
    let mut statuses = Vec::new();
    for _ in 0..TRIES {
        slow.read_exact(&mut vec![0; PIECE]).await.expect("it is still served");
        let_clients_stall().await;
        statuses.push(send_from(&peer, "127.0.0.1", &read).await.1);
    }
    assert_eq!(statuses.last(), Some(&200), "{statuses:?}");
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).await.expect("it is still served");
    let read = rest.len() + usize::try_from(TRIES).expect("it is small") * PIECE;
    assert!(read > BLOB_BYTES, "the client that reads slowly has {read} bytes");
}

#[tokio::test]
async fn an_address_at_its_share_of_requests_loses_a_stalled_one_for_the_next() {
    let peer = Peer::of(few_requests(Storage::memory())).await;
    let mut stalled = Vec::new();
    for (address, status) in [("127.0.0.2", 100), ("127.0.0.2", 100), ("127.0.0.2", 429)] {
        let (stream, found) = send_from(&peer, address, &stalled_upload()).await;
        assert_eq!(found, status);
        stalled.push(stream);
    }
    let (mut other, _) = send_from(&peer, "127.0.0.3", &stalled_upload()).await;
    let_clients_stall().await;
    let_clients_stall().await;
    assert_eq!(send_from(&peer, "127.0.0.2", &stalled_upload()).await.1, 100);
    other.write_all(b"x").await.expect("another address has its own share");
    let mut status = [0; 13 + 12];
    other.read_exact(&mut status).await.expect("a response");
    assert!(status.ends_with(b"HTTP/1.1 201"), "{}", String::from_utf8_lossy(&status));
}

#[tokio::test]
async fn uploads_of_two_addresses_that_send_nothing_do_not_keep_a_third_out() {
    let peer = Peer::of(few_requests(Storage::memory())).await;
    let mut stalled = Vec::new();
    for address in ["127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3"] {
        stalled.push(send_from(&peer, address, &stalled_upload()).await);
    }
    assert!(stalled.iter().all(|(_, status)| *status == 100));
    assert_eq!(send_from(&peer, "127.0.0.1", &stalled_upload()).await.1, 429);
    let_clients_stall().await;
    let_clients_stall().await;
    assert_eq!(send_from(&peer, "127.0.0.1", &stalled_upload()).await.1, 100);
}

#[tokio::test]
async fn requests_of_a_trusted_peer_count_for_the_client_that_it_names() {
    let limits = Limits { max_requests: 4, ..Limits::default() };
    let registry = Registry::with(
        Storage::memory(),
        RegistrySettings { limits, ..RegistrySettings::default() },
        None,
    );
    let trusted_peers = vec![http_server::parse_network("127.0.0.1").expect("an address")];
    let policy = ClientIpPolicy { trusted_peers, ..ClientIpPolicy::default() };
    let client_ip = ClientIp::new(policy, DefaultTrust::None);
    let peer = Peer::behind(registry, client_ip).await;
    let from = |client: &str| {
        let header = format!("x-forwarded-for: 192.0.2.9, {client}\r\ncontent-length");
        stalled_upload().replace("content-length", &header)
    };
    let mut stalled = Vec::new();
    for (address, request, status) in [
        ("127.0.0.1", from("192.0.2.1"), 100),
        ("127.0.0.1", from("192.0.2.1"), 100),
        ("127.0.0.1", from("192.0.2.1"), 429),
        // The header of another peer is not believed.
        ("127.0.0.2", from("192.0.2.1"), 100),
        // The balancer's own requests have no share.
        ("127.0.0.1", stalled_upload(), 100),
        ("127.0.0.1", from("192.0.2.2"), 429),
    ] {
        let (stream, found) = send_from(&peer, address, &request).await;
        assert_eq!(found, status, "{address} {request}");
        stalled.push(stream);
    }
}

/// Users `a` and `b`, whose passwords are their names.
fn two_users() -> Access {
    let users: String = ["a", "b"]
        .map(|user| format!("{user}:{}\n", bcrypt::hash(user, 4).expect("it is hashed")))
        .concat();
    Access::new(NamedText { name: "users", text: &users }, None).expect("it is right")
}

fn login(user: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{user}")))
}

#[tokio::test]
async fn a_client_at_its_share_loses_its_longest_idle_session() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = Storage::directory(directory.path()).expect("a directory of our own");
    let limits = Limits { max_uploads: 6, ..Limits::default() };
    let settings = RegistrySettings { limits, ..RegistrySettings::default() };
    let peer = Peer::of(Registry::with(storage, settings, Some(two_users()))).await;
    let ask = async |user: &str, method: Method, path: &str| {
        peer.ask(method, path, &[("authorization", &*login(user))], "").await
    };
    let start = async |user: &str| {
        let started = ask(user, Method::POST, &format!("/v2/{user}/blobs/uploads/")).await;
        assert_eq!(started.status(), StatusCode::ACCEPTED, "{user}");
        header(&started, "location")
    };
    let (of_b, moving) = (start("b").await, start("a").await);
    let mut uploading = TcpStream::connect(peer.host.as_str()).await.expect("it listens");
    let head = format!(
        "PATCH {moving} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\nexpect: 100-continue\r\n\
         content-length: 1\r\n\r\n",
        login("a")
    );
    uploading.write_all(head.as_bytes()).await.expect("it is sent");
    let mut status = [0; 25];
    uploading.read_exact(&mut status).await.expect("it is being carried out");

    let [oldest, newer] = [start("a").await, start("a").await];
    let refused_too_early = ask("a", Method::POST, "/v2/a/blobs/uploads/").await;
    assert_eq!(refusal(&refused_too_early), refused(429, "TOOMANYREQUESTS"));
    assert_eq!(header(&refused_too_early, "retry-after"), "1");
    let_sessions_idle().await;
    let newest = start("a").await;
    let dropped = ask("a", Method::GET, &oldest).await;
    assert_eq!(refusal(&dropped), refused(404, "BLOB_UPLOAD_UNKNOWN"));
    let said = String::from_utf8_lossy(dropped.body());
    assert!(said.contains("or made room for a later one of the same client"), "{said}");
    for (user, session) in [("a", newer), ("a", newest), ("b", of_b)] {
        let kept = ask(user, Method::GET, &session).await;
        assert_eq!(kept.status(), StatusCode::NO_CONTENT, "{session}");
    }
    uploading.write_all(b"x").await.expect("it is sent");
    let mut status = [0; 12];
    uploading.read_exact(&mut status).await.expect("a response");
    assert_eq!(&status, b"HTTP/1.1 202");
    let left = std::fs::read_dir(directory.path().join("uploads")).expect("it is there").count();
    assert_eq!(left, 2 * 4, "the bytes of the dropped session are gone too");
}

#[tokio::test]
async fn one_users_uploads_leave_room_for_the_others() {
    let limits = Limits { max_uploads: 4, ..Limits::default() };
    let peer =
        Peer::with(RegistrySettings { limits, ..RegistrySettings::default() }, Some(two_users()))
            .await;
    let start = async |user: &str| {
        let path = format!("/v2/{user}/blobs/uploads/");
        peer.ask(Method::POST, &path, &[("authorization", &*login(user))], "").await
    };
    for user in ["a", "b"] {
        // From the same address too.
        for status in [202, 202, 429] {
            assert_eq!(start(user).await.status(), status, "{user}");
        }
        // What a client left behind is not in its way for long.
        let_sessions_idle().await;
        for status in [202, 202, 429] {
            assert_eq!(start(user).await.status(), status, "{user}");
        }
    }
}

#[tokio::test]
async fn a_client_below_its_share_keeps_its_session_where_the_registry_is_full() {
    let limits = Limits { max_uploads: 3, ..Limits::default() };
    let peer =
        Peer::with(RegistrySettings { limits, ..RegistrySettings::default() }, Some(two_users()))
            .await;
    let ask = async |user: &str, method: Method, path: &str| {
        peer.ask(method, path, &[("authorization", &*login(user))], "").await
    };
    let mut last = String::new();
    for user in ["a", "a", "b"] {
        let started = ask(user, Method::POST, &format!("/v2/{user}/blobs/uploads/")).await;
        last = header(&started, "location");
    }
    let_sessions_idle().await;
    let another = ask("b", Method::POST, "/v2/b/blobs/uploads/").await;
    assert_eq!(refusal(&another), refused(429, "TOOMANYREQUESTS"));
    assert_eq!(ask("b", Method::GET, &last).await.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn sessions_that_go_on_after_a_restart_are_part_of_their_clients_share() {
    let directory = tempfile::tempdir().expect("a directory");
    let limits = Limits { max_uploads: 4, ..Limits::default() };
    let settings = RegistrySettings { limits, ..RegistrySettings::default() };
    let start = async || {
        let storage = Storage::directory(directory.path()).expect("a directory of our own");
        Peer::of(Registry::with(storage, settings, None)).await
    };
    let begin = "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    let uploads = || {
        let entries = std::fs::read_dir(directory.path().join("uploads")).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".session")).count()
    };
    let peer = start().await;
    for _ in 0..2 {
        assert_eq!(send_from(&peer, "127.0.0.1", begin).await.1, 202);
    }
    peer.stop().await;
    let peer = start().await;
    assert_eq!(uploads(), 2, "the sessions go on");
    assert_eq!(send_from(&peer, "127.0.0.1", begin).await.1, 429);
    let_sessions_idle().await;
    assert_eq!(send_from(&peer, "127.0.0.1", begin).await.1, 202);
    assert_eq!(uploads(), 2, "one of them made room for the new one");
}

#[tokio::test]
async fn wrong_passwords_from_one_address_leave_room_for_logins_from_another() {
    // Slow enough that those of one address wait while the other comes.
    let users = format!("a:{}\n", bcrypt::hash("a", 6).expect("it is hashed"));
    let access = Access::new(NamedText { name: "users", text: &users }, None).expect("it is right");
    let peer = Peer::with(RegistrySettings::default(), Some(access)).await;
    let login = |password: &str| {
        let login = STANDARD.encode(format!("a:{password}"));
        format!("GET /v2/ HTTP/1.1\r\nhost: x\r\nauthorization: Basic {login}\r\n\r\n")
    };
    let mut waiting = Vec::new();
    for number in 0..2 * limits::MAX_WAITING_CHECKS {
        let mut stream = TcpStream::connect(peer.host.as_str()).await.expect("it listens");
        let request = login(&number.to_string());
        stream.write_all(request.as_bytes()).await.expect("it is sent");
        waiting.push(stream);
    }
    let (_, status) = send_from(&peer, "127.0.0.2", &login("a")).await;
    assert_eq!(status, 200);
}
