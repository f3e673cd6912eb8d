//! A part of a file as the body of a response: one piece is read while the one before it is sent.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio::task::JoinHandle;

/// The pieces in which a file is read, in bytes: large enough that the hand-over from the thread that
/// reads is lost in the reading. Each response holds two of them.
pub const READ_PIECE_BYTES: usize = 256 << 10;

/// The bytes of `part`, which lies within the file. Nothing is read before the first poll. A file that turns out to be shorter ends
/// in an error, so that the client sees that the response is cut.
pub fn file_stream(file: File, part: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let reading = Reading { file: Arc::new(file), at: None, left: part, next: None };
    stream::try_unfold(reading, Reading::next)
}

struct Reading {
    /// Nobody else moves its cursor, and one piece is read at a time.
    file: Arc<File>,
    /// Where the cursor is, once that is known.
    at: Option<u64>,
    /// What was not begun to be read.
    left: Range<u64>,
    next: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Reading {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        let next = self.next.take().or_else(|| self.begin());
        let Some(next) = next else { return Ok(None) };
        let piece = next.await??;
        self.next = self.begin();
        Ok(Some((piece, self)))
    }

    fn begin(&mut self) -> Option<JoinHandle<io::Result<Bytes>>> {
        let start = self.left.start;
        let length = self.left.end.saturating_sub(start).min(READ_PIECE_BYTES as u64);
        let seek = (self.at != Some(start)).then_some(start);
        self.left.start += length;
        self.at = Some(self.left.start);
        let file = Arc::clone(&self.file);
        (length > 0).then(|| {
            // Made here, where it is given back too: the threads that read are many.
            let piece = Vec::with_capacity(usize::try_from(length).unwrap_or(READ_PIECE_BYTES));
            tokio::task::spawn_blocking(move || read_piece(&file, seek, length, piece))
        })
    }
}

fn read_piece(
    mut file: &File,
    seek: Option<u64>,
    length: u64,
    mut piece: Vec<u8>,
) -> io::Result<Bytes> {
    if let Some(start) = seek {
        file.seek(SeekFrom::Start(start))?;
    }
    file.take(length).read_to_end(&mut piece)?;
    if piece.len() as u64 == length {
        Ok(piece.into())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
