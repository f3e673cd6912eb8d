//! `portolan serve` while it runs: SIGHUP reads configuration and address ranges again, and the ranges are
//! read again once a day. Requests are served meanwhile, and a failed reload changes nothing.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use redirector::{Config, Front, Outbound, RangesSource};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};

use super::front_inputs::{ReadConfig, available, config, log_sources, usable_ranges};
use crate::arguments;

/// Providers change their lists every few days.
const RANGES_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// What is reloaded, and from what.
pub(super) struct FrontReload {
    pub(super) front: Arc<Front>,
    pub(super) arguments: arguments::FrontFlags,
    pub(super) outbound: Outbound,
    pub(super) read: ReadConfig,
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
        let replaced = match read.context("the reader stopped").and_then(|read| read) {
            Ok(read) => self.replace(read).await,
            Err(error) => Err(error),
        };
        match replaced {
            Ok(()) => tracing::info!("SIGHUP: configuration and address ranges were read again"),
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "SIGHUP: reload failed, and nothing was replaced; correct the configuration and send SIGHUP again"
            ),
        }
    }

    async fn reload_ranges(&mut self) {
        match self.replace(self.read.clone()).await {
            Ok(()) => tracing::info!("address ranges were read again"),
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "address ranges could not be read again; the previous ones stay in use"
            ),
        }
    }

    /// Replaces all or nothing.
    async fn replace(&mut self, read: ReadConfig) -> anyhow::Result<()> {
        let (ranges, sources) = usable_ranges(&read, &self.arguments, &self.outbound).await?;
        if let Some(lost) = sources.iter().find(|it| self.is_lost(it)) {
            anyhow::bail!("{lost}");
        }
        log_sources(&sources);
        warn_of_fixed_settings(&self.read.config, &read.config);
        self.clouds = available(&sources);
        self.front.update(read.config.clone(), ranges);
        self.read = read;
        Ok(())
    }

    /// Whether the ranges of this cloud are in use, and could not be read now.
    fn is_lost(&self, source: &RangesSource) -> bool {
        source.is_unavailable() && self.clouds.contains(source.cloud())
    }
}

fn warn_of_fixed_settings(before: &Config, after: &Config) {
    let text = |admin: Option<SocketAddr>| admin.map_or("null".to_owned(), |it| it.to_string());
    for (field, before, after) in [
        ("listen", before.listen.to_string(), after.listen.to_string()),
        ("admin", text(before.admin), text(after.admin)),
    ] {
        if before != after {
            tracing::warn!(field, "`{field}` changed from {before} to {after}; restart to apply");
        }
    }
    if before.presence != after.presence {
        tracing::warn!(field = "presence", "`presence` changed; restart to apply");
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        path::Path,
        sync::{Mutex, PoisonError},
    };

    use clap::Parser as _;
    use oci::Digest;
    use testkit::{Fault, TestBucket};
    use tokio::{net::TcpListener, task::JoinHandle};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::{
        arguments::{Arguments, Command},
        commands::front_inputs::outbound,
    };

    /// Longer than reading the ranges takes.
    const LIMIT: Duration = Duration::from_secs(30);

    /// The log of a test.
    #[derive(Clone, Default)]
    struct KeptLog(Arc<Mutex<Vec<u8>>>);

    impl io::Write for KeptLog {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for KeptLog {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    impl KeptLog {
        fn text(&self) -> String {
            let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8_lossy(&bytes).into_owned()
        }

        fn clear(&self) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// A front that is updated, whose address ranges are at `bucket`.
    struct UpdatedFront {
        front: Arc<Front>,
        log: KeptLog,
        reload: JoinHandle<()>,
    }

    impl UpdatedFront {
        async fn start(bucket: &TestBucket, file: &Path, log: KeptLog) -> Self {
            let yaml = format!(
                "upstream: {{endpoint: 'https://up.example'}}\ncache_dir: null\n\
                 client_ip: {{trusted_hops: 0}}\nkeep_upstream: [corp]\n\
                 ranges: [{{cloud: corp, format: cidr, from: '{0}/list'}}]\n\
                 stores: [{{name: near, url: '{0}', serves: [{{cloud: '*'}}]}}]\n",
                bucket.url()
            );
            std::fs::write(file, yaml).expect("a file");
            let path = file.to_str().expect("UTF-8");
            let arguments = Arguments::parse_from(["portolan", "serve", "--config", path]);
            let Command::Serve(serve) = arguments.command else { panic!("another command") };
            let outbound = outbound(&serve.tls_files).expect("usable proxies");
            let arguments = serve.front;
            let read = config(&arguments).expect("a configuration");
            let usable = usable_ranges(&read, &arguments, &outbound).await;
            let (ranges, sources) = usable.expect("ranges");
            let front = Arc::new(Front::new(&outbound, read.config.clone(), ranges));
            let clouds = available(&sources);
            let reload =
                FrontReload { front: Arc::clone(&front), arguments, outbound, read, clouds };
            let reload = tokio::spawn(reload.run(Arc::default()));
            // It has started, so that the day counts from now on.
            tokio::task::yield_now().await;
            Self { front, log, reload }
        }

        /// Whether a client at this address is in the ranges: such a client is sent to the upstream.
        async fn is_in_ranges(&self, client: &str) -> bool {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let serving =
                redirector::serve(Arc::clone(&self.front), listener, None, std::future::pending());
            let serving = tokio::spawn(serving);
            let path = format!("/v2/app/blobs/{}", Digest::sha256(b"x"));
            let request = http::Request::get(&path).header("x-forwarded-for", client);
            let request = request.body(testkit::Body::empty()).expect("a request");
            let host = address.to_string().parse().expect("a host");
            let response = testkit::send(&host, request).await.expect("a response");
            serving.abort();
            response.headers()["location"] == format!("https://up.example{path}")
        }

        /// Lets a day pass, and waits for `message` in the log; its line is returned. The list is fetched in real time.
        async fn next_day(&self, message: &str) -> String {
            self.log.clear();
            tokio::time::pause();
            tokio::time::advance(RANGES_INTERVAL).await;
            tokio::time::resume();
            let logged = async {
                loop {
                    let text = self.log.text();
                    if let Some(line) = text.lines().find(|line| line.contains(message)) {
                        return line.to_owned();
                    }
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(LIMIT, logged).await.expect("the ranges are read")
        }
    }

    impl Drop for UpdatedFront {
        fn drop(&mut self) {
            self.reload.abort();
        }
    }

    #[tokio::test]
    async fn ranges_are_updated_daily_and_kept_with_a_warning_when_they_cannot_be_fetched() {
        let log = KeptLog::default();
        let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false);
        let _guard = tracing::subscriber::set_default(subscriber.finish());
        let (bucket, directory) = (TestBucket::start().await, tempfile::tempdir());
        let directory = directory.expect("a directory");
        bucket.put("list", "192.0.2.0/24\n");
        bucket.put(&format!("containers/images/{}", Digest::sha256(b"x")), "x");
        let file = directory.path().join("front.yaml");
        let front = UpdatedFront::start(&bucket, &file, log).await;
        let (first, second) = ("192.0.2.1", "198.51.100.1");
        let in_ranges =
            async || [front.is_in_ranges(first).await, front.is_in_ranges(second).await];
        assert_eq!(in_ranges().await, [true, false]);

        bucket.put("list", "198.51.100.0/24\n");
        assert_eq!(in_ranges().await, [true, false], "the day is not over");
        front.next_day("address ranges were read again").await;
        assert_eq!(in_ranges().await, [false, true]);

        bucket.put("list", "192.0.2.0/24\n");
        bucket.fail(Fault::on(http::Method::GET, "list").status(503));
        let kept = "address ranges could not be read again; the previous ones stay in use";
        let warning = front.next_day(kept).await;
        assert!(warning.contains("WARN") && warning.contains("503"), "{warning}");
        assert_eq!(in_ranges().await, [false, true]);

        bucket.clear_faults();
        front.next_day("address ranges were read again").await;
        assert_eq!(in_ranges().await, [true, false], "the next day is tried again");
    }
}
