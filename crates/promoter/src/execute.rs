//! Executing what is ready: digest by digest, content before attachments before tags. Every edge gets an outcome,
//! even after an interrupt.
//!
//! A destination that is much slower than the others is deferred: its images are copied later, from the destinations
//! that have them by then. See [`SlowHosts`].

use std::{
    collections::HashSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{StreamExt as _, future::join, stream};
use oci::Host;
use promotion_manifest::EdgeId;
use tokio::sync::mpsc;

use crate::{
    Outcome, OutcomeKind, PromotionRun,
    attaching::WrittenAttachment,
    planned::{ImageOrigin, ImageOrigins},
    ready::{Ready, ReadyTarget},
    reason::Reason,
    slow_hosts::SlowHosts,
    worker::Worker,
};

/// Digests promoted at once. Each may have blobs in flight to all of its destinations.
const DIGESTS_AT_ONCE: usize = 8;

/// What an execution came to.
#[derive(Default)]
pub(crate) struct Executed {
    /// The outcomes of all edges that needed something.
    pub outcomes: Vec<Outcome>,
    /// The attachments that are found by tags.
    pub written: Vec<WrittenAttachment>,
}

/// Promotes the digests that are ready.
pub(crate) async fn execute(run: &PromotionRun<'_>, ready: Vec<Ready>) -> Executed {
    let done = Mutex::default();
    let slow_hosts = SlowHosts::default();
    // The plan bounds it: at most one entry for each digest and slow host.
    let (later, deferred) = mpsc::unbounded_channel();
    let first = async {
        let later = later; // dropped with the last digest, which ends the deferred ones
        stream::iter(ready)
            .for_each_concurrent(DIGESTS_AT_ONCE, |ready| {
                promote(run, &slow_hosts, &done, ready, Some(&later))
            })
            .await;
    };
    let deferred =
        stream::unfold(deferred, |mut deferred| async { Some((deferred.recv().await?, deferred)) });
    let second = deferred.for_each_concurrent(None, |Deferred { host, ready }| {
        let (slow_hosts, done) = (&slow_hosts, &done);
        async move {
            let permits = slow_hosts.permits(&host);
            let _permit = run.stop.unless_stopped(permits.acquire()).await;
            promote(run, slow_hosts, done, ready, None).await;
        }
    });
    join(first, second).await;
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Promotes one digest. Its slow destinations are sent to `later`; without `later`, they are not deferred.
async fn promote(
    run: &PromotionRun<'_>,
    slow_hosts: &SlowHosts,
    done: &Mutex<Executed>,
    mut ready: Ready,
    later: Option<&mpsc::UnboundedSender<Deferred>>,
) {
    let edges = ready.targets.iter().flat_map(|target| target.planned.edges()).collect();
    let mut outcomes = Outcomes { run, done, edges };
    let mut slow = if later.is_some() { slow_hosts.take_from(run, &mut ready) } else { Vec::new() };
    let worker = Worker::new(run, &ready);
    run.stop.unless_stopped(worker.promote()).await;
    let result = worker.finish();
    outcomes.add(result.outcomes);
    outcomes.done().written.extend(result.written);
    let origins = with_destinations(&ready.origins, &result.complete);
    for target in result.slow {
        slow_hosts.add(&run.edges.destinations()[target.destination()].prefix.host);
        slow.push(target);
    }
    for target in slow {
        if let Some(later) = later {
            outcomes.hand_over(&target);
            // The receiver lives as long as a sender does.
            let _ = later.send(Deferred::new(run, &ready, &origins, target));
        }
    }
}

/// The `origins` after the destinations that have the image now, which are tried first.
fn with_destinations(origins: &ImageOrigins, complete: &[usize]) -> ImageOrigins {
    let mut origins = origins.clone();
    complete.iter().rev().for_each(|at| origins.add_first(ImageOrigin::Destination(*at)));
    origins
}

/// A digest that is promoted to a slow destination later.
struct Deferred {
    host: Host,
    ready: Ready,
}

impl Deferred {
    /// The part of `ready` that is one target, from the first of `origins` that has the image.
    fn new(
        run: &PromotionRun<'_>,
        ready: &Ready,
        origins: &ImageOrigins,
        target: ReadyTarget,
    ) -> Self {
        let host = run.edges.destinations()[target.destination()].prefix.host.clone();
        let ready = Ready {
            source_digest: ready.source_digest,
            origins: origins.clone(),
            source_failure: ready.source_failure.clone(),
            manifests: ready.manifests.clone(),
            not_copied: ready.not_copied.clone(),
            attachments_origin: ready.attachments_origin,
            attachments: Arc::clone(&ready.attachments),
            targets: vec![target],
        };
        Self { host, ready }
    }
}

/// The outcomes of one digest. Edges that have none when it is dropped were interrupted.
struct Outcomes<'a> {
    run: &'a PromotionRun<'a>,
    done: &'a Mutex<Executed>,
    /// The edges that have no outcome yet.
    edges: HashSet<EdgeId>,
}

impl Outcomes<'_> {
    fn add(&mut self, mut outcomes: Vec<Outcome>) {
        let before = self.edges.len();
        let is_beside = |outcome: &Outcome| outcome.kind == OutcomeKind::AttachmentBroken;
        outcomes.retain(|outcome| is_beside(outcome) || self.edges.remove(&outcome.edge));
        self.run.progress.advance((before - self.edges.len()) as u64);
        self.done().outcomes.append(&mut outcomes);
    }

    fn done(&self) -> MutexGuard<'_, Executed> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn interrupted(&self, edge: EdgeId) -> Arc<Reason> {
        let source_digest = self.run.edges.edge(edge).source_digest().id;
        self.run.interrupted(&self.run.hosts_of(edge.destination(), source_digest))
    }

    /// The edges of `target` get their outcomes later.
    fn hand_over(&mut self, target: &ReadyTarget) {
        for edge in target.planned.edges() {
            self.edges.remove(&edge);
        }
    }
}

impl Drop for Outcomes<'_> {
    fn drop(&mut self) {
        let rest = mem::take(&mut self.edges).into_iter();
        let rest: Vec<_> = rest.map(|edge| Outcome::failed(edge, self.interrupted(edge))).collect();
        self.run.progress.advance(rest.len() as u64);
        self.done().outcomes.extend(rest);
    }
}
