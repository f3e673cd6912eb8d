//! Whether a destination that has a digest has everything that the digest reaches: where a tag is to be written, and
//! with a deep verification everywhere. What is missing is copied.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use transfer::{Content, Destination, Image};

use crate::{
    Outcome, Run, doubts,
    reason::{Reason, Remedy},
    work::{Lacks, Origin, Target, Work},
};

/// Destinations of one image that are checked at once. Each is asked for up to eight things at a time.
const DESTINATIONS_AT_ONCE: usize = 8;

/// Checks the targets of `work` that have the digest of `image`. Those that lack any of it are to be completed; those
/// that do not say are settled.
pub(crate) async fn check(
    run: &Run<'_>,
    work: &mut Work,
    image: &Image,
    settled: &mut Vec<Outcome>,
) {
    let checked = work.targets.iter().map(|target| target.is_checked(run.settings.verify));
    let checked = checked.zip(work.targets.iter().map(|target| target.destination));
    let found =
        stream::iter(checked.collect::<Vec<_>>()).map(|(is_checked, destination)| async move {
            if is_checked { missing(run, image, destination).await } else { Ok(None) }
        });
    let found: Vec<_> = found.buffered(DESTINATIONS_AT_ONCE).collect().await;
    if found.iter().any(|found| matches!(found, Ok(Some(_)))) {
        add_sources(run, work).await;
    }
    let (mut found, origins) = (found.into_iter(), &work.origins);
    work.targets.retain_mut(|target| match found.next() {
        Some(Ok(Some(missing))) if has_other(origins, target) => {
            let note = Reason::Incomplete { missing, remedy: Remedy::Copy };
            (target.lacks, target.note) = (Lacks::Parts, Some(Arc::new(note)));
            true
        }
        Some(Ok(Some(missing))) => {
            let reason = Reason::Incomplete { missing, remedy: Remedy::None };
            settled.extend(target.failed(&Arc::new(reason)));
            false
        }
        Some(Err(reason)) => {
            settled.extend(target.failed(&reason));
            false
        }
        Some(Ok(None)) | None => true,
    });
}

/// Asks the source, which the plan had no reason to ask.
async fn add_sources(run: &Run<'_>, work: &mut Work) {
    let (source, digest) = (
        Origin::Source(work.source_digest),
        run.edges.source_digest(work.source_digest).entry.digest,
    );
    if !work.origins.contains(&source) && matches!(doubts::has(run, source, digest).await, Ok(true))
    {
        work.origins.insert(0, source);
    }
}

/// Whether the image can be had from anywhere but `target` itself.
fn has_other(origins: &[Origin], target: &Target) -> bool {
    origins.iter().any(|origin| *origin != Origin::Destination(target.destination))
}

/// What a destination lacks of an image whose digest it has, if anything.
async fn missing(
    run: &Run<'_>,
    image: &Image,
    at: usize,
) -> Result<Option<Vec<Content>>, Arc<Reason>> {
    let repository = run.destination(at);
    run.hosts.check(repository.host()).await?;
    let destination = Destination::Registry(repository.clone());
    let missing = image.missing_at(&run.in_flight, &destination).await;
    let missing = missing.map_err(|error| run.hosts.explain(repository.host(), error))?;
    Ok((!missing.is_empty()).then_some(missing))
}
