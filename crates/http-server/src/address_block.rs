//! The addresses that count as one client for the shares of bounds: an IPv4 address, or an IPv6 /64,
//! the smallest network that a subscriber gets (RFC 6177). Pure.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// How many bits of an IPv6 address are the host's own choice.
const IPV6_HOST_BITS: u32 = 64;

/// An IPv4 address or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressBlock(IpAddr);

impl AddressBlock {
    /// The block of `address`. An IPv4-mapped IPv6 address is the IPv4 address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let network = address.to_bits() >> IPV6_HOST_BITS << IPV6_HOST_BITS;
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
        })
    }

    /// Its lowest address, of which it is the block.
    #[must_use]
    pub const fn first(self) -> IpAddr {
        self.0
    }
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(network) => write!(f, "{network}/{}", 128 - IPV6_HOST_BITS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_an_ipv4_address_or_an_ipv6_64() {
        for (address, block) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("::1", "::/64"),
        ] {
            let address = address.parse().expect(address);
            assert_eq!(AddressBlock::of(address).to_string(), block);
        }
    }
}
