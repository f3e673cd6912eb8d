//! The front, put together once from configuration and ranges; nothing in it changes afterwards but
//! what is remembered and counted.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cloud_ranges::Ranges;
use http::HeaderValue;
use http_server::ClientIp;
use url::Url;

use crate::{
    choose::{Choices, StoreId},
    clock::Clock,
    config::Config,
    metrics::{Metrics, Target},
    outbound::{self, Authorities},
    presence::StorePresence,
    redirect::{StoreBase, UpstreamBase},
    response::ResponseKind,
};

/// Decides where each request finds its content. Cheap to share, not to make.
pub struct Front {
    pub(crate) config: Config,
    pub(crate) client_ip: ClientIp,
    pub(crate) ranges: Ranges,
    pub(crate) choices: Choices,
    pub(crate) upstream: UpstreamBase,
    pub(crate) canonical: UpstreamBase,
    pub(crate) info: Option<HeaderValue>,
    pub(crate) privacy: Option<HeaderValue>,
    pub(crate) presence: Arc<StorePresence>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) metrics: Metrics,
    stores: Box<[StoreBase]>,
    draining: AtomicBool,
}

impl Front {
    /// A front that knows these ranges, and nothing yet of what the stores hold.
    #[must_use]
    pub fn new(config: Config, ranges: Ranges) -> Self {
        let (outbound, authorities) = outbound::client();
        if authorities == Authorities::None && config.stores.iter().any(|of| of.url.is_https()) {
            let missing = Authorities::MISSING;
            tracing::error!(
                "stores cannot be checked, so every client is sent to the upstream: {missing}"
            );
        }
        let clock = Arc::new(Clock::start());
        let names = config.stores.iter().map(|store| store.name.as_str());
        let metrics = Metrics::new(names, ranges.len());
        let presence = StorePresence::new(&config, outbound, Arc::clone(&clock), &metrics);
        Self {
            client_ip: config.client_ip(),
            choices: Choices::new(&config, &ranges),
            upstream: UpstreamBase::new(&config.upstream),
            canonical: UpstreamBase::new(&config.canonical_upstream),
            info: config.info_url.as_ref().and_then(header_value),
            privacy: config.privacy_url.as_ref().and_then(header_value),
            stores: config.stores.iter().map(StoreBase::new).collect(),
            presence: Arc::new(presence),
            draining: AtomicBool::new(false),
            config,
            ranges,
            clock,
            metrics,
        }
    }

    pub(crate) fn store(&self, id: StoreId) -> &StoreBase {
        &self.stores[id.index()]
    }

    /// From now on this front is about to end.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// All metrics, as text.
    pub(crate) fn metrics_text(&self) -> String {
        self.metrics.text(self.presence.len())
    }

    /// The 307 to `target`, counted.
    pub(crate) fn send(&self, target: Target, url: String, digest: Option<&str>) -> ResponseKind {
        self.metrics.redirects(target).inc();
        ResponseKind::redirect(url, digest)
    }
}

/// A URL is ASCII without control characters, so it is a header value.
fn header_value(url: &Url) -> Option<HeaderValue> {
    HeaderValue::from_str(url.as_str()).ok()
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("config", &self.config).finish_non_exhaustive()
    }
}
