//! All the lists in one map: the rules for nested and repeated prefixes, and the search.
//!
//! The rules (`docs/internals/cloud-ranges.md`, "Which prefix decides") are applied once to every distinct
//! prefix; what is left for a lookup is to find the smallest prefix around an address.

use std::{collections::BTreeSet, net::IpAddr, num::NonZeroU32};

use ipnet::{IpNet, Ipv4Net};

use crate::{Location, Prefix, interval_map::IntervalMap};

/// The location of every address that some list names.
#[derive(Clone, Debug)]
pub struct Ranges {
    v4: IntervalMap<u32, LocationId>,
    v6: IntervalMap<u128, LocationId>,
    /// What [`Ranges::lookup`] finds, prefix by prefix, in the order of [`IpNet`].
    decided: Box<[Decided]>,
    /// In order, each once.
    locations: Box<[Location]>,
}

/// One of the [`Ranges::locations`], by its index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocationId(NonZeroU32);

/// Why an address is where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// The prefix that names the location. Where a region wins over a longer `GLOBAL` prefix, it
    /// is the region's.
    pub prefix: IpNet,
    /// The location.
    pub location: LocationId,
}

/// A distinct prefix, with what the rules make of it and of those around it.
#[derive(Clone, Copy, Debug)]
struct Decided {
    net: IpNet,
    matched: Match,
}

impl Ranges {
    /// Takes all prefixes of all lists, in any order and as often as they stand there.
    #[must_use]
    pub fn new(prefixes: impl IntoIterator<Item = Prefix>) -> Self {
        let prefixes: Vec<Prefix> = prefixes.into_iter().collect();
        let locations: BTreeSet<&Location> = prefixes.iter().map(|of| &of.location).collect();
        let locations: Box<[Location]> = locations.into_iter().cloned().collect();
        let mut listed: Vec<OrderedPrefix> =
            prefixes.iter().map(|of| OrderedPrefix::new(of, &locations)).collect();
        listed.sort_unstable();
        listed.dedup();
        let decided = decide(&listed, &locations);
        Self {
            v4: IntervalMap::nested(decided.iter().filter_map(Decided::v4)),
            v6: IntervalMap::nested(decided.iter().filter_map(Decided::v6)),
            decided,
            locations,
        }
    }

    /// Where `address` is; nothing when no list names it. The hot path: one search.
    #[must_use]
    #[inline]
    pub fn lookup(&self, address: IpAddr) -> Option<LocationId> {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.get(address.to_bits()),
            IpAddr::V6(address) => self.v6.get(address.to_bits()),
        }
    }

    /// What [`Ranges::lookup`] finds for `address`, and why. Reads all prefixes: for explaining a
    /// decision, not for making one.
    #[must_use]
    pub fn matched(&self, address: IpAddr) -> Option<Match> {
        let address = address.to_canonical();
        let smallest = self.decided.iter().rev().find(|of| of.net.contains(&address))?;
        Some(smallest.matched)
    }

    /// The location of `id`. `id` must come from this map.
    #[must_use]
    pub fn location(&self, id: LocationId) -> &Location {
        &self.locations[id.index()]
    }

    /// All the locations that some list names, in order.
    #[must_use]
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// How many distinct prefixes the lists name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.decided.len()
    }

    /// Whether there are no prefixes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.decided.is_empty()
    }

    /// The bytes on the heap, names of locations apart.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let tables = size_of_val(&*self.decided) + size_of_val(&*self.locations);
        self.v4.memory_bytes() + self.v6.memory_bytes() + tables
    }
}

impl Default for Ranges {
    /// No prefixes.
    fn default() -> Self {
        Self::new([])
    }
}

impl LocationId {
    #[expect(clippy::expect_used, reason = "4 thousand million locations do not fit in memory")]
    fn new(index: usize) -> Self {
        let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("fewer locations than a u32 counts"))
    }

    /// The index in [`Ranges::locations`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// A prefix in the order in which [`decide`] wants them: an outer prefix before those within, and
/// of the same prefix a region before `GLOBAL`, then by cloud and region.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct OrderedPrefix {
    net: IpNet,
    is_global: bool,
    location: LocationId,
}

impl OrderedPrefix {
    fn new(prefix: &Prefix, locations: &[Location]) -> Self {
        let index = locations.partition_point(|location| *location < prefix.location);
        Self {
            net: canonical(prefix.net),
            is_global: prefix.location.is_global(),
            location: LocationId::new(index),
        }
    }
}

/// Without bits behind its length, and as an IPv4 prefix if it is one of mapped addresses.
fn canonical(net: IpNet) -> IpNet {
    let mapped = match net {
        IpNet::V6(net) => net.prefix_len().checked_sub(96).zip(net.addr().to_ipv4_mapped()),
        IpNet::V4(_) => None,
    };
    let v4 = mapped.and_then(|(len, address)| Ipv4Net::new(address, len).ok());
    v4.map_or(net, IpNet::V4).trunc()
}

/// Applies the rules to each distinct prefix. `listed` is sorted and has no duplicates.
fn decide(listed: &[OrderedPrefix], locations: &[Location]) -> Box<[Decided]> {
    let cloud = |of: &OrderedPrefix| &locations[of.location.index()].cloud;
    // The prefixes around the one at hand, the smallest last, each with all that is listed for it.
    let mut around: Vec<&[OrderedPrefix]> = Vec::new();
    let mut decided = Vec::new();
    for same in listed.chunk_by(|a, b| a.net == b.net) {
        let first = &same[0];
        around.retain(|outer| outer[0].net.contains(&first.net));
        let is_region = |of: &&OrderedPrefix| !of.is_global && cloud(of) == cloud(first);
        let region = || around.iter().rev().copied().flatten().find(is_region);
        let winner = Some(first).filter(|of| !of.is_global).or_else(region).unwrap_or(first);
        let matched = Match { prefix: winner.net, location: winner.location };
        decided.push(Decided { net: first.net, matched });
        around.push(same);
    }
    decided.into()
}

impl Decided {
    /// First and last address and location, of an IPv4 prefix.
    fn v4(&self) -> Option<(u32, u32, LocationId)> {
        let IpNet::V4(net) = self.net else { return None };
        Some((net.network().to_bits(), net.broadcast().to_bits(), self.matched.location))
    }

    /// First and last address and location, of an IPv6 prefix.
    fn v6(&self) -> Option<(u128, u128, LocationId)> {
        let IpNet::V6(net) = self.net else { return None };
        Some((net.network().to_bits(), net.broadcast().to_bits(), self.matched.location))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map of lines `prefix cloud region`.
    fn ranges(lines: &[&str]) -> Ranges {
        Ranges::new(lines.iter().map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let location = Location { cloud: words[1].into(), region: words[2].into() };
            Prefix { net: words[0].parse().expect(line), location }
        }))
    }

    /// Case of the documentation | what the lists say | address | prefix and location found.
    const TABLE: &str = "
        1                 | 10.0.0.0/8 a x                                | 11.0.0.0     | none
        1, other family   | 0.0.0.0/0 a x                                 | ::           | none
        2                 | 10.0.0.0/8 a x, 10.1.0.0/16 b y               | 10.1.2.3     | 10.1.0.0/16 b y
        2, behind         | 10.0.0.0/8 a x, 10.1.0.0/16 b y               | 10.2.0.0     | 10.0.0.0/8 a x
        2, in GLOBAL      | 10.0.0.0/8 a GLOBAL, 10.1.0.0/16 a y          | 10.1.2.3     | 10.1.0.0/16 a y
        3                 | 10.0.0.0/8 a GLOBAL, 10.0.0.0/8 b z           | 10.1.2.3     | 10.0.0.0/8 b z
        4                 | 10.0.0.0/8 a x, 10.1.0.0/16 a global          | 10.1.2.3     | 10.0.0.0/8 a x
        4, the longest    | 10.0.0.0/8 a x, 10.0.0.0/12 a y, 10.1.0.0/16 a global, 10.1.2.0/24 a GLOBAL | 10.1.2.3 | 10.0.0.0/12 a y
        4, across a cloud | 10.0.0.0/8 a x, 10.0.0.0/12 b y, 10.1.0.0/16 a GLOBAL | 10.1.2.3 | 10.0.0.0/8 a x
        5                 | 10.0.0.0/8 b x, 10.1.0.0/16 a GLOBAL          | 10.1.2.3     | 10.1.0.0/16 a GLOBAL
        6, regions        | 10.0.0.0/8 a y, 10.0.0.0/8 a x                | 10.1.2.3     | 10.0.0.0/8 a x
        6, clouds         | 10.0.0.0/8 b x, 10.0.0.0/8 a y                | 10.1.2.3     | 10.0.0.0/8 a y
        mapped address    | 10.0.0.0/8 a x, ::/0 b y                      | ::ffff:10.0.0.1 | 10.0.0.0/8 a x
        mapped, IPv6 list | ::/0 b y                                      | ::ffff:10.0.0.1 | none
        mapped prefix     | ::ffff:10.0.0.0/104 a x                       | 10.0.0.1     | 10.0.0.0/8 a x
        spare bits        | 10.1.2.3/8 a x                                | 10.255.255.255 | 10.0.0.0/8 a x
        all of IPv4       | 0.0.0.0/0 a x                                 | 255.255.255.255 | 0.0.0.0/0 a x
        all of IPv6       | ::/0 a x                                      | ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff | ::/0 a x
    ";

    #[test]
    fn the_table_of_the_documentation() {
        for row in TABLE.lines().map(str::trim).filter(|row| !row.is_empty()) {
            let [_, lists, address, expected] =
                row.split('|').map(str::trim).collect::<Vec<_>>()[..]
            else {
                panic!("{row}")
            };
            let ranges = ranges(&lists.split(", ").collect::<Vec<_>>());
            let address = address.parse().expect(row);
            let matched = ranges.matched(address);
            let words = matched.map(|of| format!("{} {}", of.prefix, ranges.location(of.location)));
            assert_eq!(words.as_deref().unwrap_or("none"), expected, "{row}");
            assert_eq!(ranges.lookup(address), matched.map(|of| of.location), "{row}");
        }
    }

    #[test]
    fn prefixes_and_locations_count_once() {
        let ranges = ranges(&["10.0.0.0/8 b x", "10.0.0.0/8 b x", "10.0.0.0/8 a y", "::/8 b x"]);
        let names: Vec<_> = ranges.locations().iter().map(ToString::to_string).collect();
        assert_eq!((ranges.len(), names), (2, vec!["a y".to_owned(), "b x".to_owned()]));
        assert!(!ranges.is_empty());
    }

    #[test]
    fn by_default_no_client_is_located() {
        let ranges = Ranges::default();
        assert!(ranges.is_empty() && ranges.locations().is_empty());
        for address in ["0.0.0.0", "10.0.0.1", "::", "2600::1"] {
            assert_eq!(ranges.lookup(address.parse().expect(address)), None);
        }
    }
}
