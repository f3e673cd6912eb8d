//! Which registry hosts answer. Each is tried once in a run; one that does not answer, or stops
//! answering, is not asked again: 720,000 edges must not wait for 720,000 timeouts.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use oci::Host;
use promotion_manifest::{EdgeSet, PromotionManifest};
use registry_client::Client;
use tokio::sync::OnceCell;

/// Why something could not be read, in words; shared by every edge that it concerns.
pub(crate) type Reason = Arc<str>;

/// The hosts of a run.
pub(crate) struct Hosts {
    client: Client,
    states: HashMap<Host, State>,
}

#[derive(Default)]
struct State {
    pinged: OnceCell<()>,
    down: OnceLock<Reason>,
}

impl Hosts {
    /// The hosts of all sources and destinations of `edges`.
    pub(crate) fn of(client: Client, edges: &EdgeSet) -> Self {
        let registries = |manifest: &'_ PromotionManifest| {
            let source = manifest.source.prefix.host.clone();
            let destinations =
                manifest.destinations.iter().map(|registry| registry.prefix.host.clone());
            destinations.chain([source]).collect::<Vec<_>>()
        };
        let hosts = edges.manifests().iter().flat_map(registries);
        Self { client, states: hosts.map(|host| (host, State::default())).collect() }
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Whether `host` answers; asks it the first time.
    pub(crate) async fn check(&self, host: &Host) -> Result<(), Reason> {
        let Some(state) = self.states.get(host) else { return Ok(()) };
        state
            .pinged
            .get_or_init(|| async {
                if let Err(error) = self.client.ping(host).await {
                    let _ = state.down.set(unreachable(host, &error));
                }
            })
            .await;
        state.down.get().map_or(Ok(()), |reason| Err(Arc::clone(reason)))
    }

    /// The reason to report for `error`, which also takes note of a host that stopped answering.
    pub(crate) fn explain(&self, host: &Host, error: &registry_client::Error) -> Reason {
        if error.is_unreachable() { self.went_down(host, error) } else { error.to_string().into() }
    }

    /// The same for a transfer that `host` broke.
    pub(crate) fn explain_transfer(&self, host: &Host, error: &transfer::Error) -> Reason {
        if error.is_unreachable() { self.went_down(host, error) } else { error.to_string().into() }
    }

    fn went_down(&self, host: &Host, error: &dyn fmt::Display) -> Reason {
        match self.states.get(host) {
            Some(state) => Arc::clone(state.down.get_or_init(|| unreachable(host, error))),
            None => unreachable(host, error),
        }
    }
}

fn unreachable(host: &Host, error: &dyn fmt::Display) -> Reason {
    format!("registry {host} does not answer: {error}").into()
}
