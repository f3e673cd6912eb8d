//! Promotion: makes destination registries hold what promotion manifests ask for, and says of every
//! edge what became of it. The rules are in `docs/reference/promotion.md`.
//!
//! The edges come from the crate `manifest-source`; [`promote`] is the flow: inventory, sources, plan, reading, execute, looking again. What a
//! manifest means is decided in `promotion-manifest`; how bytes move, in `transfer`.

mod attaching;
mod completeness;
mod doubts;
mod ending;
mod estimate;
mod execute;
mod hosts;
mod interruption;
mod inventory;
mod metrics;
mod not_copied;
mod outcome;
mod plan;
mod public_name;
mod reading;
mod reading_back;
mod reason;
pub mod report;
mod settings;
mod sources;
mod tags;
mod teller;
mod work;
mod worker;

use std::{collections::HashMap, io, sync::Arc, time::Instant};

use job::{Confirm, Progress, Stop};
use promotion_manifest::{EdgeSet, EdgeView, Problem, Selection, SourceDigestId};
use registry_client::RepositoryClient;
use transfer::{Image, InFlight};

pub use ending::{Ending, LeftOut, Unchecked};
pub use estimate::{Estimate, HostEstimate};
pub use hosts::Clients;
pub use metrics::metrics;
pub use outcome::{Outcome, Summary, Verdict};
pub use public_name::{PublicName, Unanswered};
pub use reason::{
    AttachmentName, AttachmentProblem, AttachmentStep, Reason, ReasonCode, Remedy, RemoteError,
    TagWas,
};
pub use settings::{AttachmentsTo, BrokenAttachments, Settings, Verify};

use estimate::Estimator;
use execute::Executed;
use hosts::Hosts;
use plan::{Knowledge, Plan};
use report::Report;
use teller::Teller;
use work::Origin;

/// What the promotion manifests request.
#[derive(Clone, Copy, Debug)]
pub struct Desired<'a> {
    /// All edges of the usable projects.
    pub edges: &'a EdgeSet,
    /// Those that are promoted.
    pub selection: &'a Selection,
    /// What is wrong with the manifests. It is reported.
    pub problems: &'a [Problem],
}

/// What a run works with.
struct Run<'a> {
    hosts: Hosts,
    in_flight: InFlight,
    edges: &'a EdgeSet,
    selection: &'a Selection,
    settings: &'a Settings,
    stop: &'a Stop,
    progress: &'a dyn Progress,
}

impl<'a> Run<'a> {
    /// The selected edges of a destination repository.
    fn selected(&self, index: usize) -> impl Iterator<Item = EdgeView<'a>> {
        self.selection.edges_of(self.edges, index)
    }

    /// A destination repository, spoken to as its registry's entry says: with the right to write, in a run that
    /// writes.
    fn destination(&self, index: usize) -> RepositoryClient {
        match self.settings.confirm {
            Confirm::Write => self.readable_destination(index).for_writing(),
            Confirm::DryRun => self.readable_destination(index),
        }
    }

    /// The same with the right to read, which is all that some have where nothing is to be written.
    fn readable_destination(&self, index: usize) -> RepositoryClient {
        let place = &self.edges.destinations()[index];
        let client = self.hosts.client(self.edges.service_account(place));
        client.repository(&place.prefix.host, &place.repository)
    }

    /// The repository that the source of `source_digest` names, spoken to in the same way.
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

    fn origin(&self, origin: Origin) -> Result<RepositoryClient, Arc<Reason>> {
        match origin {
            Origin::Source(source_digest) => self.source(source_digest),
            Origin::Destination(index) => Ok(self.destination(index)),
        }
    }

    /// The image that `source_digest` asks for, as `origin` has it.
    async fn load(&self, source_digest: SourceDigestId, origin: Origin) -> Result<Image, Unloaded> {
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
    /// Whether that is because of its kind: Docker schema 1, say. It is the same wherever it is.
    is_kind: bool,
    reason: Arc<Reason>,
}

impl From<Arc<Reason>> for Unloaded {
    fn from(reason: Arc<Reason>) -> Self {
        Self { is_kind: false, reason }
    }
}

/// Promotes the `desired` edges, telling `report` of the problems and of every selected edge, and returns how it ended.
///
/// # Errors
/// Only when the report cannot be written; the promotion goes on to its end all the same. A reader
/// that went away (a broken pipe) is no error.
pub async fn promote(
    clients: Clients,
    desired: Desired<'_>,
    settings: &Settings,
    stop: &Stop,
    progress: &dyn Progress,
    report: &mut dyn Report,
) -> io::Result<Ending> {
    let begun = Instant::now();
    let Desired { edges, selection, problems } = desired;
    let client = clients.usual().clone();
    let mut teller = Teller::new(report, edges);
    teller.problems(problems);
    let hosts = Hosts::of(clients, edges);
    let run = Run { hosts, in_flight: InFlight::new(), edges, selection, settings, stop, progress };
    let (plan, estimator, unchecked) = make_plan(&run).await;
    teller.outcomes(&plan.settled);
    let (mut estimate, mut unanswered) = (None, Vec::new());
    match settings.confirm {
        Confirm::DryRun => {
            plan.work.iter().for_each(|work| teller.outcomes(&work.would_be(edges)));
            estimate = Some(estimator.finish(&client));
        }
        Confirm::Write => {
            let edges_to_do = plan.work.iter().flat_map(|work| &work.targets);
            let edges_to_do = edges_to_do.map(|target| target.all_edges().count()).sum::<usize>();
            progress.expect_bytes(estimator.bytes_to_send());
            progress.stage("promoting edges", edges_to_do as u64);
            let Executed { mut outcomes, written } = execute::execute(&run, plan.work).await;
            tags::look_again(&run, &mut outcomes).await;
            // Last, so that as much as possible of what others write at the same time is seen.
            attaching::reread(&run, written, &mut outcomes).await;
            teller.outcomes(&outcomes);
            if let Some(public) = &settings.verify_through {
                unanswered = public_name::verify(&run, public, &outcomes).await;
            }
        }
    }
    teller.finish(|summary, left_out| Ending {
        confirm: settings.confirm,
        stopped: stop.cause(),
        problems: problems.len(),
        summary,
        left_out,
        unchecked,
        hosts: client.usage(),
        estimate,
        unanswered,
        time: begun.elapsed(),
    })
}

/// From edges to what can and must be done.
async fn make_plan(run: &Run<'_>) -> (Plan, Estimator, Unchecked) {
    let (edges, selection, settings) = (run.edges, run.selection, run.settings);
    let seen = inventory::read_destinations(run).await;
    let sources = sources::read_sources(run, plan::to_ask(run, &seen)).await;
    let mut asked_again = HashMap::new();
    let mut plan = loop {
        let knowledge = Knowledge {
            edges,
            selection,
            settings,
            seen: &seen,
            sources: &sources,
            asked_again: &asked_again,
        };
        let plan = plan::plan(knowledge);
        if plan.doubtful.is_empty() {
            break plan;
        }
        // Whatever was asked again is not doubtful any more.
        asked_again = doubts::ask_everybody(run, &plan.doubtful).await;
    };
    let estimator = reading::read(run, &seen, &sources, &mut plan).await;
    (plan, estimator, inventory::unchecked(run, &seen))
}
