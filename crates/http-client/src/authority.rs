//! The host and port of a URL.

use std::{fmt, net::IpAddr};

/// A host name or address with an optional port, in lower case; an IPv6 address stands in brackets.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Authority(Box<str>);

impl Authority {
    /// The authority that this text is. What is no authority leads to no host: connecting to it fails.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_ascii_lowercase().into())
    }

    /// The text: `host` or `host:port`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name or address without the port, and without the brackets of an IPv6 address.
    #[must_use]
    pub fn name(&self) -> &str {
        let name = self.split().0;
        name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name)
    }

    /// The port, if it names one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.split().1.and_then(|port| port.parse().ok())
    }

    /// Whether it is this machine: `localhost` or a loopback address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let name = self.name();
        name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    fn split(&self) -> (&str, Option<&str>) {
        match self.0.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, Some(port)),
            _ => (&self.0, None),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_split_into_name_and_port() {
        for (text, name, port, is_loopback) in [
            ("Host.Example", "host.example", None, false),
            ("localhost:5000", "localhost", Some(5000), true),
            ("127.0.0.2", "127.0.0.2", None, true),
            ("[::1]:80", "::1", Some(80), true),
            ("[2001:db8::1]", "2001:db8::1", None, false),
            ("localhost.example", "localhost.example", None, false),
        ] {
            let authority = Authority::new(text);
            assert_eq!((authority.name(), authority.port()), (name, port), "{text}");
            assert_eq!(authority.is_loopback(), is_loopback, "{text}");
        }
    }
}
