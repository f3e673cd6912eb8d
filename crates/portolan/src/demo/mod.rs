//! The whole journey in one process: push to staging, promote, mirror, serve, pull from four places.
//!
//! Every claim on the screen was checked before it was printed; the first that does not hold ends it.

mod content;
mod pull;
mod servers;

use std::{
    io::{self, Write},
    net::IpAddr,
};

use anyhow::{Context as _, ensure};
use blob_store::BlobStore;
use job::{Confirm, Silent};
use manifest_source::{LoadOptions, ManifestSource};
use oci::{Host, Reference, Repository};
use promoter::{
    Clients, Desired, OutcomeKind, PromotionSettings, Summary,
    report::{Show, WordsReport},
};
use registry_client::RegistryClient;
use wording::{Width, counted, row};

use content::Artifact;
pub(crate) use servers::DemoServers;
use servers::DemoStore;

/// The image's name below the staging and production prefixes, and its tag.
const IMAGE: (&str, &str) = ("hello", "1.0");
/// The chart's.
const CHART: (&str, &str) = ("charts/hello", "1.0.0");

/// The width of the narrowest terminal that people have, and of most pages that quote this.
const COLUMNS: Width = Width::Columns(80);

/// Makes the journey among the servers of `servers`, and prints each step once it is checked. Returns the front.
///
/// # Errors
/// When a claim does not hold.
pub(crate) async fn run(
    servers: &mut DemoServers,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<Host> {
    writeln!(out, "Portolan: promote, mirror, serve, pull; all in this process, on loopback.\n")?;
    push(out, servers).await?;
    promote(out, servers).await?;
    mirror(out, servers).await?;
    let front = servers.front().await?;
    pulls(out, servers, &front).await?;
    Ok(front)
}

/// Prints what was done in a step, which has been checked.
fn step(out: &mut (dyn Write + Send), name: &str, done: &str) -> anyhow::Result<()> {
    Ok(writeln!(out, "{}", row(0, &[format!("{name}{done}")], COLUMNS))?)
}

async fn push(out: &mut (dyn Write + Send), servers: &DemoServers) -> anyhow::Result<()> {
    let client = RegistryClient::builder().build();
    for ((name, tag), artifact) in [(IMAGE, content::image()?), (CHART, content::chart()?)] {
        let repository = client.repository(&servers.staging, &format!("staging/{name}").parse()?);
        for blob in artifact.blobs {
            let (digest, size) = (oci::Digest::sha256(&blob), blob.len() as u64);
            let body = futures_util::stream::iter([Ok::<_, io::Error>(blob)]);
            repository.start_upload().await?.put(&digest, size, body).await?;
        }
        let last = artifact.manifests.len() - 1;
        for (index, (media_type, manifest)) in artifact.manifests.into_iter().enumerate() {
            let digest = oci::Digest::sha256(&manifest);
            let reference =
                if index == last { Reference::Tag(tag.parse()?) } else { digest.into() };
            repository.put_manifest(&reference, media_type, manifest).await?;
        }
        step(out, "1 pushed     ", &format!("{}/staging/{name}:{tag}", servers.staging))?;
    }
    Ok(())
}

async fn promote(out: &mut (dyn Write + Send), servers: &DemoServers) -> anyhow::Result<()> {
    let entry = |(name, tag): (&str, &str), artifact: &Artifact| {
        format!("- name: {name}\n  dmap:\n    \"{}\": [\"{tag}\"]\n", artifact.digest())
    };
    let images = entry(IMAGE, &content::image()?) + &entry(CHART, &content::chart()?);
    let registries = format!(
        "registries:\n- name: {}/staging\n  src: true\n- name: {}/images\n",
        servers.staging, servers.production
    );
    servers.write("manifests/images/demo/images.yaml", &images)?;
    servers.write("manifests/manifests/demo/promoter-manifest.yaml", &registries)?;

    let directory = servers.directory().join("manifests");
    writeln!(out, "2 planned    portolan promote \\")?;
    writeln!(out, "               --thin-manifest-dir {}", directory.display())?;
    let mut words = Vec::new();
    let plan = promote_once(&directory, Confirm::DryRun, &mut words).await?;
    ensure!(
        plan.edges() == 2 && plan.count(OutcomeKind::ToCopy) == 2,
        "the plan is not to copy both: {plan:?}"
    );
    let words = String::from_utf8_lossy(&words);
    let is_row = |line: &&str| line.starts_with("  ");
    for line in words.lines().skip_while(|line| !is_row(line)).take_while(is_row) {
        writeln!(out, "{line}")?;
    }
    let done = promote_once(&directory, Confirm::Write, &mut io::sink()).await?;
    ensure!(done.count(OutcomeKind::Copied) == 2, "not both were copied: {done:?}");
    let again = promote_once(&directory, Confirm::Write, &mut io::sink()).await?;
    ensure!(
        again.count(OutcomeKind::Present) == 2,
        "a second promotion finds something to do: {again:?}"
    );
    let done =
        format!("2 edges to {}/images; a second run found nothing to do", servers.production);
    step(out, "3 promoted   ", &done)
}

async fn promote_once(
    directory: &std::path::Path,
    confirm: Confirm,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<Summary> {
    let source = ManifestSource::ThinDirectory(directory.to_owned());
    let loaded = manifest_source::load(&source, &LoadOptions::default())?;
    ensure!(loaded.problems.is_empty(), "problems in the manifests: {:?}", loaded.problems);
    let (_stopper, stop) = job::stop();
    let mut report = WordsReport::new(out, Show::Changes, COLUMNS);
    let (clients, settings) =
        (Clients::new(RegistryClient::builder().build()), PromotionSettings::new(confirm));
    let (edges, selection) = (&loaded.edges, &loaded.selection);
    let desired = Desired { edges, selection, problems: &loaded.problems };
    let ended = promoter::promote(clients, desired, &settings, &stop, &Silent, &mut report).await?;
    Ok(ended.summary)
}

async fn mirror(out: &mut (dyn Write + Send), servers: &DemoServers) -> anyhow::Result<()> {
    for (name, store) in [("paris", &servers.paris), ("everywhere", &servers.everywhere)] {
        let first = mirror_once(servers, store).await?;
        let again = mirror_once(servers, store).await?;
        ensure!(
            first.failed.is_empty() && again.failed.is_empty(),
            "mirroring failed: {:?}",
            first.failed
        );
        let (first, again) = (first.counts(), again.counts());
        ensure!(
            first.blobs > 0 && again.blobs + again.manifests == 0,
            "a second mirroring copied something"
        );
        let done = format!(
            "into store `{name}` ({}): {} and {}, {}; a second run found nothing to do",
            store.host,
            counted(first.blobs, "blob"),
            counted(first.manifests, "manifest"),
            counted(first.bytes, "byte"),
        );
        step(out, "4 mirrored   ", &done)?;
    }
    Ok(())
}

async fn mirror_once(servers: &DemoServers, store: &DemoStore) -> anyhow::Result<mirror::Totals> {
    let options = mirror::MirrorOptions {
        from: format!("{}/images", servers.production).parse()?,
        to: mirror::Stores::new(vec![BlobStore::open(&store.url())?])?,
        confirm: Confirm::Write,
    };
    let (_stopper, stop) = job::stop();
    Ok(mirror::mirror(&RegistryClient::builder().build(), &options, &stop, &Silent).await)
}

/// Who pulls, from where; and which host must have served the blobs.
fn clients(servers: &DemoServers) -> [(&'static str, &'static str, &'static str, &Host); 4] {
    [
        ("AWS Paris", "198.51.100.7", "store `paris`", &servers.paris.host),
        ("Google Cloud", "203.0.113.7", "production", &servers.production),
        ("elsewhere, IPv4", "192.0.2.7", "store `everywhere`", &servers.everywhere.host),
        ("elsewhere, IPv6", "2001:db8::7", "store `everywhere`", &servers.everywhere.host),
    ]
}

async fn pulls(
    out: &mut (dyn Write + Send),
    servers: &DemoServers,
    front: &Host,
) -> anyhow::Result<()> {
    let done = format!(
        "{}:{} and {}:{} through {front}, every digest verified\n",
        IMAGE.0, IMAGE.1, CHART.0, CHART.1
    );
    step(out, "5 pulled     ", &done)?;
    writeln!(
        out,
        "  {:15}  {:12}  {:>9}  {:>5}  {:>7}  blobs served by",
        "client", "address", "manifests", "blobs", "bytes"
    )?;
    for (place, address, served_by, expected) in clients(servers) {
        let address: IpAddr = address.parse()?;
        let (mut manifests, mut blobs, mut bytes) = (0, 0, 0);
        for (name, tag) in [IMAGE, CHART] {
            let name: Repository = name.parse()?;
            let pulled = pull::pull(front, &name, &Reference::Tag(tag.parse()?), address)
                .await
                .with_context(|| format!("pulling {name} as a client at {address}"))?;
            let only = pulled.hosts.len() == 1 && pulled.hosts.contains(expected.as_str());
            ensure!(
                only,
                "a client at {address} got blobs from {:?}, not from {expected}",
                pulled.hosts
            );
            manifests += pulled.manifests;
            blobs += pulled.blobs;
            bytes += pulled.bytes;
        }
        writeln!(
            out,
            "  {place:15}  {address:12}  {manifests:>9}  {blobs:>5}  {bytes:>7}  {served_by}"
        )?;
    }
    Ok(())
}

/// Prints how to pull from the front while it runs.
///
/// # Errors
/// When it cannot be printed.
pub(crate) fn write_commands(out: &mut dyn Write, front: &Host) -> io::Result<()> {
    let (name, tag) = IMAGE;
    writeln!(out, "\nPull it yourself:")?;
    writeln!(out, "  docker pull {front}/{name}:{tag}")?;
    writeln!(out, "  skopeo copy --all --src-tls-verify=false \\")?;
    writeln!(out, "    docker://{front}/{name}:{tag} dir:/tmp/{name}")?;
    writeln!(out, "  crane pull --insecure {front}/{name}:{tag} {name}.tar")
}
