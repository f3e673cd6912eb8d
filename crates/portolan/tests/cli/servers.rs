//! What the front, the registry and the served store have in common: signals, files that are read again, and the
//! limit of open files.

use std::{path::Path, process::Stdio, time::Duration};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStderr, Command},
    time::timeout,
};

use crate::harness::{end_of, signal, write};

/// `secret`, hashed with bcrypt.
const HASH: &str = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

/// Documentation ranges (RFC 5737) that stand for a cloud's.
const AWS_RANGES: &str = r#"{"syncToken": "1", "createDate": "2026-01-01-00-00-00",
  "prefixes": [{"ip_prefix": "198.51.100.0/24", "region": "eu-west-3", "service": "EC2", "network_border_group": "eu-west-3"}],
  "ipv6_prefixes": []}"#;
const GCP_RANGES: &str = r#"{"syncToken": "1", "creationTime": "2026-01-01T00:00:00",
  "prefixes": [{"ipv4Prefix": "203.0.113.0/24", "service": "Google Cloud", "scope": "europe-west9"}]}"#;

/// Less than the 30 s after which a server closes a connection that sends no first request.
const RESPONSE_IN_A_FLOOD: Duration = Duration::from_secs(15);

/// Fewer than the connections of a test, so that a server that does not raise its soft limit runs out.
const LOW_LIMIT: usize = 128;

pub(crate) struct ServerProcess {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// Where it listens.
    pub(crate) address: String,
    /// Where metrics and health are, if they are.
    pub(crate) admin: Option<String>,
    /// What it logged until the first line that names its address.
    first_events: Vec<serde_json::Value>,
}

impl ServerProcess {
    /// Starts the program with `arguments`, after this line of the shell.
    pub(crate) async fn start(setup: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("{setup}; exec \"$0\" \"$@\"")]);
        command.arg(env!("CARGO_BIN_EXE_portolan")).args(arguments);
        command.env_clear().env("PORTOLAN_ADMIN", "127.0.0.1:0").env("PORT", "0");
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("bash is there");
        let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let (mut admin, mut first_events) = (None, Vec::new());
        loop {
            let event = event(&mut log).await;
            first_events.push(event.clone());
            if event["message"] == "serving metrics and health" {
                admin = event["at"].as_str().map(str::to_owned);
            }
            if let Some(address) = event["address"].as_str() {
                return Self { child, log, address: address.to_owned(), admin, first_events };
            }
        }
    }

    /// Waits for a line of the log with this in it.
    pub(crate) async fn logs(&mut self, text: &str) -> serde_json::Value {
        loop {
            let event = event(&mut self.log).await;
            if event.to_string().contains(text) {
                return event;
            }
        }
    }

    /// A connection that has been responded to, and is idle now.
    pub(crate) async fn idle(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.expect("it listens");
        let _ = request(&mut stream, "/v2/").await;
        stream
    }

    pub(crate) async fn terminated(mut self) {
        signal(&self.child, "TERM").await;
        assert_eq!(self.logs("shutting down").await["signal"], "SIGTERM");
        self.logs("shut down").await;
        end_of(self.child).await.expect(0);
    }
}

async fn event(log: &mut Lines<BufReader<ChildStderr>>) -> serde_json::Value {
    let line = log.next_line().await.expect("UTF-8").expect("there is more to come");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The status of the response; none if the connection was closed.
async fn request(stream: &mut TcpStream, path: &str) -> Option<String> {
    let text = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    stream.write_all(text.as_bytes()).await.ok()?;
    let mut response = [0; 4_096];
    let length = stream.read(&mut response).await.ok().filter(|length| *length > 0)?;
    String::from_utf8_lossy(&response[..length]).split(' ').nth(1).map(str::to_owned)
}

/// The Location of the response.
async fn located(stream: &mut TcpStream, path: &str) -> String {
    let text = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(text.as_bytes()).await.expect("the server is there");
    let mut response = [0; 4_096];
    let length = stream.read(&mut response).await.expect("a response");
    let response = String::from_utf8_lossy(&response[..length]).into_owned();
    let location = response.lines().find_map(|line| line.strip_prefix("location: "));
    location.unwrap_or_else(|| panic!("no Location in {response}")).to_owned()
}

/// The arguments of all three servers.
fn servers(directory: &Path) -> [Vec<String>; 3] {
    let front =
        "listen: 127.0.0.1:0\nadmin: null\nupstream: {endpoint: \"https://registry.example\"}\n";
    let front = write(&directory.join("front.yaml"), front).display().to_string();
    let store = directory.display().to_string();
    [
        vec!["serve", "--config", &front],
        vec!["registry", "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
        vec!["store", "serve", &store, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
    ]
    .map(|arguments| arguments.into_iter().map(str::to_owned).collect())
}

#[tokio::test]
async fn sighup_ends_no_server() {
    let directory = TempDir::new().expect("a directory");
    for arguments in servers(directory.path()) {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let mut server = ServerProcess::start(":", &arguments).await;
        signal(&server.child, "HUP").await;
        let message = match arguments[0] {
            "serve" => "SIGHUP: configuration and address ranges were read again",
            _ => "SIGHUP ignored",
        };
        server.logs(message).await;
        assert!(request(&mut server.idle().await, "/v2/").await.is_some(), "{arguments:?}");
        server.terminated().await;
    }
}

#[tokio::test]
async fn the_front_reads_its_configuration_again_at_sighup_and_keeps_it_if_the_file_is_wrong() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("front.yaml");
    let file = |host: &str, more: &str| {
        let yaml = format!(
            "listen: 127.0.0.1:0\nadmin: null\nupstream: {{endpoint: \"https://{host}\"}}\n{more}"
        );
        write(&path, &yaml);
    };
    file("one.example", "");
    let config = path.display().to_string();
    let mut server = ServerProcess::start(":", &["serve", "--config", &config]).await;
    let manifest = "/v2/pause/manifests/3.9";
    let location = async |server: &ServerProcess| located(&mut server.idle().await, manifest).await;
    assert_eq!(location(&server).await, format!("https://one.example{manifest}"));
    file("two.example", "");
    signal(&server.child, "HUP").await;
    server.logs("SIGHUP: configuration and address ranges were read again").await;
    assert_eq!(location(&server).await, format!("https://two.example{manifest}"));
    for (host, more) in
        [("three.example", "stores: nonsense\n"), ("three.example", "presence: {timeout: 0s}\n")]
    {
        file(host, more);
        signal(&server.child, "HUP").await;
        server.logs("SIGHUP: reload failed, and nothing was replaced").await;
        assert_eq!(location(&server).await, format!("https://two.example{manifest}"), "{more}");
    }
    server.terminated().await;
}

#[tokio::test]
async fn the_soft_limit_of_open_files_is_raised() {
    let directory = TempDir::new().expect("a directory");
    for arguments in servers(directory.path()) {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let server = ServerProcess::start(&format!("ulimit -Sn {LOW_LIMIT}"), &arguments).await;
        let mut connections = Vec::new();
        for _ in 0..2 * LOW_LIMIT {
            connections.push(server.idle().await);
        }
        for connection in &mut connections {
            assert!(request(connection, "/v2/").await.is_some(), "{arguments:?}: one was closed");
        }
        server.terminated().await;
    }
}

#[tokio::test]
async fn where_descriptors_run_out_new_clients_and_the_admin_address_are_served() {
    let directory = TempDir::new().expect("a directory");
    for arguments in servers(directory.path()) {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let server = ServerProcess::start(&format!("ulimit -n {LOW_LIMIT}"), &arguments).await;
        let mut connections = Vec::new();
        for _ in 0..2 * LOW_LIMIT {
            let mut connection = TcpStream::connect(&server.address).await.expect("it listens");
            let status = request(&mut connection, "/v2/").await;
            assert!(status.is_some(), "{arguments:?}: a new client gets no response");
            connections.push(connection);
        }
        if let Some(admin) = &server.admin {
            let mut admin = TcpStream::connect(admin).await.expect("it listens");
            assert_eq!(request(&mut admin, "/healthz").await.as_deref(), Some("200"));
        }
        server.terminated().await;
    }
}

#[tokio::test]
async fn a_served_store_has_metrics_and_health() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().to_str().expect("UTF-8");
    let flags = ["store", "serve", path, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let server = ServerProcess::start(":", &flags).await;
    let mut idle = server.idle().await;
    let blob = format!("/containers/images/{}", oci::Digest::sha256(b"absent"));
    assert_eq!(request(&mut idle, &blob).await.as_deref(), Some("404"));
    let admin: oci::Host = server.admin.as_ref().expect("an address").parse().expect("a host");
    for (page, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let response = testkit::get(&admin, page).await.expect("a response");
        assert_eq!((response.status().as_u16(), &response.body()[..]), (200, text.as_bytes()));
    }
    let metrics = testkit::get(&admin, "/metrics").await.expect("a response");
    let metrics = String::from_utf8(metrics.body().to_vec()).expect("text");
    for line in [
        "portolan_store_server_requests_total{status=\"404\"} 2",
        "portolan_store_server_open_connections 1",
        "portolan_store_server_accept_errors_total 0",
        "portolan_store_server_connections_evicted_total 0",
        "portolan_store_server_connections_refused_total 0",
    ] {
        assert!(metrics.lines().any(|own| own == line), "no {line} in {metrics}");
    }
    server.terminated().await;
}

#[tokio::test]
async fn requests_that_write_get_a_part_of_few_connections() {
    let flags = ["registry", "serve", "--listen", "127.0.0.1:0"];
    let mut server = ServerProcess::start(&format!("ulimit -n {LOW_LIMIT}"), &flags).await;
    let logged = server.logs("fewer requests in flight").await;
    let number = |name: &str| logged[name].as_u64().expect("a number");
    // Each has a file besides its connection, and one that it links to.
    assert_eq!(number("writes"), number("connections") / 4, "{logged}");
    let upload = format!(
        "POST /v2/a/blobs/uploads/?digest={} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\
         content-length: 1\r\n\r\n",
        oci::Digest::sha256(b"x")
    );
    let mut stalled = Vec::new();
    // One client has half of them.
    for at in 0..=number("writes") / 2 {
        let mut stream = TcpStream::connect(&server.address).await.expect("it listens");
        stream.write_all(upload.as_bytes()).await.expect("it is sent");
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.expect("a response");
        let expected = if at < number("writes") / 2 { b"HTTP/1.1 100" } else { b"HTTP/1.1 429" };
        assert_eq!(&status, expected, "{at}");
        stalled.push(stream);
    }
    let mut reader = TcpStream::connect(&server.address).await.expect("it listens");
    assert_eq!(request(&mut reader, "/v2/").await.as_deref(), Some("200"));
    drop(stalled);
    server.terminated().await;
}

/// More than the system buffers between the two.
const LARGE_BLOB: usize = 16 << 20;

/// More connections than their file descriptors, and the same number of files, are in the limit.
const SLOW_LIMIT: usize = 256;
const SLOW_CLIENTS: usize = 200;

#[tokio::test]
async fn slow_downloads_of_two_addresses_leave_descriptors_for_requests_and_the_admin_address() {
    let directory = TempDir::new().expect("a directory");
    let content = vec![7; LARGE_BLOB];
    let digest = oci::Digest::sha256(&content);
    let stored = directory.path().join("store").join(format!("containers/images/{digest}"));
    std::fs::create_dir_all(stored.parent().expect("a parent")).expect("a directory");
    std::fs::write(&stored, &content).expect("a file");
    let store = directory.path().join("store").display().to_string();
    let storage = format!("file://{}/registry", directory.path().display());
    let listen = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    for arguments in
        [vec!["store", "serve", &store], vec!["registry", "serve", "--storage", &storage]]
    {
        let arguments = [arguments, listen.to_vec()].concat();
        let mut server = ServerProcess::start(&format!("ulimit -n {SLOW_LIMIT}"), &arguments).await;
        let path = match arguments[0] {
            "store" => format!("/containers/images/{digest}"),
            _ => {
                push(&server.address, &digest, &content).await;
                format!("/v2/a/blobs/{digest}")
            }
        };
        let mut slow = Vec::new();
        for at in 0..SLOW_CLIENTS {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            let client = format!("127.0.0.{}:0", 2 + at % 2).parse().expect("an address");
            socket.bind(client).expect("it is this machine's");
            socket.set_recv_buffer_size(2_048).expect("it is settable");
            let address = server.address.parse().expect("an address");
            let mut stream = socket.connect(address).await.expect("it listens");
            let get = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
            // Those beyond the share of the address are closed.
            let _ = stream.write_all(get.as_bytes()).await;
            slow.push(stream);
        }
        let admin: oci::Host = server.admin.as_ref().expect("it has one").parse().expect("a host");
        let metrics = testkit::get(&admin, "/metrics").await.expect("the admin address responds");
        let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
        assert!(!metrics.contains("accept_errors_total 1"), "{metrics}");
        // One of the two ends, and so a third address is served.
        slow.retain(|stream| {
            stream.local_addr().is_ok_and(|it| it.ip().to_string() == "127.0.0.2")
        });
        let mut other = TcpStream::connect(&server.address).await.expect("it listens");
        let head = timeout(RESPONSE_IN_A_FLOOD, request(&mut other, &path)).await;
        assert_eq!(head.expect("it is in time").as_deref(), Some("200"), "{arguments:?}");
        drop((other, slow));
        signal(&server.child, "TERM").await;
        loop {
            let event = event(&mut server.log).await;
            assert!(!event.to_string().contains("Too many open files"), "{event}");
            if event["message"].as_str().is_some_and(|text| text.starts_with("shut down")) {
                break;
            }
        }
    }
}

/// Pushes a blob to the repository `a`.
async fn push(address: &str, digest: &oci::Digest, content: &[u8]) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let head = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        content.len()
    );
    stream.write_all(head.as_bytes()).await.expect("it is sent");
    stream.write_all(content).await.expect("it is sent");
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.expect("a response");
    assert_eq!(&status, b"HTTP/1.1 201");
}

#[tokio::test]
async fn a_flood_of_silent_connections_does_not_keep_clients_out() {
    let directory = TempDir::new().expect("a directory");
    for arguments in servers(directory.path()) {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let server = ServerProcess::start(&format!("ulimit -n {LOW_LIMIT}"), &arguments).await;
        let mut silent = Vec::new();
        for _ in 0..2 * LOW_LIMIT {
            silent.push(TcpStream::connect(&server.address).await.expect("it listens"));
        }
        let mut client = TcpStream::connect(&server.address).await.expect("it listens");
        let response = timeout(RESPONSE_IN_A_FLOOD, request(&mut client, "/v2/")).await;
        assert!(response.is_ok_and(|status| status.is_some()), "{arguments:?}");
        server.terminated().await;
    }
}

#[tokio::test]
async fn users_are_read_again_at_sighup_and_kept_if_they_are_wrong() {
    let directory = TempDir::new().expect("a directory");
    let users = directory.path().join("users");
    write(&users, &format!("alice:{HASH}\n"));
    let flags = ["registry", "serve", "--listen", "127.0.0.1:0", "--htpasswd"];
    let flags = [&flags[..], &[users.to_str().expect("UTF-8")]].concat();
    let mut server = ServerProcess::start(":", &flags).await;
    let address = server.address.clone();
    // The credentials of alice and bob.
    let status = async |credentials: &str| {
        let host: oci::Host = address.parse().expect("a host");
        let request = http::Request::get("/v2/")
            .header("authorization", format!("Basic {credentials}"))
            .body(testkit::Body::empty())
            .expect("a request");
        testkit::send(&host, request).await.expect("a response").status().as_u16()
    };
    let (alice, bob) = ("YWxpY2U6c2VjcmV0", "Ym9iOnNlY3JldA==");
    assert_eq!((status(alice).await, status(bob).await), (200, 401));
    write(&users, &format!("bob:{HASH}\n"));
    signal(&server.child, "HUP").await;
    server.logs("were read again").await;
    assert_eq!((status(alice).await, status(bob).await), (401, 200));
    write(&users, "alice:plain\n");
    signal(&server.child, "HUP").await;
    let logged = server.logs("reload failed").await;
    assert!(logged["error"].as_str().is_some_and(|error| error.contains("users:1:1")), "{logged}");
    assert_eq!((status(alice).await, status(bob).await), (401, 200));
    // A file that is far too long is read within a bound, and the next signal works.
    let giant = std::fs::File::create(&users).and_then(|file| file.set_len(200 << 30));
    giant.expect("it takes nothing on the disk");
    signal(&server.child, "HUP").await;
    let logged = server.logs("reload failed").await;
    let error = logged["error"].as_str().unwrap_or_default();
    assert!(error.contains("users: it is longer than 16 MiB"), "{logged}");
    // Opening a pipe without a writer waits, and must hold up neither requests nor the shutdown.
    std::fs::remove_file(&users).expect("it is there");
    assert!(Command::new("mkfifo").arg(&users).status().await.expect("it runs").success());
    signal(&server.child, "HUP").await;
    let logged = server.logs("reload failed").await;
    let error = logged["error"].as_str().unwrap_or_default();
    assert!(error.ends_with("users is a pipe; a re-read needs a file"), "{logged}");
    assert_eq!((status(alice).await, status(bob).await), (401, 200));
    server.terminated().await;
}

#[tokio::test]
async fn passwords_that_cross_the_network_in_clear_are_warned_about() {
    let directory = TempDir::new().expect("a directory");
    let users = write(&directory.path().join("users"), &format!("ann:{HASH}\n"));
    let users = users.to_str().expect("UTF-8");
    for (listen, proxies, is_warned) in [
        ("0.0.0.0:0", None, true),
        ("0.0.0.0:0", Some(["--trusted-peers", "192.0.2.1"]), false),
        ("127.0.0.1:0", None, false),
    ] {
        let flags = ["registry", "serve", "--htpasswd", users, "--listen", listen];
        let flags = [&flags, proxies.as_ref().map(<[_; 2]>::as_slice).unwrap_or_default()].concat();
        let server = ServerProcess::start(":", &flags).await;
        let is_warning = |event: &serde_json::Value| {
            let text = "passwords cross the network in clear; use --tls-cert";
            event["message"].as_str().is_some_and(|message| message.starts_with(text))
        };
        let events = &server.first_events;
        assert_eq!(events.iter().any(is_warning), is_warned, "{flags:?}: {events:?}");
        server.terminated().await;
    }
}

#[tokio::test]
async fn rights_that_grant_nothing_are_a_warning_at_start_and_at_sighup() {
    let directory = TempDir::new().expect("a directory");
    let users = write(&directory.path().join("users"), &format!("alice:{HASH}\n"));
    let rights = write(&directory.path().join("rights.yaml"), "rules: []\n");
    let (users, rights) = (users.to_str().expect("UTF-8"), rights.to_str().expect("UTF-8"));
    let mut serve = crate::harness::portolan(&["registry", "serve", "--listen", "127.0.0.1:0"]);
    serve.args(["--htpasswd", users, "--rights", rights]);
    let mut child = serve.spawn().expect("it starts");
    let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
    let said = format!(
        "no rule in {rights} grants anything, so all requests are denied; add a rule, such as \
         `rules: [{{users: [\"*\"], repositories: [\"**\"], rights: [pull]}}]`"
    );
    for time in ["start", "SIGHUP"] {
        let warning = loop {
            let event = event(&mut log).await;
            if event["level"] == "WARN" && event.to_string().contains("rights.yaml") {
                break event;
            }
        };
        assert_eq!(warning["message"], said, "{time}");
        while time == "start" && event(&mut log).await["address"].is_null() {}
        signal(&child, "HUP").await;
    }
    child.kill().await.expect("it ends");
}

#[tokio::test]
async fn without_a_configuration_a_taken_admin_address_is_a_warning() {
    let directory = TempDir::new().expect("a directory");
    let of = |cloud: &str, text| {
        format!("{cloud}={}", write(&directory.path().join(cloud), text).display())
    };
    let aws = of("aws", AWS_RANGES);
    let gcp = of("gcp", GCP_RANGES);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().map(|address| (taken, address)).expect("an address");
    let mut command = crate::harness::portolan(&["serve", "--ranges", &aws, "--ranges", &gcp]);
    command.env("PORT", "0").env("PORTOLAN_ADMIN", taken.1.to_string());
    let mut child = command.spawn().expect("it starts");
    let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
    let mut warned = false;
    let address = loop {
        let event = event(&mut log).await;
        warned |= event["level"] == "WARN" && event.to_string().contains("PORTOLAN_ADMIN");
        if let Some(address) = event["address"].as_str() {
            break address.to_owned();
        }
    };
    assert!(warned);
    // It listens on IPv6 and IPv4.
    let port = address.rsplit(':').next().expect("a port");
    let mut client = TcpStream::connect(format!("127.0.0.1:{port}")).await.expect("it listens");
    assert_eq!(request(&mut client, "/v2/").await.as_deref(), Some("200"));
}

#[tokio::test]
async fn a_store_is_named_by_path_or_url_and_an_empty_one_is_warned_about() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("mi x");
    std::fs::create_dir(&path).expect("it is made");
    let plain = path.display().to_string();
    let url = format!("file://{}", plain.replace(' ', "%20"));
    for dir in [&plain, &url] {
        let arguments = ["store", "serve", dir, "--listen", "127.0.0.1:0"];
        let mut child = crate::harness::portolan(&arguments).spawn().expect("it starts");
        let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut said = String::new();
        let mut serves = false;
        while !serves {
            let event = event(&mut log).await;
            serves = event["address"].is_string();
            said += &event.to_string();
        }
        assert!(said.contains("this directory has no blobs") && said.contains(&plain), "{said}");
        child.kill().await.expect("it runs");
    }
    for (dir, said) in [
        ("s3://bucket", "file:///absolute/directory"),
        ("file:///absent/store", "/absent/store does not exist"),
    ] {
        let ended = crate::harness::run(&["store", "serve", dir]).await.expect(2);
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_listened_on_says_what_to_do() {
    let directory = TempDir::new().expect("a temporary directory");
    let store = directory.path().to_str().expect("UTF-8");
    for server in [&["store", "serve", store][..], &["registry", "serve"]] {
        let both = ["--listen", "127.0.0.1:5999", "--admin", ":5999"];
        let ended = crate::harness::run(&[server, &both[..]].concat()).await.expect(2);
        let said = "--listen 127.0.0.1:5999 and --admin [::]:5999 take the same port";
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    let server =
        ServerProcess::start(":", &["store", "serve", store, "--listen", "localhost:0"]).await;
    assert!(server.address.starts_with("127.0.0.1:"), "{}", server.address);
    let ended = crate::harness::run(&["store", "serve", store, "--listen", &server.address]).await;
    let said = format!(
        "cannot listen on {}: the address is in use; stop the program that uses it, or choose another port\n",
        server.address
    );
    let ended = ended.expect(2);
    assert!(ended.stderr.ends_with(&said), "{}", ended.stderr);
    server.terminated().await;
    let server = ServerProcess::start(":", &["store", "serve", store, "--listen", ":0"]).await;
    assert!(!server.address.starts_with("127.0.0.1:"), "{}", server.address);
    server.terminated().await;
}

#[tokio::test]
async fn the_access_log_of_a_served_store_names_each_request() {
    let directory = TempDir::new().expect("a temporary directory");
    let dir = directory.path().to_str().expect("UTF-8");
    let arguments = ["store", "serve", dir, "--listen", "127.0.0.1:0", "--access-log"];
    let mut server = ServerProcess::start("true", &arguments).await;
    let mut stream = TcpStream::connect(&server.address).await.expect("it listens");
    assert_eq!(request(&mut stream, "/absent?token=secret").await.as_deref(), Some("404"));
    let event = server.logs("/absent").await;
    assert_eq!((&event["message"], &event["method"]), (&"request".into(), &"GET".into()));
    assert_eq!((&event["path"], &event["client"]), (&"/absent".into(), &"127.0.0.1".into()));
    assert_eq!(event["status"], 404);
    drop(stream);
    server.terminated().await;
}

#[tokio::test]
async fn a_store_that_may_not_be_read_is_refused() {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};
    let directory = TempDir::new().expect("a directory");
    let images = directory.path().join("containers/images");
    std::fs::create_dir_all(&images).expect("it is made");
    let store = directory.path().display().to_string();
    for (denied, named) in
        [(images.clone(), images.clone()), (directory.path().join("containers"), images.clone())]
    {
        let permit = |mode| std::fs::set_permissions(&denied, Permissions::from_mode(mode));
        permit(0).expect("it is there");
        let arguments = ["store", "serve", &store, "--listen", "127.0.0.1:0"];
        // To the superuser the modes mean nothing, unless it gives its capabilities up.
        let child = if std::fs::metadata(denied.join(".")).is_ok() {
            let mut command = Command::new("setpriv");
            command.arg("--bounding-set=-all").arg(env!("CARGO_BIN_EXE_portolan")).args(arguments);
            command.kill_on_drop(true).stderr(Stdio::piped()).stdout(Stdio::null()).spawn()
        } else {
            crate::harness::portolan(&arguments).spawn()
        };
        let ended = timeout(RESPONSE_IN_A_FLOOD, end_of(child.expect("it starts"))).await;
        let ended = ended.expect("it does not serve");
        permit(0o700).expect("it is there");
        let ended = ended.expect(2);
        let said = format!("cannot read {} as this user", named.display());
        assert!(ended.stderr.contains(&said), "{}", ended.stderr);
        assert!(ended.stderr.contains("Permission denied"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn the_storage_of_another_program_is_not_to_be_marked() {
    let directory = TempDir::new().expect("a directory");
    let storage = |name: &str| format!("file://{}", directory.path().join(name).display());
    for path in ["docker/docker/registry/v2", "ours/repositories", "ours/uploads"] {
        std::fs::create_dir_all(directory.path().join(path)).expect("it is made");
    }
    let advice =
        "if `portolan registry serve` wrote this one, create an empty file of that name in it";
    for (name, is_ours) in [("docker", false), ("ours", true)] {
        let storage = storage(name);
        let arguments = ["registry", "serve", "--listen", "127.0.0.1:0", "--storage", &storage];
        let ended = crate::harness::run(&arguments).await.expect(2);
        assert!(ended.stderr.contains("name an empty or absent directory"), "{}", ended.stderr);
        assert_eq!(ended.stderr.contains(advice), is_ours, "{}", ended.stderr);
    }
}

#[tokio::test]
async fn no_line_of_a_file_of_secrets_is_in_an_error() {
    let directory = TempDir::new().expect("a directory");
    let at = |name: &str| directory.path().join(name).display().to_string();
    write(at("users").as_ref(), &format!("alice:{HASH}\n"));
    write(at("key.pem").as_ref(), "-----BEGIN PRIVATE KEY-----\nSECRETSECRET\n");
    write(at("token").as_ref(), "SECRETSECRET");
    write(at("login.json").as_ref(), r#"{"SECRETSECRET": "SECRETSECRET"}"#);
    let users = at("users");
    for (file, says) in [
        (
            "users",
            "users:1:1: this is an htpasswd file, and belongs to --htpasswd; a file of rights has",
        ),
        ("key.pem", "key.pem:1:1: this is not a file of rights; a file of rights has at least"),
        ("token", "token:1:1: this is not a file of rights"),
        ("login.json", "login.json:1:1: this is not a file of rights"),
    ] {
        let rights = at(file);
        let arguments = ["registry", "serve", "--htpasswd", &users, "--rights", &rights];
        let ended = crate::harness::run(&arguments).await.expect(2);
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
        let is_secret = ended.stderr.contains("SECRET") || ended.stderr.contains(&HASH[..12]);
        assert!(!is_secret, "{}", ended.stderr);
    }
}
