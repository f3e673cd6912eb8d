//! Opens regular files and nothing else: a symbolic link is not followed, and a FIFO is not waited for.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use rustix::{fs::OFlags, io::Errno};

/// The regular file at `path`; none where something else has that name.
pub(super) fn open(options: &mut OpenOptions, path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match options.custom_flags(flags.bits().cast_signed()).open(path) {
        Err(error) if is_of_another_kind(&error) => return Ok(None),
        opened => opened?,
    };
    Ok(file.metadata()?.is_file().then_some(file))
}

/// A link, a directory that is to be written, or a socket, FIFO or device that nothing serves.
fn is_of_another_kind(error: &io::Error) -> bool {
    let kinds = [Errno::LOOP, Errno::ISDIR, Errno::NXIO, Errno::NODEV];
    kinds.iter().any(|kind| error.raw_os_error() == Some(kind.raw_os_error()))
}
