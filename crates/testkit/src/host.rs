//! Hosts that do not respond.

use std::net::TcpListener;

use oci::Host;
use tokio::net::TcpSocket;

/// A host that does not respond.
#[derive(Debug)]
pub struct TestHost(TcpListener);

impl TestHost {
    /// A host that refuses connections, as long as this process runs.
    #[must_use]
    pub fn unreachable() -> Host {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        // A port that is bound but not listening refuses connections, and no other process can bind it.
        std::mem::forget(socket);
        address.to_string().parse().expect("an address is a host")
    }

    /// A host that takes connections and never says a word, until this is dropped.
    #[must_use]
    pub fn silent() -> Self {
        // The system accepts connections for a listener; nothing ever reads from them.
        Self(TcpListener::bind("127.0.0.1:0").expect("a free port"))
    }

    /// Where it listens.
    #[must_use]
    pub fn host(&self) -> Host {
        let address = self.0.local_addr().expect("a bound socket has an address");
        address.to_string().parse().expect("an address is a host")
    }
}
