//! `portolan promote`: load, edges, promote, exit code.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::BufWriter,
    path::Path,
    time::SystemTime,
};

use anyhow::Context as _;
use promoter::{
    AttachmentsTo, BrokenAttachments, Choice, Clients, Ending, ManifestSource, PublicName,
    Settings, Verdict,
    report::{JsonReport, Report, Reports, Show, WordsReport, in_bytes},
};
use promotion_manifest::{EdgeSet, Registry};
use registry_client::Client;
use transfer::{Confirm, StopCause};
use wording::counted;

use crate::{
    arguments::{Attachments, Choosing, Manifests, Output, Promote, Verify},
    credentials::{self, Acting},
    exit::Exit,
    printer::Printer,
    replaced_file::ReplacedFile,
    signals,
};

pub(crate) async fn run(promote: &Promote, printer: &Printer) -> anyhow::Result<Exit> {
    let loaded = promoter::load(&source(&promote.manifests)?, &choice(&promote.choice)?)?;
    let (edges, problems) = (loaded.edges, loaded.problems);
    let stop = signals::stop_on_termination(promote.deadline)?;
    let client = super::client(&promote.registries)?;
    let settings = settings(promote, &edges)?;
    let clients = clients(&client, promote, settings.confirm, &edges)?;
    let mut outputs = Outputs::open(promote, printer)?;

    let progress = printer.progress_of(&client);
    let ended = promoter::promote(
        clients,
        &edges,
        &problems,
        &settings,
        &stop,
        &*progress,
        &mut outputs.reports,
    );
    let ended = ended.await.context("the report cannot be written");
    drop(progress);
    let ending = ended?;
    outputs.close(&ending)?;
    let registries = registries(&edges).map(|registry| &registry.prefix.host);
    let public = promote.verify_through.iter().map(|url| &url.host);
    let named: Vec<_> = registries.chain(public).collect();
    super::warn_of_unused_hosts(printer, &promote.registries, &client, &named);
    printer.note(in_words(&ending));
    Ok(match () {
        () if edges.manifests().is_empty() => Exit::CouldNotRun,
        () if !ending.all_holds() => Exit::NotAsAsked,
        () if promote.detailed_exitcode && ending.summary.pending() > 0 => Exit::ChangesPending,
        () => Exit::AllHolds,
    })
}

fn source(manifests: &Manifests) -> anyhow::Result<ManifestSource> {
    match (&manifests.manifest, &manifests.thin_manifest_dir) {
        (Some(file), _) if file == Path::new("-") => Ok(ManifestSource::StandardInput),
        (Some(file), _) => Ok(ManifestSource::File(file.clone())),
        (None, Some(directory)) => Ok(ManifestSource::ThinDirectory(directory.clone())),
        (None, None) => anyhow::bail!("give --manifest FILE or --thin-manifest-dir DIR"),
    }
}

fn choice(choosing: &Choosing) -> anyhow::Result<Choice> {
    let Choosing { project, changed_since, changed_in, since } = choosing;
    let changes = match (changed_since, changed_in, since) {
        (Some(revision), _, _) => Some(promoter::Changes::Since(revision.clone())),
        (_, Some(range), _) => Some(range.parse().context("--changed-in")?),
        (_, _, Some(time)) => Some(promoter::Changes::Within(time.clone())),
        (None, None, None) => None,
    };
    Ok(Choice { projects: project.clone(), changes })
}

fn settings(promote: &Promote, edges: &EdgeSet) -> anyhow::Result<Settings> {
    let attachments = match promote.attaching.attachments {
        Attachments::All => AttachmentsTo::All,
        Attachments::Canonical => AttachmentsTo::Canonical,
        Attachments::None => AttachmentsTo::Nowhere,
    };
    let public = promote.verify_through.as_ref().map(|url| {
        let plain = url.is_plain.then_some(&url.host);
        let client = super::client_with(&promote.registries, plain)?;
        anyhow::Ok(PublicName { client, host: url.host.clone() })
    });
    let settings = Settings {
        confirm: if promote.confirm { Confirm::Write } else { Confirm::DryRun },
        attachments,
        canonical: promote.attaching.canonical.clone(),
        broken_attachments: if promote.attaching.attachments_required {
            BrokenAttachments::Fatal
        } else {
            BrokenAttachments::Reported
        },
        verify: match promote.verify {
            Verify::Shallow => promoter::Verify::Shallow,
            Verify::Deep => promoter::Verify::Deep,
        },
        verify_through: public.transpose()?,
    };
    if let Some(canonical) = &settings.canonical
        && settings.attachments == AttachmentsTo::Nowhere
    {
        anyhow::bail!(
            "--canonical {canonical}: it has no effect with --attachments none; remove one of the two"
        );
    }
    if let Some(canonical) = &settings.canonical
        && !settings.canonical_is_a_destination(edges)
    {
        anyhow::bail!(
            "--canonical {canonical}: no image goes to that registry; name one of the destinations, \
             HOST/PATH, as the manifests write it"
        );
    }
    Ok(settings)
}

/// A client for each service account that the manifests name. A dry run reads only, and impersonates nobody.
fn clients(
    client: &Client,
    promote: &Promote,
    confirm: Confirm,
    edges: &EdgeSet,
) -> anyhow::Result<Clients> {
    let accounts: BTreeSet<&str> =
        registries(edges).filter_map(|registry| registry.service_account.as_deref()).collect();
    let mut files: BTreeMap<&str, &Path> = BTreeMap::new();
    for (account, file) in &promote.credentials {
        if files.insert(account, file).is_some() {
            anyhow::bail!("--credentials {account}: the service account has two files; give one");
        }
    }
    if let Some(account) = files.keys().find(|account| !accounts.contains(*account)) {
        anyhow::bail!(
            "--credentials {account}: no registry in the manifests has that `service-account`; write the \
             name as it stands there"
        );
    }
    let places = super::places(&promote.registries);
    let mut clients = Clients::new(client.clone());
    for account in accounts {
        let acting = match (files.get(account), confirm) {
            (Some(file), _) => Acting::ByFile(file),
            (None, Confirm::Write) => Acting::ByImpersonation(account),
            (None, Confirm::DryRun) => continue,
        };
        let credentials = credentials::acting(&places, acting);
        let credentials = credentials.with_context(|| format!("--credentials {account}"))?;
        clients.act_as(account.to_owned(), client.acting_as(credentials));
    }
    Ok(clients)
}

/// The registries of all manifests.
fn registries(edges: &EdgeSet) -> impl Iterator<Item = &Registry> {
    let manifests = edges.manifests().iter();
    manifests.flat_map(|manifest| manifest.destinations.iter().chain([&manifest.source]))
}

/// Where the run is told, besides the terminal.
struct Outputs {
    reports: Reports,
    report: Option<ReplacedFile>,
    metrics: Option<ReplacedFile>,
}

impl Outputs {
    /// Opens all of them before anything is done, so that what cannot be written is told at once.
    fn open(promote: &Promote, printer: &Printer) -> anyhow::Result<Self> {
        let show = if promote.telling.all { Show::Everything } else { Show::Changes };
        let out = BufWriter::new(printer.stdout());
        let mut reports: Vec<Box<dyn Report>> = vec![match promote.telling.output {
            Output::Json => Box::new(JsonReport::new(out, show)),
            Output::Table => Box::new(WordsReport::new(out, show, printer.width())),
        }];
        let report = promote.telling.report.as_deref().map(ReplacedFile::create).transpose()?;
        if let Some(file) = &report {
            reports.push(Box::new(JsonReport::new(
                BufWriter::new(printer.screen().data(file.writer()?)),
                show,
            )));
        }
        let metrics = promote.telling.metrics_file.as_deref();
        let metrics = metrics.map(ReplacedFile::create).transpose()?;
        Ok(Self { reports: Reports(reports), report, metrics })
    }

    fn close(self, ending: &Ending) -> anyhow::Result<()> {
        drop(self.reports);
        if let Some(file) = self.report {
            file.replace()?;
        }
        if let Some(file) = self.metrics {
            file.write(&promoter::metrics(ending, SystemTime::now()))?;
            file.replace()?;
        }
        Ok(())
    }
}

/// The summary as a release manager would read it aloud.
fn in_words(ending: &Ending) -> String {
    let of = |verdict| ending.summary.count(verdict);
    let done = match ending.confirm {
        Confirm::Write => format!(
            "{} copied, {} tagged, {} given attachments",
            of(Verdict::Copied),
            of(Verdict::Tagged),
            of(Verdict::Attached)
        ),
        Confirm::DryRun => format!(
            "{} to copy, {} to tag, {} to give attachments",
            of(Verdict::ToCopy),
            of(Verdict::ToTag),
            of(Verdict::ToAttach)
        ),
    };
    let mut text = format!(
        "{}: {} present, {done}, {} lost, {} refused, {} failed; {} in manifests. \
         {}, {} read and {} written in {:.1} s.",
        counted(ending.summary.edges(), "edge"),
        of(Verdict::Present),
        of(Verdict::Lost),
        of(Verdict::Refused),
        of(Verdict::Failed),
        counted(ending.problems as u64, "problem"),
        counted(ending.requests(), "request"),
        in_bytes(ending.bytes_received()),
        in_bytes(ending.bytes_sent()),
        ending.time.as_secs_f64(),
    );
    if !ending.unanswered.is_empty() {
        let tags = counted(ending.unanswered.len() as u64, "tag");
        text.push_str(&format!(" The public name does not serve {tags}."));
    }
    let broken = of(Verdict::AttachmentBroken);
    if broken > 0 {
        let attachments = counted(broken, "attachment");
        text.push_str(&format!(" Broken at their source and left out: {attachments}."));
    }
    match ending.stopped {
        Some(cause) if !ending.all_holds() => text.push_str(&incomplete(ending.confirm, cause)),
        _ => text.push_str(conclusion(ending)),
    }
    text
}

/// What a run that was stopped comes to.
fn incomplete(confirm: Confirm, cause: StopCause) -> String {
    let what = match confirm {
        Confirm::DryRun => "plan",
        Confirm::Write => "promotion",
    };
    let why = match cause {
        StopCause::Interrupted => "interrupted".to_owned(),
        StopCause::Deadline(after) => {
            format!("interrupted after {}s (--deadline)", after.as_secs_f64())
        }
    };
    format!(" The {what} is incomplete: {why}; run again.")
}

/// What a whole run comes to.
const fn conclusion(ending: &Ending) -> &'static str {
    let has_pending = ending.summary.pending() > 0;
    match (ending.confirm, ending.all_holds()) {
        (Confirm::DryRun, _) if has_pending => {
            " Nothing was written: this was a dry run; use --confirm to write."
        }
        (Confirm::DryRun, true) => " Everything the manifests ask for is in place; nothing to do.",
        (Confirm::DryRun, false) => {
            " Nothing can be written, and not everything the manifests ask for is in place; see above."
        }
        (Confirm::Write, true) => " Everything the manifests ask for is in place.",
        (Confirm::Write, false) => " Not everything the manifests ask for is in place; see above.",
    }
}
