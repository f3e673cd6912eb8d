//! The image of a digest: read at the first origin that has it, and kept until it is copied if there is room.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use transfer::Image;

use crate::{
    Outcome, PromotionRun, Unloaded,
    planned::{Planned, PlannedTarget},
    ready::ImageManifests,
    reason::Reason,
};

/// How many bytes of manifests are kept in memory until their images are copied. A run of usual size keeps all of them;
/// the first run of a whole registry would need gigabytes, and reads the others again.
const MAX_KEPT_BYTES: usize = 32 << 20;

/// The manifests that are kept until their images are copied.
#[derive(Debug, Default)]
pub(super) struct KeptManifests {
    bytes: AtomicUsize,
}

impl KeptManifests {
    /// Keeps the manifests of an image that is copied, if there is room for them.
    pub(super) fn keep(&self, image: Option<&Arc<Image>>) -> ImageManifests {
        let Some(image) = image else { return ImageManifests::NotKept };
        let bytes = image.nodes().map(|node| node.manifest.bytes.len()).sum();
        match self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes {
            ..=MAX_KEPT_BYTES => ImageManifests::Kept(Arc::clone(image)),
            _ => ImageManifests::NotKept,
        }
    }
}

/// The image, if it is copied or checked. If it cannot be read, the targets that need it are settled.
pub(super) async fn load_needed(
    run: &PromotionRun<'_>,
    planned: &mut Planned,
    settled: &mut Vec<Outcome>,
) -> Option<Arc<Image>> {
    let verify = run.settings.verify;
    let is_needed = |target: &PlannedTarget| target.is_copied() || target.is_checked(verify);
    if !planned.targets.iter().any(is_needed) {
        return None;
    }
    let Unloaded { is_kind, reason } = match load(run, planned).await {
        Ok(image) => return Some(image),
        Err(unloaded) => unloaded,
    };
    // A manifest of an unknown kind cannot be checked. It can be tagged all the same, since its bytes are there.
    let is_failed = |target: &PlannedTarget| target.is_copied() || !is_kind && is_needed(target);
    let failed = planned.targets.extract_if(.., |target| is_failed(target));
    settled.extend(failed.flat_map(|target| target.failed(&reason)));
    let note = Arc::new(Reason::NotChecked { cause: reason });
    for target in planned.targets.iter_mut().filter(|target| is_needed(target)) {
        target.note = Some(Arc::clone(&note));
    }
    None
}

/// The image at the first origin that has all its manifests, and `planned` with the origins from that one on; or why
/// each origin cannot be used.
async fn load(run: &PromotionRun<'_>, planned: &mut Planned) -> Result<Arc<Image>, Unloaded> {
    let mut origins = planned.origins.clone();
    let mut failure = match run.load(planned.source_digest, origins.first()).await {
        Ok(image) => return Ok(Arc::new(image)),
        Err(failure) => failure,
    };
    let mut reasons = vec![Arc::clone(&failure.reason)];
    // Sources come first.
    let of_source = origins.first().is_source().then(|| Arc::clone(&failure.reason));
    while let Some(others) = origins.without_first() {
        origins = others;
        match run.load(planned.source_digest, origins.first()).await {
            Ok(image) => {
                planned.origins = origins;
                planned.source_failure = planned.source_failure.take().or(of_source);
                return Ok(Arc::new(image));
            }
            Err(other) => reasons.push(other.reason),
        }
    }
    failure.reason = Reason::several(reasons).unwrap_or(failure.reason);
    Err(failure)
}
