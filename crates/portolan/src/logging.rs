//! The log: on standard error, human on a terminal and JSON elsewhere.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::printer::Screen;

/// The targets of a filter: the crates that log.
pub(crate) const TARGETS: [&str; 11] = [
    "blob_store",
    "credentials",
    "http_client",
    "http_server",
    "manifest_source",
    "mirror",
    "portolan",
    "promoter",
    "redirector",
    "registry",
    "registry_client",
];

/// Starts the log with `filter`, past the progress bar of `screen`.
///
/// # Errors
/// When the filter is not one.
pub(crate) fn start(filter: &str, screen: Screen) -> anyhow::Result<()> {
    let filter = parse(filter).map_err(|wrong| {
        anyhow::anyhow!(
            "the log filter `{filter}` is not valid: {wrong}; write a level (off, error, warn, info, debug, trace) \
             or TARGET=LEVEL, such as `warn,redirector=debug`; the targets are {}",
            TARGETS.join(", ")
        )
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(screen);
    let log = tracing_subscriber::registry().with(filter);
    if io::stderr().is_terminal() {
        log.with(lines.with_target(false)).init();
    } else {
        log.with(lines.json().flatten_event(true)).init();
    }
    Ok(())
}

/// A filter whose targets all exist: a misspelt level is a target to the library, and would turn the whole log off.
fn parse(filter: &str) -> Result<Targets, String> {
    let mut targets = Targets::new();
    for directive in filter.split(',').map(str::trim).filter(|it| !it.is_empty()) {
        if let Ok(level) = directive.parse::<LevelFilter>() {
            targets = targets.with_default(level);
            continue;
        }
        let (target, level) = directive.split_once('=').unwrap_or((directive, "trace"));
        let level = level.parse::<LevelFilter>();
        let level = level.map_err(|_error| format!("`{directive}` has no level after `=`"))?;
        let of_crate = target.split("::").next().unwrap_or(target);
        if !TARGETS.contains(&of_crate) {
            return Err(format!("`{target}` is neither a level nor a target"));
        }
        targets = targets.with_target(target, level);
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Whether a source file below this directory logs.
    fn logs(directory: &Path) -> bool {
        fs::read_dir(directory).expect("a directory").any(|entry| {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                return logs(&path);
            }
            let text = fs::read_to_string(&path).expect("a source file");
            ["trace!", "debug!", "info!", "warn!", "error!"]
                .iter()
                .any(|level| text.contains(&format!("tracing::{level}")))
        })
    }

    #[test]
    fn the_targets_are_the_crates_that_log() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it is one of them");
        let mut found = Vec::new();
        for entry in fs::read_dir(crates).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
            if name != "testkit" && path.join("src").is_dir() && logs(&path.join("src")) {
                found.push(name.replace('-', "_"));
            }
        }
        found.sort();
        assert_eq!(found, TARGETS);
    }
}
