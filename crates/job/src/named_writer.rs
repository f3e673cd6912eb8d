//! A writer whose errors say where it writes to.

use std::io::{self, Write};

/// Writes to `out`, which is called `name` in errors.
#[derive(Debug)]
pub struct NamedWriter<W> {
    name: String,
    out: W,
}

impl<W: Write> NamedWriter<W> {
    /// A writer to `out`.
    pub fn new(name: impl Into<String>, out: W) -> Self {
        Self { name: name.into(), out }
    }

    /// The same error, with the name. Its kind stays, so that a caller recognizes a closed pipe.
    fn named<T>(&self, done: io::Result<T>) -> io::Result<T> {
        done.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.name)))
    }
}

impl<W: Write> Write for NamedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.out.write(bytes) {
            // The caller tries again.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            written => self.named(written),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.named(flushed)
    }
}
