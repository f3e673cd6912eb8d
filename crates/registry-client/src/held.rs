//! Places that a transfer holds at all registries that take part in it.
//!
//! Who reads from one registry and writes to another at the same time takes a place at both together, before it
//! begins: two transfers in opposite directions would otherwise wait for each other.

use std::sync::Arc;

use oci::Host;
use url::Url;

use crate::{Client, quota::Places};

/// Places at several registries. Requests under it need none of their own, neither there nor where redirects lead.
#[derive(Clone, Debug)]
pub struct Held(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    authorities: Vec<String>,
    _places: Places,
}

impl Held {
    /// Whether a place is held where this URL leads.
    pub(crate) fn covers(&self, url: &Url) -> bool {
        self.0.authorities.iter().any(|authority| authority == url.authority())
    }
}

impl Client {
    /// Waits for a place at each of `hosts`, all at once. Ask for nothing outside of it before it is dropped.
    pub async fn hold(&self, hosts: &[&Host]) -> Held {
        // Hosts that no URL can have are asked for nothing either.
        let urls = hosts.iter().filter_map(|host| self.root(host).ok());
        let authorities: Vec<_> = urls.map(|url| url.authority().to_owned()).collect();
        let names: Vec<_> = authorities.iter().map(String::as_str).collect();
        let places = self.shared.limiter.places(&names).await;
        Held(Arc::new(Inner { authorities, _places: places }))
    }
}
