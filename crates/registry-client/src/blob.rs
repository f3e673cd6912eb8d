//! Reading a blob in pieces, verified while it streams.
//!
//! Not here: resuming a transfer that broke.

use std::fmt;

use bytes::Bytes;
use oci::{Digest, Digester};
use tokio::time::Instant;

use crate::{
    Error, RedactedUrl,
    error::Fault,
    exchange::{Answer, AnswerBody, Request},
    rate::{LeastRate, Meter, TooSlow},
};

/// A blob that is being read. It holds one piece, whatever the size of the blob.
pub struct BlobReader {
    request: Request,
    served_by: RedactedUrl,
    size: Option<u64>,
    body: AnswerBody,
    expected: Digest,
    /// The digest so far; none once all was given out, or it failed.
    digester: Option<Digester>,
    /// The piece that goes out next.
    held: Bytes,
    meter: Meter,
}

impl BlobReader {
    pub(crate) fn new(expected: Digest, answer: Answer, least: LeastRate) -> Self {
        Self {
            served_by: RedactedUrl::new(&answer.request.url),
            size: answer.content_length(),
            request: answer.request,
            body: answer.body,
            expected,
            digester: Some(Digester::new(expected.algorithm())),
            held: Bytes::new(),
            meter: Meter::new(least),
        }
    }

    /// The blob's length in bytes, when it was announced.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Where the bytes come from, after redirects.
    #[must_use]
    pub fn served_by(&self) -> &RedactedUrl {
        &self.served_by
    }

    /// The next piece, never an empty one; none once all were given out. The last piece comes only
    /// when length and digest of the whole are right, so that no wrong blob is ever passed on
    /// entirely.
    ///
    /// # Errors
    /// When the connection breaks, falls silent or is too slow, and when length or digest are wrong. After an
    /// error there is nothing more.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let next = self.verified_piece().await;
        if !matches!(next, Ok(Some(_))) {
            self.digester = None;
        }
        next.map_err(|fault| self.request.fails(fault))
    }

    /// Reads one piece ahead, so that the end is known before the last piece goes out.
    async fn verified_piece(&mut self) -> Result<Option<Bytes>, Fault> {
        while let Some(digester) = &mut self.digester {
            let asked = Instant::now();
            let Some(piece) = self.body.piece().await? else { return self.last_piece() };
            self.meter.count(piece.len(), asked.elapsed()).map_err(came_too_slowly)?;
            digester.update(&piece);
            let ready = std::mem::replace(&mut self.held, piece);
            if !ready.is_empty() {
                return Ok(Some(ready));
            }
        }
        Ok(None)
    }

    fn last_piece(&mut self) -> Result<Option<Bytes>, Fault> {
        let Some(digester) = self.digester.take() else { return Ok(None) };
        let found = digester.finish();
        if found != self.expected {
            return Err(Fault::mismatch(self.expected, found));
        }
        Ok(Some(std::mem::take(&mut self.held)).filter(|last| !last.is_empty()))
    }
}

fn came_too_slowly(TooSlow { moved: received, after, least }: TooSlow) -> Fault {
    Fault::CameTooSlowly { received, after, least }
}

impl fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobReader")
            .field("served_by", &self.served_by)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
