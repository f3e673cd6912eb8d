//! The body of a request, read in pieces, each within a deadline.

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_server::ClientConnection;
use prometheus_client::metrics::counter::Counter;
use tokio::time::timeout;

use crate::{
    limits::{BODY_IDLE, DISCARD_TIME},
    refusal::Refusal,
};

pub(crate) struct Incoming {
    body: Body,
    received: Counter,
    /// None if the request did not come over one, or nothing waits for the body.
    connection: Option<ClientConnection>,
}

impl Incoming {
    /// Counts the received bytes in `received`.
    pub(crate) const fn new(
        body: Body,
        received: Counter,
        connection: Option<ClientConnection>,
    ) -> Self {
        Self { body, received, connection }
    }

    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let waiting = self.connection.as_ref().map(ClientConnection::receiving);
            let received = timeout(BODY_IDLE, self.body.frame()).await;
            drop(waiting);
            let Ok(frame) = received else {
                // A second read must not wait again.
                self.body = Body::empty();
                return Err(Refusal::BodySilent);
            };
            let Some(frame) = frame else { return Ok(None) };
            // Trailers are ignored.
            if let Ok(piece) = frame.map_err(Refusal::BodyBroken)?.into_data() {
                self.received.inc_by(piece.len() as u64);
                return Ok(Some(piece));
            }
        }
    }

    /// The least number of remaining bytes: all of them if the request has a `Content-Length`.
    pub(crate) fn announced(&self) -> u64 {
        self.body.size_hint().lower()
    }

    /// The whole body, if it has at most `limit` bytes. A longer announced body is not read.
    pub(crate) async fn collect(&mut self, limit: u64) -> Result<Bytes, Refusal> {
        if self.announced() > limit {
            return Err(Refusal::TooLong { limit });
        }
        let mut content = Vec::new();
        while let Some(piece) = self.next().await? {
            if (content.len() + piece.len()) as u64 > limit {
                return Err(Refusal::TooLong { limit });
            }
            content.extend_from_slice(&piece);
        }
        Ok(content.into())
    }

    /// Whether the body has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Reads what is left and throws it away: about `max` bytes at most, within [`DISCARD_TIME`].
    pub(crate) async fn discard(mut self, max: usize) {
        self.connection = None;
        let all = async {
            let mut discarded = 0;
            while discarded <= max
                && let Ok(Some(piece)) = self.next().await
            {
                discarded += piece.len();
            }
        };
        // The rest need not be read.
        let _ = timeout(DISCARD_TIME, all).await;
    }
}
