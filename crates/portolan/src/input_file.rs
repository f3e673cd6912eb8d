//! Reading files that flags and variables name, within a bound: they may be devices without an end.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::FileTypeExt as _,
    path::Path,
};

/// The longest file: certificates, users, rights and configurations have some hundred bytes for each entry, and this is room
/// for tens of thousands.
const MAX_BYTES: u64 = 16 << 20;

/// The file at `path`, whole.
///
/// # Errors
/// When it cannot be read, or is longer than 16 MiB.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_stream(File::open(path)?)
}

/// A stream to its end.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_stream(stream: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    fits(bytes.len() as u64)?;
    Ok(bytes)
}

/// Checks a file that a library reads without a bound. A pipe is not read: it can be read once only.
///
/// # Errors
/// When it is longer than 16 MiB. One that cannot be read is an error of the library.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    let Ok(metadata) = fs::metadata(path) else { return Ok(()) };
    if metadata.file_type().is_char_device() || metadata.file_type().is_block_device() {
        return read(path).map(drop);
    }
    fits(metadata.len())
}

fn fits(length: u64) -> io::Result<()> {
    if length > MAX_BYTES {
        let message = format!("it is longer than {} MiB; name the right file", MAX_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(())
}
