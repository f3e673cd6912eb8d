//! One connection to the server: which protocol it speaks, and how it ends.
//!
//! hyper's and hyper-util's own means (a timeout for headers, a graceful wrapper) cost a timer or a
//! lock for every request; here a request costs some counters ([`Watch`]), and the rest is done now and then.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{io::ReadBuf, net::TcpStream};
use tokio_rustls::{Accept, TlsAcceptor};

use crate::{
    Bodies, Malformed, Respond,
    service::Watched,
    settings::{MAX_BUFFERED_BYTES, MAX_STREAMS},
    transport::Transport,
    watch::{Order, Watch},
};

/// A pull's request is below 2 KiB; the rest is for headers that proxies add. It is also what each of 65,536
/// connections can make a server hold: 1 GiB together.
const MAX_SMALL_REQUEST_BYTES: usize = 16 * 1024;
/// The same for HTTP/2.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;

/// A connection, until its end.
pub(crate) struct Connection<S: Respond> {
    protocol: Protocol<S>,
    watch: Arc<Watch>,
    bodies: Bodies,
    /// The waker that the watch has.
    waker: Option<Waker>,
    /// The last order carried out.
    carried_out: Option<Order>,
}

type Http1<S> = http1::Connection<TokioIo<Transport>, Watched<S>>;
type HttpAny<S> = auto::Connection<'static, TokioIo<Transport>, Watched<S>, TokioExecutor>;

enum Protocol<S: Respond> {
    /// Nothing has come yet. Taken only to become another.
    UnknownClient(Option<(TcpStream, Watched<S>, Option<TlsAcceptor>)>),
    /// Before TLS.
    Handshake(Option<Watched<S>>, Box<Accept<TcpStream>>),
    Http1(Pin<Box<Http1<S>>>),
    /// It may be HTTP/2.
    Any(Pin<Box<HttpAny<S>>>),
}

impl<S: Respond> Connection<S> {
    pub(crate) fn new(
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        service: S,
        watch: &Arc<Watch>,
        bodies: Bodies,
    ) -> Self {
        let service = Watched { service, watch: Arc::clone(watch), refusal: None };
        let protocol = Protocol::UnknownClient(Some((stream, service, tls)));
        let watch = Arc::clone(watch);
        Self { protocol, watch, bodies, waker: None, carried_out: None }
    }

    /// The connection's next step; ready at its end. Errors after the handshake are dropped: a client that
    /// breaks off is normal.
    fn step(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Again after each: a TLS handshake follows the first byte.
        while let Poll::Ready(protocol) = self.poll_protocol(context)? {
            match protocol {
                Some(protocol) => self.protocol = protocol,
                None => return Poll::Ready(Ok(())),
            }
        }
        match &mut self.protocol {
            Protocol::Http1(connection) => connection.as_mut().poll(context).map(|_| Ok(())),
            Protocol::Any(connection) => connection.as_mut().poll(context).map(|_| Ok(())),
            Protocol::UnknownClient(_) | Protocol::Handshake(..) => Poll::Pending,
        }
    }

    /// The protocol, once it is detected; none if the connection ended before. The error is that of a TLS handshake.
    fn poll_protocol(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Protocol<S>>>> {
        match &mut self.protocol {
            Protocol::UnknownClient(unknown) => {
                let Some((stream, ..)) = unknown else { return Poll::Ready(Ok(None)) };
                let mut first = [0];
                let mut first = ReadBuf::new(&mut first);
                let peeked = ready!(stream.poll_peek(context, &mut first));
                let first = first.filled().first().copied();
                let taken = peeked.ok().and_then(|_| unknown.take());
                Poll::Ready(Ok(taken.map(|taken| self.protocol(taken, first))))
            }
            Protocol::Handshake(service, accept) => {
                let stream = ready!(Pin::new(accept).poll(context))?;
                let service = service.take();
                Poll::Ready(Ok(service.map(|service| {
                    self.any(Transport::tls(stream, Arc::clone(&self.watch)), service)
                })))
            }
            Protocol::Http1(_) | Protocol::Any(_) => Poll::Pending,
        }
    }

    /// The protocol of a client whose first byte is this one.
    fn protocol(
        &self,
        (stream, mut service, tls): (TcpStream, Watched<S>, Option<TlsAcceptor>),
        first: Option<u8>,
    ) -> Protocol<S> {
        // A method is in upper case, and a TLS record begins with a control character.
        let is_http = first.is_some_and(|first| first.is_ascii_uppercase());
        let speaks_tls = tls.is_some();
        match tls {
            Some(tls) if !is_http => {
                return Protocol::Handshake(Some(service), Box::new(tls.accept(stream)));
            }
            Some(_) => service.refusal = Some(Malformed::NotTls),
            None => {}
        }
        let transport = Transport::clear(stream, Arc::clone(&self.watch));
        // `P`, as in `PRI * HTTP/2.0`, or not. HTTP/2 in clear text at a TLS port is closed.
        match first {
            Some(b'P') if !speaks_tls => self.any(transport, service),
            _ => self.http1(transport, service),
        }
    }

    /// How much hyper holds of a request's head, and of a response that the socket does not take.
    const fn max_buffer(&self) -> usize {
        match self.bodies {
            Bodies::Small => MAX_SMALL_REQUEST_BYTES,
            Bodies::Streamed => MAX_BUFFERED_BYTES,
        }
    }

    fn http1(&self, transport: Transport, service: Watched<S>) -> Protocol<S> {
        let mut builder = http1::Builder::new();
        // A client that sends no more requests may still read the response.
        builder.half_close(true).max_buf_size(self.max_buffer());
        if self.bodies == Bodies::Small {
            // One buffer a response: there is hardly ever a body to send beside the head.
            builder.writev(false);
        }
        Protocol::Http1(Box::pin(builder.serve_connection(TokioIo::new(transport), service)))
    }

    fn any(&self, transport: Transport, service: Watched<S>) -> Protocol<S> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().half_close(true).max_buf_size(self.max_buffer());
        builder
            .http2()
            .max_send_buf_size(self.max_buffer())
            .max_header_list_size(MAX_HEADER_LIST_BYTES)
            .max_concurrent_streams(MAX_STREAMS);
        let connection = builder.serve_connection(TokioIo::new(transport), service);
        Protocol::Any(Box::pin(connection.into_owned()))
    }

    /// The order that has not been carried out yet.
    fn next_order(&self) -> Option<Order> {
        let orders = [Order::Close, Order::Drain, Order::EndIfIdle];
        let last = orders.into_iter().find(|order| self.watch.is_ordered(*order))?;
        (self.carried_out != Some(last)).then_some(last)
    }

    fn carry_out(&mut self, order: Order, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.carried_out = Some(order);
        if order == Order::Close {
            return Poll::Ready(Ok(()));
        }
        // First, what has come already: it is responded to.
        if let Poll::Ready(ended) = self.step(context) {
            return Poll::Ready(ended);
        }
        let is_before_http =
            matches!(self.protocol, Protocol::UnknownClient(_) | Protocol::Handshake(..));
        if is_before_http || (order == Order::EndIfIdle && self.watch.is_without_request()) {
            return Poll::Ready(Ok(()));
        }
        match &mut self.protocol {
            Protocol::Http1(connection) => connection.as_mut().graceful_shutdown(),
            Protocol::Any(connection) => connection.as_mut().graceful_shutdown(),
            Protocol::UnknownClient(_) | Protocol::Handshake(..) => {}
        }
        if order == Order::EndIfIdle {
            self.watch.go_on();
        }
        Poll::Pending
    }
}

/// The service within is never pinned.
impl<S: Respond> Unpin for Connection<S> {}

impl<S: Respond> Future for Connection<S> {
    /// An error of the TLS handshake.
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // First the waker and then the order, so that no order goes unseen.
        if !this.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            this.waker = Some(context.waker().clone());
            this.watch.waker().clone_from(&this.waker);
        }
        if let Some(order) = this.next_order()
            && let Poll::Ready(ended) = this.carry_out(order, context)
        {
            return Poll::Ready(ended);
        }
        this.step(context)
    }
}
