//! The manifests that an image reaches, found by reading only those that list manifests.

use oci::{Digest, media_type};
use registry_client::RepositoryClient;

use crate::{Error, ImageNode, Walk, WalkBounds, WalkEntry, WalkError};

/// The manifests that `root` reaches, itself first. Only the root and indexes are read, since only indexes list
/// manifests; a manifest of an unknown type lists none.
///
/// Source: image-spec 1.1, "Image Index".
///
/// # Errors
/// When one of them cannot be read, or they exceed [`WalkBounds::IMAGE`].
pub async fn reachable_manifests(
    source: &RepositoryClient,
    root: Digest,
) -> Result<Vec<Digest>, Error> {
    let walk = Walk::new(WalkBounds::IMAGE);
    let (mut reached, mut unread) = (vec![root], vec![WalkEntry::root(root)]);
    while let Some(entry) = unread.pop() {
        let fetched = match walk.fetch(source, entry).await {
            Err(WalkError::Source(error)) if error.is_kind() => continue,
            fetched => fetched.map_err(|error| error.of_walk(source, root))?,
        };
        let Ok(node) = ImageNode::parse(fetched) else { continue };
        let unmet = walk.meet(entry, &node);
        for (listed, child) in
            unmet.map_err(|bound| WalkError::from(bound).of_walk(source, root))?
        {
            reached.push(child.digest);
            if [media_type::OCI_INDEX, media_type::DOCKER_LIST].contains(&&*listed.media_type) {
                unread.push(child);
            }
        }
    }
    Ok(reached)
}
