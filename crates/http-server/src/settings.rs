//! The limits of a server, each with its reason. A product chooses among them once; tests choose
//! milliseconds.

use std::time::Duration;

use crate::TrustedPeers;

/// A connection on which no whole request has arrived by then is closed: no client needs longer, and one
/// without a request only uses a slot. Google's and AWS's balancers send within a second.
pub const FIRST_REQUEST: Duration = Duration::from_secs(30);

/// How long the head of a further request may take, from its first byte to its last. Dripping does not
/// prolong it.
pub const REQUEST_HEAD: Duration = Duration::from_secs(30);

/// How long a connection is kept alive without a request. Google's balancers keep idle connections for
/// 600 s: they must close first, or a request meets a closing connection.
pub const IDLE: Duration = Duration::from_secs(620);

/// How long a client may take nothing of a response. The slowest that is tolerated so takes some kilobytes a
/// second, which is what the system buffers in that time.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a client may take nothing of a response, or send nothing of a request's body, where others wait for what its
/// connection holds. It is long enough for packets that are lost and sent again, and a client that reads more than
/// about 13 kB/s makes progress in it: a socket takes more once 64 to 128 KiB of what lies in it are sent.
pub const EVICTION_STALL: Duration = Duration::from_secs(10);

/// How often limits are checked: they are exceeded by this much at most.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// One address may have this part of the connections: a half, so that one client never has all, and a company
/// behind one address still has thousands.
pub const ADDRESS_DIVISOR: usize = 2;

/// How many requests of an HTTP/2 connection may be under way: more than any image has layers at once.
pub const MAX_STREAMS: u32 = 200;

/// How much a connection with streamed bodies buffers in the process, in bytes, in each direction. Of a response: one
/// piece of a file, so that no second one is read while the client does not read. Of a request: the longest head.
pub const MAX_BUFFERED_BYTES: usize = crate::READ_PIECE_BYTES;

/// Connections to an admin address: some scrapers and health checks, and spare ones for slow peers.
pub const ADMIN_CONNECTIONS: usize = 32;

/// The limits of a server.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// What the server is called in the log: `front`, `registry`.
    pub name: &'static str,
    /// Open connections. Where there are as many, those that have been idle longest are closed for new
    /// ones, and then those that have been stalled longest; if there are none, new ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Open connections of one address (of one /64 for IPv6).
    pub max_connections_per_address: usize,
    /// Peers to which the limit of one address does not apply: balancers.
    pub trusted_peers: TrustedPeers,
    /// How long each phase of a connection may last.
    pub timeouts: Timeouts,
    /// What responses are like.
    pub bodies: Bodies,
}

/// How long each phase of a connection may last.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the connection, or the TLS handshake before, to the end of the first request's head.
    pub first_request: Duration,
    /// From the first byte of a further request's head to its last.
    pub request_head: Duration,
    /// Without a request.
    pub idle: Duration,
    /// Without progress while the client is to read.
    pub stall: Duration,
    /// Without progress while it is the client's turn, where others wait for a connection or for what it holds.
    pub eviction_stall: Duration,
    /// From the shutdown to the end of the last connection.
    pub drain: Duration,
    /// How often these are checked.
    pub check_interval: Duration,
}

/// What responses are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// Small, and written at once: redirects, pages. Requests are small too, so that a connection can make the
    /// server hold no more than 16 KiB.
    Small,
    /// Streamed, in either direction: layers.
    Streamed,
}

impl ServerSettings {
    /// A server with at most so many connections, whose last requests have `drain` to end.
    #[must_use]
    pub const fn new(
        name: &'static str,
        max_connections: usize,
        bodies: Bodies,
        drain: Duration,
    ) -> Self {
        Self {
            name,
            max_connections,
            max_connections_per_address: per_address(max_connections),
            trusted_peers: TrustedPeers::none(),
            timeouts: Timeouts {
                first_request: FIRST_REQUEST,
                request_head: REQUEST_HEAD,
                idle: IDLE,
                stall: WRITE_TIMEOUT,
                eviction_stall: EVICTION_STALL,
                drain,
                check_interval: CHECK_INTERVAL,
            },
            bodies,
        }
    }

    /// The server of an admin address: metrics and health.
    #[must_use]
    pub fn admin(drain: Duration) -> Self {
        let settings = Self::new("admin", ADMIN_CONNECTIONS, Bodies::Small, drain);
        // Scrapers and health checks come from few addresses, and the public from none.
        Self { max_connections_per_address: ADMIN_CONNECTIONS, ..settings }
    }

    /// The same with no more connections than the limit of open files allows, where up to `files` are needed for
    /// something else; and how many of these it allows. The two together leave the descriptors that a server
    /// always needs, so the product must keep to the second number.
    #[must_use]
    pub fn within_descriptors(self, files: usize) -> (Self, usize) {
        let allowed = crate::descriptors::allowed(files);
        if allowed.connections < self.max_connections || allowed.files < files {
            tracing::warn!(
                server = self.name,
                wanted = self.max_connections,
                allowed = allowed.connections.min(self.max_connections),
                wanted_files = files,
                allowed_files = allowed.files,
                "the limit of open files allows fewer connections or files; raise it with `ulimit -Hn` or `LimitNOFILE=`"
            );
        }
        (self.with_at_most(allowed.connections), allowed.files)
    }

    /// A limit of one address that was set apart stays, as far as it can be reached.
    fn with_at_most(mut self, allowed: usize) -> Self {
        if allowed < self.max_connections {
            let is_default = self.max_connections_per_address == per_address(self.max_connections);
            let most = if is_default { per_address(allowed) } else { allowed };
            self.max_connections_per_address = self.max_connections_per_address.min(most);
            self.max_connections = allowed;
        }
        self
    }
}

const fn per_address(connections: usize) -> usize {
    connections.div_ceil(ADDRESS_DIVISOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_connections_leave_an_explicit_limit_of_one_address_as_it_is() {
        let default = ServerSettings::new("test", 100, Bodies::Small, Duration::ZERO);
        let explicit = |max_connections_per_address| ServerSettings {
            max_connections_per_address,
            ..default.clone()
        };
        for (settings, allowed, per_address) in [
            (default.clone(), 200, 50),
            (default.clone(), 40, 20),
            (explicit(10), 40, 10),
            (explicit(30), 40, 30),
            (explicit(90), 40, 40),
        ] {
            let found = settings.with_at_most(allowed);
            assert_eq!(found.max_connections, allowed.min(100));
            assert_eq!(found.max_connections_per_address, per_address, "{allowed}");
        }
    }
}
