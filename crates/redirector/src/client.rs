//! The client of a request: its address and its location, resolved once.

use std::net::IpAddr;

use cloud_ranges::LocationId;
use http::{HeaderMap, HeaderName};
use http_server::UnknownClient;

use crate::snapshot::Snapshot;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who sent a request, as far as that can be found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) address: Result<IpAddr, UnknownClient>,
    /// None if no address range contains the address.
    pub(crate) location: Option<LocationId>,
}

impl Client {
    /// The client of a request that came from `peer`.
    pub(crate) fn resolve(snapshot: &Snapshot, peer: IpAddr, headers: &HeaderMap) -> Self {
        let address = snapshot.client_ip.find(peer, headers.get_all(&FORWARDED_FOR).iter());
        let location = address.ok().and_then(|address| snapshot.ranges.lookup(address));
        Self { address, location }
    }

    /// The client at `address`.
    pub(crate) fn at(snapshot: &Snapshot, address: IpAddr) -> Self {
        Self { address: Ok(address), location: snapshot.ranges.lookup(address) }
    }
}
