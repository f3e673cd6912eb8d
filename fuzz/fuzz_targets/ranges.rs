//! Lists of address ranges in every format: any bytes give prefixes or an error, and the map that
//! comes out gives the same result by its two lookups at the edges of every prefix.

#![no_main]

use std::net::IpAddr;

use cloud_ranges::{Format, Ranges, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for format in [Format::Aws, Format::Gcp, Format::Cidr] {
        match parse(format, "cloud", bytes) {
            Ok(prefixes) => {
                let edges = prefixes.iter().flat_map(|of| [of.net.network(), of.net.broadcast()]);
                let edges: Vec<IpAddr> = edges.collect();
                let ranges = Ranges::new(prefixes);
                assert!(!ranges.is_empty());
                edges.into_iter().for_each(|address| check(&ranges, address));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});

fn check(ranges: &Ranges, address: IpAddr) {
    let matched = ranges.matched(address);
    assert_eq!(ranges.lookup(address), matched.map(|of| of.location), "{address}");
    if let Some(matched) = matched {
        assert!(matched.prefix.contains(&address.to_canonical()), "{address}");
        assert!(ranges.location(matched.location).cloud == "cloud");
    }
}
