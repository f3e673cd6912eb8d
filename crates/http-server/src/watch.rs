//! The state shared by a connection and its server: the connection records what it is doing, the server what
//! the connection is to do. A request costs a few counters here; the clock is read for it only now and then.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed, Ordering::Release},
    },
    task::{Poll, Waker},
};

use http::Version;
use tokio::sync::Notify;

use crate::Timeouts;

/// What all connections of a server share.
#[derive(Debug, Default)]
pub(crate) struct ServerState {
    /// Milliseconds since the server started, advanced by the server every
    /// [`RESOLUTION`](crate::server::RESOLUTION).
    now: AtomicU64,
    /// A connection that was ordered to end has ended, or goes on with a request. Only the server waits for it.
    pub(crate) settled: Notify,
}

impl ServerState {
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }

    pub(crate) fn set(&self, milliseconds: u64) {
        self.now.store(milliseconds, Relaxed);
    }
}

/// What a connection is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Order {
    /// End at once, unless a request is under way or has arrived; then end after it.
    EndIfIdle = 1,
    /// End after the requests under way. A first request whose head has begun to arrive is one of them; of a
    /// further one the whole head must have arrived, since hyper closes a kept-alive connection at once.
    Drain,
    /// End at once.
    Close,
}

/// What a connection is doing, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No request has arrived yet.
    New { since: u64 },
    /// A request head has begun to arrive.
    Head { since: u64 },
    /// Kept alive without a request.
    Idle { since: u64 },
    /// It is the server's turn.
    Responding,
    /// It is the client's turn to read; the last progress was then.
    Sending { since: u64 },
    /// It is the client's turn to send more of a request's body; the last progress was then.
    Receiving { since: u64 },
}

/// What makes no progress where a connection is stalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StalledBody {
    /// The body of a request: the client sends nothing.
    Request,
    /// The body of a response: the client takes nothing.
    Response,
}

impl Phase {
    /// When the connection has lost its right to go on.
    pub(crate) fn deadline(self, timeouts: &Timeouts) -> Option<u64> {
        let (since, limit) = match self {
            Self::New { since } => (since, timeouts.first_request),
            Self::Head { since } => (since, timeouts.request_head),
            Self::Idle { since } => (since, timeouts.idle),
            Self::Sending { since } => (since, timeouts.stall),
            Self::Responding | Self::Receiving { .. } => return None,
        };
        Some(since.saturating_add(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Since when no request has been under way, if none is: such a connection may be closed.
    pub(crate) const fn without_request(self) -> Option<u64> {
        match self {
            Self::New { since } | Self::Head { since } | Self::Idle { since } => Some(since),
            Self::Responding | Self::Sending { .. } | Self::Receiving { .. } => None,
        }
    }
}

/// The state shared by one connection and the server.
#[derive(Debug)]
pub(crate) struct Watch {
    server: Arc<ServerState>,
    /// Whether no request has arrived yet.
    is_new: AtomicBool,
    /// Requests begun, except those that ended at once. Only the connection's own task writes it.
    begun: AtomicU64,
    /// How many of them ended, their response's body included.
    ended: AtomicU64,
    /// Responses whose body is being sent.
    sending: AtomicU64,
    /// Requests for whose body their handler waits.
    receiving: AtomicU64,
    /// When the last request ended; before that, when the connection was accepted.
    quiet_since: AtomicU64,
    /// When the head that is arriving began, plus one; 0 if none is.
    head_since: AtomicU64,
    /// The last time when the client took something, or a handler got a part of a request's body.
    progress: AtomicU64,
    /// Whether the socket takes no more at present.
    is_blocked: AtomicBool,
    /// Whether frames other than requests may arrive (`PING`, `WINDOW_UPDATE`).
    is_http2: AtomicBool,
    /// The last [`Order`], or 0.
    order: AtomicU8,
    /// When an order to end was carried out although a request was under way, plus one; 0 if none was. The connection
    /// goes on.
    goes_on_since: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Watch {
    pub(crate) fn new(server: &Arc<ServerState>) -> Self {
        Self {
            quiet_since: AtomicU64::new(server.now()),
            progress: AtomicU64::new(server.now()),
            server: Arc::clone(server),
            is_new: AtomicBool::new(true),
            begun: AtomicU64::default(),
            ended: AtomicU64::default(),
            sending: AtomicU64::default(),
            receiving: AtomicU64::default(),
            head_since: AtomicU64::default(),
            is_blocked: AtomicBool::default(),
            is_http2: AtomicBool::default(),
            order: AtomicU8::default(),
            goes_on_since: AtomicU64::default(),
            waker: Mutex::default(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        // In this order: a request that ends meanwhile is taken for one under way, never the other way round.
        let (sending, receiving) = (self.sending.load(Relaxed), self.receiving.load(Relaxed));
        let ended = self.ended.load(Relaxed);
        let under_way = self.begun.load(Relaxed).saturating_sub(ended);
        let progress = self.progress.load(Relaxed);
        if self.is_blocked.load(Relaxed) || (under_way > 0 && under_way == sending) {
            return Phase::Sending { since: progress };
        }
        if receiving > 0 && under_way == sending + receiving {
            return Phase::Receiving { since: progress };
        }
        let since = self.quiet_since.load(Relaxed);
        match (under_way, self.head_since.load(Relaxed)) {
            (0, _) if self.is_new.load(Relaxed) => Phase::New { since },
            (0, 0) => Phase::Idle { since },
            (0, head) => Phase::Head { since: head - 1 },
            _ => Phase::Responding,
        }
    }

    /// Which body waits for the client, and since when. Over HTTP/1 a response that the socket could take waits for the
    /// server.
    pub(crate) fn stalled(&self) -> Option<(StalledBody, u64)> {
        let waits_for_client = || self.is_blocked.load(Relaxed) || self.is_http2.load(Relaxed);
        match self.phase() {
            Phase::Sending { since } if waits_for_client() => Some((StalledBody::Response, since)),
            Phase::Receiving { since } => Some((StalledBody::Request, since)),
            _ => None,
        }
    }

    pub(crate) fn is_without_request(&self) -> bool {
        self.phase().without_request().is_some()
    }

    /// A request's head is complete.
    pub(crate) fn begin(&self, version: Version) {
        // Only this connection's task writes it, so that no addition is lost.
        self.begun.store(self.begun.load(Relaxed) + 1, Relaxed);
        self.head_arrived(version);
    }

    /// A request's head is complete, and so is the response.
    pub(crate) fn begin_and_end(&self, version: Version) {
        self.quiet_since.store(self.server.now(), Relaxed);
        self.head_arrived(version);
    }

    fn head_arrived(&self, version: Version) {
        self.is_new.store(false, Relaxed);
        self.head_since.store(0, Relaxed);
        self.is_http2.store(version == Version::HTTP_2, Relaxed);
    }

    /// A response is complete, or is not wanted any more.
    pub(crate) fn end(&self) {
        self.quiet_since.store(self.server.now(), Relaxed);
        self.ended.fetch_add(1, Relaxed);
    }

    pub(crate) fn begin_sending(&self) {
        self.progress();
        self.sending.fetch_add(1, Relaxed);
    }

    pub(crate) fn end_sending(&self) {
        self.sending.fetch_sub(1, Relaxed);
    }

    pub(crate) fn begin_receiving(&self) {
        self.progress();
        self.receiving.fetch_add(1, Relaxed);
    }

    pub(crate) fn end_receiving(&self) {
        self.receiving.fetch_sub(1, Relaxed);
    }

    /// The client took something, or sent a part of a body.
    pub(crate) fn progress(&self) {
        self.progress.store(self.server.now(), Relaxed);
    }

    /// Bytes arrived. Between requests of HTTP/1 they are the beginning of the next one.
    pub(crate) fn received(&self) {
        let is_between = self.begun.load(Relaxed) == self.ended.load(Relaxed);
        if is_between && self.head_since.load(Relaxed) == 0 && !self.is_http2.load(Relaxed) {
            self.head_since.store(self.server.now() + 1, Relaxed);
        }
    }

    /// The socket took bytes, or takes no more.
    pub(crate) fn wrote<T>(&self, polled: &Poll<T>) {
        let is_blocked = polled.is_pending();
        if self.is_blocked.load(Relaxed) != is_blocked {
            self.progress();
            self.is_blocked.store(is_blocked, Relaxed);
        }
    }

    pub(crate) fn order(&self, order: Order) {
        self.order.fetch_max(order as u8, Release);
        let waker = self.waker().clone();
        waker.iter().for_each(Waker::wake_by_ref);
    }

    pub(crate) fn is_ordered(&self, order: Order) -> bool {
        self.order.load(std::sync::atomic::Ordering::Acquire) >= order as u8
    }

    /// An order to end was carried out, and a request is under way: the connection ends after it.
    pub(crate) fn go_on(&self) {
        self.goes_on_since.store(self.server.now() + 1, Release);
        self.server.settled.notify_one();
    }

    /// Since when the connection has gone on although it was ordered to end.
    pub(crate) fn goes_on_since(&self) -> Option<u64> {
        self.goes_on_since.load(std::sync::atomic::Ordering::Acquire).checked_sub(1)
    }

    pub(crate) fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        first_request: Duration::from_millis(10),
        request_head: Duration::from_millis(20),
        idle: Duration::from_millis(1_000),
        stall: Duration::from_millis(500),
        eviction_stall: Duration::from_millis(50),
        drain: Duration::ZERO,
        check_interval: Duration::ZERO,
    };

    #[test]
    fn a_begun_head_has_the_short_limit_as_a_whole() {
        let clock = Arc::<ServerState>::default();
        let watch = Watch::new(&clock);
        assert_eq!(watch.phase().deadline(&TIMEOUTS), Some(10));
        watch.received();
        assert_eq!(watch.phase(), Phase::New { since: 0 }, "the first head does not prolong");
        watch.begin(Version::HTTP_11);
        assert_eq!(watch.phase(), Phase::Responding);
        clock.set(100);
        watch.end();
        assert_eq!(watch.phase().deadline(&TIMEOUTS), Some(1_100));
        clock.set(200);
        watch.received();
        clock.set(210);
        watch.received();
        assert_eq!(watch.phase(), Phase::Head { since: 200 }, "the next byte does not prolong");
        assert_eq!(watch.phase().deadline(&TIMEOUTS), Some(220));
        watch.begin(Version::HTTP_11);
        watch.end();
        assert_eq!(watch.phase(), Phase::Idle { since: 210 });
    }

    #[test]
    fn a_request_that_ends_at_once_leaves_the_connection_idle() {
        let clock = Arc::<ServerState>::default();
        let watch = Watch::new(&clock);
        clock.set(50);
        watch.received();
        watch.begin_and_end(Version::HTTP_11);
        assert_eq!(watch.phase(), Phase::Idle { since: 50 });
        clock.set(60);
        watch.received();
        assert_eq!(watch.phase(), Phase::Head { since: 60 });
        watch.begin_and_end(Version::HTTP_11);
        assert_eq!(watch.phase(), Phase::Idle { since: 60 });
    }

    #[test]
    fn a_ping_of_http2_begins_no_request() {
        let clock = Arc::<ServerState>::default();
        let watch = Watch::new(&clock);
        watch.begin(Version::HTTP_2);
        watch.end();
        clock.set(50);
        watch.received();
        assert_eq!(watch.phase(), Phase::Idle { since: 0 });
    }

    #[test]
    fn a_client_that_does_not_read_is_waited_for_from_its_last_progress() {
        let clock = Arc::<ServerState>::default();
        let watch = Watch::new(&clock);
        watch.begin(Version::HTTP_11);
        clock.set(10);
        watch.begin_sending();
        assert_eq!(watch.phase(), Phase::Sending { since: 10 });
        assert_eq!(watch.stalled(), None, "the server has not sent all that the socket would take");
        clock.set(20);
        watch.wrote(&Poll::<()>::Pending);
        assert_eq!(watch.stalled(), Some((StalledBody::Response, 20)));
        watch.end_sending();
        watch.end();
        assert_eq!(watch.phase(), Phase::Sending { since: 20 }, "the tail is still in our buffer");
        clock.set(30);
        watch.wrote(&Poll::Ready(()));
        assert_eq!(watch.phase(), Phase::Idle { since: 20 });
    }

    #[test]
    fn a_handler_that_waits_for_a_body_waits_for_the_client() {
        let clock = Arc::<ServerState>::default();
        let watch = Watch::new(&clock);
        watch.begin(Version::HTTP_11);
        assert_eq!(watch.stalled(), None);
        clock.set(10);
        watch.begin_receiving();
        assert_eq!(watch.stalled(), Some((StalledBody::Request, 10)));
        watch.end_receiving();
        assert_eq!(watch.phase(), Phase::Responding, "it does something with the bytes");
        watch.begin_receiving();
        watch.begin(Version::HTTP_2);
        assert_eq!(watch.stalled(), None, "the other request waits for the server");
    }
}
