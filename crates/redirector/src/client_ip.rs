//! Whose request it is: from the peer, the header lines and the policy to the client's address, or
//! why it is unknown. Pure. The table is in `docs/front.md`, "Who the client is".

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use http::HeaderValue;

use crate::config::{ClientIpPolicy, Config, Forwarded};

/// Why nobody can say who the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// The header is required, and it came from somebody who may not set it.
    UntrustedPeer,
    /// The header is required, and there is none.
    Missing,
    /// Fewer entries than our balancers append, and the client's.
    TooShort,
    /// The entry is not an address.
    Unreadable,
}

/// Decides whom to believe.
#[derive(Clone, Debug)]
pub(crate) struct ClientIp {
    policy: ClientIpPolicy,
    /// Whom `trusted_peers`, when it is empty, stands for.
    default_trust: DefaultTrust,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DefaultTrust {
    Loopback,
    Everybody,
}

impl ClientIp {
    pub(crate) fn new(config: &Config) -> Self {
        let policy = config.client_ip.clone();
        let everybody = config.built_in || policy.forwarded == Forwarded::Required;
        let default_trust =
            if everybody { DefaultTrust::Everybody } else { DefaultTrust::Loopback };
        Self { policy, default_trust }
    }

    /// The address of the client. `lines` are those of `X-Forwarded-For`, in order.
    pub(crate) fn find<'h>(
        &self,
        peer: IpAddr,
        lines: impl DoubleEndedIterator<Item = &'h HeaderValue>,
    ) -> Result<IpAddr, Unknown> {
        let peer = peer.to_canonical();
        match (self.policy.forwarded, self.believes(peer)) {
            (Forwarded::Never, _) | (Forwarded::Auto, false) => return Ok(peer),
            (Forwarded::Required, false) => return Err(Unknown::UntrustedPeer),
            (Forwarded::Auto | Forwarded::Required, true) => {}
        }
        let mut lines = lines.rev().peekable();
        if lines.peek().is_none() {
            return if self.policy.forwarded == Forwarded::Auto {
                Ok(peer)
            } else {
                Err(Unknown::Missing)
            };
        }
        let entry = lines.flat_map(entries_from_the_end).nth(self.policy.trusted_hops);
        address(entry.ok_or(Unknown::TooShort)?).ok_or(Unknown::Unreadable)
    }

    fn believes(&self, peer: IpAddr) -> bool {
        if self.policy.trusted_peers.is_empty() {
            return peer.is_loopback() || self.default_trust == DefaultTrust::Everybody;
        }
        self.policy.trusted_peers.iter().any(|network| network.contains(&peer))
    }
}

/// The policy in words, for `explain`.
impl fmt::Display for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hops = self.policy.trusted_hops;
        let entry = match hops {
            0 => "the last entry".to_owned(),
            1 => "the entry before the last".to_owned(),
            _ => format!("the entry before the last {hops}"),
        };
        let whose = match self.default_trust {
            _ if !self.policy.trusted_peers.is_empty() => "if the peer is trusted",
            DefaultTrust::Everybody => "from any peer",
            DefaultTrust::Loopback => "if the peer is loopback",
        };
        match self.policy.forwarded {
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

/// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` and `[2001:db8::1]:80`.
fn address(entry: &[u8]) -> Option<IpAddr> {
    if let Some(address) = ipv4(entry) {
        return Some(IpAddr::V4(address));
    }
    let text = str::from_utf8(entry).ok()?;
    let parsed = text.parse::<IpAddr>().ok();
    let parsed = parsed.or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    Some(parsed.or_else(|| bracketed().map(IpAddr::V6))?.to_canonical())
}

/// Reads `192.0.2.1`: nearly every entry, and several times as fast as the standard library.
fn ipv4(entry: &[u8]) -> Option<Ipv4Addr> {
    let (mut octets, mut at, mut digits, mut value) = ([0; 4], 0, 0, 0_u16);
    for &byte in entry {
        match byte {
            b'0'..=b'9' if digits == 0 || value > 0 => {
                value = value * 10 + u16::from(byte - b'0');
                octets[at] = u8::try_from(value).ok()?;
                digits += 1;
            }
            b'.' if digits > 0 && at < 3 => (at, digits, value) = (at + 1, 0, 0),
            _ => return None,
        }
    }
    (at == 3 && digits > 0).then(|| octets.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client_ip(forwarded: Forwarded, hops: usize, peers: &[&str]) -> ClientIp {
        let trusted_peers = peers.iter().map(|peer| peer.parse().expect(peer)).collect();
        let policy = ClientIpPolicy { forwarded, trusted_hops: hops, trusted_peers };
        ClientIp::new(&Config { client_ip: policy, built_in: false, ..Config::built_in() })
    }

    fn find(client_ip: &ClientIp, peer: &str, lines: &[&str]) -> Result<String, Unknown> {
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
            (Auto, &["10.0.0.0/8"], lb, &["35.180.1.1"], Err(Unknown::TooShort)),
            (Auto, &["10.0.0.0/8"], lb, &[""], Err(Unknown::TooShort)),
            (Auto, &["10.0.0.0/8"], lb, &["x, 10.0.0.1"], Err(Unknown::Unreadable)),
            (Required, &["10.0.0.0/8"], out, &[client], Err(Unknown::UntrustedPeer)),
            (Required, &["10.0.0.0/8"], lb, &[], Err(Unknown::Missing)),
            (Required, &[], out, &[], Err(Unknown::Missing)),
            (Required, &[], out, &["35.180.1.1"], Err(Unknown::TooShort)),
            (Required, &[], out, &["unknown, 10.0.0.1"], Err(Unknown::Unreadable)),
            (Required, &[], out, &[client], found("35.180.1.1")),
        ] {
            let client_ip = client_ip(forwarded, 1, peers);
            let case = format!("{forwarded:?} {peers:?} {peer} {lines:?}");
            assert_eq!(find(&client_ip, peer, lines), expected, "{case}");
        }
    }

    #[test]
    fn the_built_in_configuration_believes_every_peer() {
        let client_ip = ClientIp::new(&Config::built_in());
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
        assert_eq!(find(&auto(3), "127.0.0.1", three), Err(Unknown::TooShort));
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
            ("[192.0.2.1]", None),
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
