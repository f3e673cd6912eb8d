//! The permit of a transfer at all registries that take part in it.
//!
//! A transfer that reads from one registry and writes to another at the same time takes its permit at both together,
//! before it begins: two transfers in opposite directions would otherwise wait for each other.

use std::sync::Arc;

use oci::Host;
use url::Url;

use crate::{RegistryClient, limit::Permit};

/// A permit at several registries, shared by all requests of a transfer: they wait for no permit of their own, neither
/// there nor where redirects lead.
#[derive(Clone, Debug)]
pub struct SharedPermit(Arc<PermitState>);

#[derive(Debug)]
struct PermitState {
    authorities: Vec<String>,
    _permit: Permit,
}

impl SharedPermit {
    /// Whether it covers the host of this URL.
    pub(crate) fn covers(&self, url: &Url) -> bool {
        self.0.authorities.iter().any(|authority| authority == url.authority())
    }
}

impl RegistryClient {
    /// Waits for a permit at each of `hosts`, all at once. Until it is dropped, every request must be sent under it.
    pub async fn acquire(&self, hosts: &[&Host]) -> SharedPermit {
        // A host that no URL can have gets no request either.
        let urls = hosts.iter().filter_map(|host| self.root(host).ok());
        let authorities: Vec<_> = urls.map(|url| url.authority().to_owned()).collect();
        let names: Vec<_> = authorities.iter().map(String::as_str).collect();
        let permit = self.shared.limiter.permit_at_all(&names).await;
        SharedPermit(Arc::new(PermitState { authorities, _permit: permit }))
    }
}
