//! The rest of a refused request's body: read and thrown away within bounds, since a connection that is
//! closed with unread bytes is reset, and the client may lose the response. Beyond the bounds the
//! connection is closed.

use crate::{
    body::Incoming,
    limits::MAX_DISCARDS,
    shares::{Budget, Holder},
};

/// The bodies that are being discarded, of all refused requests together. No client has more than its share.
#[derive(Debug)]
pub(crate) struct Discards(Budget);

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    KeepAlive,
    Close,
}

impl Discards {
    pub(crate) fn new() -> Self {
        Self(Budget::new(MAX_DISCARDS))
    }

    /// Begins to discard `body`, at most `max` bytes of it, if there is a permit.
    pub(crate) fn start(&self, body: Incoming, holder: Option<Holder>, max: usize) -> Afterwards {
        if body.is_over() {
            return Afterwards::KeepAlive;
        }
        let is_too_long = body.announced() > max as u64;
        let Ok(permit) = self.0.take(holder) else { return Afterwards::Close };
        tokio::spawn(async move {
            body.discard(max).await;
            drop(permit);
        });
        if is_too_long { Afterwards::Close } else { Afterwards::KeepAlive }
    }
}
