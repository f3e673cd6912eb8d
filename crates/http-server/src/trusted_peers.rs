//! The peers that are trusted to name the client behind them: balancers and proxies. Pure.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// Which peers an empty list of networks trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultTrust {
    /// No peer.
    None,
    /// Peers on this machine.
    Loopback,
    /// Every peer: only a balancer can connect.
    AllPeers,
}

/// Trusted peers: they are exempt from the share of connections, and their `X-Forwarded-For` counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedPeers {
    networks: Vec<IpNet>,
    default: DefaultTrust,
}

impl TrustedPeers {
    /// The peers in `networks`; those of `default` if the list is empty.
    #[must_use]
    pub const fn new(networks: Vec<IpNet>, default: DefaultTrust) -> Self {
        Self { networks, default }
    }

    /// Trusts no peer.
    #[must_use]
    pub const fn none() -> Self {
        Self::new(Vec::new(), DefaultTrust::None)
    }

    /// Whether `peer` is one of them.
    #[must_use]
    pub fn contain(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        if self.networks.is_empty() {
            return match self.default {
                DefaultTrust::None => false,
                DefaultTrust::Loopback => peer.is_loopback(),
                DefaultTrust::AllPeers => true,
            };
        }
        self.networks.iter().any(|network| network.contains(&peer))
    }

    /// In words, as they follow "the entry of the header".
    pub(crate) const fn in_words(&self) -> &'static str {
        match self.default {
            _ if !self.networks.is_empty() => "if the peer is trusted",
            DefaultTrust::AllPeers => "from any peer",
            DefaultTrust::Loopback => "if the peer is loopback",
            DefaultTrust::None => "from no peer",
        }
    }
}

/// Reads a network (`10.0.0.0/8`, `fd00::/8`), or an address, which is the network of that address alone.
///
/// # Errors
/// The text says what was expected.
pub fn parse_network(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = parsed.map_err(|_error| {
        format!("`{text}` is not a network; write `10.0.0.0/8`, `fd00::/8` or an address")
    })?;
    Ok(canonical(network).trunc())
}

/// Peers have IPv4 addresses where they can, so networks of IPv4-mapped addresses are IPv4 networks too.
fn canonical(network: IpNet) -> IpNet {
    match network {
        IpNet::V6(mapped) if mapped.prefix_len() >= 96 => mapped
            .addr()
            .to_ipv4_mapped()
            .and_then(|address| Ipv4Net::new(address, mapped.prefix_len() - 96).ok())
            .map_or(network, IpNet::V4),
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_may_be_addresses() {
        let network = |text: &str| parse_network(text).map(|network| network.to_string());
        assert_eq!(network("10.1.2.3/8"), Ok("10.0.0.0/8".into()));
        assert_eq!(network("::1"), Ok("::1/128".into()));
        assert_eq!(network("::ffff:10.0.0.0/104"), Ok("10.0.0.0/8".into()));
        assert!(network("10.0.0.0/33").is_err() && network("x").is_err());
    }

    #[test]
    fn an_empty_list_stands_for_the_default() {
        for (default, trusted) in [
            (DefaultTrust::None, [false, false]),
            (DefaultTrust::Loopback, [true, false]),
            (DefaultTrust::AllPeers, [true, true]),
        ] {
            let peers = TrustedPeers::new(Vec::new(), default);
            let found = ["::ffff:127.0.0.1", "192.0.2.1"]
                .map(|peer| peers.contain(peer.parse().expect(peer)));
            assert_eq!(found, trusted, "{default:?}");
        }
        let network = parse_network("192.0.2.0/24").expect("a network");
        let peers = TrustedPeers::new(vec![network], DefaultTrust::AllPeers);
        assert!(peers.contain("192.0.2.1".parse().expect("an address")));
        assert!(!peers.contain("127.0.0.1".parse().expect("an address")));
    }
}
