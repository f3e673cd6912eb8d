//! A connection as the product sees it that responds to its requests: who the client is, when a handler waits for it, and
//! how a request gets a bound that stalled connections use up.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{
    StalledBody,
    connections::{Connections, Eviction},
    watch::Watch,
};

/// How often, and at what interval, a request looks whether the connections that were closed for it have returned what
/// they held: for one second. Most have within a millisecond; a handler may have to end a write first.
const RELEASE_CHECKS: u32 = 100;
const RELEASE_CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// An open connection. Cheap to clone; the clones are one connection.
#[derive(Clone, Debug)]
pub struct ClientConnection {
    /// The address that connected.
    pub peer: SocketAddr,
    connections: Arc<Connections>,
    watch: Arc<Watch>,
}

/// Whose stalled connections are closed for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StalledOf {
    /// Those of all clients.
    All,
    /// Those of the address block of the request's own peer. A trusted peer has none.
    SamePeer,
}

impl ClientConnection {
    pub(crate) fn new(
        peer: SocketAddr,
        connections: &Arc<Connections>,
        watch: &Arc<Watch>,
    ) -> Self {
        Self { peer, connections: Arc::clone(connections), watch: Arc::clone(watch) }
    }

    /// From now on, until the guard is dropped, a handler waits for the client to send more of a request's body.
    #[must_use]
    pub fn receiving(&self) -> ReceivingGuard {
        self.watch.begin_receiving();
        ReceivingGuard(Arc::clone(&self.watch))
    }

    /// Takes a permit of a bound, of which there are `max`. Where `take` has none, connections whose `body` has been
    /// stalled for [`eviction_stall`](crate::Timeouts::eviction_stall) are closed, the longest stalled first, and `take`
    /// is called again once they have ended.
    ///
    /// # Errors
    /// The last error of `take`, after a second at most.
    pub async fn take_or_evict<T, E>(
        &self,
        max: usize,
        body: StalledBody,
        take: impl Fn() -> Result<T, (E, StalledOf)>,
    ) -> Result<T, E> {
        let mut closed = Vec::new();
        for _ in 0..RELEASE_CHECKS {
            let (error, whose) = match take() {
                Ok(taken) => return Ok(taken),
                Err(refused) => refused,
            };
            if self.connections.are_settled(&closed) {
                let more = self.evict(max, body, whose);
                if closed.is_empty() && more.is_empty() {
                    return Err(error);
                }
                closed.extend(more);
            }
            sleep(RELEASE_CHECK_INTERVAL).await;
        }
        take().map_err(|(error, _)| error)
    }

    /// Closes stalled connections. Returns which.
    fn evict(&self, max: usize, body: StalledBody, whose: StalledOf) -> Vec<u64> {
        let block = self.connections.block(self.peer.ip());
        match (whose, block) {
            (StalledOf::All, _) => {
                self.connections.evict_stalled(Eviction { block: None, body }, max)
            }
            (StalledOf::SamePeer, Some(_)) => {
                self.connections.evict_stalled(Eviction { block, body }, max)
            }
            (StalledOf::SamePeer, None) => Vec::new(),
        }
    }
}

/// A handler waits for the client. Dropping this ends the wait.
#[derive(Debug)]
pub struct ReceivingGuard(Arc<Watch>);

impl Drop for ReceivingGuard {
    fn drop(&mut self) {
        self.0.end_receiving();
    }
}
