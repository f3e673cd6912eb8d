//! Checks whether a destination that has a digest has all the content below it. This is checked before a tag is written,
//! and by a deep verification for all images. What is missing is copied.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use transfer::{Content, Destination, Image};

use crate::{
    Outcome, PromotionRun, find_lost,
    planned::{ImageOrigin, ImageOrigins, Lacks, Planned, PlannedTarget},
    reason::{Reason, Remedy},
};

/// Destinations of one image that are checked at once. Each gets up to eight requests at a time.
const DESTINATIONS_AT_ONCE: usize = 8;

/// Checks the targets that have the digest of `image`. The content that they lack will be copied. A target is settled as
/// failed if it cannot be read, or if no other registry has the image.
pub(crate) async fn check(
    run: &PromotionRun<'_>,
    planned: &mut Planned,
    image: &Image,
    settled: &mut Vec<Outcome>,
) {
    let checked = planned.targets.iter().map(|target| target.is_checked(run.settings.verify));
    let checked = checked.zip(planned.targets.iter().map(|target| target.destination));
    let found =
        stream::iter(checked.collect::<Vec<_>>()).map(|(is_checked, destination)| async move {
            if is_checked { missing(run, image, destination).await } else { Ok(None) }
        });
    let found: Vec<_> = found.buffered(DESTINATIONS_AT_ONCE).collect().await;
    let mut remedy = Remedy::None;
    if found.iter().any(|found| matches!(found, Ok(Some(_))))
        && let Err(cause) = add_source(run, planned).await
    {
        planned.source_failure.get_or_insert_with(|| Arc::clone(&cause));
        remedy = Remedy::SourceUnread { cause };
    }
    let (mut found, origins) = (found.into_iter(), &planned.origins);
    planned.targets.retain_mut(|target| match found.next() {
        Some(Ok(Some(missing))) if has_other(origins, target) => {
            let note = Reason::Incomplete { missing, remedy: Remedy::Copy };
            (target.lacks, target.note) = (Lacks::Parts, Some(Arc::new(note)));
            true
        }
        Some(Ok(Some(missing))) => {
            let reason = Reason::Incomplete { missing, remedy: remedy.clone() };
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

/// Adds the source to the origins if it has the digest. The plan had no reason to read it. Returns why the source cannot
/// be read, if it cannot.
async fn add_source(run: &PromotionRun<'_>, planned: &mut Planned) -> Result<(), Arc<Reason>> {
    let source = ImageOrigin::Source(planned.source_digest);
    let digest = run.edges.source_digest(planned.source_digest).entry.digest;
    let is_known = planned.origins.iter().any(|origin| origin == source);
    if !is_known && find_lost::has(run, source, digest).await? {
        planned.origins.add_first(source);
    }
    Ok(())
}

/// Whether a registry other than `target` itself has the image.
fn has_other(origins: &ImageOrigins, target: &PlannedTarget) -> bool {
    origins.iter().any(|origin| origin != ImageOrigin::Destination(target.destination))
}

/// The content that a destination lacks of an image whose digest it has; `None` if it lacks nothing.
async fn missing(
    run: &PromotionRun<'_>,
    image: &Image,
    at: usize,
) -> Result<Option<Vec<Content>>, Arc<Reason>> {
    let repository = run.destination(at);
    run.hosts.check(repository.host()).await?;
    let destination = Destination::Registry(repository.clone());
    let missing = image.missing_at(&run.transfer_state, &destination).await;
    let missing = missing.map_err(|error| run.hosts.explain(repository.host(), error))?;
    Ok((!missing.is_empty()).then_some(missing))
}
