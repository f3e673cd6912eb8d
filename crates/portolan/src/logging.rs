//! The log: on standard error, human on a terminal and JSON elsewhere.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

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
    // The library's error says neither which part is wrong nor what the targets are.
    let filter = EnvFilter::try_new(filter).map_err(|_error| {
        anyhow::anyhow!(
            "the log filter `{filter}` is not valid; write a level (off, error, warn, info, debug, trace) or \
             TARGET=LEVEL, such as `warn,redirector=debug`; the targets are {}",
            TARGETS.join(", ")
        )
    })?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(screen);
    if io::stderr().is_terminal() {
        log.with_target(false).init();
    } else {
        log.json().flatten_event(true).init();
    }
    Ok(())
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
