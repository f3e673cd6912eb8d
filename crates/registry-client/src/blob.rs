//! Reading a blob in pieces, verified while it streams.

use bytes::Bytes;

use crate::{Error, RedactedUrl};

/// A blob that is being read. It holds one piece at a time, whatever the size of the blob.
#[derive(Debug)]
pub struct BlobReader {
    size: Option<u64>,
    served_by: RedactedUrl,
}

impl BlobReader {
    /// The blob's length in bytes, when the registry said it.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Where the bytes come from, after redirects.
    #[must_use]
    pub fn served_by(&self) -> &RedactedUrl {
        &self.served_by
    }

    /// The next piece, or `None` once all of it was given out. The last piece is given out only
    /// after length and digest of the whole were found right.
    ///
    /// # Errors
    /// When the connection breaks or falls silent, or length or digest are wrong.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        todo!()
    }
}
