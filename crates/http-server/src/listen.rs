//! Listening: with the longest queue that the system allows, and for IPv4 and IPv6 at once where the
//! address is `[::]`.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// The longest queue of connections that wait to be accepted, by the system's own choice.
const SOMAXCONN: &str = "/proc/sys/net/core/somaxconn";
/// If the system has no value: Linux's default since 5.4.
const DEFAULT_BACKLOG: i32 = 4_096;

/// Listens on `address`. `[::]` takes IPv4 too, independent of the system's default, and where there is no
/// IPv6 it is `0.0.0.0`. It must be called within a tokio runtime.
///
/// # Errors
/// When the address is taken, not ours, or not permitted.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match bind(address) {
        Err(error) if is_any_ipv6(address) && has_no_ipv6(&error) => {
            tracing::warn!(%error, "this machine has no IPv6; listening on IPv4 only");
            bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port()))
        }
        bound => bound,
    }
}

fn is_any_ipv6(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

/// Switched off at boot, the family is not supported; in a container without it, the address does not exist.
fn has_no_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if is_any_ipv6(address) {
        socket.set_only_v6(false)?;
    }
    // A server that starts again must not wait for the connections of the one before.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog())?;
    TcpListener::from_std(socket.into())
}

/// A burst of new connections is no fault: what the system queues is accepted, and what it does not queue is lost.
fn backlog() -> i32 {
    let text = fs::read_to_string(SOMAXCONN).ok();
    let length = text.and_then(|text| text.trim().parse::<i32>().ok());
    length.filter(|length| *length > 0).unwrap_or(DEFAULT_BACKLOG)
}
