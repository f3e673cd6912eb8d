//! The limit of a TLS handshake, which begins when the TCP connection is made: a port that accepts connections and
//! stays silent would otherwise take the whole time of a request, at each try.
//!
//! The TLS connector makes the TCP connection itself, so the connector below it says when that is done.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use tokio::{sync::Notify, time::timeout};
use tower_service::Service;

use crate::causes::BoxError;

tokio::task_local! {
    /// Is notified when the TCP connection is made for which this task waits.
    static CONNECTED: Arc<Notify>;
}

/// A handshake that took too long.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "TLS handshake timed out: the port accepted the connection, but did not complete the handshake within {0:?}; check that it speaks TLS"
)]
struct TimedOut(Duration);

type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// A TCP connector that says when it has connected.
#[derive(Clone)]
pub(crate) struct NotifyingTcp<C>(pub(crate) C);

impl<C> Service<Uri> for NotifyingTcp<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = C::Error;
    type Future = Connecting<C::Response, C::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            let stream = connecting.await?;
            // Outside of a bounded handshake there is no such value, and no limit.
            let _ = CONNECTED.try_with(|connected| connected.notify_one());
            Ok(stream)
        })
    }
}

/// A TLS connector whose handshakes have a limit. It must connect by [`NotifyingTcp`].
#[derive(Clone)]
pub(crate) struct BoundedHandshake<C> {
    connector: C,
    limit: Duration,
}

impl<C> BoundedHandshake<C> {
    pub(crate) const fn new(connector: C, limit: Duration) -> Self {
        Self { connector, limit }
    }
}

impl<C> Service<Uri> for BoundedHandshake<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Response: 'static,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Connecting<C::Response, BoxError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connected, limit) = (Arc::new(Notify::new()), self.limit);
        let connecting = CONNECTED.scope(Arc::clone(&connected), self.connector.call(uri));
        Box::pin(async move {
            let mut connecting = pin!(connecting);
            tokio::select! {
                biased;
                done = &mut connecting => return done,
                () = connected.notified() => {}
            }
            timeout(limit, connecting).await.unwrap_or_else(|_| Err(TimedOut(limit).into()))
        })
    }
}
