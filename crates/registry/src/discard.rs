//! Reads and discards the rest of a rejected request's body, within bounds. Closing a connection with unread bytes
//! resets it, and the client may lose the response. Beyond the bounds the connection is closed.

use crate::{
    body::Incoming,
    limits::MAX_DISCARDS,
    shares::{Budget, Holder},
};

/// The bodies being discarded, for all rejected requests. No client gets more than its share.
#[derive(Debug)]
pub(crate) struct Discards(Budget);

/// Whether the connection stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterDiscard {
    KeepAlive,
    Close,
}

impl Discards {
    pub(crate) fn new() -> Self {
        Self(Budget::new(MAX_DISCARDS))
    }

    /// Starts to discard at most `max` bytes of `body`, if a permit is free.
    pub(crate) fn start(&self, body: Incoming, holder: Option<Holder>, max: usize) -> AfterDiscard {
        if body.is_over() {
            return AfterDiscard::KeepAlive;
        }
        let is_too_long = body.announced() > max as u64;
        let Ok(permit) = self.0.take(holder) else { return AfterDiscard::Close };
        tokio::spawn(async move {
            body.discard(max).await;
            drop(permit);
        });
        if is_too_long { AfterDiscard::Close } else { AfterDiscard::KeepAlive }
    }
}
