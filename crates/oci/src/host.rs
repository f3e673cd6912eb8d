//! Registry hosts.
//!
//! Source: the host grammar is RFC 3986 §3.2 without user information, in the lower-case form that every client of
//! registries uses.

use std::{fmt, str::FromStr};

use crate::{
    Repository, canonical_host,
    docker_hub::{HOST, OFFICIAL, REGISTRY},
    shown::shown,
};

/// A registry: a host name or address, with an optional port. Every name of Docker Hub is `docker.io`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(Box<str>);

impl Host {
    /// The text: `host` or `host:port`; an IPv6 address stands in brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name or address without the port, and without an IPv6 address's brackets.
    #[must_use]
    pub fn name(&self) -> &str {
        let name = split_port(&self.0).0;
        name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name)
    }

    /// The port, if it names one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        split_port(&self.0).1.and_then(|port| port.parse().ok())
    }

    /// Whether it is this machine: `localhost` or a loopback address. Only these are spoken to over
    /// plain HTTP unasked, if they do not speak TLS.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let name = self.name();
        name == "localhost"
            || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (text, None),
    }
}

/// Why a text is not a registry host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a registry host: {remedy}", remedy = remedy(.0))]
pub struct HostError(String);

/// What to do about a text that is not a host.
fn remedy(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, _)) => format!("leave out `{scheme}://`"),
        None => "write a host name or address, with an optional `:port`".to_owned(),
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let (name, port) = split_port(text);
        let port_is_fine = port.is_none_or(|port| {
            port.bytes().all(|byte| byte.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        let is_label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        let name_is_fine = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => name.len() <= 253 && name.split('.').all(is_label),
        };
        if port_is_fine && name_is_fine {
            Ok(Self(canonical_host(&text.to_ascii_lowercase()).into()))
        } else {
            Err(HostError(shown(text)))
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Host {
    /// Whether it is Docker Hub.
    #[must_use]
    pub fn is_docker_hub(&self) -> bool {
        self.as_str() == HOST
    }

    /// The host, with the port if it has one, that serves this registry.
    #[must_use]
    pub fn authority(&self) -> &str {
        if self.is_docker_hub() { REGISTRY } else { self.as_str() }
    }

    /// The name that this registry has for the repository `name`: at Docker Hub `library/NAME`, if it has one component.
    #[must_use]
    pub fn repository(&self, name: &Repository) -> Repository {
        if !self.is_docker_hub() || name.as_str().contains('/') {
            return name.clone();
        }
        // A name that is too long with it is too long for Docker Hub too, which will say so.
        format!("{OFFICIAL}/{name}").parse().unwrap_or_else(|_| name.clone())
    }
}
