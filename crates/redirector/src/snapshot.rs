//! All that a decision depends on: configuration, address ranges and stores. A snapshot never changes; a new
//! configuration or new ranges make a new one.

use std::sync::Arc;

use cloud_ranges::{LocationId, Ranges};
use http::HeaderValue;
use http_server::ClientIp;
use url::Url;

use crate::{
    config::Config,
    nearest::{Nearest, NearestTable},
    redirect::UpstreamBase,
    store::Store,
};

/// The state of the front at one time.
pub(crate) struct Snapshot {
    pub(crate) config: Config,
    pub(crate) client_ip: ClientIp,
    pub(crate) ranges: Ranges,
    pub(crate) upstream: UpstreamBase,
    pub(crate) canonical: UpstreamBase,
    pub(crate) info: Option<HeaderValue>,
    pub(crate) privacy: Option<HeaderValue>,
    /// In the order of the configuration.
    stores: Box<[Arc<Store>]>,
    nearest: NearestTable,
}

impl Snapshot {
    /// `stores` are those of `config`, in its order.
    pub(crate) fn new(config: Config, ranges: Ranges, stores: Box<[Arc<Store>]>) -> Self {
        Self {
            client_ip: config.client_ip(),
            nearest: NearestTable::new(&config, &ranges),
            upstream: UpstreamBase::new(&config.upstream),
            canonical: UpstreamBase::new(&config.canonical_upstream),
            info: config.info_url.as_ref().and_then(header_value),
            privacy: config.privacy_url.as_ref().and_then(header_value),
            stores,
            config,
            ranges,
        }
    }

    /// The first candidate for blobs of a client at `location`.
    pub(crate) fn nearest(&self, location: Option<LocationId>) -> Nearest {
        self.nearest.at(location)
    }

    /// The stores, in the order of the configuration.
    pub(crate) fn stores(&self) -> &[Arc<Store>] {
        &self.stores
    }
}

/// A URL is ASCII without control characters, so it is a header value.
fn header_value(url: &Url) -> Option<HeaderValue> {
    HeaderValue::from_str(url.as_str()).ok()
}
