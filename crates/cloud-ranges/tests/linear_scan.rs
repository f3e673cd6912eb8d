//! Lookups held against an obviously right linear scan: over prefixes made up at random, and over
//! the first, last and adjacent addresses of every prefix that AWS and Google really publish.

#![expect(clippy::expect_used, clippy::print_stderr, reason = "helpers of tests")]

use std::{
    cmp::Reverse,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

use cloud_ranges::{Format, Location, Match, Prefix, Ranges, parse};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

/// The table of `docs/cloud-ranges.md`, word for word.
fn scan(prefixes: &[Prefix], address: IpAddr) -> Option<&Prefix> {
    let mut around: Vec<&Prefix> =
        prefixes.iter().filter(|of| of.net.contains(&address.to_canonical())).collect();
    let by_name = |of: &Prefix| (of.location.cloud.clone(), of.location.region.clone());
    around.sort_by_key(|of| (Reverse(of.net.prefix_len()), of.location.is_global(), by_name(of)));
    let longest = *around.first()?;
    let same_cloud = |of: &&&Prefix| of.location.cloud == longest.location.cloud;
    let region = around.iter().filter(same_cloud).find(|of| !of.location.is_global());
    if longest.location.is_global() { region.copied().or(Some(longest)) } else { Some(longest) }
}

/// Both lookups and the scan agree on `address`, and on the IPv4-mapped form of it.
fn check(ranges: &Ranges, prefixes: &[Prefix], address: IpAddr) {
    let expected = scan(prefixes, address).map(|of| (of.net.trunc(), &of.location));
    let forms = match address {
        IpAddr::V4(v4) => [address, v4.to_ipv6_mapped().into()],
        IpAddr::V6(_) => [address; 2],
    };
    for form in forms {
        let found = ranges.lookup(form).map(|id| ranges.location(id));
        assert_eq!(found, expected.map(|(_, location)| location), "{form}");
        let matched = ranges.matched(form);
        let matched = matched.map(|Match { prefix, location }| (prefix, ranges.location(location)));
        assert_eq!(matched, expected, "{form}");
    }
}

/// The first and the last address of `net`, and the ones before and behind it.
fn edges(net: IpNet) -> Vec<IpAddr> {
    let (first, last) = (net.network(), net.broadcast());
    let before = match first {
        IpAddr::V4(ip) => ip.to_bits().checked_sub(1).map(|ip| Ipv4Addr::from_bits(ip).into()),
        IpAddr::V6(ip) => ip.to_bits().checked_sub(1).map(|ip| Ipv6Addr::from_bits(ip).into()),
    };
    let behind = match last {
        IpAddr::V4(ip) => ip.to_bits().checked_add(1).map(|ip| Ipv4Addr::from_bits(ip).into()),
        IpAddr::V6(ip) => ip.to_bits().checked_add(1).map(|ip| Ipv6Addr::from_bits(ip).into()),
    };
    [Some(first), Some(last), before, behind].into_iter().flatten().collect()
}

fn check_all(prefixes: &[Prefix]) {
    let ranges = Ranges::new(prefixes.iter().cloned());
    for prefix in prefixes {
        edges(prefix.net).into_iter().for_each(|address| check(&ranges, prefixes, address));
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
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn made_up_prefixes(prefixes in proptest::collection::vec(prefixes(), 0..24)) {
        check_all(&prefixes);
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
    let ranges = Ranges::new(prefixes.iter().cloned());
    prefixes.sort_by_key(|of| (of.net, of.location.clone()));
    prefixes.dedup();
    assert_eq!(ranges.len(), prefixes.len(), "no prefix has two locations in these lists");
    for prefix in &prefixes {
        edges(prefix.net).into_iter().for_each(|address| check(&ranges, &prefixes, address));
    }
    // What a search that stops at the first, shortest prefix would answer wrongly.
    let shortest = |of: &Prefix| {
        prefixes
            .iter()
            .filter(|outer| outer.net.contains(&of.net))
            .min_by_key(|outer| outer.net.prefix_len())
    };
    let is_nested = |of: &&Prefix| shortest(of).is_some_and(|outer| outer.location != of.location);
    assert_eq!(prefixes.iter().filter(is_nested).count(), 247);
}
