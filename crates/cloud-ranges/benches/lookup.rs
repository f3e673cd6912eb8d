//! How long a lookup takes: the real lists of AWS and Google, and the same with 15,000 prefixes
//! more; a million random addresses of each family, half of which no list names. Prints nanoseconds
//! a lookup, the median of five runs. `cargo bench -p cloud-ranges`; needs the lists (`PORTOLAN_DATA`).

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::cast_possible_truncation, reason = "random numbers are cut to size")]

use std::{
    error::Error,
    fs,
    hint::black_box,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    time::Instant,
};

use cloud_ranges::{Format, Location, Prefix, Ranges, parse};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const ADDRESSES: usize = 1_000_000;
const RUNS: usize = 5;
const MORE_PREFIXES: usize = 15_000;

fn main() -> Result<(), Box<dyn Error>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let data = std::env::var_os("PORTOLAN_DATA").map_or_else(|| default.into(), PathBuf::from);
    let aws = fs::read(data.join("ranges/aws-ip-ranges.json"))?;
    let gcp = fs::read(data.join("ranges/gcp-cloud.json"))?;

    let start = Instant::now();
    let mut prefixes = parse(Format::Aws, "aws", &aws)?;
    prefixes.extend(parse(Format::Gcp, "gcp", &gcp)?);
    println!("parse: {:.1} ms, {} lines", start.elapsed().as_secs_f64() * 1e3, prefixes.len());

    let mut random = Random(42);
    report("real lists", &prefixes, &mut random);
    prefixes.extend((0..MORE_PREFIXES).map(|_| random.prefix()));
    report("and 15,000 more", &prefixes, &mut random);
    Ok(())
}

fn report(name: &str, prefixes: &[Prefix], random: &mut Random) {
    let start = Instant::now();
    let ranges = Ranges::new(prefixes.iter().cloned());
    let built = start.elapsed().as_secs_f64() * 1e3;
    let (v4, v6): (Vec<IpNet>, Vec<IpNet>) =
        prefixes.iter().map(|of| of.net).partition(|net| matches!(net, IpNet::V4(_)));
    let v4 = nanoseconds(&ranges, &random.addresses(&ranges, &v4));
    let v6 = nanoseconds(&ranges, &random.addresses(&ranges, &v6));
    let (len, kib) = (ranges.len(), ranges.memory_bytes() / 1024);
    println!(
        "{name}: {len} prefixes, {kib} KiB, built in {built:.1} ms: IPv4 {v4:.1} ns, IPv6 {v6:.1} ns a lookup"
    );
}

/// The median over [`RUNS`].
fn nanoseconds(ranges: &Ranges, addresses: &[IpAddr]) -> f64 {
    let mut runs = [0.0; RUNS];
    for run in &mut runs {
        let start = Instant::now();
        for address in addresses {
            black_box(ranges.lookup(*address));
        }
        *run = start.elapsed().as_secs_f64() * 1e9 / ADDRESSES as f64;
    }
    runs.sort_by(f64::total_cmp);
    runs[RUNS / 2]
}

/// Splitmix64: the same addresses in every run.
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn address(&mut self) -> u128 {
        (u128::from(self.number()) << 64) | u128::from(self.number())
    }

    /// Known and unknown addresses, equally many, in random order. The known ones lie in a random
    /// prefix of `nets`; the unknown ones anywhere else in the family (in `2000::/3` for IPv6, where
    /// all addresses in use are).
    fn addresses(&mut self, ranges: &Ranges, nets: &[IpNet]) -> Vec<IpAddr> {
        let (mut known, mut unknown) = (ADDRESSES / 2, ADDRESSES / 2);
        let mut addresses = Vec::with_capacity(ADDRESSES);
        while known + unknown > 0 {
            let bits = self.address();
            let net = nets[(self.number() % nets.len() as u64) as usize];
            let is_known = self.number() % ((known + unknown) as u64) < known as u64;
            let address = if is_known { within(net, bits) } else { anywhere(net, bits) };
            if ranges.lookup(address).is_some() == is_known {
                addresses.push(address);
                *(if is_known { &mut known } else { &mut unknown }) -= 1;
            }
        }
        addresses
    }

    /// A prefix of the sizes that clouds have, where unicast addresses are.
    fn prefix(&mut self) -> Prefix {
        let bits = self.address();
        let net = if !self.number().is_multiple_of(4) {
            let len = 16 + (self.number() % 13) as u8;
            Ipv4Net::new_assert(Ipv4Addr::from_bits(bits as u32 % 0xe000_0000), len).into()
        } else {
            let len = 32 + (self.number() % 25) as u8;
            Ipv6Net::new_assert(Ipv6Addr::from_bits(0x2 << 124 | bits >> 4), len).into()
        };
        let region = format!("region-{}", self.number() % 40);
        Prefix { net, location: Location { cloud: "more".into(), region } }
    }
}

/// The address in `net` with the low bits of `bits`.
fn within(net: IpNet, bits: u128) -> IpAddr {
    match net {
        IpNet::V4(net) => {
            (net.network() | (Ipv4Addr::from_bits(bits as u32) & net.hostmask())).into()
        }
        IpNet::V6(net) => (net.network() | (Ipv6Addr::from_bits(bits) & net.hostmask())).into(),
    }
}

/// Any address of the family of `net`.
fn anywhere(net: IpNet, bits: u128) -> IpAddr {
    match net {
        IpNet::V4(_) => Ipv4Addr::from_bits(bits as u32).into(),
        IpNet::V6(_) => Ipv6Addr::from_bits(0x2 << 124 | bits >> 3).into(),
    }
}
