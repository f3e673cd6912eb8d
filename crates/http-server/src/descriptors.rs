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

/// How many connections the limit of open files allows, where `reserved` files are needed otherwise.
pub(crate) fn allowed(reserved: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    left(limit, reserved)
}

fn left(limit: usize, reserved: usize) -> usize {
    // Where the limit is low, at most half of it is reserved.
    let reserved = (reserved + BASE).min(limit / 2);
    (limit - reserved).max(FEWEST_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_left_over() {
        for (limit, reserved, connections) in
            [(1_024, 128, 832), (1_024, 4_000, 512), (16, 0, 16), (usize::MAX, 1, usize::MAX - 65)]
        {
            assert_eq!(left(limit, reserved), connections, "{limit} {reserved}");
        }
    }
}
