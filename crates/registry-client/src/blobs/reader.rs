//! Reading a blob in pieces, verified while it streams, and going on where it broke.
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

/// A blob that is being read. It holds one piece, whatever the size of the blob.
///
/// Where the connection breaks, falls silent or is too slow, the rest is requested anew.
pub struct BlobReader {
    repository: RepositoryClient,
    expected: Digest,
    target: RequestTarget,
    served_by: RedactedUrl,
    size: Option<u64>,
    /// What comes in place of the blob, where the headers show that.
    substitute: Option<Substitute>,
    body: ResponseBody,
    /// Where in the blob the next byte of the body belongs.
    at: u64,
    /// The digest of all before `at`; none once all was given out, or it failed.
    digester: Option<Digester>,
    /// The piece that goes out next.
    held: Bytes,
    meter: Meter,
    attempts: Attempts,
    /// Whether the source has refused a range of this blob, or sent something else for one.
    ranges: RangeSupport,
}

impl RepositoryClient {
    /// Begins to read a blob.
    ///
    /// # Errors
    /// When it is not there, or cannot be read.
    pub async fn blob(&self, digest: &Digest) -> Result<BlobReader, Error> {
        let start = (0, Digester::new(digest.algorithm()));
        BlobReader::open(self.clone(), *digest, start, None).await
    }
}

impl BlobReader {
    /// Begins at `from`, where `before` is the state of the digest of what lies before.
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

    /// The same, of a blob whose descriptor says that it has so many bytes: where the response tells no length, an end
    /// before that is a broken connection.
    #[must_use]
    pub fn expecting(mut self, size: u64) -> Self {
        self.size.get_or_insert(size);
        self
    }

    /// The blob's length in bytes, when it was announced or is expected.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Where the bytes come from, after redirects.
    #[must_use]
    pub fn served_by(&self) -> &RedactedUrl {
        &self.served_by
    }

    /// The error that something else comes in place of the blob, such as an HTML page, where it looks so: to be
    /// reported instead of what is wrong with its length or digest.
    #[must_use]
    pub fn substitute(&self) -> Option<Error> {
        self.substitute.as_ref().map(|it| self.target.fails(it.fault(BLOB)))
    }

    /// How much was read, and the state of the digest there. None at the end.
    pub(crate) fn state(&self) -> Option<(u64, &Digester)> {
        self.digester.as_ref().map(|state| (self.at, state))
    }

    /// The next piece, never an empty one; none once all were given out. The last piece comes only
    /// when length and digest of the whole are right, so that no wrong blob is ever passed on
    /// entirely.
    ///
    /// # Errors
    /// When it broke again and again without anything having come, and when length or digest are
    /// wrong. After an error there is nothing more.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let next = self.verified_piece().await;
        if !matches!(next, Ok(Some(_))) {
            self.digester = None;
        }
        next
    }

    /// Reads one piece ahead, so that the end is known before the last piece goes out.
    async fn verified_piece(&mut self) -> Result<Option<Bytes>, Error> {
        while self.digester.is_some() {
            let piece = match self.metered_piece().await {
                Ok(Some(piece)) => piece,
                Ok(None) if self.is_complete() => {
                    return self.last_piece().map_err(|fault| self.target.fails(fault));
                }
                Ok(None) => match self.missing() {
                    // Some servers give less of a range than was requested.
                    Some(expected) => {
                        if let Some(error) = self.substitute() {
                            return Err(error);
                        }
                        let received = self.at;
                        let fault = TransportError::Truncated { expected, received }.into();
                        self.go_on(fault).await?;
                        continue;
                    }
                    None => return self.last_piece().map_err(|fault| self.target.fails(fault)),
                },
                // All is there: only the end was lost.
                Err(_) if self.size == Some(self.at) => {
                    return self.last_piece().map_err(|fault| self.target.fails(fault));
                }
                Err(fault) => {
                    self.go_on(fault).await?;
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

    /// The length of the whole, if not all of it has come.
    fn missing(&self) -> Option<u64> {
        self.size.filter(|size| self.at < *size)
    }

    /// Whether all has come by its digest, whatever length was expected.
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

    /// Asks for the rest, after a fault that may pass.
    async fn go_on(&mut self, fault: RequestFault) -> Result<(), Error> {
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
        // A break in what is skipped is one more.
        if let Err(fault) = self.body.skip(part.before).await {
            return Box::pin(self.go_on(fault)).await;
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
    /// Reads past so many bytes.
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
