//! The servers of the demonstration: all in this process, on loopback and free ports, with their data in
//! a temporary directory.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use http_client::{Proxies, TlsSettings};
use oci::Host;
use redirector::{Config, Front, Outbound};
use registry::{Registry, Storage};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};

use crate::store_server::{self, AccessLog, StoreListeners};

/// Addresses of the documentation ranges (RFC 5737, RFC 3849) that stand for a cloud's.
const PARIS_RANGES: &str = r#"{"syncToken": "1", "createDate": "2026-01-01-00-00-00",
  "prefixes": [{"ip_prefix": "198.51.100.0/24", "region": "eu-west-3", "service": "EC2", "network_border_group": "eu-west-3"}],
  "ipv6_prefixes": []}"#;
const GCP_RANGES: &str = r#"{"syncToken": "1", "creationTime": "2026-01-01T00:00:00",
  "prefixes": [{"ipv4Prefix": "203.0.113.0/24", "service": "Google Cloud", "scope": "europe-west9"}]}"#;

/// How often the directory is tried to be removed again, and how long between: a write of a few KiB is long
/// done by then.
const REMOVALS: usize = 20;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(50);

/// Everything that runs.
pub(crate) struct DemoServers {
    pub staging: Host,
    pub production: Host,
    pub paris: DemoStore,
    pub everywhere: DemoStore,
    directory: TempDir,
    servers: JoinSet<()>,
}

/// A blob store, and where it is served.
pub(crate) struct DemoStore {
    pub directory: PathBuf,
    pub host: Host,
}

impl DemoStore {
    /// The store as a mirror writes it.
    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.directory.display())
    }
}

impl DemoServers {
    /// Starts the registries and serves the stores, which are empty.
    ///
    /// # Errors
    /// When there is no free port, or no temporary directory can be made.
    pub(crate) async fn open() -> anyhow::Result<Self> {
        let directory =
            TempDir::with_prefix("portolan-demo-").context("cannot make a temporary directory")?;
        let mut servers = JoinSet::new();
        let staging = registry(&mut servers, &directory.path().join("staging")).await?;
        let production = registry(&mut servers, &directory.path().join("production")).await?;
        let paris = store(&mut servers, directory.path().join("paris")).await?;
        let everywhere = store(&mut servers, directory.path().join("everywhere")).await?;
        Ok(Self { staging, production, paris, everywhere, directory, servers })
    }

    /// Ends the servers, and then removes what they wrote.
    ///
    /// # Errors
    /// When the directory cannot be removed.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        self.servers.shutdown().await;
        let path = self.directory.path();
        let mut removed = fs::remove_dir_all(path);
        // A write that was dropped may still go on in another thread, and make a file meanwhile.
        for _ in 0..REMOVALS {
            if !matches!(&removed, Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty) {
                break;
            }
            tokio::time::sleep(BETWEEN_REMOVALS).await;
            removed = fs::remove_dir_all(path);
        }
        removed.with_context(|| format!("cannot remove {}", path.display()))
    }

    /// Writes `text` to a file of the temporary directory.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub(crate) fn write(&self, file: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.directory.path().join(file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// The temporary directory.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts the front before all the others.
    ///
    /// # Errors
    /// When the configuration that is written here is wrong, or there is no port.
    pub(crate) async fn front(&mut self) -> anyhow::Result<Host> {
        let aws = self.write("aws.json", PARIS_RANGES)?;
        let gcp = self.write("gcp.json", GCP_RANGES)?;
        let text = format!(
            "upstream: {{endpoint: \"http://{}\", path: images}}\n\
             admin: null\n\
             client_ip: {{forwarded: auto, trusted_hops: 0}}\n\
             keep_upstream: [gcp]\n\
             ranges:\n\
             - {{cloud: aws, format: aws, from: {}}}\n\
             - {{cloud: gcp, format: gcp, from: {}}}\n\
             stores:\n\
             - {{name: paris, url: \"http://{}\", serves: [{{cloud: aws, regions: [eu-west-3]}}]}}\n\
             - {{name: everywhere, url: \"http://{}\", serves: [{{cloud: \"*\"}}]}}\n",
            self.production,
            aws.display(),
            gcp.display(),
            self.paris.host,
            self.everywhere.host,
        );
        let file = self.write("front.yaml", &text)?;
        let config = Config::from_yaml(&file.display().to_string(), &text)?;
        let outbound = Outbound::new(TlsSettings::none(), Proxies::default());
        let (ranges, _) = redirector::load_ranges(&outbound, &config, &[]).await;
        let (listener, address) = listen().await?;
        let front = Arc::new(Front::new(&outbound, config, ranges));
        self.servers.spawn(async move {
            drop(redirector::serve(front, listener, None, std::future::pending()).await);
        });
        host(address)
    }
}

async fn registry(servers: &mut JoinSet<()>, directory: &Path) -> anyhow::Result<Host> {
    let registry = Registry::new(Storage::directory(directory)?);
    let (listener, address) = listen().await?;
    servers.spawn(async move {
        drop(registry::serve(registry, listener, std::future::pending()).await);
    });
    host(address)
}

async fn store(servers: &mut JoinSet<()>, directory: PathBuf) -> anyhow::Result<DemoStore> {
    fs::create_dir_all(&directory)?;
    let (listener, address) = listen().await?;
    let served = directory.clone();
    servers.spawn(async move {
        let log = AccessLog::Off;
        let listeners = StoreListeners { store: listener, admin: None };
        store_server::serve(&served, listeners, log, std::future::pending()).await;
    });
    Ok(DemoStore { directory, host: host(address)? })
}

async fn listen() -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen on loopback")?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn host(address: SocketAddr) -> anyhow::Result<Host> {
    Ok(address.to_string().parse()?)
}
