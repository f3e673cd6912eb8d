//! Addresses to listen on, as flags and configurations have them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Why a text is not an address and port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The name of a host.
    #[error("`{text}`: names are not accepted; write an address, such as `127.0.0.1:{port}`")]
    Name {
        /// All of it.
        text: String,
        /// Its port.
        port: u16,
    },
    /// Anything else, such as a port alone.
    #[error("`{0}` is not an address and port; write for example `127.0.0.1:8080` or `[::]:8080`")]
    Malformed(String),
}

/// The address and port that `text` is: an IP address and a port, `localhost:PORT` for the IPv4 loopback address, or
/// `:PORT` for all addresses.
///
/// # Errors
/// When it is something else, such as a port alone or another host name, which may have several addresses.
pub fn parse_address(text: &str) -> Result<SocketAddr, AddressError> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let malformed = || AddressError::Malformed(text.to_owned());
    let (host, port) = text.rsplit_once(':').ok_or_else(malformed)?;
    let port = port.parse().map_err(|_error| malformed())?;
    let is_of_a_name = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '.' | '_');
    match host {
        "" => Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)),
        "localhost" => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        // What has digits and dots only is an address with a mistake.
        name if name.chars().all(is_of_a_name) && name.contains(|it: char| it.is_alphabetic()) => {
            Err(AddressError::Name { text: text.to_owned(), port })
        }
        _ => Err(malformed()),
    }
}

/// Whether two listeners cannot both have their address. Port 0 takes a free one.
#[must_use]
pub fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (is_any || one.ip() == other.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_this_machine() {
        for (text, address) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("localhost:80", "127.0.0.1:80"),
            (":80", "[::]:80"),
        ] {
            assert_eq!(parse_address(text), Ok(address.parse().expect(address)), "{text}");
        }
        let name = AddressError::Name { text: "a.example:80".to_owned(), port: 80 };
        assert_eq!(parse_address("a.example:80"), Err(name));
        for bad in ["", "80", "127.0.0:80", "localhost", "localhost:x", "::1:80:", "http://a:80"] {
            let malformed = AddressError::Malformed(bad.to_owned());
            assert_eq!(parse_address(bad), Err(malformed), "{bad}");
        }
    }
}
