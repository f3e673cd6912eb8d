//! What the log says of accepts that fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http_server::{ConnectionMetrics, Server, handler, listen};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{Event, Level, Metadata, Subscriber, span};

use crate::harness::settings;

/// Counts warnings.
#[derive(Clone, Default)]
struct WarningCounter(Arc<AtomicUsize>);

impl Subscriber for WarningCounter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target().starts_with("http_server")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The server is busy with something else: nothing accepts them. With a queue of 128 the rest would time out.
#[tokio::test]
async fn a_burst_of_connects_waits_in_the_queue() {
    const BURST: usize = 1_000;
    let somaxconn = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
    let somaxconn = somaxconn.and_then(|text| text.trim().parse().ok());
    let burst = somaxconn.unwrap_or(BURST).min(BURST);
    let listener = listen("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let address = listener.local_addr().expect("an address");
    let mut clients = JoinSet::new();
    for _ in 0..burst {
        clients.spawn(TcpStream::connect(address));
    }
    let connected = timeout(Duration::from_secs(30), clients.join_all()).await;
    let connected = connected.expect("all are queued");
    assert!(connected.iter().all(Result::is_ok), "{connected:?}");
}

#[tokio::test(start_paused = true)]
async fn accepts_that_fail_are_logged_once_a_minute() {
    let warnings = WarningCounter::default();
    let _logging = tracing::subscriber::set_default(warnings.clone());
    let listener = listen("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    // From here on every accept fails, and not for want of descriptors.
    socket2::SockRef::from(&listener).shutdown(std::net::Shutdown::Both).expect("it listens");
    let metrics = ConnectionMetrics::default();
    let server = Server { listener, tls: None, settings: settings(10), metrics: metrics.clone() };
    let service =
        handler(|_| async { http::Response::new(http_body_util::Empty::<bytes::Bytes>::new()) });
    let serving = tokio::spawn(server.run(move |_| service.clone(), std::future::pending()));
    sleep(Duration::from_secs(30)).await;
    assert!(metrics.accept_errors.get() > 100, "{}", metrics.accept_errors.get());
    assert_eq!(warnings.0.load(Ordering::Relaxed), 1);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(warnings.0.load(Ordering::Relaxed), 2);
    serving.abort();
}
