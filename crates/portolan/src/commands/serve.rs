//! `portolan serve`: the front.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::Path,
};

use anyhow::Context as _;
use cloud_ranges::Ranges;
use redirector::{
    Config, ConfigFinding, ConfigPositions, Front, LoadedRanges, RangesSource, Severity,
};
use tokio::net::TcpListener;

use crate::{
    arguments, arguments::Serve, environment, exit::Exit, printer::Printer, server, signals,
};

pub(crate) async fn run(serve: &Serve, printer: &Printer) -> anyhow::Result<Exit> {
    if serve.check {
        return check(&serve.front, printer).await;
    }
    let config = config(&serve.front)?;
    server::prepare(server::ignore_hangup)?;
    let (ranges, sources) = ranges(&config, &serve.front).await?;
    for source in sources {
        if source.is_unavailable() || source.has_failures() {
            tracing::warn!(%source, "address ranges");
        } else {
            tracing::info!(%source, "address ranges");
        }
    }
    let listener = server::listen(config.listen)?;
    let admin = admin(&config, &serve.front)?;
    redirector::serve(Front::new(config, ranges), listener, admin, signals::shutdown()?).await?;
    Ok(Exit::AllHolds)
}

/// Prints the configuration in effect, and its settings that contradict each other or have no effect. The ranges are read as at a start.
async fn check(front: &arguments::Front, printer: &Printer) -> anyhow::Result<Exit> {
    let (config, positions) = match &front.config {
        None => (config(front)?, ConfigPositions::built_in()),
        Some(path) => {
            let (file, text) = read(path)?;
            (Config::from_yaml(&file, &text)?, ConfigPositions::of(&file, &text))
        }
    };
    let (ranges, sources) = redirector::load_ranges(&config, &front.ranges).await;
    io::stdout().write_all(config.to_yaml().as_bytes())?;
    let loaded = LoadedRanges { ranges: &ranges, sources: &sources, overrides: &front.ranges };
    let findings = redirector::lint(&config, &positions, loaded);
    for ConfigFinding { severity, problem } in &findings {
        match severity {
            Severity::Error => printer.fault(format_args!("error: {problem}")),
            Severity::Warning => printer.note(format_args!("warning: {problem}")),
        }
    }
    let has_error = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if has_error { Exit::NotAsAsked } else { Exit::AllHolds })
}

/// The configuration that the flags and the environment name.
///
/// # Errors
/// When it cannot be read or is not valid.
pub(super) fn config(front: &arguments::Front) -> anyhow::Result<Config> {
    let Some(path) = &front.config else {
        return Ok(Config::built_in().with_environment(&environment::overrides())?);
    };
    let (file, text) = read(path)?;
    Ok(Config::from_yaml(&file, &text)?)
}

/// The text of a configuration, and what its file is called.
fn read(path: &Path) -> anyhow::Result<(String, String)> {
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
/// When a file that a flag names cannot be used: whoever named it means it.
pub(super) async fn ranges(
    config: &Config,
    front: &arguments::Front,
) -> anyhow::Result<(Ranges, Vec<RangesSource>)> {
    let (ranges, sources) = redirector::load_ranges(config, &front.ranges).await;
    let is_named = |source: &&RangesSource| {
        source.is_unavailable() && front.ranges.iter().any(|(cloud, _)| cloud == source.cloud())
    };
    match sources.iter().find(is_named) {
        Some(source) => anyhow::bail!("--ranges: {source}"),
        None => Ok((ranges, sources)),
    }
}

/// Where metrics and health are served, if anywhere. Without a configuration file nobody has chosen the
/// address, and pulls do not depend on it, so that one which is taken is only a warning.
fn admin(config: &Config, front: &arguments::Front) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = config.admin else { return Ok(None) };
    match server::listen(address) {
        Err(error) if front.config.is_none() => {
            tracing::warn!(
                error = format!("{error:#}"),
                "no metrics and health checks are served; set PORTOLAN_ADMIN to a free address"
            );
            Ok(None)
        }
        listener => listener.map(Some),
    }
}
