//! The metrics of a run in the text format of `OpenMetrics`, for a textfile collector. The names are in
//! `docs/reference/metrics.md`.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::{
    encoding::text::encode,
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use registry_client::Usage;

use crate::{Ending, OutcomeKind};

/// A gauge for each value of these labels. Counters would be wrong: each run begins anew.
type Labelled<const N: usize> = Family<[(&'static str, String); N], Gauge>;

/// All metrics of a run that ended `at` this time.
#[must_use]
pub fn metrics(ending: &Ending, at: SystemTime) -> String {
    let mut registry = Registry::with_prefix("portolan_promoter");
    let edges = Labelled::<1>::default();
    for kind in OutcomeKind::all(ending.confirm) {
        let label = [("outcome", kind.as_str().to_owned())];
        edges.get_or_create(&label).set(whole(ending.summary.count(kind)));
    }
    registry.register("edges", "edges, by outcome", edges);
    add_hosts(&mut registry, &ending.hosts);
    for (name, help, value) in [
        ("problems", "problems in the manifests", ending.problems as u64),
        (
            "public_name_failures",
            "tags that the public name does not serve as they were written",
            ending.public_name_failures.len() as u64,
        ),
        (
            "broken_attachments",
            "attachments that were left out because they are broken at their source",
            ending.left_out.attachments,
        ),
        (
            "unread_source_edges",
            "edges copied, or to be copied, from another destination because their source could not be read",
            ending.unread_sources.edges,
        ),
        (
            "all_holds",
            "1 if everything that the manifests request is in place",
            u64::from(ending.all_holds()),
        ),
    ] {
        registry.register(name, help, gauge(value));
    }
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    for (name, help, value) in [
        ("duration", "duration of the run", ending.time.as_secs_f64()),
        ("end_timestamp", "time when the run ended, since 1970", since.as_secs_f64()),
    ] {
        let gauge: Gauge<f64, std::sync::atomic::AtomicU64> = Gauge::default();
        gauge.set(value);
        registry.register_with_unit(name, help, Unit::Seconds, gauge);
    }
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = encode(&mut text, &registry);
    text
}

fn add_hosts(registry: &mut Registry, hosts: &[Usage]) {
    let requests = Labelled::<2>::default();
    let (retries, throttled) = (Labelled::<1>::default(), Labelled::<1>::default());
    let (received, sent) = (Labelled::<1>::default(), Labelled::<1>::default());
    for usage in hosts {
        let host = ("host", usage.host.clone());
        let labels = [host.clone()];
        for (kind, count) in [("read", usage.reads), ("write", usage.writes)] {
            requests.get_or_create(&[host.clone(), ("kind", kind.to_owned())]).set(whole(count));
        }
        for (family, count) in [
            (&retries, usage.retries),
            (&throttled, usage.throttled),
            (&received, usage.bytes_received),
            (&sent, usage.bytes_sent),
        ] {
            family.get_or_create(&labels).set(whole(count));
        }
    }
    registry.register("requests", "requests, by host and kind", requests);
    registry.register("retries", "requests that were retried", retries);
    let help = "requests that the host throttled: it responded that there were too many (429)";
    registry.register("throttled_requests", help, throttled);
    registry.register_with_unit("received", "bytes of response bodies", Unit::Bytes, received);
    registry.register_with_unit("sent", "bytes of request bodies", Unit::Bytes, sent);
}

fn gauge(value: u64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(whole(value));
    gauge
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
