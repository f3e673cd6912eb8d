//! What the front is made of, from its flags: the configuration and the address ranges.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf, absolute},
};

use anyhow::Context as _;
use cloud_ranges::Ranges;
use http_client::Proxies;
use redirector::{
    Config, ConfigFinding, ConfigPositions, ConfigSeverity, LoadedRanges, Outbound, RangesSource,
};

use super::tls_settings::tls_settings;
use crate::{arguments, environment, input_file};

/// A configuration that was read.
#[derive(Clone, Debug)]
pub(super) struct ReadConfig {
    pub(super) config: Config,
    pub(super) positions: ConfigPositions,
    /// The text of the file, if it is not the built-in configuration.
    pub(super) text: Option<String>,
}

/// The configuration that the flags and the environment name.
///
/// # Errors
/// When it cannot be read or is not valid.
pub(super) fn config(front: &arguments::FrontFlags) -> anyhow::Result<ReadConfig> {
    let Some(path) = &front.config else {
        let config = Config::built_in().with_environment(&environment::overrides())?;
        return Ok(ReadConfig { config, positions: ConfigPositions::built_in(), text: None });
    };
    let (file, text) = read(path)?;
    let config = Config::from_yaml(&file, &text)?.with_paths_from(&directory(path)?);
    let positions = ConfigPositions::of(&file, &text);
    Ok(ReadConfig { config, positions, text: Some(text) })
}

/// The directory from which relative paths in the configuration are taken: that of the file, and for standard input the
/// working directory.
fn directory(path: &Path) -> anyhow::Result<PathBuf> {
    let absolute = absolute(path).with_context(|| format!("cannot find {}", path.display()))?;
    Ok(absolute.parent().map(Path::to_owned).unwrap_or(absolute))
}

/// The text of a configuration, and what its file is called.
fn read(path: &Path) -> anyhow::Result<(String, String)> {
    let (file, bytes) = if path == Path::new("-") {
        ("standard input".to_owned(), input_file::read_stream(io::stdin().lock()))
    } else {
        (path.display().to_string(), input_file::read(path))
    };
    let text = bytes.and_then(|bytes| Ok(wording::utf8(bytes)?));
    let text = text.with_context(|| format!("cannot read {file}"))?;
    Ok((file, text))
}

/// Address ranges, the list that is used for each cloud, and what is wrong with the configuration that names them.
pub(super) struct Checked {
    pub(super) ranges: Ranges,
    pub(super) sources: Vec<RangesSource>,
    pub(super) findings: Vec<ConfigFinding>,
}

/// The address ranges that the configuration and the flags name, and the findings about both. A start, a reload and
/// `--check` judge by these alike.
///
/// # Errors
/// When the paths of the flags cannot be made absolute.
pub(super) async fn check(
    read: &ReadConfig,
    front: &arguments::FrontFlags,
    outbound: &Outbound,
) -> anyhow::Result<Checked> {
    let overrides = overrides(front)?;
    let (ranges, sources) = redirector::load_ranges(outbound, &read.config, &overrides).await;
    let loaded = LoadedRanges { ranges: &ranges, sources: &sources, overrides: &overrides };
    let findings = redirector::lint(&read.config, &read.positions, loaded);
    Ok(Checked { ranges, sources, findings })
}

/// The same for a front that is to serve.
///
/// # Errors
/// All findings that are errors.
pub(super) async fn usable_ranges(
    read: &ReadConfig,
    front: &arguments::FrontFlags,
    outbound: &Outbound,
) -> anyhow::Result<(Ranges, Vec<RangesSource>)> {
    let Checked { ranges, sources, findings } = check(read, front, outbound).await?;
    let errors = findings.into_iter().filter(|it| it.severity == ConfigSeverity::Error);
    let problems: Vec<_> = errors.map(|finding| finding.problem).collect();
    anyhow::ensure!(problems.is_empty(), redirector::ConfigError { problems });
    Ok((ranges, sources))
}

/// The files that `--ranges` names, relative to the working directory as all paths of flags are.
fn overrides(front: &arguments::FrontFlags) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let overrides = front.ranges.iter().map(|(cloud, path)| {
        let path = absolute(path).with_context(|| format!("--ranges {cloud}={}", path.display()));
        Ok((cloud.clone(), path?))
    });
    overrides.collect()
}

/// The address ranges that the configuration and the flags name, and which they are.
///
/// # Errors
/// When a file that a flag names cannot be used.
pub(super) async fn ranges(
    config: &Config,
    front: &arguments::FrontFlags,
    outbound: &Outbound,
) -> anyhow::Result<(Ranges, Vec<RangesSource>)> {
    let (ranges, sources) = redirector::load_ranges(outbound, config, &overrides(front)?).await;
    let is_named = |source: &&RangesSource| {
        source.is_unavailable() && front.ranges.iter().any(|(cloud, _)| cloud == source.cloud())
    };
    match sources.iter().find(is_named) {
        Some(source) => anyhow::bail!("--ranges: {source}"),
        None => Ok((ranges, sources)),
    }
}

/// Logs the list of ranges in use for each cloud, as a warning where a better one failed.
pub(super) fn log_sources(sources: &[RangesSource]) {
    for source in sources {
        let cloud = source.cloud();
        if source.is_unavailable() {
            tracing::warn!(
                cloud,
                cause = source.causes(),
                "no address ranges loaded; clients of this cloud are sent as unknown"
            );
        } else if source.has_failures() {
            tracing::warn!(%source, "address ranges");
        } else {
            tracing::info!(%source, "address ranges");
        }
    }
}

/// The clouds whose ranges could be read.
pub(super) fn available(sources: &[RangesSource]) -> BTreeSet<String> {
    let sources = sources.iter().filter(|source| !source.is_unavailable());
    sources.map(|source| source.cloud().to_owned()).collect()
}

/// The front's own client, with the certificates that the flags name and the proxies of the environment.
///
/// # Errors
/// When a file of certificates, or a variable that names a proxy, cannot be used.
pub(super) fn outbound(tls_files: &arguments::TlsFiles) -> anyhow::Result<Outbound> {
    let proxies = Proxies::new(&environment::proxies())?;
    Ok(Outbound::new(tls_settings(tls_files)?, proxies))
}
