//! Address ranges: for every cloud the first list that can be read, and which one that was. The order is in `docs/reference/configuration.md`, "ranges".

mod read;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use cloud_ranges::{Format, Prefix, Ranges};
use futures_util::future::join_all;
use oci::Digest;
use serde::Serialize;
use wording::counted;

use crate::{
    config::{Config, RangesFrom, RangesSetting, Serves},
    outbound::Outbound,
};
use read::{ListReader, ReadError, ReadList};

/// What was embedded at build time; empty: nothing.
const EMBEDDED_AWS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/aws-ip-ranges.json"));
const EMBEDDED_GCP: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/gcp-cloud.json"));

/// The list of ranges in use for one cloud. Its text names the list, and why no better one was used.
#[derive(Clone, Debug)]
pub struct RangesSource {
    cloud: String,
    /// The position in `ranges` of the setting that names it; none: a flag names it, or nothing does.
    setting: Option<usize>,
    used: Option<UsedList>,
    failures: Vec<String>,
    /// Whether one of the failures is that the file does not exist.
    has_no_file: bool,
}

/// A [`RangesSource`] as JSON.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RangesJson<'a> {
    cloud: &'a str,
    source: Option<&'a str>,
    prefixes: usize,
    causes: &'a [String],
}

/// A list in use.
#[derive(Clone, Debug)]
struct UsedList {
    source: String,
    prefixes: usize,
    age: ListAge,
}

/// How old a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListAge {
    /// It was fetched for this run.
    Fetched,
    /// The time since its file was modified.
    File(Duration),
    /// It is part of the program.
    Build,
}

impl fmt::Display for ListAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let age = match self {
            Self::Fetched => return f.write_str("fetched now"),
            Self::Build => return f.write_str("as old as this build"),
            Self::File(age) => age.as_secs(),
        };
        let (count, unit) = match age {
            0..60 => return f.write_str("less than a minute old"),
            60..3_600 => (age / 60, "minute"),
            3_600..172_800 => (age / 3_600, "hour"),
            _ => (age / 86_400, "day"),
        };
        write!(f, "{} old", counted(count, unit))
    }
}

impl RangesSource {
    /// The cloud.
    #[must_use]
    pub fn cloud(&self) -> &str {
        &self.cloud
    }

    /// Whether no list could be loaded, so that no client is located in this cloud.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.used.is_none()
    }

    /// The list in use, with its number of prefixes and its age.
    pub(crate) fn summary(&self) -> String {
        match &self.used {
            Some(UsedList { source, prefixes, age }) => {
                format!("{} from {source}, {age}", counted(*prefixes as u64, "prefix"))
            }
            None => "no ranges loaded".to_owned(),
        }
    }

    /// The same for programs: the cloud, the list in use and its number of prefixes, and why no better one is used.
    #[must_use]
    pub fn json(&self) -> RangesJson<'_> {
        let used = self.used.as_ref();
        RangesJson {
            cloud: &self.cloud,
            source: used.map(|used| &*used.source),
            prefixes: used.map_or(0, |used| used.prefixes),
            causes: &self.failures,
        }
    }

    /// Whether this is the source for the setting at this position in `ranges`, which is for `cloud`.
    pub(crate) fn is_for(&self, setting: usize, cloud: &str) -> bool {
        match self.setting {
            Some(own) => own == setting,
            None => self.cloud == cloud,
        }
    }

    /// Why no better list was used, or a list could not be kept; empty if there is no reason.
    #[must_use]
    pub fn causes(&self) -> String {
        self.failures.join("; ")
    }

    /// Whether the file that was named does not exist.
    pub(crate) const fn has_no_file(&self) -> bool {
        self.has_no_file
    }

    /// Whether something better than what was used failed, or could not be kept.
    #[must_use]
    pub fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }
}

impl fmt::Display for RangesSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.used {
            Some(UsedList { source, prefixes, .. }) => {
                write!(f, "{}: {} from {source}", self.cloud, counted(*prefixes as u64, "prefix"))?;
            }
            None => write!(f, "no ranges loaded for `{}`", self.cloud)?,
        }
        if self.failures.is_empty() { Ok(()) } else { write!(f, " ({})", self.causes()) }
    }
}

/// Reads the ranges of every configured cloud, all at once, and never fails: what cannot be read
/// leaves its clients unlocated. `overrides` are (cloud, file), in source of the configured lists.
pub async fn load_ranges(
    outbound: &Outbound,
    config: &Config,
    overrides: &[(String, PathBuf)],
) -> (Ranges, Vec<RangesSource>) {
    let reader = ListReader::new(outbound.clone());
    let lists = lists(config, overrides);
    let loaded = join_all(lists.into_iter().map(|list| load(&reader, list))).await;
    let mut prefixes = Vec::new();
    let mut sources = Vec::new();
    for (source, listed) in loaded {
        prefixes.extend(listed);
        sources.push(source);
    }
    sources.extend(clouds_without_list(config, &sources));
    (Ranges::new(prefixes), sources)
}

/// One list, and its sources, the best first.
struct RangesList {
    cloud: String,
    /// As in [`RangesSource`].
    setting: Option<usize>,
    format: Format,
    sources: Vec<ListSource>,
}

enum ListSource {
    File(PathBuf),
    /// What is fetched is kept as the last good copy, if there is a source for that.
    Url {
        url: url::Url,
        keep: Option<PathBuf>,
    },
    LastGood(PathBuf),
    Embedded(&'static [u8]),
}

impl fmt::Display for ListSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url { url, .. } => url.fmt(f),
            Self::LastGood(path) => write!(f, "the last good copy {}", path.display()),
            Self::Embedded(_) => f.write_str("the snapshot embedded at build time"),
        }
    }
}

fn lists(config: &Config, overrides: &[(String, PathBuf)]) -> Vec<RangesList> {
    let is_overridden = |cloud: &str| overrides.iter().any(|(other, _)| other == cloud);
    let given = overrides.iter().map(|(cloud, path)| RangesList {
        cloud: cloud.clone(),
        setting: None,
        format: format_of(config, cloud),
        sources: vec![ListSource::File(path.clone())],
    });
    let configured = config.ranges.iter().enumerate();
    let configured = configured.filter(|(_, setting)| !is_overridden(&setting.cloud));
    given.chain(configured.map(|(at, setting)| configured_list(config, at, setting))).collect()
}

/// The format that the configuration names for a cloud, else the usual one of that cloud.
fn format_of(config: &Config, cloud: &str) -> Format {
    let configured = config.ranges.iter().find(|setting| setting.cloud == cloud);
    match (configured, cloud) {
        (Some(setting), _) => setting.format,
        (None, "aws") => Format::Aws,
        (None, "gcp") => Format::Gcp,
        (None, _) => Format::Cidr,
    }
}

fn configured_list(config: &Config, at: usize, setting: &RangesSetting) -> RangesList {
    let mut sources = Vec::new();
    match &setting.from {
        RangesFrom::Path(path) => sources.push(ListSource::File(path.clone())),
        RangesFrom::Url(url) => {
            let copy = config.cache_dir.as_deref().map(|dir| copy_path(dir, &setting.cloud, url));
            sources.push(ListSource::Url { url: url.clone(), keep: copy.clone() });
            sources.extend(copy.map(ListSource::LastGood));
        }
    }
    let embedded = match (setting.cloud.as_str(), setting.format) {
        ("aws", Format::Aws) => EMBEDDED_AWS,
        ("gcp", Format::Gcp) => EMBEDDED_GCP,
        _ => &[],
    };
    if !embedded.is_empty() {
        sources.push(ListSource::Embedded(embedded));
    }
    RangesList { cloud: setting.cloud.clone(), setting: Some(at), format: setting.format, sources }
}

/// Another URL has another copy.
fn copy_path(dir: &Path, cloud: &str, url: &url::Url) -> PathBuf {
    let hex = Digest::sha256(url.as_str().as_bytes()).hex();
    dir.join(format!("ranges-{cloud}-{}", &hex[..16]))
}

async fn load(reader: &ListReader, list: RangesList) -> (RangesSource, Vec<Prefix>) {
    let mut failures = Vec::new();
    let mut has_no_file = false;
    let RangesList { cloud, setting, .. } = list;
    for source in &list.sources {
        let parse = |bytes: &[u8]| cloud_ranges::parse(list.format, &cloud, bytes);
        match reader.read(source, parse).await {
            Ok(ReadList { prefixes, age, not_kept }) => {
                failures.extend(not_kept.map(|error| error.to_string()));
                let source = source.to_string();
                let used = Some(UsedList { source, prefixes: prefixes.len(), age });
                let source = RangesSource { cloud, setting, used, failures, has_no_file };
                return (source, prefixes);
            }
            Err(ReadError::File(error)) if error.kind() == io::ErrorKind::NotFound => {
                has_no_file |= matches!(source, ListSource::File(_));
                failures.push(format!("{source} does not exist"));
            }
            Err(error) => failures.push(format!("{source}: {error}")),
        }
    }
    (RangesSource { cloud, setting, used: None, failures, has_no_file }, Vec::new())
}

/// Clouds that decide about clients, but have no list.
fn clouds_without_list(config: &Config, sources: &[RangesSource]) -> Vec<RangesSource> {
    let serves = config.stores.iter().flat_map(|store| &store.serves).map(|serves| &serves.cloud);
    let mut named: Vec<_> = config.keep_upstream.iter().chain(serves).collect();
    named.sort();
    named.dedup();
    let is_listed = |cloud: &str| sources.iter().any(|source| source.cloud == cloud);
    let missing = named.into_iter().filter(|of| *of != Serves::ALL_CLIENTS && !is_listed(of));
    let source = |cloud: &String| RangesSource {
        cloud: cloud.clone(),
        setting: None,
        used: None,
        failures: vec!["`ranges` has no list for it".into()],
        has_no_file: false,
    };
    missing.map(source).collect()
}
