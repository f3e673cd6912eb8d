//! The table from location to nearest store or upstream, built once. Pure. The
//! order of the rules is in `docs/front.md`, "Candidates".

use cloud_ranges::{Location, LocationId, Ranges};

use crate::config::{Config, Serves, Store};

/// One of the configured stores, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoreId(u32);

impl StoreId {
    /// The identities of the configured stores, in order.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..).map(Self)
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// Where a client's blob is looked for first. The upstream is always the last resort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nearest {
    /// The upstream: the client's cloud is in `keep_upstream`.
    KeptUpstream,
    /// The upstream: no store serves the client's location.
    NoStore,
    /// This store.
    Store(StoreId),
}

/// Location → nearest place.
#[derive(Debug)]
pub(crate) struct Choices {
    known: Box<[Nearest]>,
    unknown: Nearest,
}

impl Choices {
    /// The table for these locations.
    pub(crate) fn new(config: &Config, ranges: &Ranges) -> Self {
        let known = ranges.locations().iter().map(|location| choose(config, Some(location)));
        Self { known: known.collect(), unknown: choose(config, None) }
    }

    /// What is near a client at `location`, or at none that is known.
    pub(crate) fn nearest(&self, location: Option<LocationId>) -> Nearest {
        location.map_or(self.unknown, |location| self.known[location.index()])
    }
}

fn choose(config: &Config, location: Option<&Location>) -> Nearest {
    if location.is_some_and(|location| config.keep_upstream.contains(&location.cloud)) {
        return Nearest::KeptUpstream;
    }
    let mut stores = StoreId::all().zip(&config.stores);
    let first = stores.find(|(_, store)| serves(store, location));
    first.map_or(Nearest::NoStore, |(id, _)| Nearest::Store(id))
}

fn serves(store: &Store, location: Option<&Location>) -> bool {
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
        match choose(&config, location.as_ref()) {
            Nearest::Store(id) => Some(config.stores[id.index()].name.clone()),
            Nearest::KeptUpstream | Nearest::NoStore => None,
        }
    }

    #[test]
    fn the_first_store_that_serves_the_location_wins() {
        let everybody = format!(
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
            assert_eq!(at(&everybody, location).as_deref(), with, "{location:?}");
        }
    }
}
