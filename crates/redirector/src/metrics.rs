//! What the front counts. Every counter is resolved once, at start: a request does no look-up by
//! label. The names are in `docs/reference/metrics.md`.

use http_server::{ConnectionMetrics, UnknownClient};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::{presence::Presence, route::Route};

type Labels<const N: usize> = [(&'static str, String); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;

/// Upper ends of the buckets for the duration of a probe, in seconds.
const DURATIONS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0];

/// All metrics of a front.
pub(crate) struct FrontMetrics {
    registry: Registry,
    routes: RouteCounters,
    targets: TargetCounters,
    unknown_clients: UnknownCounters,
    store_redirects: Counters<1>,
    probes: Counters<2>,
    prefixes: Gauge,
    entries: [Gauge; 2],
    pub(crate) presence: PresenceMetrics,
    pub(crate) connections: ConnectionMetrics,
}

/// Where a 307 leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedirectTarget {
    Info,
    Privacy,
    Upstream,
    CanonicalUpstream,
}

struct RouteCounters {
    info: Counter,
    privacy: Counter,
    ping: Counter,
    manifest: Counter,
    tags: Counter,
    referrers: Counter,
    blob: Counter,
    refused: Counter,
}

struct TargetCounters {
    info: Counter,
    privacy: Counter,
    upstream: Counter,
    canonical_upstream: Counter,
}

struct UnknownCounters {
    untrusted_peer: Counter,
    missing: Counter,
    too_short: Counter,
    unreadable: Counter,
}

/// How presence was decided.
#[derive(Clone)]
pub(crate) struct PresenceMetrics {
    cached_present: Counter,
    cached_absent: Counter,
    pub(crate) probed: Counter,
    pub(crate) joined: Counter,
    pub(crate) over_limit: Counter,
    pub(crate) duration: Histogram,
}

impl PresenceMetrics {
    pub(crate) fn cached(&self, presence: Presence) -> &Counter {
        match presence {
            Presence::Present => &self.cached_present,
            Presence::Absent => &self.cached_absent,
        }
    }
}

/// The results of probes to one store.
pub(crate) struct ProbeMetrics {
    present: Counter,
    absent: Counter,
    pub(crate) failed: Counter,
    pub(crate) timeout: Counter,
}

impl ProbeMetrics {
    pub(crate) fn result(&self, presence: Presence) -> &Counter {
        match presence {
            Presence::Present => &self.present,
            Presence::Absent => &self.absent,
        }
    }
}

impl FrontMetrics {
    /// The metrics of a front, all zero.
    pub(crate) fn new() -> Self {
        let mut all = Registry::with_prefix("portolan_redirector");
        let registry = &mut all;
        let requests = family(registry, "requests", "requests by route");
        let redirects = family(registry, "redirects", "307 redirects, other than to stores");
        let to_stores = family(registry, "store_redirects", "307 redirects to each store");
        let unknown =
            family(registry, "unknown_clients", "blob requests whose client address is unknown");
        let checks =
            family(registry, "presence_checks", "presence checks, by where the result came from");
        let probes = family(registry, "probes", "HEAD requests to each store, by result");
        let entries = Family::<Labels<1>, Gauge>::default();
        registry.register("presence_entries", "cached presence results", entries.clone());
        let duration = Histogram::new(DURATIONS);
        let help = "duration of HEAD requests to stores";
        registry.register_with_unit("probe_duration", help, Unit::Seconds, duration.clone());
        let connections = ConnectionMetrics::register(registry);
        let prefixes = Gauge::default();
        registry.register("ranges_prefixes", "address prefixes loaded", prefixes.clone());
        let entries_of = |cache: &str| entries.get_or_create_owned(&[("cache", cache.to_owned())]);
        Self {
            routes: RouteCounters::new(&requests),
            targets: TargetCounters::new(&redirects),
            store_redirects: to_stores,
            prefixes,
            unknown_clients: UnknownCounters::new(&unknown),
            probes,
            entries: [entries_of("present"), entries_of("absent")],
            presence: PresenceMetrics::new(&checks, duration),
            connections,
            registry: all,
        }
    }

    /// The counter of requests like this.
    pub(crate) fn requests(&self, route: &Route<'_>) -> &Counter {
        match route {
            Route::Info => &self.routes.info,
            Route::Privacy => &self.routes.privacy,
            Route::Ping => &self.routes.ping,
            Route::Manifest(..) => &self.routes.manifest,
            Route::Tags(_) => &self.routes.tags,
            Route::Referrers(_) => &self.routes.referrers,
            Route::Blob(..) => &self.routes.blob,
            Route::Rejected(_) => &self.routes.refused,
        }
    }

    /// The counter of 307s to this target.
    pub(crate) fn redirects(&self, target: RedirectTarget) -> &Counter {
        match target {
            RedirectTarget::Info => &self.targets.info,
            RedirectTarget::Privacy => &self.targets.privacy,
            RedirectTarget::Upstream => &self.targets.upstream,
            RedirectTarget::CanonicalUpstream => &self.targets.canonical_upstream,
        }
    }

    /// The counter of clients unknown for this reason.
    pub(crate) fn unknown_clients(&self, reason: UnknownClient) -> &Counter {
        match reason {
            UnknownClient::UntrustedPeer => &self.unknown_clients.untrusted_peer,
            UnknownClient::Missing => &self.unknown_clients.missing,
            UnknownClient::TooShort => &self.unknown_clients.too_short,
            UnknownClient::Unreadable => &self.unknown_clients.unreadable,
        }
    }

    /// The counter of 307s to this store.
    pub(crate) fn store_redirects(&self, store: &str) -> Counter {
        one(&self.store_redirects, "store", store)
    }

    /// Sets the number of loaded address prefixes.
    pub(crate) fn set_prefixes(&self, prefixes: usize) {
        self.prefixes.set(i64::try_from(prefixes).unwrap_or(i64::MAX));
    }

    /// The counters of probes to a store.
    pub(crate) fn probes(&self, store: &str) -> ProbeMetrics {
        let result = |result: &str| {
            let labels = [("store", store.to_owned()), ("result", result.to_owned())];
            self.probes.get_or_create_owned(&labels)
        };
        ProbeMetrics {
            present: result("present"),
            absent: result("absent"),
            failed: result("failed"),
            timeout: result("timeout"),
        }
    }

    /// Everything, as `OpenMetrics` text. `entries` are the cached results: present, absent.
    pub(crate) fn text(&self, entries: (usize, usize)) -> String {
        for (gauge, count) in self.entries.iter().zip([entries.0, entries.1]) {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn family<const N: usize>(registry: &mut Registry, name: &str, help: &str) -> Counters<N> {
    let family = Counters::default();
    registry.register(name, help, family.clone());
    family
}

fn one(family: &Counters<1>, label: &'static str, value: &str) -> Counter {
    family.get_or_create_owned(&[(label, value.to_owned())])
}

impl RouteCounters {
    fn new(family: &Counters<1>) -> Self {
        let of = |route| one(family, "route", route);
        Self {
            info: of("info"),
            privacy: of("privacy"),
            ping: of("ping"),
            manifest: of("manifest"),
            tags: of("tags"),
            referrers: of("referrers"),
            blob: of("blob"),
            refused: of("refused"),
        }
    }
}

impl TargetCounters {
    fn new(family: &Counters<1>) -> Self {
        let of = |target| one(family, "target", target);
        Self {
            info: of("info"),
            privacy: of("privacy"),
            upstream: of("upstream"),
            canonical_upstream: of("canonical_upstream"),
        }
    }
}

impl UnknownCounters {
    fn new(family: &Counters<1>) -> Self {
        let of = |reason| one(family, "reason", reason);
        Self {
            untrusted_peer: of("untrusted_peer"),
            missing: of("missing"),
            too_short: of("too_short"),
            unreadable: of("unreadable"),
        }
    }
}

impl PresenceMetrics {
    fn new(family: &Counters<1>, duration: Histogram) -> Self {
        let of = |result| one(family, "result", result);
        Self {
            cached_present: of("cached_present"),
            cached_absent: of("cached_absent"),
            probed: of("probed"),
            joined: of("joined"),
            over_limit: of("over_limit"),
            duration,
        }
    }
}
