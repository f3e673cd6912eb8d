//! SIGHUP at `portolan registry serve`: the files that flags name are read again. The reads happen on a
//! thread for blocking work and have a time limit: a file system that does not respond holds up neither
//! requests nor the shutdown.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use http_server::Tls;
use registry::Registry;
use tokio::{sync::Notify, task::JoinHandle};

use super::registry_security::{
    Source, access, both, check_dates, tls, warn_of_dates, warn_of_rights,
};
use crate::{arguments::RegistrySecurity, server};

/// How long the reads of one reload may take: far longer than a file system that works needs for a few
/// small files.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(10);

/// What is replaced at SIGHUP, and from which files.
pub(super) struct Reload {
    pub(super) registry: Registry,
    pub(super) tls: Option<Tls>,
    pub(super) security: RegistrySecurity,
}

impl Reload {
    /// What to call at each SIGHUP. Those that arrive during a reload are one more reload.
    pub(super) fn on_hangup(self) -> impl FnMut() + Send + 'static {
        let hangup = Arc::<Notify>::default();
        let received = Arc::clone(&hangup);
        tokio::spawn(async move {
            let mut reader = BackgroundReader::default();
            loop {
                received.notified().await;
                self.reload_and_log(&mut reader).await;
            }
        });
        move || hangup.notify_one()
    }

    async fn reload_and_log(&self, reader: &mut BackgroundReader) {
        if self.security.htpasswd.is_none() && self.tls.is_none() {
            server::ignore_hangup();
            return;
        }
        match self.reload(reader).await {
            Ok(()) => tracing::info!("SIGHUP: users, rights and certificate were read again"),
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "SIGHUP: reload failed, and nothing was replaced; correct the files and send SIGHUP again"
            ),
        }
    }

    /// Replaces all or nothing.
    async fn reload(&self, reader: &mut BackgroundReader) -> anyhow::Result<()> {
        let security = self.security.clone();
        let read = move || {
            both(access(&security, Source::RegularFile), tls(&security, Source::RegularFile))
        };
        let (access, newer) = reader.read(read, RELOAD_TIMEOUT).await??;
        check_dates(self.tls.as_ref(), newer.as_ref())?;
        warn_of_dates(newer.as_ref());
        warn_of_rights(access.as_ref(), &self.security);
        access.into_iter().for_each(|access| self.registry.replace_access(access));
        if let (Some(tls), Some(newer)) = (&self.tls, newer) {
            tls.replace_with(&newer);
        }
        Ok(())
    }
}

/// Reads off the threads that serve, one read at a time.
#[derive(Default)]
struct BackgroundReader {
    /// A read that took too long. While it lasts no other is begun, so that threads do not pile up.
    late: Option<JoinHandle<()>>,
}

impl BackgroundReader {
    async fn read<T: Send + 'static>(
        &mut self,
        read: impl FnOnce() -> T + Send + 'static,
        timeout: Duration,
    ) -> anyhow::Result<T> {
        if self.late.as_ref().is_some_and(|late| !late.is_finished()) {
            anyhow::bail!("the files of an earlier SIGHUP are still being read");
        }
        let (result, received) = tokio::sync::oneshot::channel();
        // A result that comes too late has no receiver.
        let reading = tokio::task::spawn_blocking(move || drop(result.send(read())));
        match tokio::time::timeout(timeout, received).await {
            Ok(read) => read.context("the read was cut short"),
            Err(_) => {
                self.late = Some(reading);
                anyhow::bail!("the files could not be read within {} s", timeout.as_secs())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_read_that_blocks_fails_and_later_ones_are_rejected_until_it_ends() {
        let (release, released) = mpsc::channel::<()>();
        let mut reader = BackgroundReader::default();
        let blocked = move || {
            let _ = released.recv();
        };
        let failed = reader.read(blocked, Duration::ZERO).await.expect_err("it takes too long");
        assert_eq!(failed.to_string(), "the files could not be read within 0 s");
        let failed = reader.read(|| (), RELOAD_TIMEOUT).await.expect_err("the first one lasts");
        assert!(failed.to_string().contains("still being read"), "{failed}");
        drop(release);
        reader.late.take().expect("it was late").await.expect("it ends");
        reader.read(|| (), RELOAD_TIMEOUT).await.expect("nothing blocks");
    }
}
