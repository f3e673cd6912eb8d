//! A server on a free port of 127.0.0.1 that records each request and applies faults to it. HTTP/1.1
//! only, so that a connection carries one request at a time and cutting it is seen by that one.

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use axum::body::Body;
use http::{Request, Response};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use oci::Host;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::{RecordedRequest, cut::Cut, fault::Fault};

/// A server whose response is a function of the request. Ends when dropped, connections included.
pub struct TestServer {
    address: SocketAddr,
    shared: Arc<TestServerState>,
    accepting: JoinHandle<()>,
}

struct TestServerState {
    handler: Box<RequestHandler>,
    requests: Mutex<Vec<RecordedRequest>>,
    faults: Mutex<Vec<Fault>>,
}

type RequestHandler = dyn Fn(Request<Body>) -> HandlerFuture + Send + Sync;
type HandlerFuture = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

impl TestServer {
    /// Starts a server with this `handler`.
    pub async fn start<F>(handler: impl Fn(Request<Body>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(TestServerState {
            handler: Box::new(move |request| Box::pin(handler(request))),
            requests: Mutex::default(),
            faults: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as a registry host.
    #[must_use]
    pub fn host(&self) -> Host {
        self.address.to_string().parse().expect("an address is a host")
    }

    /// Where it listens, as `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, in the order in which they came in, failed ones included.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of requests so far that match.
    pub fn count(&self, is_counted: impl Fn(&RecordedRequest) -> bool) -> usize {
        self.requests().iter().filter(|request| is_counted(request)).count()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Applies a fault to the requests that it is for, from now on. Where several would, the one
    /// given first does.
    pub fn fail(&self, fault: Fault) {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// Takes back all faults.
    pub fn clear_faults(&self) {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for TestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestServer({})", self.address)
    }
}

/// Takes connections until it is aborted; then its connections are, with the set that holds them.
async fn accept(listener: TcpListener, shared: Arc<TestServerState>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(serve_connection(stream, Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(stream: TcpStream, shared: Arc<TestServerState>) {
    // A reset throws away what the system still keeps back, so it shall keep nothing back. Where a
    // socket takes no option, the client is gone.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: Request<_>| {
        let shared = Arc::clone(&shared);
        async move { shared.respond(request.map(Body::new)).await }
    });
    let http = hyper::server::conn::http1::Builder::new();
    let mut connection = http.serve_connection(TokioIo::new(stream), service);
    // An error here is the client's going away, or a connection that a fault has cut.
    if let Err(error) = (&mut connection).await
        && Cut::is_reset(&error)
    {
        // Without time to linger, the system resets what is closed.
        let _ = connection.into_parts().io.inner().set_zero_linger();
    }
}

impl TestServerState {
    async fn respond(&self, request: Request<Body>) -> Result<Response<Body>, Cut> {
        let record = RecordedRequest::of(&request);
        let action = {
            let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            faults.iter_mut().find_map(|fault| fault.action_for(&record))
        };
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
        let request = record.count_body(request);
        let response = match action {
            Some(action) => action.run(request, &self.handler).await?,
            None => (self.handler)(request).await,
        };
        Ok(record.count_sent(response))
    }
}
