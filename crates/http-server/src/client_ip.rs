//! Whose request it is: from the peer, the header lines and the policy to the client's address, or
//! why it is unknown. Pure. The table is in `docs/reference/front.md`, "Client address".

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use http::HeaderValue;
use ipnet::IpNet;
use serde::{Serialize, Serializer};

use crate::{DefaultTrust, TrustedPeers};

/// How the client's address is found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClientIpPolicy {
    /// Whether `X-Forwarded-For` is used.
    pub forwarded: Forwarded,
    /// How many entries our balancers append after the client's address.
    pub trusted_hops: usize,
    /// The peers whose header is used; empty: as `forwarded` says.
    #[serde(serialize_with = "print_networks")]
    pub trusted_peers: Vec<IpNet>,
}

fn print_networks<S: Serializer>(networks: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(networks.iter().map(ToString::to_string))
}

/// Whether `X-Forwarded-For` is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Forwarded {
    /// From trusted peers; without a header the peer is the client.
    #[default]
    Auto,
    /// Never: the peer is the client.
    Never,
    /// The header is required: without one the client is unknown.
    Required,
}

impl FromStr for Forwarded {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "never" => Ok(Self::Never),
            "required" => Ok(Self::Required),
            _ => Err(format!("`{text}` is not one of `auto`, `never` and `required`")),
        }
    }
}

/// Why the client's address is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownClient {
    /// The header is required, and the peer that sent it is not trusted.
    UntrustedPeer,
    /// The header is required and absent.
    Missing,
    /// Fewer entries than the trusted balancers append plus the client's.
    TooShort,
    /// The entry is not an address.
    Unreadable,
}

/// Finds the client's address.
#[derive(Clone, Debug)]
pub struct ClientIp {
    forwarded: Forwarded,
    trusted_hops: usize,
    trusted_peers: TrustedPeers,
}

impl ClientIp {
    /// Finds addresses by `policy`. If it lists no trusted peers, those of `default` are, and with
    /// [`Forwarded::Required`] every peer is.
    #[must_use]
    pub fn new(policy: ClientIpPolicy, default: DefaultTrust) -> Self {
        let ClientIpPolicy { forwarded, trusted_hops, trusted_peers } = policy;
        let default = match forwarded {
            Forwarded::Required => DefaultTrust::AllPeers,
            Forwarded::Auto | Forwarded::Never => default,
        };
        Self { forwarded, trusted_hops, trusted_peers: TrustedPeers::new(trusted_peers, default) }
    }

    /// The peers whose header is used.
    #[must_use]
    pub const fn trusted_peers(&self) -> &TrustedPeers {
        &self.trusted_peers
    }

    /// The address of the client. `lines` are those of `X-Forwarded-For`, in order.
    ///
    /// # Errors
    /// Why it is unknown.
    pub fn find<'h>(
        &self,
        peer: IpAddr,
        lines: impl DoubleEndedIterator<Item = &'h HeaderValue>,
    ) -> Result<IpAddr, UnknownClient> {
        let peer = peer.to_canonical();
        match (self.forwarded, self.trusted_peers.contain(peer)) {
            (Forwarded::Never, _) | (Forwarded::Auto, false) => return Ok(peer),
            (Forwarded::Required, false) => return Err(UnknownClient::UntrustedPeer),
            (Forwarded::Auto | Forwarded::Required, true) => {}
        }
        let mut lines = lines.rev().peekable();
        if lines.peek().is_none() {
            return if self.forwarded == Forwarded::Auto {
                Ok(peer)
            } else {
                Err(UnknownClient::Missing)
            };
        }
        let entry = lines.flat_map(entries_from_the_end).nth(self.trusted_hops);
        address(entry.ok_or(UnknownClient::TooShort)?).ok_or(UnknownClient::Unreadable)
    }
}

/// The policy in words, for `explain`.
impl fmt::Display for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hops = self.trusted_hops;
        let entry = match hops {
            0 => "the last entry".to_owned(),
            1 => "the entry before the last".to_owned(),
            _ => format!("the entry before the last {hops}"),
        };
        let whose = self.trusted_peers.in_words();
        match self.forwarded {
            Forwarded::Never => write!(f, "the peer's address"),
            Forwarded::Auto => {
                write!(f, "{entry} of X-Forwarded-For {whose}, otherwise the peer's address")
            }
            Forwarded::Required => {
                write!(f, "{entry} of X-Forwarded-For {whose}, otherwise unknown")
            }
        }
    }
}

/// The entries of one line, the last first, without empty ones (RFC 9110, 5.6.1.2).
fn entries_from_the_end(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let entries = line.as_bytes().rsplit(|byte| *byte == b',');
    entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty())
}

/// Reads an address, in brackets or not, with a port or not: `192.0.2.1:80`, `[2001:db8::1]`. Brackets around
/// IPv4 (`[192.0.2.1]`) are outside RFC 7239 §6, but there are proxies that put them around every address,
/// and it can mean nothing else.
fn address(entry: &[u8]) -> Option<IpAddr> {
    if let Some(address) = ipv4(entry) {
        return Some(IpAddr::V4(address));
    }
    let text = str::from_utf8(entry).ok()?;
    let ipv6 = text.parse::<Ipv6Addr>().map(IpAddr::V6);
    let parsed = ipv6.or_else(|_| text.parse::<SocketAddr>().map(|at| at.ip()));
    Some(parsed.ok().or_else(|| bracketed(text))?.to_canonical())
}

/// Reads `[192.0.2.1]`, `[192.0.2.1]:80` and `[2001:db8::1]`.
fn bracketed(text: &str) -> Option<IpAddr> {
    let (address, port) = text.strip_prefix('[')?.split_once(']')?;
    let has_port = || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    (port.is_empty() || has_port()).then(|| address.parse().ok())?
}

/// Reads `192.0.2.1`: nearly every entry, and several times as fast as the standard library.
fn ipv4(entry: &[u8]) -> Option<Ipv4Addr> {
    let (first, rest) = octet(entry)?;
    let (second, rest) = octet(rest.strip_prefix(b".")?)?;
    let (third, rest) = octet(rest.strip_prefix(b".")?)?;
    let (fourth, rest) = octet(rest.strip_prefix(b".")?)?;
    rest.is_empty().then(|| Ipv4Addr::new(first, second, third, fourth))
}

/// Reads a number from 0 to 255, without leading zeros, from the start of `text`. Gives the rest as well.
fn octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: &u8| byte.wrapping_sub(b'0');
    let is_digit = |byte: &u8| digit(byte) < 10;
    match text {
        [first @ b'1'..=b'9', second, third, rest @ ..] if is_digit(second) && is_digit(third) => {
            let value =
                u16::from(digit(first)) * 100 + u16::from(digit(second) * 10 + digit(third));
            u8::try_from(value).ok().map(|value| (value, rest))
        }
        [first @ b'1'..=b'9', second, rest @ ..] if is_digit(second) => {
            Some((digit(first) * 10 + digit(second), rest))
        }
        [first, rest @ ..] if is_digit(first) => Some((digit(first), rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client_ip(forwarded: Forwarded, hops: usize, peers: &[&str]) -> ClientIp {
        let trusted_peers = peers.iter().map(|peer| peer.parse().expect(peer)).collect();
        let policy = ClientIpPolicy { forwarded, trusted_hops: hops, trusted_peers };
        ClientIp::new(policy, DefaultTrust::Loopback)
    }

    fn find(client_ip: &ClientIp, peer: &str, lines: &[&str]) -> Result<String, UnknownClient> {
        let lines: Vec<_> = lines
            .iter()
            .map(|line| HeaderValue::from_bytes(line.as_bytes()).expect(line))
            .collect();
        client_ip.find(peer.parse().expect(peer), lines.iter()).map(|address| address.to_string())
    }

    #[test]
    fn the_rows_of_the_table() {
        use Forwarded::{Auto, Never, Required};
        let found = |text: &str| Ok(text.to_owned());
        let (lb, out, client) = ("10.0.0.1", "192.0.2.7", "35.180.1.1, 10.0.0.1");
        for (forwarded, peers, peer, lines, expected) in [
            (Never, &["10.0.0.0/8"][..], lb, &[client][..], found(lb)),
            (Auto, &["10.0.0.0/8"], out, &[client], found(out)),
            (Auto, &["10.0.0.0/8"], "127.0.0.1", &[client], found("127.0.0.1")),
            (Auto, &[], out, &[client], found(out)),
            (Auto, &[], "127.0.0.1", &[], found("127.0.0.1")),
            (Auto, &[], "127.0.0.1", &[client], found("35.180.1.1")),
            (Auto, &[], "::1", &[client], found("35.180.1.1")),
            (Auto, &[], "::ffff:127.0.0.1", &[client], found("35.180.1.1")),
            (Auto, &["10.0.0.0/8"], lb, &[], found(lb)),
            (Auto, &["10.0.0.0/8"], lb, &[client], found("35.180.1.1")),
            (Auto, &["10.0.0.0/8"], "::ffff:10.0.0.1", &[client], found("35.180.1.1")),
            (Auto, &["10.0.0.0/8"], lb, &["35.180.1.1"], Err(UnknownClient::TooShort)),
            (Auto, &["10.0.0.0/8"], lb, &[""], Err(UnknownClient::TooShort)),
            (Auto, &["10.0.0.0/8"], lb, &["x, 10.0.0.1"], Err(UnknownClient::Unreadable)),
            (Required, &["10.0.0.0/8"], out, &[client], Err(UnknownClient::UntrustedPeer)),
            (Required, &["10.0.0.0/8"], lb, &[], Err(UnknownClient::Missing)),
            (Required, &[], out, &[], Err(UnknownClient::Missing)),
            (Required, &[], out, &["35.180.1.1"], Err(UnknownClient::TooShort)),
            (Required, &[], out, &["unknown, 10.0.0.1"], Err(UnknownClient::Unreadable)),
            (Required, &[], out, &[client], found("35.180.1.1")),
        ] {
            let client_ip = client_ip(forwarded, 1, peers);
            let case = format!("{forwarded:?} {peers:?} {peer} {lines:?}");
            assert_eq!(find(&client_ip, peer, lines), expected, "{case}");
        }
    }

    #[test]
    fn every_peer_may_be_trusted() {
        let policy = ClientIpPolicy { trusted_hops: 1, ..ClientIpPolicy::default() };
        let client_ip = ClientIp::new(policy, DefaultTrust::AllPeers);
        let lines = ["35.180.1.1,10.0.0.1"];
        assert_eq!(find(&client_ip, "192.0.2.7", &lines), Ok("35.180.1.1".into()));
        assert_eq!(find(&client_ip, "192.0.2.7", &[]), Ok("192.0.2.7".into()));
    }

    #[test]
    fn several_lines_are_one_list() {
        let auto = |hops| client_ip(Forwarded::Auto, hops, &[]);
        for (hops, lines, expected) in [
            (0, &["1.1.1.1, 2.2.2.2", "3.3.3.3"][..], "3.3.3.3"),
            (1, &["1.1.1.1, 2.2.2.2", "3.3.3.3"], "2.2.2.2"),
            (2, &["1.1.1.1, 2.2.2.2", "3.3.3.3"], "1.1.1.1"),
            (1, &["1.1.1.1", "", " , 3.3.3.3 ,, "], "1.1.1.1"),
            (1, &["lies, <script>, 2.2.2.2,3.3.3.3"], "2.2.2.2"),
        ] {
            assert_eq!(find(&auto(hops), "127.0.0.1", lines), Ok(expected.into()), "{lines:?}");
        }
        let three = &["1.1.1.1, 2.2.2.2", "3.3.3.3"];
        assert_eq!(find(&auto(3), "127.0.0.1", three), Err(UnknownClient::TooShort));
    }

    #[test]
    fn ports_and_brackets_are_stripped() {
        for (entry, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:80", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("[::ffff:192.0.2.1]:1", Some("192.0.2.1")),
            ("", None),
            ("unknown", None),
            ("192.0.2", None),
            ("192.0.2.1:", None),
            ("192.0.2.1:99999", None),
            ("192.0.02.1", None),
            ("[192.0.2.1]", Some("192.0.2.1")),
            ("[192.0.2.1]:80", Some("192.0.2.1")),
            ("[192.0.2.1]80", None),
            ("[192.0.2.1]:", None),
            ("[192.0.2.1", None),
            ("[]", None),
            ("fe80::1%eth0", None),
            ("\"192.0.2.1\"", None),
        ] {
            let expected = expected.map(|text| text.parse().expect(text));
            assert_eq!(address(entry.as_bytes()), expected, "{entry:?}");
        }
        assert_eq!(address(b"\xff"), None);
    }

    #[test]
    fn the_policy_in_words() {
        for (client_ip, words) in [
            (client_ip(Forwarded::Never, 1, &[]), "the peer's address"),
            (
                client_ip(Forwarded::Auto, 0, &[]),
                "the last entry of X-Forwarded-For if the peer is loopback, otherwise the peer's address",
            ),
            (
                client_ip(Forwarded::Required, 2, &["10.0.0.0/8"]),
                "the entry before the last 2 of X-Forwarded-For if the peer is trusted, otherwise unknown",
            ),
        ] {
            assert_eq!(client_ip.to_string(), words);
        }
    }
    proptest! {
        #[test]
        fn ipv4_is_read_as_the_standard_library_does(
            text in prop_oneof!["[0-9]{0,4}(\\.[0-9]{0,4}){0,4}", "([0-9]{1,3}\\.){3}[0-9]{1,3}", any::<String>()],
            octets in any::<[u8; 4]>(),
        ) {
            prop_assert_eq!(ipv4(text.as_bytes()), text.parse().ok());
            let address = Ipv4Addr::from(octets);
            prop_assert_eq!(ipv4(address.to_string().as_bytes()), Some(address));
        }
    }
}
