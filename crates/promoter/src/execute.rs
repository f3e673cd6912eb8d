//! Carrying out a plan: digest by digest, content before attachments before tags, and an outcome for every
//! edge whatever happens.
//!
//! A destination that holds others up is left behind, and what goes to it is done afterwards, fed from those
//! that are done: [`SlowHosts`].

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{StreamExt as _, future::join, stream};
use oci::Host;
use promotion_manifest::EdgeId;
use tokio::sync::{Semaphore, mpsc};

use crate::{
    Outcome, Run, Verdict,
    attaching::Written,
    reason::Reason,
    work::{Origin, Target, Work},
    worker::Worker,
};

/// Digests brought to their destinations at once. Each may have blobs in flight to all of them.
const DIGESTS_AT_ONCE: usize = 8;

/// Images fed at once to a host that was left behind: it is slow as it is.
const DEFERRED_AT_ONCE: usize = 4;

/// What carrying out a plan came to.
#[derive(Default)]
pub(crate) struct Executed {
    /// The outcomes of all edges that there was something to do for.
    pub outcomes: Vec<Outcome>,
    /// The attachments that are found by tags.
    pub written: Vec<Written>,
}

/// Does `work`, and gives the outcomes of all its edges.
pub(crate) async fn execute(run: &Run<'_>, work: Vec<Work>) -> Executed {
    let done = Mutex::default();
    let slow_hosts = SlowHosts::default();
    // As many as there are works and slow hosts: the plan bounds it.
    let (later, deferred) = mpsc::unbounded_channel();
    let first = async {
        let later = later; // dropped with the last work, so that the late ones end
        stream::iter(work)
            .for_each_concurrent(DIGESTS_AT_ONCE, |work| {
                bring(run, &slow_hosts, &done, work, Some(&later))
            })
            .await;
    };
    let deferred =
        stream::unfold(deferred, |mut deferred| async { Some((deferred.recv().await?, deferred)) });
    let second = deferred.for_each_concurrent(None, |Deferred { host, work }| {
        let (slow_hosts, done) = (&slow_hosts, &done);
        async move {
            let turn = slow_hosts.turn(&host);
            let _turn = run.stop.unless_stopped(turn.acquire()).await;
            bring(run, slow_hosts, done, work, None).await;
        }
    });
    join(first, second).await;
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Does one work. What a slow host keeps from being done goes to `later`; if there is no later, it is done now.
async fn bring(
    run: &Run<'_>,
    slow_hosts: &SlowHosts,
    done: &Mutex<Executed>,
    mut work: Work,
    later: Option<&mpsc::UnboundedSender<Deferred>>,
) {
    let mut outcomes =
        Outcomes { run, done, edges: work.targets.iter().flat_map(Target::all_edges).collect() };
    let mut left = if later.is_some() { slow_hosts.leave(run, &mut work) } else { Vec::new() };
    let worker = Worker::new(run, &work);
    run.stop.unless_stopped(worker.bring_everywhere()).await;
    let brought = worker.finish();
    outcomes.add(brought.outcomes);
    outcomes.done().written.extend(brought.written);
    let fed = brought.complete.into_iter().map(Origin::Destination);
    let origins: Vec<_> = fed.chain(work.origins.iter().copied()).collect();
    for target in brought.lagging {
        slow_hosts.add(&run.edges.destinations()[target.destination].prefix.host);
        left.push(target);
    }
    for target in left {
        if let Some(later) = later {
            outcomes.pass_on(&target);
            // Somebody receives for as long as somebody sends.
            let _ = later.send(Deferred::of(run, &work, &origins, target));
        }
    }
}

/// What is left to be done for a host that is slow.
struct Deferred {
    host: Host,
    work: Work,
}

impl Deferred {
    /// Bringing the image of `work` to one target, from the first of `origins` that has it.
    fn of(run: &Run<'_>, work: &Work, origins: &[Origin], target: Target) -> Self {
        let host = run.edges.destinations()[target.destination].prefix.host.clone();
        let work = Work {
            source_digest: work.source_digest,
            origins: origins.to_vec(),
            reference: work.reference,
            targets: vec![target],
            image: work.image.clone(),
            left_out: work.left_out.clone(),
            attachments: Arc::clone(&work.attachments),
        };
        Self { host, work }
    }
}

/// The hosts that were left behind in this run, and whose turn it is at each.
#[derive(Default)]
struct SlowHosts(Mutex<HashMap<Host, Arc<Semaphore>>>);

impl SlowHosts {
    fn hosts(&self) -> MutexGuard<'_, HashMap<Host, Arc<Semaphore>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a host behind from now on.
    fn add(&self, host: &Host) {
        if !self.hosts().contains_key(host) {
            tracing::warn!(%host, "it holds the other destinations up, and is fed after them from now on");
        }
        self.turn(host);
    }

    fn turn(&self, host: &Host) -> Arc<Semaphore> {
        let new = || Arc::new(Semaphore::new(DEFERRED_AT_ONCE));
        Arc::clone(self.hosts().entry(host.clone()).or_insert_with(new))
    }

    /// Takes the targets out of `work` that are at hosts left behind, unless there are no others.
    fn leave(&self, run: &Run<'_>, work: &mut Work) -> Vec<Target> {
        let hosts = self.hosts();
        let is_slow = |target: &Target| {
            hosts.contains_key(&run.edges.destinations()[target.destination].prefix.host)
        };
        if hosts.is_empty() || work.targets.iter().all(is_slow) {
            return Vec::new();
        }
        work.targets.extract_if(.., |target| is_slow(target)).collect()
    }
}

/// The outcomes of one work, which are complete in the end.
struct Outcomes<'a> {
    run: &'a Run<'a>,
    done: &'a Mutex<Executed>,
    /// The edges whose outcome is to be told here.
    edges: HashSet<EdgeId>,
}

impl Outcomes<'_> {
    fn add(&mut self, mut outcomes: Vec<Outcome>) {
        let before = self.edges.len();
        let is_beside = |outcome: &Outcome| outcome.verdict == Verdict::AttachmentBroken;
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

    /// The edges of `target` are somebody else's to tell.
    fn pass_on(&mut self, target: &Target) {
        for edge in target.all_edges() {
            self.edges.remove(&edge);
        }
    }
}

/// Edges that were not reached are told too.
impl Drop for Outcomes<'_> {
    fn drop(&mut self) {
        let rest = mem::take(&mut self.edges).into_iter();
        let rest: Vec<_> = rest.map(|edge| Outcome::failed(edge, self.interrupted(edge))).collect();
        self.run.progress.advance(rest.len() as u64);
        self.done().outcomes.extend(rest);
    }
}
