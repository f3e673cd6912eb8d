//! Addresses to listen on, as flags and configurations have them.

use std::net::SocketAddr;

/// Why a text is not an address and port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address and port; write for example `127.0.0.1:8080` or `[::]:8080`")]
pub struct AddressError(String);

/// The address and port that `text` is.
///
/// # Errors
/// When it is something else, such as a port alone or a host name.
pub fn parse_address(text: &str) -> Result<SocketAddr, AddressError> {
    text.parse().map_err(|_error| AddressError(text.to_owned()))
}
