//! What the front is made of, from its flags: the configuration and the address ranges.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read as _},
    path::Path,
};

use anyhow::Context as _;
use cloud_ranges::Ranges;
use http_client::Proxies;
use redirector::{Config, Outbound, RangesSource};

use super::tls_settings::tls_settings;
use crate::{arguments, environment};

/// The configuration that the flags and the environment name.
///
/// # Errors
/// When it cannot be read or is not valid.
pub(super) fn config(front: &arguments::FrontFlags) -> anyhow::Result<Config> {
    let Some(path) = &front.config else {
        return Ok(Config::built_in().with_environment(&environment::overrides())?);
    };
    let (file, text) = read(path)?;
    Ok(Config::from_yaml(&file, &text)?)
}

/// The text of a configuration, and what its file is called.
pub(super) fn read(path: &Path) -> anyhow::Result<(String, String)> {
    let (file, bytes) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes);
        ("standard input".to_owned(), read.map(|_| bytes))
    } else {
        (path.display().to_string(), fs::read(path))
    };
    let text = bytes.and_then(|bytes| Ok(wording::utf8(bytes)?));
    let text = text.with_context(|| format!("cannot read {file}"))?;
    Ok((file, text))
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
    let (ranges, sources) = redirector::load_ranges(outbound, config, &front.ranges).await;
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
        if source.is_unavailable() || source.has_failures() {
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
