//! A TCP link between a client and a server, which counts what passes and can be cut.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use oci::Host;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::JoinHandle,
};

/// How much passes at a time: little, so that a cut loses little that was counted.
const PIECE: usize = 16 << 10;

/// How much the link itself holds each way, in bytes: what a cut takes with it is to be that of the two
/// ends.
const HELD: usize = 64 << 10;

/// A link to a server. It ends, with all its connections, when it is dropped.
#[derive(Debug)]
pub struct TestLink {
    address: SocketAddr,
    state: Arc<LinkState>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct LinkState {
    passed: AtomicU64,
    /// Bytes a second; zero is as many as there are.
    pace: AtomicU64,
    cuts: Mutex<Cuts>,
    /// Changes at each cut.
    cut: watch::Sender<usize>,
}

#[derive(Debug)]
struct Cuts {
    every: u64,
    next: u64,
    left: usize,
}

impl TestLink {
    /// A link to `server`, an address and port.
    pub async fn to(server: &Host) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let cuts = Mutex::new(Cuts { every: 0, next: 0, left: 0 });
        let (passed, pace) = (AtomicU64::new(0), AtomicU64::new(0));
        let state = LinkState { passed, pace, cuts, cut: watch::channel(0).0 };
        let state = Arc::new(state);
        let (server, shared) = (server.to_string(), Arc::clone(&state));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let server = TcpStream::connect(&server).await.expect("the server listens");
                for stream in [&client, &server] {
                    let holds = SockRef::from(stream).set_send_buffer_size(HELD);
                    holds.expect("a buffer of another size");
                }
                tokio::spawn(state.join(client, server));
            }
        });
        Self { address, state, task }
    }

    /// Where it listens.
    #[must_use]
    pub fn host(&self) -> Host {
        self.address.to_string().parse().expect("an address is a host")
    }

    /// Resets all connections each time that so many bytes more have passed, `times` times.
    pub fn cut_every(&self, bytes: u64, times: usize) {
        let next = self.passed() + bytes;
        *self.state.cuts() = Cuts { every: bytes, next, left: times };
    }

    /// Lets no more than so many bytes a second through, on each connection and each way.
    pub fn slow_down(&self, bytes_a_second: u64) {
        self.state.pace.store(bytes_a_second, Ordering::Relaxed);
    }

    /// How many bytes have passed, both ways, heads and bodies.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.state.passed.load(Ordering::Relaxed)
    }

    /// How often it was cut.
    #[must_use]
    pub fn cuts(&self) -> usize {
        *self.state.cut.borrow()
    }
}

impl Drop for TestLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LinkState {
    fn cuts(&self) -> std::sync::MutexGuard<'_, Cuts> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn join(self: Arc<Self>, client: TcpStream, server: TcpStream) {
        let mut cut = self.cut.subscribe();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let up = tokio::spawn(Arc::clone(&self).pass(from_client, to_server));
        let down = tokio::spawn(Arc::clone(&self).pass(from_server, to_client));
        let (stop_up, stop_down) = (up.abort_handle(), down.abort_handle());
        tokio::select! {
            _ = cut.changed() => {
                stop_up.abort();
                stop_down.abort();
            }
            _ = async { (up.await, down.await) } => {}
        }
    }

    /// Passes on what comes until it ends. Dropped in the middle, it resets the connection.
    async fn pass(self: Arc<Self>, mut from: OwnedReadHalf, to: OwnedWriteHalf) {
        let mut to = Passing { to, has_ended: false };
        let mut piece = vec![0; PIECE];
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            self.count(length as u64);
            let pace = self.pace.load(Ordering::Relaxed);
            if pace > 0 {
                tokio::time::sleep(Duration::from_secs_f64(length as f64 / pace as f64)).await;
            }
            if to.to.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
        to.has_ended = to.to.shutdown().await.is_ok();
    }

    fn count(&self, bytes: u64) {
        let passed = self.passed.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let mut cuts = self.cuts();
        if cuts.left > 0 && passed >= cuts.next {
            cuts.left -= 1;
            cuts.next = passed + cuts.every;
            drop(cuts);
            self.cut.send_modify(|cut| *cut += 1);
        }
    }
}

/// A connection that is reset when it is dropped before its end.
struct Passing {
    to: OwnedWriteHalf,
    has_ended: bool,
}

impl Drop for Passing {
    fn drop(&mut self) {
        if !self.has_ended {
            // The other half is dropped as well: the last of them resets.
            let _ = self.to.as_ref().set_zero_linger();
        }
    }
}
