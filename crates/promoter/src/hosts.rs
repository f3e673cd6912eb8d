//! Which registry hosts respond. Each host is tried once in a run. A host that does not respond, or stops responding, gets
//! no more requests: 720,000 edges must not wait for 720,000 timeouts.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use oci::Host;
use promotion_manifest::{EdgeSet, PromotionManifest};
use registry_client::RegistryClient;
use tokio::sync::OnceCell;

use crate::reason::{Reason, RemoteError};

/// The clients of a run, which differ in their credentials.
#[derive(Clone, Debug)]
pub struct Clients {
    usual: RegistryClient,
    accounts: HashMap<String, RegistryClient>,
}

impl Clients {
    /// Clients with this one for all registries whose entries name no service account.
    #[must_use]
    pub fn new(usual: RegistryClient) -> Self {
        Self { usual, accounts: HashMap::new() }
    }

    /// Adds the client of the registries whose entries name this service account. It should share its quotas with the
    /// usual client: [`RegistryClient::acting_as`].
    pub fn act_as(&mut self, service_account: String, client: RegistryClient) {
        self.accounts.insert(service_account, client);
    }

    /// The client of all registries whose entries name no service account.
    #[must_use]
    pub const fn usual(&self) -> &RegistryClient {
        &self.usual
    }

    fn of(&self, service_account: Option<&str>) -> &RegistryClient {
        service_account.and_then(|account| self.accounts.get(account)).unwrap_or(&self.usual)
    }
}

/// The hosts of a run.
pub(crate) struct RunHosts {
    clients: Clients,
    states: HashMap<Host, HostState>,
}

#[derive(Default)]
struct HostState {
    pinged: OnceCell<()>,
    down: OnceLock<Arc<Reason>>,
}

impl RunHosts {
    /// The hosts of all sources and destinations of `edges`.
    pub(crate) fn of(clients: Clients, edges: &EdgeSet) -> Self {
        let registries = |manifest: &'_ PromotionManifest| {
            let source = manifest.source.prefix.host.clone();
            let destinations =
                manifest.destinations.iter().map(|registry| registry.prefix.host.clone());
            destinations.chain([source]).collect::<Vec<_>>()
        };
        let hosts = edges.manifests().iter().flat_map(registries);
        Self { clients, states: hosts.map(|host| (host, HostState::default())).collect() }
    }

    /// The client with the credentials of this service account, or the usual client.
    pub(crate) fn client(&self, service_account: Option<&str>) -> &RegistryClient {
        self.clients.of(service_account)
    }

    /// Whether `host` responds. Sends `GET /v2/` the first time.
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

    /// The reason to report for `error`. If the host stopped responding, it gets no more requests.
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
