//! `portolan promote`: load, edges, promote, exit code.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::Context as _;
use job::Confirm;
use manifest_source::{ChangeRange, LoadOptions, LoadedManifests, ManifestSource};
use promoter::{AttachmentsTo, BrokenAttachments, Clients, Desired, PromotionSettings, PublicName};
use promotion_manifest::{EdgeSet, RegistryEntry};
use registry_client::RegistryClient;
use wording::Chain;

use super::{promote_files, promote_outputs::Outputs, promote_summary};
use crate::{
    arguments::{Attachments, ManifestFlags, Promote, SelectionFlags, Verify},
    credentials::{self, Acting},
    exit::Exit,
    printer::{self, Printer},
};

pub(crate) async fn run(promote: &Promote, printer: &Printer) -> anyhow::Result<Exit> {
    promote_files::check(promote)?;
    let loaded =
        manifest_source::load(&source(&promote.manifests)?, &load_options(&promote.selection)?)?;
    let LoadedManifests { edges, selection, problems } = loaded;
    if edges.is_empty() && problems.is_empty() {
        printer.loud_warning(
            "the manifests request nothing: no image has a digest; check that this is the file or directory that was meant",
        );
    }
    let client = super::client(&promote.registries)?;
    let settings = settings(promote, &edges)?;
    let clients = clients(&client, promote, settings.confirm, &edges)?;
    let mut outputs = Outputs::open(promote, printer)?;
    // Until here a signal ends the process: reading or opening a pipe may wait for another program.
    let stop = super::stop(promote.deadline, printer)?;

    let progress = printer.progress_of(&client);
    let ended = promoter::promote(
        clients,
        Desired { edges: &edges, selection: &selection, problems: &problems },
        &settings,
        &stop,
        &*progress,
        &mut outputs.reports,
    );
    let ended = ended.await;
    drop(progress);
    let ending = ended?;
    let failures = outputs.close(&ending);
    for failure in &failures {
        printer::error(Chain(failure.as_ref()))?;
    }
    let registries = registries(&edges).map(|registry| &registry.prefix.host);
    let public = promote.verify_through.iter().map(|url| &url.host);
    let named: Vec<_> = registries.chain(public).collect();
    super::warn_of_unused_hosts(printer, &promote.registries, &client, &named);
    printer.note(promote_summary::in_words(&ending, promote));
    Ok(match () {
        () if edges.manifests().is_empty() => Exit::CouldNotRun,
        () if !ending.all_holds() || !failures.is_empty() => Exit::NotAsAsked,
        () if promote.detailed_exitcode && ending.summary.pending() > 0 => Exit::ChangesPending,
        () => Exit::AllHolds,
    })
}

fn source(manifests: &ManifestFlags) -> anyhow::Result<ManifestSource> {
    match (&manifests.manifest, &manifests.thin_manifest_dir) {
        (Some(file), _) if file == Path::new("-") => Ok(ManifestSource::StandardInput),
        (Some(file), _) => Ok(ManifestSource::File(file.clone())),
        (None, Some(directory)) => Ok(ManifestSource::ThinDirectory(directory.clone())),
        (None, None) => anyhow::bail!("give --manifest FILE or --thin-manifest-dir DIR"),
    }
}

fn load_options(flags: &SelectionFlags) -> anyhow::Result<LoadOptions> {
    let SelectionFlags { project, changed_since, changed_in, since } = flags;
    if let Some(range) = changed_since.as_ref().filter(|revision| revision.contains("..")) {
        anyhow::bail!(
            "--changed-since {range}: this is a range, not a revision; write --changed-in {range}"
        );
    }
    let changed = match (changed_since, changed_in, since) {
        (Some(revision), _, _) => Some(ChangeRange::Since(revision.clone())),
        (_, Some(range), _) => Some(range.parse().context("--changed-in")?),
        (_, _, Some(time)) => Some(ChangeRange::Within(time.clone())),
        (None, None, None) => None,
    };
    Ok(LoadOptions { projects: project.clone(), changed })
}

fn settings(promote: &Promote, edges: &EdgeSet) -> anyhow::Result<PromotionSettings> {
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
    let settings = PromotionSettings {
        confirm: if promote.confirm { Confirm::Write } else { Confirm::DryRun },
        attachments,
        canonical: promote.attaching.canonical.clone(),
        broken_attachments: if promote.attaching.attachments_required {
            BrokenAttachments::Fatal
        } else {
            BrokenAttachments::Reported
        },
        verify: match promote.verify {
            Verify::Shallow => promoter::VerifyDepth::Shallow,
            Verify::Deep => promoter::VerifyDepth::Deep,
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

/// A client for each service account that the manifests name. A dry run reads only, and impersonates no account.
fn clients(
    client: &RegistryClient,
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
fn registries(edges: &EdgeSet) -> impl Iterator<Item = &RegistryEntry> {
    let manifests = edges.manifests().iter();
    manifests.flat_map(|manifest| manifest.destinations.iter().chain([&manifest.source]))
}
