//! Which hosts refuse HEAD.

use oci::Host;

use crate::host_memory::HostMemory;

/// The endpoints of hosts that responded to HEAD with an error for content that GET returned. They get GET from the
/// start.
#[derive(Debug, Default)]
pub(crate) struct HeadMemory(HostMemory<Endpoint, ()>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Manifests,
    Blobs,
}

impl HeadMemory {
    pub(crate) fn refuses(&self, host: &Host, endpoint: Endpoint) -> bool {
        self.0.get(host, endpoint).is_some()
    }

    pub(crate) fn note(&self, host: &Host, endpoint: Endpoint) {
        self.0.update(host, endpoint, |_| Some(()));
    }
}
