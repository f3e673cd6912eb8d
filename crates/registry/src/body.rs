//! A request's body as it comes in: piece by piece, each within a deadline.

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;

use crate::{
    limits::{BODY_IDLE, MAX_DISCARDED_BYTES},
    refusal::Refusal,
};

pub(crate) struct Incoming(Body);

impl Incoming {
    pub(crate) const fn new(body: Body) -> Self {
        Self(body)
    }

    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let frame = tokio::time::timeout(BODY_IDLE, self.0.frame());
            // Elapsed says nothing that the variant does not.
            let frame = frame.await.map_err(|_elapsed| Refusal::BodySilent)?;
            let Some(frame) = frame else { return Ok(None) };
            // Trailers carry nothing for us.
            if let Ok(piece) = frame.map_err(Refusal::BodyBroken)?.into_data() {
                return Ok(Some(piece));
            }
        }
    }

    /// All of it, if that is at most `limit` bytes.
    pub(crate) async fn collect(&mut self, limit: u64) -> Result<Bytes, Refusal> {
        let mut content = Vec::new();
        while let Some(piece) = self.next().await? {
            if (content.len() + piece.len()) as u64 > limit {
                return Err(Refusal::TooLong { limit });
            }
            content.extend_from_slice(&piece);
        }
        Ok(content.into())
    }

    /// Reads what is left and throws it away, within bounds.
    pub(crate) async fn discard(&mut self) {
        let mut discarded = 0;
        while discarded <= MAX_DISCARDED_BYTES {
            let Ok(Some(piece)) = self.next().await else { return };
            discarded += piece.len();
        }
    }
}
