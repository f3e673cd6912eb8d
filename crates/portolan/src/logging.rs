//! The log: on standard error, human on a terminal and JSON elsewhere.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::printer::Screen;

/// Starts the log with `filter`, past the progress bar of `screen`.
///
/// # Errors
/// When the filter is not one.
pub(crate) fn start(filter: &str, screen: Screen) -> anyhow::Result<()> {
    // The library's error repeats its own cause, so only its text is kept.
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        anyhow::anyhow!(
            "the log filter `{filter}` is not valid: {error}; try `info` or `warn,redirector=debug`"
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
