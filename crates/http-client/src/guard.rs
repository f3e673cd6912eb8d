//! Which addresses may be dialled when a public host names the target: a registry must not be able to
//! send us to what only we can reach, such as a cloud's metadata server.
//!
//! The address is looked at where it is dialled, so that a name which resolves to such an address is no
//! way around; and only what is looked at is dialled.
//!
//! Source: IANA's IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890); RFC 6052 §2.1, RFC 3056
//! and RFC 4291 §2.5.5 for IPv4 addresses in IPv6 ones.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use url::{Host, Url};

use crate::causes::cause_of;

/// Who named the host that is dialled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// The user, or a host that is not public itself.
    #[default]
    Open,
    /// A public host: only public addresses are dialled.
    PublicOnly,
}

/// An address that a public host must not send us to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a public address")]
pub(crate) struct NotPublic(pub(crate) IpAddr);

/// Whether `address` is public.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => {
            embedded_v4(address).map_or_else(|| is_public_v6(address), is_public_v4)
        }
    }
}

/// Whether a name is one of the public Internet: not of this machine or its network by what the name says.
///
/// Source: RFC 6761 §6.3 (`localhost`), RFC 6762 §3 (`local`), ICANN's resolution 2024.07.29.06 (`internal`).
pub(crate) fn is_public_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let last = name.rsplit_once('.').map(|(_, last)| last);
    last.is_some_and(|last| !["localhost", "local", "internal"].contains(&last))
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        // This network, loopback, and everything from multicast up.
        (0 | 127 | 224.., ..)
        | (10, ..)
        | (172, 16..=31, _)
        | (192, 168, _)
        // Link-local, where clouds have their metadata servers.
        | (169, 254, _)
        // Carriers' own.
        | (100, 64..=127, _)
        // Protocol assignments, documentation, 6to4 relays, benchmarks.
        | (192, 0, 0 | 2)
        | (192, 88, 99)
        | (198, 18 | 19, _)
        | (198, 51, 100)
        | (203, 0, 113) => true,
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let is_global_unicast = (first & 0xe000) == 0x2000;
    // IETF protocols (Teredo among them), documentation.
    let special = (first == 0x2001 && (second < 0x200 || second == 0xdb8))
        || (first == 0x3fff && second < 0x1000);
    is_global_unicast && !special
}

/// The IPv4 address that is meant: mapped, translated (NAT64), or by 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let (high, low) = match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff | 0) if address != Ipv6Addr::LOCALHOST => (g, h),
        (0x64, 0xff9b, 0, 0, 0, 0) => (g, h),
        (0x2002, high, low, ..) => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

/// Refuses a URL whose host is an address that is not public; names are looked at when they are resolved.
pub(crate) fn check_literal(url: &Url, allowed: &HashSet<String>) -> Result<(), NotPublic> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    let is_allowed = url.host_str().is_some_and(|host| allowed.contains(host))
        || allowed.contains(&address.to_string());
    if is_allowed || is_public(address) { Ok(()) } else { Err(NotPublic(address)) }
}

/// The refusal that is behind an error of the connection, if it is one.
pub(crate) fn not_public(error: &(dyn std::error::Error + 'static)) -> Option<NotPublic> {
    cause_of(error).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_not_public() {
        for (address, public) in [
            ("8.8.8.8", true),
            ("1.1.1.1", true),
            ("100.63.255.255", true),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("172.15.0.1", true),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("172.32.0.1", true),
            ("10.1.2.3", false),
            ("192.168.0.1", false),
            ("192.169.0.1", true),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("0.0.0.0", false),
            ("169.254.169.254", false),
            ("192.0.0.192", false),
            ("192.0.2.1", false),
            ("192.0.1.1", true),
            ("198.18.0.1", false),
            ("198.20.0.1", true),
            ("203.0.113.9", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("2001:4860:4860::8888", true),
            ("2600:1f01:4874::47", true),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("ff02::1", false),
            ("2001:db8::1", false),
            ("2001::1", false),
            ("2001:200::1", true),
            ("::ffff:169.254.169.254", false),
            ("::ffff:8.8.8.8", true),
            ("64:ff9b::a9fe:a9fe", false),
            ("64:ff9b::808:808", true),
            ("64:ff9b:1::1", false),
            ("2002:7f00:1::", false),
            ("2002:808:808::", true),
            ("::7f00:1", false),
        ] {
            assert_eq!(is_public(address.parse().expect(address)), public, "{address}");
        }
    }

    #[test]
    fn names_of_this_network_are_not_public() {
        for (name, public) in [
            ("registry.example", true),
            ("local.example", true),
            ("localhost", false),
            ("a.localhost", false),
            ("metadata.google.internal", false),
            ("METADATA.google.Internal.", false),
            ("nas.local", false),
            ("intranet", false),
        ] {
            assert_eq!(is_public_name(name), public, "{name}");
        }
    }

    #[test]
    fn literals_are_looked_at_as_they_are_dialled() {
        let allowed = HashSet::from(["10.0.0.1".to_owned()]);
        for (url, public) in [
            ("http://10.0.0.1:5000/x", true),
            ("http://10.0.0.2/x", false),
            // What a URL parser makes of it is what is dialled.
            ("http://0x7f.1/x", false),
            ("http://2130706433/x", false),
            ("http://[::ffff:127.0.0.1]/x", false),
            ("http://8.8.8.8/x", true),
            ("http://name.example/x", true),
        ] {
            let url = url.parse().expect(url);
            assert_eq!(check_literal(&url, &allowed).is_ok(), public, "{url}");
        }
    }
}
