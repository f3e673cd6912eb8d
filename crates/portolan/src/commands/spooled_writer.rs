//! A second output that goes to where standard output goes: it is kept in a temporary file until it is complete, so that
//! the two are not mixed.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read as _, Seek as _, Write},
    os::fd::AsFd,
};

use rustix::fs::fstat;

/// The pieces in which the file is copied, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Writes to a temporary file, which has no name, and copies it to `out` at each flush. Its size is limited by the disk alone.
pub(super) struct SpooledWriter<W> {
    spool: File,
    out: W,
}

impl<W: Write> SpooledWriter<W> {
    /// # Errors
    /// When the temporary file cannot be created.
    pub(super) fn new(out: W) -> io::Result<Self> {
        let spool = tempfile::tempfile().map_err(of_spool)?;
        Ok(Self { spool, out })
    }

    /// Writes what the file has to `out`, and empties it.
    fn copy(&mut self) -> io::Result<()> {
        self.spool.rewind().map_err(of_spool)?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match self.spool.read(&mut piece).map_err(of_spool)? {
                0 => break,
                length => self.out.write_all(&piece[..length])?,
            }
        }
        self.spool.set_len(0).and_then(|()| self.spool.rewind()).map_err(of_spool)
    }
}

impl<W: Write> Write for SpooledWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.spool.write(bytes).map_err(of_spool)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.copy()?;
        self.out.flush()
    }
}

fn of_spool(error: io::Error) -> io::Error {
    match error.kind() {
        // The caller tries again.
        io::ErrorKind::Interrupted => error,
        kind => io::Error::new(kind, format!("its temporary file: {error}")),
    }
}

/// Whether two outputs go to the same file, pipe or terminal. A terminal has several names.
pub(super) fn go_to_same_file(one: impl AsFd, other: impl AsFd) -> bool {
    let (one, other) = (one.as_fd(), other.as_fd());
    if one.is_terminal() && other.is_terminal() {
        return true;
    }
    match (fstat(one), fstat(other)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}
