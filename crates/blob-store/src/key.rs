//! The key of a blob within a store: the layout that Google's registries used for their buckets, which
//! fronts and mirrors in the field expect.

use oci::Digest;

/// What stands before the digest in every key.
pub const PREFIX: &str = "containers/images/";

/// The directory of partial files. It is hidden and outside `containers/`, so that no server of blobs sees them; it is
/// in the store, so that a file can be renamed to its final name.
pub(crate) const HIDDEN: &str = ".portolan";

/// The key of a blob or manifest: `containers/images/<algorithm>:<hex>`.
#[must_use]
pub fn key(digest: &Digest) -> String {
    format!("{PREFIX}{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_prefix_and_the_digest() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(key(&Digest::sha256(b"")), format!("containers/images/{empty}"));
    }
}
