//! Pushing a blob: an upload session, put in one piece.
//!
//! Not here: uploads in chunks, and resuming them.
//!
//! Source: distribution-spec 1.1, "Pushing a blob monolithically", "POST then PUT", "Mounting a
//! blob from another repository".

use std::{error::Error as StdError, fmt, time::Duration};

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderValue, Method, StatusCode, header};
use oci::Digest;
use tokio::time::timeout;
use url::Url;

use crate::{
    Client, Error, RedactedUrl,
    content::Content,
    error::{Fault, Pointer, Refusal},
    exchange::{Answer, Request, location},
};

/// How long a cancellation may take: it is a courtesy, and the caller has something else to report.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// What became of a mount.
#[derive(Debug)]
pub enum Mount {
    /// The blob is in the repository now.
    Mounted,
    /// The registry would rather have the bytes: a session to put them in, or to cancel.
    Upload(Upload),
}

/// An upload session. Put the content, or cancel: a registry keeps a session that is only dropped,
/// until it expires.
#[must_use = "the registry keeps the session until it is put or cancelled"]
pub struct Upload {
    client: Client,
    session: Url,
}

impl Upload {
    /// The session that an answer opens. It must lie where the request went: what is put there is
    /// believed to be in that registry.
    pub(crate) fn new(client: Client, answer: &Answer) -> Result<Self, Error> {
        let (asked, pointer) = (&answer.request, Pointer::UploadSession);
        let session =
            location(&asked.url, &answer.headers, pointer).map_err(|fault| asked.fails(fault))?;
        if session.origin() != asked.url.origin() {
            let (to, reason) = (Some(RedactedUrl::new(&session)), Refusal::OtherHost);
            return Err(asked.fails(Fault::NotFollowed { pointer, to, reason }));
        }
        Ok(Self { client, session })
    }

    /// Sends the content, `size` bytes, which the registry keeps if it has `digest`.
    ///
    /// When `body` ends in an error, too early or too late, the request is broken off before its
    /// last piece, and so commits nothing; after any failure the session is cancelled. A registry
    /// that has the blob already may answer early: `body` is then dropped before its end.
    ///
    /// While `body` has nothing to give there is no deadline, since what it waits for has its own.
    ///
    /// # Errors
    /// When `body` fails or has another length, when the connection breaks or stalls, when the
    /// registry refuses, and when it does not say that it stored the blob, or names another one.
    pub async fn put<S, E>(self, digest: &Digest, size: u64, body: S) -> Result<(), Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let mut url = self.session.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let mut request = Request::new(Method::PUT, url);
        let octets = HeaderValue::from_static("application/octet-stream");
        request.headers.insert(header::CONTENT_TYPE, octets);
        request.content = Content::stream(size, body);
        let answer = self.client.send(request).await;
        match answer.and_then(|answer| check_stored(&answer, digest)) {
            Ok(()) => Ok(()),
            Err(error) => {
                if !error.is_unreachable() {
                    self.cancel().await;
                }
                Err(error)
            }
        }
    }

    /// Gives the session up. Best effort: a registry that fails to do so expires it itself.
    pub async fn cancel(self) {
        let request = Request::new(Method::DELETE, self.session);
        if let Ok(Err(error)) = timeout(CANCEL_TIMEOUT, self.client.send(request)).await {
            tracing::debug!("cancelling an upload: {error}");
        }
    }
}

/// Whether the answer to the content says that it is stored: 201, or 204 from older registries.
fn check_stored(answer: &Answer, digest: &Digest) -> Result<(), Error> {
    let status = answer.status;
    if !matches!(status, StatusCode::CREATED | StatusCode::NO_CONTENT) {
        return Err(answer.request.fails(Fault::NotStored { status }));
    }
    // A registry may name the blob by another algorithm, which says nothing about this digest.
    match answer.digest().filter(|named| named.algorithm() == digest.algorithm()) {
        Some(named) if named != *digest => {
            Err(answer.request.fails(Fault::mismatch(*digest, named)))
        }
        _ => Ok(()),
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upload").field(&RedactedUrl::new(&self.session)).finish()
    }
}
