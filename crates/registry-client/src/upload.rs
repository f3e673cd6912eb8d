//! Pushing a blob: an upload session, put in one piece.

use std::error::Error as StdError;

use bytes::Bytes;
use futures_util::Stream;
use oci::Digest;

use crate::Error;

/// What became of a mount.
#[derive(Debug)]
pub enum Mount {
    /// The blob is in the repository now.
    Mounted,
    /// The registry would rather have the bytes: a session to put them in, or to cancel.
    Upload(Upload),
}

/// An upload session. Put the content, or cancel: a registry keeps a session that is only dropped.
#[derive(Debug)]
#[must_use = "the registry keeps the session until it is put or cancelled"]
pub struct Upload {}

impl Upload {
    /// Sends the content, `size` bytes, which the registry keeps if it has `digest`. When `body`
    /// ends in an error, too early or too late, the request is broken off and the session
    /// cancelled, so that nothing is kept.
    ///
    /// # Errors
    /// When `body` fails or has another length, when the connection breaks or stalls, and when the
    /// registry refuses.
    pub async fn put<S, E>(self, digest: &Digest, size: u64, body: S) -> Result<(), Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let _ = (digest, size, body);
        todo!()
    }

    /// Gives the session up. Best effort: a registry that fails to do so expires it itself.
    pub async fn cancel(self) {
        todo!()
    }
}
