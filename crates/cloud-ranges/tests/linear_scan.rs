//! Lookups held against an obviously right linear scan: over prefixes made up at random, and over
//! the first, last and adjacent addresses of every prefix that AWS and Google really publish.

#![expect(clippy::expect_used, clippy::print_stderr, reason = "helpers of tests")]

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use cloud_ranges::{Format, Location, Match, Prefix, Ranges, parse};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

/// An address as its family and a number.
fn number(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(ip) => (true, ip.to_bits().into()),
        IpAddr::V6(ip) => (false, ip.to_bits()),
    }
}

fn address((is_v4, number): (bool, u128)) -> Option<IpAddr> {
    match u32::try_from(number) {
        Ok(number) if is_v4 => Some(Ipv4Addr::from_bits(number).into()),
        Err(_) if is_v4 => None,
        _ => Some(Ipv6Addr::from_bits(number).into()),
    }
}

/// A prefix with its first and last address: what a scan compares, without the prefix type's help.
struct Line {
    is_v4: bool,
    first: u128,
    last: u128,
    prefix: Prefix,
}

impl Line {
    fn new(prefix: &Prefix) -> Self {
        let prefix = Prefix { net: prefix.net.trunc(), location: prefix.location.clone() };
        let ((is_v4, first), (_, last)) =
            (number(prefix.net.network()), number(prefix.net.broadcast()));
        Self { is_v4, first, last, prefix }
    }

    /// The first and the last address, and the ones before and behind it.
    fn edges(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let outside = [self.first.checked_sub(1), self.last.checked_add(1)];
        let inside = [Some(self.first), Some(self.last)];
        let is_v4 = self.is_v4;
        let numbers = outside.into_iter().chain(inside).flatten();
        numbers.filter_map(move |number| address((is_v4, number)))
    }
}

/// The table of `docs/internals/cloud-ranges.md`, word for word.
fn scan(lines: &[Line], address: IpAddr) -> Option<&Prefix> {
    let (is_v4, x) = number(address.to_canonical());
    let around = lines.iter().filter(|of| of.is_v4 == is_v4 && of.first <= x && x <= of.last);
    let mut around: Vec<&Prefix> = around.map(|line| &line.prefix).collect();
    let by_name = |of: &Prefix| (of.location.cloud.clone(), of.location.region.clone());
    around.sort_by_key(|of| (Reverse(of.net.prefix_len()), of.location.is_global(), by_name(of)));
    let longest = *around.first()?;
    let same_cloud = |of: &&&Prefix| of.location.cloud == longest.location.cloud;
    let region = around.iter().filter(same_cloud).find(|of| !of.location.is_global());
    if longest.location.is_global() { region.copied().or(Some(longest)) } else { Some(longest) }
}

/// Holds both lookups against the scan, at the edges of all prefixes, and for the IPv4-mapped form
/// of each address too.
fn check(prefixes: &[Prefix]) {
    let ranges = Ranges::new(prefixes.iter().cloned());
    let lines: Vec<Line> = prefixes.iter().map(Line::new).collect();
    let addresses: BTreeSet<IpAddr> = lines.iter().flat_map(Line::edges).collect();
    for (n, address) in addresses.into_iter().enumerate() {
        let expected = scan(&lines, address).map(|of| (of.net, &of.location));
        let mapped = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
            IpAddr::V6(_) => address,
        };
        for form in [address, mapped] {
            let found = ranges.lookup(form).map(|id| ranges.location(id));
            assert_eq!(found, expected.map(|(_, location)| location), "{form}");
        }
        // This one is slow: of many addresses, every sixteenth.
        if lines.len() < 100 || n.is_multiple_of(16) {
            let matched = ranges.matched(mapped);
            let matched =
                matched.map(|Match { prefix, location }| (prefix, ranges.location(location)));
            assert_eq!(matched, expected, "{address}");
        }
    }
}

/// Prefixes that nest often: few different bits, all lengths, two clouds, few regions.
fn nets() -> impl Strategy<Value = IpNet> {
    let v4 = (any::<u32>(), 0..=32_u8).prop_map(|(bits, len)| {
        let address = Ipv4Addr::from_bits(bits & 0x8100_8181);
        Ipv4Net::new_assert(address, len).into()
    });
    let v6 = (any::<u128>(), 0..=128_u8).prop_map(|(bits, len)| {
        let address = Ipv6Addr::from_bits(bits & (0x8101 << 112 | 0x8100_0001));
        Ipv6Net::new_assert(address, len).into()
    });
    prop_oneof![v4, v6]
}

fn prefixes() -> impl Strategy<Value = Prefix> {
    let cloud = prop_oneof![Just("aws"), Just("gcp")];
    let region = prop_oneof![Just("GLOBAL"), Just("global"), Just("paris"), Just("oslo")];
    (nets(), cloud, region).prop_map(|(net, cloud, region)| Prefix {
        net,
        location: Location { cloud: cloud.into(), region: region.into() },
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn made_up_prefixes(prefixes in proptest::collection::vec(prefixes(), 0..48)) {
        check(&prefixes);
    }
}

/// The real lists; nothing, with a note, where they are not at hand.
fn real() -> Option<Vec<Prefix>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let data = std::env::var_os("PORTOLAN_DATA").map_or_else(|| default.into(), PathBuf::from);
    let read = |format, cloud, file| {
        let bytes = std::fs::read(data.join("ranges").join(file)).ok()?;
        Some(parse(format, cloud, &bytes).expect(file))
    };
    let aws = read(Format::Aws, "aws", "aws-ip-ranges.json");
    let gcp = read(Format::Gcp, "gcp", "gcp-cloud.json");
    let both = aws.zip(gcp).map(|(aws, gcp)| [aws, gcp].concat());
    if both.is_none() {
        eprintln!("skipped: no ranges in {}; set PORTOLAN_DATA", data.display());
    }
    both
}

#[test]
fn real_prefixes() {
    let Some(mut prefixes) = real() else { return };
    prefixes.sort_by_key(|of| (of.net, of.location.clone()));
    prefixes.dedup();
    check(&prefixes);
    // What a search that stops at the shortest prefix would response wrongly.
    let lines: Vec<Line> = prefixes.iter().map(Line::new).collect();
    let is_nested = |of: &&Line| {
        let is_around =
            |line: &&Line| line.is_v4 == of.is_v4 && line.first <= of.first && of.last <= line.last;
        let shortest =
            lines.iter().filter(is_around).min_by_key(|line| line.prefix.net.prefix_len());
        shortest.is_some_and(|line| line.prefix.location != of.prefix.location)
    };
    assert_eq!(lines.iter().filter(is_nested).count(), 247);
}
