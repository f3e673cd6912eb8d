//! What the lists are about: prefixes, and the location that each belongs to.

use std::fmt;

use ipnet::IpNet;

/// Where an address is: a cloud, and a region of it. Ordered by cloud and then by region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The cloud, as the configuration calls it, such as `aws`.
    pub cloud: String,
    /// The region as published, such as `eu-west-3`, or [`Location::GLOBAL`].
    pub region: String,
}

impl Location {
    /// The region of a prefix that names none. AWS writes it like this, Google `global`.
    pub const GLOBAL: &str = "GLOBAL";

    /// Whether this names no region: the prefix is in use everywhere.
    #[must_use]
    pub fn is_global(&self) -> bool {
        self.region.eq_ignore_ascii_case(Self::GLOBAL)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.cloud, self.region)
    }
}

/// One line of a list: these addresses are there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// The addresses.
    pub net: IpNet,
    /// Where they are.
    pub location: Location,
}
