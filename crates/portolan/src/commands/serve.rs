//! `portolan serve`: the front.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use redirector::{Config, ConfigFinding, ConfigPositions, ConfigSeverity, Front, LoadedRanges};
use tokio::{net::TcpListener, sync::Notify};

use super::{
    front_inputs::{available, config, log_sources, outbound, ranges, read},
    serve_reload::FrontReload,
};
use crate::{arguments, arguments::Serve, exit::Exit, printer::Printer, server, signals};

pub(crate) async fn run(serve: &Serve, printer: &Printer) -> anyhow::Result<Exit> {
    if serve.check {
        return check(serve, printer).await;
    }
    let config = config(&serve.front)?;
    let (hangup, received) = hangup();
    server::prepare(hangup)?;
    let outbound = outbound(&serve.tls_files)?;
    let (ranges, sources) = ranges(&config, &serve.front, &outbound).await?;
    log_sources(&sources);
    let listener = server::listen(config.listen)?;
    let admin = admin(&config, &serve.front)?;
    server::announce_admin(admin.as_ref())?;
    let front = Arc::new(Front::new(&outbound, config.clone(), ranges));
    let clouds = available(&sources);
    let arguments = serve.front.clone();
    let reload = FrontReload { front: Arc::clone(&front), arguments, outbound, config, clouds };
    let shutdown = signals::shutdown()?;
    let reload = tokio::spawn(reload.run(received));
    redirector::serve(front, listener, admin, shutdown).await?;
    reload.abort();
    Ok(Exit::AllHolds)
}

/// What to call at each SIGHUP, and what it notifies. Signals that arrive during a reload cause one more reload.
fn hangup() -> (impl FnMut() + Send + 'static, Arc<Notify>) {
    let hangup = Arc::<Notify>::default();
    let received = Arc::clone(&hangup);
    (move || hangup.notify_one(), received)
}

/// Prints the configuration in effect, and its settings that contradict each other or have no effect. The ranges are read as at a start.
async fn check(serve: &Serve, printer: &Printer) -> anyhow::Result<Exit> {
    let front = &serve.front;
    let (config, positions, text) = match &front.config {
        None => (config(front)?, ConfigPositions::built_in(), None),
        Some(path) => {
            let (file, text) = read(path)?;
            (Config::from_yaml(&file, &text)?, ConfigPositions::of(&file, &text), Some(text))
        }
    };
    let outbound = outbound(&serve.tls_files)?;
    let (ranges, sources) = redirector::load_ranges(&outbound, &config, &front.ranges).await;
    let effective = redirector::effective_yaml(&config, text.as_deref(), &sources);
    io::stdout().write_all(effective.as_bytes())?;
    let loaded = LoadedRanges { ranges: &ranges, sources: &sources, overrides: &front.ranges };
    let findings = redirector::lint(&config, &positions, loaded);
    for ConfigFinding { severity, problem } in &findings {
        match severity {
            ConfigSeverity::Error => printer.fault(format_args!("error: {problem}")),
            ConfigSeverity::Warning => printer.note(format_args!("warning: {problem}")),
        }
    }
    let has_error = findings.iter().any(|finding| finding.severity == ConfigSeverity::Error);
    Ok(if has_error { Exit::NotAsAsked } else { Exit::AllHolds })
}

/// Where metrics and health are served, if anywhere. Without a configuration file the user has not chosen the
/// address, and pulls do not depend on it, so that one which is taken is only a warning.
fn admin(config: &Config, front: &arguments::FrontFlags) -> anyhow::Result<Option<TcpListener>> {
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
