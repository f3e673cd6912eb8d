//! One connection to the server: which protocol it speaks, whether it is idle, and how it is told to
//! end. The server's side is [`Connections`], which knows every open connection and nothing else.
//!
//! hyper's and hyper-util's own means (a timeout for headers, a graceful wrapper) cost a timer or a
//! lock for every request; here a request costs one counter, and the rest is done now and then.

use std::{
    collections::HashMap,
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{io::ReadBuf, net::TcpStream, sync::OwnedSemaphorePermit, time::Instant};

use crate::response::Answer;

/// A pull's request is below 2 KiB; this leaves room for what proxies add. It is also what each of 65,536
/// connections can make the front hold: 1 GiB together.
const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// The same for HTTP/2.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// As many layers of an image at once.
const MAX_STREAMS: u32 = 200;
/// A connection that has asked for nothing by then is given up.
const FIRST_REQUEST_TIME: Duration = Duration::from_secs(30);
/// Google's balancers keep idle connections for 600 s: they must close first, or a request meets a
/// closing connection.
const IDLE_TIME: Duration = Duration::from_secs(620);

/// What a connection asks.
pub(crate) trait Respond:
    Service<Request<Incoming>, Response = Answer, Error = Infallible, Future: Send>
    + Send
    + Unpin
    + 'static
{
}

impl<S> Respond for S where
    S: Service<Request<Incoming>, Response = Answer, Error = Infallible, Future: Send>
        + Send
        + Unpin
        + 'static
{
}

/// All open connections of a server.
#[derive(Default)]
pub(crate) struct Connections {
    open: Mutex<HashMap<u64, Known>>,
    count: AtomicU64,
}

/// What the server knows of a connection.
struct Known {
    watch: Arc<Watch>,
    requests: u64,
    since: Instant,
}

/// What a connection and the server tell each other.
#[derive(Default)]
struct Watch {
    /// Requests begun.
    requests: AtomicU64,
    /// The last [`Order`], or 0.
    order: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

/// What a connection is to do.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Order {
    /// End after the requests under way.
    Drain = 1,
    /// End now.
    Close,
}

impl Connections {
    /// Serves a connection until its end.
    pub(crate) fn serve(
        self: &Arc<Self>,
        stream: TcpStream,
        service: impl Respond,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = ()> + Send + 'static {
        let watch = Arc::<Watch>::default();
        let id = self.count.fetch_add(1, Ordering::Relaxed);
        let known = Known { watch: Arc::clone(&watch), requests: 0, since: Instant::now() };
        self.open().insert(id, known);
        let service = Counted { service, watch: Arc::clone(&watch) };
        let protocol = Protocol::Unknown(Some((stream, service)));
        let connection = Connection { protocol, watch, waker: None, is_draining: false };
        let all = Arc::clone(self);
        async move {
            connection.await;
            all.open().remove(&id);
            drop(permit);
        }
    }

    /// Ends connections that have been idle for too long. To be called now and then.
    pub(crate) fn close_idle(&self, now: Instant) {
        for known in self.open().values_mut() {
            let requests = known.watch.requests.load(Ordering::Relaxed);
            if requests != known.requests {
                (known.requests, known.since) = (requests, now);
            }
            let limit = if requests == 0 { FIRST_REQUEST_TIME } else { IDLE_TIME };
            if now.duration_since(known.since) >= limit {
                known.watch.order(Order::Close);
            }
        }
    }

    /// Gives every connection an order.
    pub(crate) fn order(&self, order: Order) {
        self.open().values().for_each(|known| known.watch.order(order));
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Known>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    fn order(&self, order: Order) {
        self.order.store(order as u8, Ordering::Release);
        let waker = self.waker().clone();
        waker.iter().for_each(Waker::wake_by_ref);
    }

    fn is_ordered(&self, order: Order) -> bool {
        self.order.load(Ordering::Acquire) >= order as u8
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A service that counts its requests.
struct Counted<S> {
    service: S,
    watch: Arc<Watch>,
}

impl<S: Respond> Service<Request<Incoming>> for Counted<S> {
    type Response = Answer;
    type Error = Infallible;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> S::Future {
        // Only this connection writes it, so no addition can be lost.
        let begun = self.watch.requests.load(Ordering::Relaxed);
        self.watch.requests.store(begun + 1, Ordering::Relaxed);
        self.service.call(request)
    }
}

/// A connection, until its end.
struct Connection<S: Respond> {
    protocol: Protocol<S>,
    watch: Arc<Watch>,
    /// The waker that the watch has.
    waker: Option<Waker>,
    is_draining: bool,
}

type Stream = TokioIo<TcpStream>;

enum Protocol<S: Respond> {
    /// Nothing has come yet. Taken only to become another.
    Unknown(Option<(TcpStream, Counted<S>)>),
    Http1(Pin<Box<http1::Connection<Stream, Counted<S>>>>),
    /// It begins with the letter that HTTP/2 begins with.
    Any(Pin<Box<auto::Connection<'static, Stream, Counted<S>, TokioExecutor>>>),
}

impl<S: Respond> Future for Connection<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // First the waker and then the order, so that no order goes unseen.
        if !this.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            this.waker = Some(context.waker().clone());
            this.watch.waker().clone_from(&this.waker);
        }
        if this.watch.is_ordered(Order::Close) {
            return Poll::Ready(());
        }
        if !this.is_draining && this.watch.is_ordered(Order::Drain) {
            this.is_draining = true;
            // A request that has come already is answered; otherwise nothing is under way.
            if let Protocol::Unknown(unknown) = &mut this.protocol {
                match Protocol::poll_known(unknown, context) {
                    Poll::Ready(Some(protocol)) => this.protocol = protocol,
                    Poll::Ready(None) | Poll::Pending => return Poll::Ready(()),
                }
            }
            match &mut this.protocol {
                Protocol::Unknown(_) => return Poll::Ready(()),
                Protocol::Http1(connection) => connection.as_mut().graceful_shutdown(),
                Protocol::Any(connection) => connection.as_mut().graceful_shutdown(),
            }
        }
        if let Protocol::Unknown(unknown) = &mut this.protocol {
            match ready!(Protocol::poll_known(unknown, context)) {
                Some(protocol) => this.protocol = protocol,
                None => return Poll::Ready(()),
            }
        }
        // How a connection ends is the client's affair.
        match &mut this.protocol {
            Protocol::Http1(connection) => connection.as_mut().poll(context).map(drop),
            Protocol::Any(connection) => connection.as_mut().poll(context).map(drop),
            Protocol::Unknown(_) => Poll::Ready(()),
        }
    }
}

impl<S: Respond> Protocol<S> {
    /// Looks at the first byte: `P`, as in `PRI * HTTP/2.0`, or not.
    fn poll_known(
        unknown: &mut Option<(TcpStream, Counted<S>)>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Self>> {
        let Some((stream, _)) = unknown else { return Poll::Ready(None) };
        let mut first = [0];
        let mut first = ReadBuf::new(&mut first);
        let peeked = ready!(stream.poll_peek(context, &mut first));
        let first = first.filled().first().copied();
        let taken = peeked.ok().and_then(|_| unknown.take());
        Poll::Ready(taken.map(|(stream, service)| match first {
            Some(b'P') => Self::any(stream, service),
            _ => Self::http1(stream, service),
        }))
    }

    fn http1(stream: TcpStream, service: Counted<S>) -> Self {
        let mut builder = http1::Builder::new();
        // One buffer a response: there is hardly ever a body to send beside the head.
        builder.max_buf_size(MAX_REQUEST_BYTES).writev(false);
        Self::Http1(Box::pin(builder.serve_connection(TokioIo::new(stream), service)))
    }

    fn any(stream: TcpStream, service: Counted<S>) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().max_buf_size(MAX_REQUEST_BYTES);
        builder
            .http2()
            .max_header_list_size(MAX_HEADER_LIST_BYTES)
            .max_concurrent_streams(MAX_STREAMS);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        Self::Any(Box::pin(connection.into_owned()))
    }
}
