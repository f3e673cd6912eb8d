//! The table from location to nearest store or upstream, built once per snapshot. Pure. The
//! order of the rules is in `docs/reference/front.md`, "Candidates".

use cloud_ranges::{Location, LocationId, Ranges};

use crate::config::{Config, Serves, StoreSetting};

/// The first candidate for a client's blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nearest {
    /// The upstream: the client's cloud is in `keep_upstream`.
    KeptUpstream,
    /// The upstream: no store serves the client's location.
    NoStore,
    /// The store at this index of the configuration.
    Store(usize),
}

/// Location → first candidate.
#[derive(Debug)]
pub(crate) struct NearestTable {
    by_location: Box<[Nearest]>,
    without_location: Nearest,
}

impl NearestTable {
    /// The table for these locations.
    pub(crate) fn new(config: &Config, ranges: &Ranges) -> Self {
        let locations = ranges.locations().iter();
        Self {
            by_location: locations.map(|location| nearest(config, Some(location))).collect(),
            without_location: nearest(config, None),
        }
    }

    /// The first candidate for a client at `location`, or without one.
    pub(crate) fn at(&self, location: Option<LocationId>) -> Nearest {
        location.map_or(self.without_location, |location| self.by_location[location.index()])
    }
}

fn nearest(config: &Config, location: Option<&Location>) -> Nearest {
    if location.is_some_and(|location| config.keep_upstream.contains(&location.cloud)) {
        return Nearest::KeptUpstream;
    }
    let first = config.stores.iter().position(|store| serves(store, location));
    first.map_or(Nearest::NoStore, Nearest::Store)
}

fn serves(store: &StoreSetting, location: Option<&Location>) -> bool {
    store.serves.iter().any(|serves| {
        serves.cloud == Serves::ALL_CLIENTS
            || location.is_some_and(|location| {
                serves.cloud == location.cloud
                    && (serves.regions.is_empty() || serves.regions.contains(&location.region))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = r#"
upstream: {endpoint: https://up.example}
keep_upstream: [gcp]
stores:
  - {name: paris, url: https://paris.example, serves: [{cloud: aws, regions: [eu-west-3]}]}
  - {name: gcp, url: https://gcp.example, serves: [{cloud: gcp}]}
  - {name: corp, url: https://corp.example, serves: [{cloud: corp}, {cloud: aws, regions: [eu-west-2]}]}
"#;

    fn at(yaml: &str, location: Option<(&str, &str)>) -> Option<String> {
        let config = Config::from_yaml("test", yaml).expect("valid");
        let location =
            location.map(|(cloud, region)| Location { cloud: cloud.into(), region: region.into() });
        match nearest(&config, location.as_ref()) {
            Nearest::Store(at) => Some(config.stores[at].name.clone()),
            Nearest::KeptUpstream | Nearest::NoStore => None,
        }
    }

    #[test]
    fn the_first_store_that_serves_the_location_wins() {
        let with_default = format!(
            "{YAML}  - {{name: all, url: https://all.example, serves: [{{cloud: \"*\"}}]}}\n"
        );
        for (location, without, with) in [
            (Some(("aws", "eu-west-3")), Some("paris"), Some("paris")),
            (Some(("aws", "eu-west-2")), Some("corp"), Some("corp")),
            (Some(("aws", "us-east-1")), None, Some("all")),
            (Some(("aws", "GLOBAL")), None, Some("all")),
            (Some(("corp", "anywhere")), Some("corp"), Some("corp")),
            (Some(("gcp", "europe-west9")), None, None),
            (Some(("azure", "x")), None, Some("all")),
            (None, None, Some("all")),
        ] {
            assert_eq!(at(YAML, location).as_deref(), without, "{location:?}");
            assert_eq!(at(&with_default, location).as_deref(), with, "{location:?}");
        }
    }
}
