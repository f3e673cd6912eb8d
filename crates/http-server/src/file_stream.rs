//! A part of a file as the body of a response: one piece at a time, read when the connection takes it.

use std::{fmt::Display, fs::File, io, ops::Range, os::unix::fs::FileExt as _, sync::Arc};

use bytes::Bytes;
use futures_util::{
    TryStreamExt as _,
    stream::{self, Stream},
};

/// The pieces in which a file is read, in bytes: large enough that the calls are lost in the copying, and
/// small enough for thousands of clients that read slowly. Each response holds one of them, in the
/// connection's buffer.
pub const READ_PIECE_BYTES: usize = 64 << 10;

/// The bytes of `part`, which lies within the file. Nothing is read before the first poll. A file that turns out to be shorter ends
/// in an error, so that the client sees that the response is cut. Errors are logged with what `content` is.
pub fn file_stream<C: Display + Send + 'static>(
    file: File,
    part: Range<u64>,
    content: C,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let reading = Reading { file: Arc::new(file), left: part, tries_cache: true };
    let log = move |error: &io::Error| {
        tracing::error!(%content, %error, "the file could not be read: its response was cut");
    };
    stream::try_unfold(reading, Reading::next).inspect_err(log)
}

struct Reading {
    file: Arc<File>,
    /// What was not read yet.
    left: Range<u64>,
    /// Whether the file system can read from the system's cache alone.
    tries_cache: bool,
}

impl Reading {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let length = self.left.end.saturating_sub(self.left.start).min(READ_PIECE_BYTES as u64);
        if length == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; usize::try_from(length).unwrap_or(READ_PIECE_BYTES)];
        let cached = if self.tries_cache { self.read_cached(&mut piece) } else { 0 };
        piece = match cached {
            0 => self.read_blocking(piece).await?,
            length => {
                piece.truncate(length);
                piece
            }
        };
        self.left.start += piece.len() as u64;
        Ok(Some((piece.into(), self)))
    }

    /// Fills the start of `piece` with what the system has in its cache; how much that is. It does not
    /// wait for a disk, and saves the hand-over to another thread.
    #[cfg(target_os = "linux")]
    fn read_cached(&mut self, piece: &mut [u8]) -> usize {
        use rustix::io::{Errno, ReadWriteFlags, preadv2};
        let mut piece = [io::IoSliceMut::new(piece)];
        match preadv2(&self.file, &mut piece, self.left.start, ReadWriteFlags::NOWAIT) {
            Ok(length) => length,
            Err(error) => {
                self.tries_cache = error == Errno::AGAIN;
                0
            }
        }
    }

    /// Other systems have no such call.
    #[cfg(not(target_os = "linux"))]
    fn read_cached(&mut self, _piece: &mut [u8]) -> usize {
        self.tries_cache = false;
        0
    }

    async fn read_blocking(&self, mut piece: Vec<u8>) -> io::Result<Vec<u8>> {
        let (file, start) = (Arc::clone(&self.file), self.left.start);
        let read = move || file.read_exact_at(&mut piece, start).map(|()| piece);
        tokio::task::spawn_blocking(read).await?
    }
}
