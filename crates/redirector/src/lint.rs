//! Settings that are valid, and contradict each other or have no effect: checked with the address ranges that were loaded
//! for it. Pure. The rules are in `docs/reference/configuration.md`, "portolan serve --check".

use std::{collections::BTreeSet, path::PathBuf};

use cloud_ranges::Ranges;
use http_server::{Forwarded, overlap};

use crate::{
    config::{
        Config, ConfigPosition, ConfigPositions, ConfigProblem, RangesFrom, Serves, StoreSetting,
    },
    ranges::RangesSource,
};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSeverity {
    /// The front starts and serves, perhaps not as was meant.
    Warning,
    /// The front does not start, or a setting can never have an effect.
    Error,
}

/// A setting that contradicts another or has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFinding {
    /// How bad it is.
    pub severity: ConfigSeverity,
    /// What it is, and where.
    pub problem: ConfigProblem,
}

/// What a configuration is checked with.
#[derive(Clone, Copy, Debug)]
pub struct LoadedRanges<'a> {
    /// The ranges.
    pub ranges: &'a Ranges,
    /// Their sources, from [`crate::load_ranges`].
    pub sources: &'a [RangesSource],
    /// The (cloud, file) pairs that took the position of configured lists.
    pub overrides: &'a [(String, PathBuf)],
}

/// All findings, in the order of the rules.
#[must_use]
pub fn lint(
    config: &Config,
    positions: &ConfigPositions,
    loaded: LoadedRanges<'_>,
) -> Vec<ConfigFinding> {
    let mut lint = Lint { config, positions, loaded, findings: Vec::new() };
    lint.addresses();
    lint.client_ip();
    lint.sources();
    lint.overrides();
    lint.clouds();
    lint.stores();
    lint.findings
}

struct Lint<'a> {
    config: &'a Config,
    positions: &'a ConfigPositions,
    loaded: LoadedRanges<'a>,
    findings: Vec<ConfigFinding>,
}

impl Lint<'_> {
    fn add(&mut self, severity: ConfigSeverity, position: ConfigPosition, message: String) {
        let problem = ConfigProblem { source: self.positions.file.clone(), position, message };
        self.findings.push(ConfigFinding { severity, problem });
    }

    fn of_flag(&mut self, severity: ConfigSeverity, message: String) {
        let problem = ConfigProblem { source: "--ranges".to_owned(), position: None, message };
        self.findings.push(ConfigFinding { severity, problem });
    }

    /// Both listeners of the front must be able to bind.
    fn addresses(&mut self) {
        let Config { listen, admin: Some(admin), .. } = self.config else { return };
        if overlap(*listen, *admin) {
            let position = self.positions.admin.or(self.positions.listen);
            let message = format!(
                "`admin` {admin} takes the same port as `listen` {listen}; give one of them another port"
            );
            self.add(ConfigSeverity::Error, position, message);
        }
    }

    /// Settings about `X-Forwarded-For` have no effect if the header is ignored.
    fn client_ip(&mut self) {
        if self.config.client_ip.forwarded != Forwarded::Never {
            return;
        }
        let settings = [
            ("trusted_hops", self.positions.trusted_hops),
            ("trusted_peers", self.positions.trusted_peers),
        ];
        for (name, position) in settings {
            if position.is_some() {
                let message = format!(
                    "`client_ip.{name}` has no effect with `forwarded: never`, which ignores `X-Forwarded-For`; \
                     remove one of them"
                );
                self.add(ConfigSeverity::Warning, position, message);
            }
        }
    }

    /// Every list that was to be read must have been.
    fn sources(&mut self) {
        for source in self.loaded.sources {
            if self.is_override(source.cloud()) {
                if source.is_unavailable() {
                    let tip = if source.has_no_file() { "; correct the path" } else { "" };
                    self.of_flag(ConfigSeverity::Error, format!("{}{tip}", source.causes()));
                }
                continue;
            }
            let settings = self.config.ranges.iter();
            let Some(at) = settings.clone().position(|it| it.cloud == source.cloud()) else {
                continue;
            };
            let is_file = matches!(self.config.ranges[at].from, RangesFrom::Path(_));
            let severity = match (source.is_unavailable(), source.has_failures()) {
                (true, _) if is_file => ConfigSeverity::Error,
                (false, false) => continue,
                _ => ConfigSeverity::Warning,
            };
            let position = self.positions.ranges.get(at).copied().flatten();
            let message = match severity {
                // The file is the only source.
                ConfigSeverity::Error => {
                    let tip = if source.has_no_file() { "; correct `from`" } else { "" };
                    format!("`ranges`: {}{tip}", source.causes())
                }
                ConfigSeverity::Warning => format!("`ranges`: {source}"),
            };
            self.add(severity, position, message);
        }
    }

    fn is_override(&self, cloud: &str) -> bool {
        self.loaded.overrides.iter().any(|(other, _)| other == cloud)
    }

    /// A flag must be for a cloud that the configuration names.
    fn overrides(&mut self) {
        let Config { ranges, keep_upstream, stores, .. } = self.config;
        let serves = stores.iter().flat_map(|store| &store.serves).map(|serves| &serves.cloud);
        let listed = ranges.iter().map(|ranges| &ranges.cloud);
        let mut named: BTreeSet<_> = listed.chain(keep_upstream).chain(serves).collect();
        named.retain(|cloud| *cloud != Serves::ALL_CLIENTS);
        for (cloud, path) in self.loaded.overrides {
            if !named.contains(cloud) {
                let names = named.iter().map(|cloud| cloud.as_str()).collect::<Vec<_>>();
                let names = if names.is_empty() { "no cloud".into() } else { names.join(", ") };
                let message = format!(
                    "{cloud}={}: the configuration does not name the cloud `{cloud}`; it names {names}",
                    path.display()
                );
                self.of_flag(ConfigSeverity::Error, message);
            }
        }
    }

    /// A cloud or region must be that of some range, or no client is ever in it.
    fn clouds(&mut self) {
        for (cloud, position) in self.config.keep_upstream.iter().zip(&self.positions.keep_upstream)
        {
            self.cloud("keep_upstream", cloud, &[], *position);
        }
        for (store, positions) in self.config.stores.iter().zip(&self.positions.serves) {
            for (serves, position) in store.serves.iter().zip(positions) {
                if serves.cloud != Serves::ALL_CLIENTS {
                    self.cloud("stores.serves", &serves.cloud, &serves.regions, *position);
                }
            }
        }
    }

    fn cloud(&mut self, field: &str, cloud: &str, regions: &[String], position: ConfigPosition) {
        let locations = self.loaded.ranges.locations();
        let known: BTreeSet<_> =
            locations.iter().filter(|it| it.cloud == cloud).map(|it| &it.region).collect();
        let is_listed = self.config.ranges.iter().any(|ranges| ranges.cloud == cloud);
        if known.is_empty() && (is_listed || self.is_override(cloud)) {
            // The finding about the list covers this.
            return;
        }
        if known.is_empty() {
            let message = format!(
                "`{field}`: no loaded range belongs to the cloud `{cloud}`; add it to `ranges`, or correct the name"
            );
            return self.add(ConfigSeverity::Warning, position, message);
        }
        for region in regions.iter().filter(|region| !known.contains(region)) {
            let message = format!(
                "`{field}`: no loaded range is in the region `{region}` of `{cloud}`; correct the name, or remove it"
            );
            self.add(ConfigSeverity::Warning, position, message);
        }
    }

    /// Some client must be able to get to each store.
    fn stores(&mut self) {
        let stores = &self.config.stores;
        for (at, store) in stores.iter().enumerate() {
            let positions = self.positions.serves.get(at).cloned().unwrap_or_default();
            let before = &stores[..at];
            let shadows: Vec<_> =
                store.serves.iter().map(|serves| self.shadow(serves, before)).collect();
            let severity = match shadows.iter().all(Option::is_some) {
                true => ConfigSeverity::Error,
                false => ConfigSeverity::Warning,
            };
            for (index, (serves, shadow)) in store.serves.iter().zip(shadows).enumerate() {
                let Some(shadow) = shadow else { continue };
                let message = format!(
                    "`stores.serves`: no client of `{}` is ever sent to the store `{}`, since {shadow}",
                    serves.cloud, store.name
                );
                self.add(severity, positions.get(index).copied().flatten(), message);
            }
        }
    }

    /// Why no client that is served so gets there, if none does.
    fn shadow(&self, serves: &Serves, before: &[StoreSetting]) -> Option<String> {
        if self.config.keep_upstream.contains(&serves.cloud) {
            return Some("`keep_upstream` names the cloud; remove one of the two".to_owned());
        }
        let takes_all = |region: Option<&String>| {
            before.iter().find(|store| store.serves.iter().any(|it| covers(it, serves, region)))
        };
        let first = match &serves.regions[..] {
            [] => takes_all(None),
            regions => {
                let mut takers = regions.iter().map(|region| takes_all(Some(region)));
                let first = takers.next().flatten();
                if takers.all(|taker| taker.is_some()) { first } else { None }
            }
        }?;
        Some(format!(
            "the store `{}` before it serves them all; remove one, or put the store for fewer clients first",
            first.name
        ))
    }
}

/// Whether `one` serves every client in `region`, or all, that `other` does.
fn covers(one: &Serves, other: &Serves, region: Option<&String>) -> bool {
    one.cloud == Serves::ALL_CLIENTS
        || (one.cloud == other.cloud
            && (one.regions.is_empty() || region.is_some_and(|it| one.regions.contains(it))))
}
