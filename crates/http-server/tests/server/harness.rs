//! A server whose responses the test decides, and clients from several addresses.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use http_server::{
    Bodies, ClientConnection, ConnectionMetrics, Server, ServerSettings, Timeouts, Tls,
    TrustedPeers, handler, listen,
};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::{Semaphore, oneshot},
    task::JoinHandle,
};

/// Two clients; all of 127/8 is this machine.
pub(crate) const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
pub(crate) const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Longer than anything takes that is going to happen.
const PATIENCE: Duration = Duration::from_secs(2_000);

/// How much `/large` has: more than the system buffers between the two; and the pieces in which it is sent.
pub(crate) const LARGE: usize = 32 << 20;
const PIECE: usize = 64 << 10;

/// The system doubles it.
const RECEIVE_BUFFER: u32 = 32 << 10;

pub(crate) const TIMEOUTS: Timeouts = Timeouts {
    first_request: Duration::from_secs(30),
    request_head: Duration::from_secs(20),
    idle: Duration::from_secs(600),
    stall: Duration::from_secs(120),
    eviction_stall: Duration::from_secs(10),
    drain: Duration::from_secs(8),
    check_interval: Duration::from_secs(1),
};

pub(crate) fn settings(max_connections: usize) -> ServerSettings {
    let settings = ServerSettings::new("test", max_connections, Bodies::Streamed, TIMEOUTS.drain);
    // Most tests have one address only.
    ServerSettings { max_connections_per_address: max_connections, timeouts: TIMEOUTS, ..settings }
}

/// A running server: `/wait` is responded to once the test allows it, `/large` is large, `/peer` is the
/// client's address, `/upload` is responded to once all of the request has come.
pub(crate) struct ServerUnderTest {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: ConnectionMetrics,
    /// A permit lets one request to `/wait` go on.
    pub(crate) waiting: Arc<Semaphore>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

pub(crate) async fn start(settings: ServerSettings) -> ServerUnderTest {
    start_at("127.0.0.1:0", settings, None).await
}

pub(crate) async fn start_at(
    address: &str,
    settings: ServerSettings,
    tls: Option<Tls>,
) -> ServerUnderTest {
    let listener = listen(address.parse().expect(address)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let waiting = Arc::new(Semaphore::new(0));
    let metrics = ConnectionMetrics::default();
    let server = Server { listener, tls, settings, metrics: metrics.clone() };
    let allowed = Arc::clone(&waiting);
    let service = move |connection: &ClientConnection| {
        let (allowed, connection) = (Arc::clone(&allowed), connection.clone());
        handler(move |request| {
            let (allowed, connection) = (Arc::clone(&allowed), connection.clone());
            async move { respond(request, &connection, &allowed).await }
        })
    };
    let serving = tokio::spawn(async move {
        server.run(service, async { drop(stopped.await) }).await;
    });
    ServerUnderTest { address, metrics, waiting, stop: Some(stop), serving }
}

async fn respond(
    mut request: Request<Incoming>,
    connection: &ClientConnection,
    allowed: &Semaphore,
) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let text = match request.uri().path() {
        "/wait" => {
            allowed.acquire().await.expect("it is never closed").forget();
            "waited".into()
        }
        "/large" => {
            let pieces = std::iter::repeat_n(Bytes::from_static(&[0; PIECE]), LARGE / PIECE);
            let frames = pieces.map(|piece| Ok(Frame::data(piece)));
            return Response::new(StreamBody::new(stream::iter(frames)).boxed_unsync());
        }
        "/peer" => connection.peer.ip().to_string().into_bytes(),
        "/upload" => {
            loop {
                let waiting = connection.receiving();
                let Some(Ok(_)) = request.body_mut().frame().await else { break };
                drop(waiting);
            }
            "uploaded".into()
        }
        _ => "here".into(),
    };
    Response::new(Full::from(text).boxed_unsync())
}

impl ServerUnderTest {
    /// A connection from `client`.
    pub(crate) async fn connect(&self, client: IpAddr) -> TestClient {
        let socket = TcpSocket::new_v4().expect("a socket");
        // So that the system buffers little between the two.
        socket.set_recv_buffer_size(RECEIVE_BUFFER).expect("it is settable");
        socket.bind(SocketAddr::new(client, 0)).expect("an address of this machine");
        let to = SocketAddr::new(ONE, self.address.port());
        TestClient(within(socket.connect(to)).await.expect("it listens"))
    }

    /// A connection with a response under way of which the client takes no more than the system buffers.
    pub(crate) async fn unread(&self, client: IpAddr) -> TestClient {
        let mut connection = self.connect(client).await;
        connection.send(&get("/large")).await;
        within(connection.0.readable()).await.expect("the response begins");
        connection
    }

    /// A connection that has been responded to, and is idle now.
    pub(crate) async fn idle(&self, client: IpAddr) -> TestClient {
        let mut connection = self.connect(client).await;
        assert!(connection.ask("/").await.ends_with("here"));
        connection
    }

    /// A connection with a request under way.
    pub(crate) async fn busy(&self, client: IpAddr) -> TestClient {
        let mut connection = self.connect(client).await;
        connection.send(&get("/wait")).await;
        connection
    }

    /// Waits until so many connections are open.
    pub(crate) async fn has_open(&self, count: i64) {
        within(async {
            while self.metrics.open.get() != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) async fn ended(&mut self) {
        within(&mut self.serving).await.expect("no panic");
    }
}

impl Drop for ServerUnderTest {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")
}

pub(crate) struct TestClient(pub(crate) TcpStream);

impl TestClient {
    pub(crate) async fn send(&mut self, text: &str) {
        within(self.0.write_all(text.as_bytes())).await.expect("it is sent");
    }

    /// A response with a short body.
    pub(crate) async fn response(&mut self) -> String {
        let mut read = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&read).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if length.is_some_and(|length| length == body.len().to_string()) {
                    return text;
                }
            }
            let count = within(self.0.read_buf(&mut read)).await.expect("it can be read");
            assert!(count > 0, "closed after {text:?}");
        }
    }

    pub(crate) async fn ask(&mut self, path: &str) -> String {
        self.send(&get(path)).await;
        self.response().await
    }

    /// What comes until the connection is closed.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A connection that is reset has been closed too.
        let _ = within(self.0.read_to_end(&mut rest)).await;
        String::from_utf8_lossy(&rest).into_owned()
    }
}

pub(crate) fn trusted(networks: &[&str]) -> TrustedPeers {
    let parse = |network: &&str| http_server::parse_network(network).expect(network);
    TrustedPeers::new(networks.iter().map(parse).collect(), http_server::DefaultTrust::None)
}

/// The value of `future`, which a broken server would never give. The clock may be one that jumps.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it should have happened by now")
}
