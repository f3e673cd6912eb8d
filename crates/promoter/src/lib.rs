//! Promotion: makes destination registries hold what promotion manifests request, and reports an outcome for every edge.
//! The rules are in `docs/reference/promotion.md`.
//!
//! The edges come from the crate `manifest-source`. [`promote`] is the flow: inventory, sources, plan, prepare, execute,
//! reread, report. `promotion-manifest` decides what a manifest means, and `transfer` copies the bytes.

mod attaching;
mod completeness;
mod edge_presence;
mod ending;
mod estimate;
mod execute;
mod find_lost;
mod holders;
mod hosts;
mod interruption;
mod inventory;
mod metrics;
mod not_copied;
mod outcome;
mod plan;
mod planned;
mod prepare;
mod public_name;
mod ready;
mod reason;
pub mod report;
mod reporter;
mod reread_delay;
mod run;
mod settings;
mod slow_hosts;
mod sources;
mod tags;
mod worker;

use std::{collections::HashMap, io, time::Instant};

use job::{Confirm, Progress, Stop};
use promotion_manifest::{EdgeSet, Problem, Selection};
use transfer::TransferState;

pub use ending::{Ending, LeftOut, Unchecked, UnreadSources};
pub use estimate::{Estimate, HostEstimate};
pub use hosts::Clients;
pub use metrics::metrics;
pub use outcome::{Outcome, OutcomeKind, Summary};
pub use public_name::PublicNameFailure;
pub use reason::{
    AttachmentName, AttachmentProblem, AttachmentStep, DigestTagUse, Reason, ReasonCode, Remedy,
    RemoteError, SourceFault, TagMoveRemedy, TagWas,
};
pub use settings::{AttachmentsTo, BrokenAttachments, PromotionSettings, PublicName, VerifyDepth};

use execute::Executed;
use hosts::RunHosts;
use plan::Knowledge;
use prepare::Preparation;
use report::Report;
use reporter::RunReporter;
use run::{PromotionRun, Unloaded};

/// What the promotion manifests request.
#[derive(Clone, Copy, Debug)]
pub struct Desired<'a> {
    /// All edges of the projects whose manifests are usable.
    pub edges: &'a EdgeSet,
    /// The edges that are promoted.
    pub selection: &'a Selection,
    /// The problems of the manifests, which are reported.
    pub problems: &'a [Problem],
}

/// Promotes the `desired` edges, and passes the problems and the outcome of every selected edge to `report`.
///
/// # Errors
/// Only when the report cannot be written. The promotion continues to its end all the same. A broken pipe is not an
/// error.
pub async fn promote(
    clients: Clients,
    desired: Desired<'_>,
    settings: &PromotionSettings,
    stop: &Stop,
    progress: &dyn Progress,
    report: &mut dyn Report,
) -> io::Result<Ending> {
    let begun = Instant::now();
    let Desired { edges, selection, problems } = desired;
    let client = clients.usual().clone();
    let mut reporter = RunReporter::new(report, edges);
    reporter.problems(problems);
    let hosts = RunHosts::of(clients, edges);
    let run = PromotionRun {
        hosts,
        transfer_state: TransferState::new(),
        edges,
        selection,
        settings,
        stop,
        progress,
    };
    let (Preparation { ready, settled, estimator }, unchecked) = prepare(&run).await;
    reporter.outcomes(&settled);
    let (mut estimate, mut public_name_failures) = (None, Vec::new());
    match settings.confirm {
        Confirm::DryRun => {
            ready.iter().for_each(|ready| reporter.outcomes(&ready.expected(edges)));
            estimate = Some(estimator.finish(&client));
        }
        Confirm::Write => {
            let targets = ready.iter().flat_map(|ready| &ready.targets);
            let count = targets.map(|target| target.planned.edges().count()).sum::<usize>();
            progress.expect_bytes(estimator.bytes_to_send());
            progress.stage("promoting edges", count as u64);
            let Executed { mut outcomes, written } = execute::execute(&run, ready).await;
            tags::reread(&run, &mut outcomes).await;
            // Last, since what other clients write meanwhile is then found.
            attaching::reread(&run, written, &mut outcomes).await;
            reporter.outcomes(&outcomes);
            if let Some(public) = &settings.verify_through {
                public_name_failures = public_name::verify(&run, public, &outcomes).await;
            }
        }
    }
    reporter.finish(|summary, left_out, unread_sources| Ending {
        confirm: settings.confirm,
        stopped: stop.cause(),
        problems: problems.len(),
        summary,
        left_out,
        unread_sources,
        unchecked,
        hosts: client.usage(),
        estimate,
        public_name_failures,
        time: begun.elapsed(),
    })
}

/// Everything before the first write: reads the registries, and decides what is done for each edge.
async fn prepare(run: &PromotionRun<'_>) -> (Preparation, Unchecked) {
    let (edges, selection, settings) = (run.edges, run.selection, run.settings);
    let destinations = inventory::read_destinations(run).await;
    let to_read = plan::source_digests_to_read(run, &destinations);
    let sources = sources::read_sources(run, to_read).await;
    let mut searched = HashMap::new();
    let plan = loop {
        let plan = plan::plan(Knowledge {
            edges,
            selection,
            settings,
            destinations: &destinations,
            sources: &sources,
            searched: &searched,
        });
        if plan.to_find.is_empty() {
            break plan;
        }
        // A digest that was searched for is found, lost or failed, so the next plan is the last one.
        searched = find_lost::find_lost(run, &plan.to_find).await;
    };
    let unchecked = inventory::unchecked(run, &destinations);
    (prepare::prepare(run, &destinations, &sources, plan).await, unchecked)
}
