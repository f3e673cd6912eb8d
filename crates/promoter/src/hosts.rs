//! Which registry hosts respond. Each is tried once in a run; one that does not respond, or stops
//! responding, gets no more requests: 720,000 edges must not wait for 720,000 timeouts.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use oci::Host;
use promotion_manifest::{EdgeSet, PromotionManifest};
use registry_client::Client;
use tokio::sync::OnceCell;

use crate::reason::{Reason, RemoteError};

/// As whom registries are spoken to.
#[derive(Clone, Debug)]
pub struct Clients {
    usual: Client,
    accounts: HashMap<String, Client>,
}

impl Clients {
    /// The client of all registries whose entries name no service account.
    #[must_use]
    pub fn new(usual: Client) -> Self {
        Self { usual, accounts: HashMap::new() }
    }

    /// The client of those whose entries name this one. It should share what it may spend with the
    /// usual one: [`Client::acting_as`].
    pub fn act_as(&mut self, service_account: String, client: Client) {
        self.accounts.insert(service_account, client);
    }

    /// The client of all registries whose entries name no service account.
    #[must_use]
    pub const fn usual(&self) -> &Client {
        &self.usual
    }

    fn of(&self, service_account: Option<&str>) -> &Client {
        service_account.and_then(|account| self.accounts.get(account)).unwrap_or(&self.usual)
    }
}

/// The hosts of a run.
pub(crate) struct Hosts {
    clients: Clients,
    states: HashMap<Host, State>,
}

#[derive(Default)]
struct State {
    pinged: OnceCell<()>,
    down: OnceLock<Arc<Reason>>,
}

impl Hosts {
    /// The hosts of all sources and destinations of `edges`.
    pub(crate) fn of(clients: Clients, edges: &EdgeSet) -> Self {
        let registries = |manifest: &'_ PromotionManifest| {
            let source = manifest.source.prefix.host.clone();
            let destinations =
                manifest.destinations.iter().map(|registry| registry.prefix.host.clone());
            destinations.chain([source]).collect::<Vec<_>>()
        };
        let hosts = edges.manifests().iter().flat_map(registries);
        Self { clients, states: hosts.map(|host| (host, State::default())).collect() }
    }

    /// The client that speaks for whoever a registry's entry names.
    pub(crate) fn client(&self, service_account: Option<&str>) -> &Client {
        self.clients.of(service_account)
    }

    /// Whether `host` responds; tries it the first time.
    pub(crate) async fn check(&self, host: &Host) -> Result<(), Arc<Reason>> {
        let Some(state) = self.states.get(host) else { return Ok(()) };
        state
            .pinged
            .get_or_init(|| async {
                if let Err(error) = self.clients.usual.ping(host).await {
                    let _ = state.down.set(unusable(host, error.into()));
                }
            })
            .await;
        state.down.get().map_or(Ok(()), |reason| Err(Arc::clone(reason)))
    }

    /// The reason to report for `error`, which also takes note of a host that stopped responding.
    pub(crate) fn explain(&self, host: &Host, error: impl Into<RemoteError>) -> Arc<Reason> {
        let error = error.into();
        if !error.is_unreachable() {
            return Arc::new(Reason::Remote(error));
        }
        match self.states.get(host) {
            Some(state) => Arc::clone(state.down.get_or_init(|| unusable(host, error))),
            None => unusable(host, error),
        }
    }
}

fn unusable(host: &Host, error: RemoteError) -> Arc<Reason> {
    Arc::new(Reason::Host { host: host.clone(), error })
}
