//! The limit of open files: raised to what the system allows, and what it leaves for connections.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are always open, or open for a moment: the standard streams, the runtime's own, listeners, the
/// admin address's [`ADMIN_CONNECTIONS`](crate::settings::ADMIN_CONNECTIONS), a connection that is accepted before
/// another one has ended, name resolution, files that are read again.
const BASE: usize = 64;

/// As few connections as a server is worth starting for.
const FEWEST_CONNECTIONS: usize = 16;

/// Raises the soft limit of open files to the hard one: the soft one is low for programs that use `select`,
/// which this one does not. To be called once, at the start of a server.
///
/// # Errors
/// When the system refuses; the limit is then as it was.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return Ok(());
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// What the limit of open files allows besides [`BASE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// Connections.
    pub(crate) connections: usize,
    /// Files, or requests to other servers.
    pub(crate) files: usize,
}

/// What the limit of open files allows where up to `files` are needed besides connections.
pub(crate) fn allowed(files: usize) -> Descriptors {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    divide(limit, files)
}

/// Where the limit is low, a half of what is left of it is for files: a connection whose request opens a file needs
/// two descriptors.
fn divide(limit: usize, files: usize) -> Descriptors {
    let available = limit.saturating_sub(BASE).max(2 * FEWEST_CONNECTIONS);
    let files = files.min(available / 2);
    Descriptors { connections: available - files, files }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_files_and_the_reserve_are_within_the_limit() {
        for (limit, wanted, connections, files) in [
            (1_024, 128, 832, 128),
            (1_024, 8_192, 480, 480),
            (256, 8_192, 96, 96),
            (96, 8_192, 16, 16),
            (usize::MAX, 1, usize::MAX - 65, 1),
        ] {
            let found = divide(limit, wanted);
            assert_eq!(found, Descriptors { connections, files }, "{limit} {wanted}");
            assert!(connections + files + BASE <= limit, "{limit} {wanted}");
        }
    }
}
