//! `portolan serve` while it runs: SIGHUP reads configuration and address ranges again, and the ranges are
//! read again once a day. Requests are served meanwhile, and a failed reload changes nothing.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::Context as _;
use redirector::{Config, Front, RangesSource};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};

use super::front_inputs::{available, config, log_sources, ranges};
use crate::arguments;

/// Providers change their lists every few days.
const RANGES_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// What is reloaded, and from what.
pub(super) struct FrontReload {
    pub(super) front: Arc<Front>,
    pub(super) arguments: arguments::Front,
    pub(super) config: Config,
    /// The clouds whose ranges could be read.
    pub(super) clouds: BTreeSet<String>,
}

impl FrontReload {
    /// Reloads at each notification of `hangup`, and the ranges once a day. It does not end.
    pub(super) async fn run(mut self, hangup: Arc<Notify>) {
        let mut daily = interval(RANGES_INTERVAL);
        daily.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is at once.
        daily.tick().await;
        loop {
            tokio::select! {
                () = hangup.notified() => self.reload_config().await,
                _ = daily.tick() => self.reload_ranges().await,
            }
        }
    }

    async fn reload_config(&mut self) {
        let arguments = self.arguments.clone();
        let read = tokio::task::spawn_blocking(move || config(&arguments)).await;
        let replaced = match read.context("the reader stopped").and_then(|config| config) {
            Ok(config) => self.replace(config).await,
            Err(error) => Err(error),
        };
        match replaced {
            Ok(()) => tracing::info!("SIGHUP: configuration and address ranges were read again"),
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "SIGHUP: reload failed, and nothing was replaced; correct the configuration and send it again"
            ),
        }
    }

    async fn reload_ranges(&mut self) {
        match self.replace(self.config.clone()).await {
            Ok(()) => tracing::info!("address ranges were read again"),
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "address ranges could not be read again; the previous ones stay in use"
            ),
        }
    }

    /// Replaces all or nothing.
    async fn replace(&mut self, config: Config) -> anyhow::Result<()> {
        let (ranges, sources) = ranges(&config, &self.arguments).await?;
        if let Some(lost) = sources.iter().find(|it| self.is_lost(it)) {
            anyhow::bail!("{lost}");
        }
        log_sources(&sources);
        warn_of_fixed_settings(&self.config, &config);
        self.clouds = available(&sources);
        self.front.update(config.clone(), ranges);
        self.config = config;
        Ok(())
    }

    /// Whether the ranges of this cloud are in use, and could not be read now.
    fn is_lost(&self, source: &RangesSource) -> bool {
        source.is_unavailable() && self.clouds.contains(source.cloud())
    }
}

fn warn_of_fixed_settings(before: &Config, after: &Config) {
    for (field, is_changed) in [
        ("listen", before.listen != after.listen),
        ("admin", before.admin != after.admin),
        ("presence", before.presence != after.presence),
    ] {
        if is_changed {
            tracing::warn!(field, "this setting takes effect at the next start only");
        }
    }
}
