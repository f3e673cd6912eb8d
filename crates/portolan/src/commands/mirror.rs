//! `portolan mirror`: registry prefix to blob stores, totals, exit code.

use anyhow::Context as _;
use blob_store::BlobStore;
use job::Confirm;
use mirror::{MirrorOptions, Stores};

use super::mirror_report;
use crate::{arguments::Mirror, exit::Exit, printer::Printer};

pub(crate) async fn run(mirror: &Mirror, printer: &Printer) -> anyhow::Result<Exit> {
    let options = MirrorOptions {
        from: mirror.from.clone(),
        to: stores(&mirror.to).await?,
        confirm: if mirror.confirm { Confirm::Write } else { Confirm::DryRun },
    };
    let stop = super::stop(None, printer)?;
    let client = super::client(&mirror.registries)?;
    let progress = printer.progress_of(&client);
    let totals = mirror::mirror(&client, &options, &stop, &*progress).await;
    drop(progress);
    mirror_report::print(printer, mirror.output, &totals, options.confirm)?;
    super::warn_of_unused_hosts(printer, &mirror.registries, &client, &[&mirror.from.host]);
    printer.note(mirror_report::in_words(&totals, options.confirm));
    Ok(match () {
        () if !totals.failed.is_empty() => Exit::NotAsAsked,
        () if mirror.detailed_exitcode && totals.counts().written() > 0 => Exit::ChangesPending,
        () => Exit::AllHolds,
    })
}

/// The stores of these URLs, before anything is read or written.
async fn stores(urls: &[String]) -> anyhow::Result<Stores> {
    let mut stores = Vec::new();
    for url in urls {
        let store = BlobStore::open(url).with_context(|| format!("--to {url}"))?;
        store.check_location().await.with_context(|| format!("--to {url}"))?;
        stores.push(store);
    }
    Stores::new(stores).context("--to")
}
