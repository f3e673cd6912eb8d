//! Promotion: makes destination registries hold what promotion manifests request, and reports an outcome for every edge.
//! The rules are in `docs/reference/promotion.md`.
//!
//! The edges come from the crate `manifest-source`. [`promote`] is the flow: inventory, sources, plan, prepare, execute,
//! reread, report. `promotion-manifest` decides what a manifest means, and `transfer` copies the bytes.

mod attaching;
mod completeness;
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
mod settings;
mod sources;
mod tags;
mod worker;

use std::{collections::HashMap, io, sync::Arc, time::Instant};

use job::{Confirm, Progress, Stop};
use promotion_manifest::{EdgeSet, EdgeView, Problem, Selection, SourceDigestId};
use registry_client::RepositoryClient;
use transfer::{Image, TransferState};

pub use ending::{Ending, LeftOut, Unchecked};
pub use estimate::{Estimate, HostEstimate};
pub use hosts::Clients;
pub use metrics::metrics;
pub use outcome::{Outcome, OutcomeKind, Summary};
pub use public_name::{PublicName, PublicNameFailure};
pub use reason::{
    AttachmentName, AttachmentProblem, AttachmentStep, Reason, ReasonCode, Remedy, RemoteError,
    TagWas,
};
pub use settings::{AttachmentsTo, BrokenAttachments, PromotionSettings, VerifyDepth};

use execute::Executed;
use hosts::RunHosts;
use plan::Knowledge;
use planned::ImageOrigin;
use prepare::Preparation;
use report::Report;
use reporter::RunReporter;

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

/// What a run works with.
struct PromotionRun<'a> {
    hosts: RunHosts,
    transfer_state: TransferState,
    edges: &'a EdgeSet,
    selection: &'a Selection,
    settings: &'a PromotionSettings,
    stop: &'a Stop,
    progress: &'a dyn Progress,
}

impl<'a> PromotionRun<'a> {
    /// The selected edges of a destination repository.
    fn selected(&self, index: usize) -> impl Iterator<Item = EdgeView<'a>> {
        self.selection.edges_of(self.edges, index)
    }

    /// A client of a destination repository, with the credentials that its registry's entry names: with push access in
    /// a run that writes.
    fn destination(&self, index: usize) -> RepositoryClient {
        match self.settings.confirm {
            Confirm::Write => self.readable_destination(index).for_writing(),
            Confirm::DryRun => self.readable_destination(index),
        }
    }

    /// The same with pull access. Some users have no more than that where nothing needs to be written.
    fn readable_destination(&self, index: usize) -> RepositoryClient {
        let destination = &self.edges.destinations()[index];
        let client = self.hosts.client(self.edges.service_account(destination));
        client.repository(&destination.prefix.host, &destination.repository)
    }

    /// A client of the source repository of `source_digest`, with the credentials that its registry's entry names.
    fn source(&self, source_digest: SourceDigestId) -> Result<RepositoryClient, Arc<Reason>> {
        let source_digest = self.edges.source_digest(source_digest);
        let source = &source_digest.manifest.source;
        match source_digest.source_repository() {
            Ok(name) => {
                let client = self.hosts.client(source.service_account.as_deref());
                Ok(client.repository(&source.prefix.host, &name))
            }
            Err(error) => Err(Arc::new(Reason::InvalidSourceName {
                source: source.prefix.clone(),
                image: source_digest.image.name.clone(),
                error,
            })),
        }
    }

    fn origin(&self, origin: ImageOrigin) -> Result<RepositoryClient, Arc<Reason>> {
        match origin {
            ImageOrigin::Source(source_digest) => self.source(source_digest),
            ImageOrigin::Destination(index) => Ok(self.destination(index)),
        }
    }

    /// The image of `source_digest`, as `origin` has it.
    async fn load(
        &self,
        source_digest: SourceDigestId,
        origin: ImageOrigin,
    ) -> Result<Image, Unloaded> {
        let repository = self.origin(origin)?;
        self.hosts.check(repository.host()).await?;
        let image =
            Image::load(&repository, &self.edges.source_digest(source_digest).entry.digest).await;
        image.map_err(|error| Unloaded {
            is_kind: error.is_kind(),
            reason: self.hosts.explain(repository.host(), error),
        })
    }
}

/// Why an image could not be read.
struct Unloaded {
    /// Whether the reason is its kind, such as Docker schema 1, which is the same at every registry.
    is_kind: bool,
    reason: Arc<Reason>,
}

impl From<Arc<Reason>> for Unloaded {
    fn from(reason: Arc<Reason>) -> Self {
        Self { is_kind: false, reason }
    }
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
    reporter.finish(|summary, left_out| Ending {
        confirm: settings.confirm,
        stopped: stop.cause(),
        problems: problems.len(),
        summary,
        left_out,
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
