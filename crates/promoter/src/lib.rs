//! Promotion: makes destination registries hold what promotion manifests ask for, and says of every
//! edge what became of it. The rules are in `docs/promotion.md`.
//!
//! The flow is [`load`], [`EdgeSet::new`](promotion_manifest::EdgeSet::new), [`promote`]: inventory, plan,
//! execute. What a manifest means is decided in `promotion-manifest`; how bytes move, in `transfer`.

mod execute;
mod hosts;
mod inventory;
mod load;
mod outcome;
mod plan;
pub mod report;

use std::{io, pin::pin};

use futures_util::StreamExt as _;
use promotion_manifest::{EdgeSet, Problem};
use registry_client::Client;
use transfer::{Confirm, InFlight, Progress, Stop};

pub use load::{LoadError, Loaded, ManifestSource, load};
pub use outcome::{EdgeRef, Outcome, Summary, Verdict};

use hosts::{Hosts, Reason};
use plan::{Lacks, Plan};
use report::Report;

/// What a run works with.
struct Run<'a> {
    hosts: Hosts,
    in_flight: InFlight,
    edges: &'a EdgeSet,
    stop: &'a Stop,
    progress: &'a dyn Progress,
}

/// Why a run that was stopped says nothing better of an edge.
fn interrupted() -> Reason {
    Reason::from("interrupted before it was done; run again")
}

/// Promotes `edges`, telling `report` of `problems` and of every edge, and returns the counts.
///
/// # Errors
/// Only when the report cannot be written; the promotion goes on to its end all the same. A reader
/// that went away (a broken pipe) is no error.
pub async fn promote(
    client: Client,
    edges: &EdgeSet,
    problems: &[Problem],
    confirm: Confirm,
    stop: &Stop,
    progress: &dyn Progress,
    report: &mut dyn Report,
) -> io::Result<Summary> {
    let mut teller = Teller { report, edges, summary: Summary::default(), broken: None };
    teller.problems(problems);
    let run =
        Run { hosts: Hosts::of(client, edges), in_flight: InFlight::new(), edges, stop, progress };
    let plan = make_plan(&run).await;
    for outcome in plan.settled {
        teller.outcome(&outcome);
    }
    match confirm {
        Confirm::DryRun => {
            for outcome in plan.work.iter().flat_map(|work| would_be(edges, work)) {
                teller.outcome(&outcome);
            }
        }
        Confirm::Write => {
            progress.stage("promoting digests", plan.work.len() as u64);
            let mut outcomes = pin!(execute::execute(&run, plan.work));
            while let Some(outcome) = outcomes.next().await {
                teller.outcome(&outcome);
            }
        }
    }
    teller.finish(confirm)
}

async fn make_plan(run: &Run<'_>) -> Plan {
    run.progress.stage("reading destination repositories", run.edges.destinations().len() as u64);
    let seen = inventory::read_destinations(run).await;
    let lacking = plan::lacking(run.edges, &seen);
    run.progress.stage("looking for digests at their sources", lacking.len() as u64);
    let sources = inventory::read_sources(run, lacking).await;
    plan::plan(run.edges, &seen, &sources)
}

/// What carrying out `work` would come to.
fn would_be(edges: &EdgeSet, work: &plan::Work) -> Vec<Outcome> {
    let note = work.origins.first().and_then(|origin| work.backfilled_from(edges, *origin));
    let targets = work.targets.iter().flat_map(|target| {
        let (verdict, reason) = match target.lacks {
            Lacks::Digest => (Verdict::ToCopy, note.clone()),
            Lacks::Tags => (Verdict::ToTag, None),
        };
        target.edges().map(move |edge| Outcome { edge, verdict, reason: reason.clone() })
    });
    targets.collect()
}

/// Tells the report and the log, counts, and outlives a report that cannot be written.
struct Teller<'a> {
    report: &'a mut dyn Report,
    edges: &'a EdgeSet,
    summary: Summary,
    broken: Option<io::Error>,
}

impl Teller<'_> {
    fn problems(&mut self, problems: &[Problem]) {
        self.broken = self.report.problems(problems).err();
    }

    fn outcome(&mut self, outcome: &Outcome) {
        self.summary.add(outcome.verdict);
        outcome.log(self.edges);
        if self.broken.is_none() {
            self.broken = self.report.outcome(self.edges, outcome).err();
        }
    }

    fn finish(mut self, confirm: Confirm) -> io::Result<Summary> {
        if self.broken.is_none() {
            self.broken = self.report.finish(self.edges, &self.summary, confirm).err();
        }
        match self.broken {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(self.summary),
        }
    }
}
