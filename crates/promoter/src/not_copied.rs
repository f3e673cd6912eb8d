//! The layers of an image that are never copied: non-distributable ones.

use std::sync::Arc;

use oci::{Descriptor, Digest};
use transfer::Image;

use crate::reason::Reason;

/// The note on the layers that are not copied, if there are any.
pub(crate) fn note(image: &Image) -> Option<Arc<Reason>> {
    let (with, without): (Vec<_>, Vec<_>) =
        image.not_distributable().partition(|layer| !layer.urls.is_empty());
    let (with_urls, without_urls) = (digests(&with), digests(&without));
    let is_whole = with_urls.is_empty() && without_urls.is_empty();
    (!is_whole).then(|| Arc::new(Reason::NonDistributable { with_urls, without_urls }))
}

fn digests(layers: &[&Descriptor]) -> Vec<Digest> {
    let mut digests: Vec<_> = layers.iter().map(|layer| layer.digest).collect();
    digests.sort_unstable();
    digests.dedup();
    digests
}
