//! What of an image is never copied: layers that may not be distributed.

use oci::Descriptor;
use transfer::Image;
use wording::list;

use crate::hosts::Reason;

/// How many layers a note names.
const NAMED: usize = 3;

/// The note on the layers that are not copied, if there are any.
pub(crate) fn note(image: &Image) -> Option<Reason> {
    let (fetched, lost): (Vec<_>, Vec<_>) =
        image.not_distributable().partition(|layer| !layer.urls.is_empty());
    let mut notes = Vec::new();
    if !fetched.is_empty() {
        let layers = digests(fetched);
        notes.push(format!(
            "non-distributable layers were not copied: clients fetch them from their `urls`: {layers}"
        ));
    }
    if !lost.is_empty() {
        let layers = digests(lost);
        notes.push(format!(
            "non-distributable layers without `urls` were not copied: pulls that need them fail: {layers}"
        ));
    }
    (!notes.is_empty()).then(|| notes.join("; ").into())
}

fn digests(mut layers: Vec<&Descriptor>) -> String {
    layers.sort_by_key(|layer| layer.digest);
    layers.dedup_by_key(|layer| layer.digest);
    list(layers.iter().map(|layer| layer.digest), NAMED)
}
