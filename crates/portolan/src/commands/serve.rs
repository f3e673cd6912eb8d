//! `portolan serve`: the front.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use anyhow::Context as _;
use redirector::{Config, ConfigError, ConfigFinding, ConfigSeverity, Front};
use tokio::{net::TcpListener, sync::Notify};

use super::{
    front_inputs::{self, Checked, available, config, log_sources, outbound, usable_ranges},
    serve_reload::FrontReload,
};
use crate::{arguments, arguments::Serve, exit::Exit, printer::Printer, server, signals};

pub(crate) async fn run(serve: &Serve, printer: &Printer) -> anyhow::Result<Exit> {
    if let Some(file) = &serve.file_without_flag {
        let file = file.display().to_string();
        if ["registry", "store"].contains(&file.as_str()) {
            anyhow::bail!("unexpected argument `{file}`; write `portolan {file} serve`");
        }
        anyhow::bail!(
            "unexpected argument `{file}`; name the configuration with `--config {file}`"
        );
    }
    let ended = if serve.check { check(serve, printer).await } else { start(serve).await };
    match ended.map_err(anyhow::Error::downcast::<ConfigError>) {
        Ok(exit) => Ok(exit),
        // Each on its own, so that an editor finds the place of each.
        Err(Ok(ConfigError { problems })) => {
            problems.iter().for_each(|problem| printer.fault(problem));
            Ok(Exit::CouldNotRun)
        }
        Err(Err(error)) => Err(error),
    }
}

async fn start(serve: &Serve) -> anyhow::Result<Exit> {
    let read = config(&serve.front)?;
    let (hangup, received) = hangup();
    server::prepare(hangup)?;
    let outbound = outbound(&serve.tls_files)?;
    let (ranges, sources) = usable_ranges(&read, &serve.front, &outbound).await?;
    let config = read.config.clone();
    log_sources(&sources);
    let listener = server::listen(config.listen)?;
    let admin = admin(&config, &serve.front)?;
    server::announce_admin(admin.as_ref())?;
    let front = Arc::new(Front::new(&outbound, config, ranges));
    let clouds = available(&sources);
    let arguments = serve.front.clone();
    let reload = FrontReload { front: Arc::clone(&front), arguments, outbound, read, clouds };
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
    let read = config(&serve.front)?;
    let outbound = outbound(&serve.tls_files)?;
    let checked = front_inputs::check(&read, &serve.front, &outbound).await?;
    let Checked { sources, findings, .. } = checked;
    let effective = redirector::effective_yaml(&read.config, read.text.as_deref(), &sources);
    io::stdout().write_all(effective.as_bytes())?;
    for ConfigFinding { severity, problem } in &findings {
        match severity {
            ConfigSeverity::Error => printer.fault(problem),
            ConfigSeverity::Warning => printer.warning(problem),
        }
    }
    let has_error = findings.iter().any(|finding| finding.severity == ConfigSeverity::Error);
    if has_error {
        return Ok(Exit::NotAsAsked);
    }
    printer.note(format_args!("{}: valid", read.positions.file()));
    Ok(Exit::AllHolds)
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
        listener => listener.context("metrics and health (`admin`, PORTOLAN_ADMIN)").map(Some),
    }
}
