//! Reads a blob as a stream, verifies it, and resumes after a failure.
//!
//! Not here: how the rest is requested, with or without a range ([`crate::blobs::part`]).
//!
//! Source: distribution-spec 1.1, "Pulling blobs".

use std::fmt;

use bytes::{Buf as _, Bytes};
use http_client::{Meter, RedactedUrl, Replay, TooSlow, TransportError};
use oci::{Digest, Digester};
use tokio::time::Instant;

use crate::{
    Error, RepositoryClient,
    blobs::part::{BLOB, BlobRequest, RangeSupport},
    error::fault::RequestFault,
    exchange::{
        attempts::Attempts, request::RequestTarget, response::ResponseBody, substitute::Substitute,
    },
};

/// A blob that is being read. It buffers one piece, whatever the size of the blob.
///
/// If the connection breaks, stalls or is too slow, the rest is requested again.
pub struct BlobReader {
    repository: RepositoryClient,
    expected: Digest,
    target: RequestTarget,
    served_by: RedactedUrl,
    size: Option<u64>,
    /// What the source sends in place of the blob, if the headers show that.
    substitute: Option<Substitute>,
    body: ResponseBody,
    /// The offset in the blob of the next byte of the body.
    at: u64,
    /// The digest of all bytes before `at`; none after the last piece or an error.
    digester: Option<Digester>,
    /// The piece that is returned next.
    held: Bytes,
    meter: Meter,
    attempts: Attempts,
    /// Whether the source supports ranges of this blob.
    ranges: RangeSupport,
}

impl RepositoryClient {
    /// Begins to read a blob.
    ///
    /// # Errors
    /// When it is not found, or cannot be read.
    pub async fn blob(&self, digest: &Digest) -> Result<BlobReader, Error> {
        let start = (0, Digester::new(digest.algorithm()));
        BlobReader::open(self.clone(), *digest, start, None).await
    }
}

impl BlobReader {
    /// Begins at the offset `from`; `before` is the digest of the bytes before it.
    pub(crate) async fn open(
        repository: RepositoryClient,
        expected: Digest,
        (from, before): (u64, Digester),
        size: Option<u64>,
    ) -> Result<Self, Error> {
        let mut ranges = RangeSupport::default();
        let wanted = BlobRequest { digest: &expected, from, size };
        let (response, part) = wanted.request(&repository, &mut ranges).await?;
        let least = repository.client().shared.timeouts.rate;
        let mut reader = Self {
            repository,
            expected,
            served_by: RedactedUrl::new(&response.target.url),
            size: part.size,
            substitute: response.substitute(None),
            target: response.target,
            body: response.body,
            at: from,
            digester: Some(before),
            held: Bytes::new(),
            meter: Meter::new(least),
            attempts: Attempts::default(),
            ranges,
        };
        let skipped = reader.body.skip(part.before).await;
        skipped.map_err(|fault| reader.target.fails(fault))?;
        Ok(reader)
    }

    /// The same with the size from the blob's descriptor. If the response has no length, an earlier end of the body counts
    /// as a broken connection.
    #[must_use]
    pub fn expecting(mut self, size: u64) -> Self {
        self.size.get_or_insert(size);
        self
    }

    /// The blob's length in bytes, if the response or the caller gave one.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The URL that serves the blob, after redirects.
    #[must_use]
    pub fn served_by(&self) -> &RedactedUrl {
        &self.served_by
    }

    /// The error if the response looks like something else than the blob, such as an HTML page. It explains a wrong
    /// length or digest better than those do.
    #[must_use]
    pub fn substitute(&self) -> Option<Error> {
        self.substitute.as_ref().map(|it| self.target.fails(it.fault(BLOB)))
    }

    /// The offset and the digest of the bytes before it. None at the end.
    pub(crate) fn state(&self) -> Option<(u64, &Digester)> {
        self.digester.as_ref().map(|state| (self.at, state))
    }

    /// The next piece, which is never empty; none at the end. The last piece is returned only if the length and the digest
    /// of the blob are right, so that a wrong blob is never passed on as a whole.
    ///
    /// # Errors
    /// When it failed repeatedly without progress, and when the length or the digest is wrong. After an error no more
    /// pieces follow.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let next = self.verified_piece().await;
        if !matches!(next, Ok(Some(_))) {
            self.digester = None;
        }
        next
    }

    /// Reads one piece ahead, so that the blob is verified before the last piece is returned.
    async fn verified_piece(&mut self) -> Result<Option<Bytes>, Error> {
        while self.digester.is_some() {
            let piece = match self.metered_piece().await {
                Ok(Some(piece)) => piece,
                Ok(None) if self.is_complete() => {
                    return self.last_piece().map_err(|fault| self.target.fails(fault));
                }
                Ok(None) => match self.missing() {
                    // Some servers send less of a range than was requested.
                    Some(expected) => {
                        if let Some(error) = self.substitute() {
                            return Err(error);
                        }
                        let received = self.at;
                        let fault = TransportError::Truncated { expected, received }.into();
                        self.resume(fault).await?;
                        continue;
                    }
                    None => return self.last_piece().map_err(|fault| self.target.fails(fault)),
                },
                // All bytes arrived; only the end of the body was lost.
                Err(_) if self.size == Some(self.at) => {
                    return self.last_piece().map_err(|fault| self.target.fails(fault));
                }
                Err(fault) => {
                    self.resume(fault).await?;
                    continue;
                }
            };
            self.attempts.moved();
            self.at += piece.len() as u64;
            if let Some(digester) = &mut self.digester {
                digester.update(&piece);
            }
            let ready = std::mem::replace(&mut self.held, piece);
            if !ready.is_empty() {
                return Ok(Some(ready));
            }
        }
        Ok(None)
    }

    /// The length of the blob, if bytes are missing.
    fn missing(&self) -> Option<u64> {
        self.size.filter(|size| self.at < *size)
    }

    /// Whether the bytes so far have the blob's digest, whatever its expected length.
    fn is_complete(&self) -> bool {
        let found = self.digester.as_ref().map(|digester| digester.clone().finish());
        found == Some(self.expected)
    }

    async fn metered_piece(&mut self) -> Result<Option<Bytes>, RequestFault> {
        let start = Instant::now();
        let Some(piece) = self.body.unpaid_piece().await? else { return Ok(None) };
        if let Err(slow) = self.meter.count(piece.len(), start.elapsed()) {
            self.body.give_up();
            return Err(came_too_slowly(slow));
        }
        self.body.pay(piece.len()).await;
        Ok(Some(piece))
    }

    /// Requests the rest, after a failure that may be transient.
    async fn resume(&mut self, fault: RequestFault) -> Result<(), Error> {
        let error = self.target.fails(fault);
        let client = self.repository.client().clone();
        if !self.attempts.again(&client, &error, Replay::Always).await {
            return Err(error);
        }
        let wanted = BlobRequest { digest: &self.expected, from: self.at, size: self.size };
        let (response, part) = wanted.request(&self.repository, &mut self.ranges).await?;
        self.substitute = response.substitute(None);
        self.size = part.size;
        (self.target, self.body) = (response.target, response.body);
        self.meter = Meter::new(client.shared.timeouts.rate);
        // A failure while bytes are skipped counts as well.
        if let Err(fault) = self.body.skip(part.before).await {
            return Box::pin(self.resume(fault)).await;
        }
        Ok(())
    }

    fn last_piece(&mut self) -> Result<Option<Bytes>, RequestFault> {
        let Some(digester) = self.digester.take() else { return Ok(None) };
        let found = digester.finish();
        if found != self.expected {
            let mismatch = || RequestFault::mismatch(self.expected, found);
            return Err(self.substitute.as_ref().map_or_else(mismatch, |it| it.fault(BLOB)));
        }
        Ok(Some(std::mem::take(&mut self.held)).filter(|last| !last.is_empty()))
    }
}

impl ResponseBody {
    /// Skips this number of bytes.
    async fn skip(&mut self, mut bytes: u64) -> Result<(), RequestFault> {
        while bytes > 0 {
            let Some(mut piece) = self.piece().await? else { return Ok(()) };
            let skipped = bytes.min(piece.len() as u64);
            bytes -= skipped;
            piece.advance(usize::try_from(skipped).unwrap_or(piece.len()));
            self.give_back(piece);
        }
        Ok(())
    }
}

fn came_too_slowly(TooSlow { moved: received, after, least }: TooSlow) -> RequestFault {
    TransportError::CameTooSlowly { received, after, least }.into()
}

impl fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobReader")
            .field("served_by", &self.served_by)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
