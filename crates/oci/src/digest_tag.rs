//! Tags that are made from a digest: the tag of an index of referrers (`sha256-<hex>`), and the tags of signatures,
//! attestations and bills of materials (`sha256-<hex>.sig`, `.att`, `.sbom`).
//!
//! Source: distribution-spec 1.1, "Referrers Tag Schema"; the layout of cosign.

use crate::{Digest, Tag};

/// What follows `<algorithm>-<hex>` in cosign's digest tags: signatures, attestations, and bills of materials.
const SUFFIXES: [&str; 3] = [".sig", ".att", ".sbom"];
/// The longest algorithm and encoded value in the tag of an index of referrers.
const MAX_PARTS: (usize, usize) = (32, 64);
/// The length of the hexadecimal digits of a digest in a tag: those of sha512 are cut to it, since a tag has 128
/// characters at most.
const HEX_DIGITS: usize = 64;

impl Tag {
    /// The tag under which the referrers of `subject` are listed where there is no API.
    ///
    /// Source: distribution-spec 1.1, "Referrers Tag Schema".
    #[must_use]
    pub fn of_referrers(subject: &Digest) -> Self {
        let (algorithm, encoded) = (subject.algorithm().name(), subject.hex());
        let (algorithm_len, encoded_len) = MAX_PARTS;
        Self::from_valid(format!("{algorithm:.algorithm_len$}-{encoded:.encoded_len$}"))
    }

    /// The tags of cosign's signatures, attestations and bills of materials of `subject`. A SHA-512 has none: they
    /// would be too long.
    pub fn of_attachments(subject: &Digest) -> impl Iterator<Item = Self> {
        let stem = format!("{}-{}", subject.algorithm(), subject.hex());
        SUFFIXES.into_iter().filter_map(move |suffix| format!("{stem}{suffix}").parse().ok())
    }

    /// The digest that this tag is made from, if it is a digest tag and the digest was not cut.
    #[must_use]
    pub fn attached_to(&self) -> Option<Digest> {
        let text = self.as_str();
        let stem = SUFFIXES.iter().find_map(|suffix| text.strip_suffix(suffix)).unwrap_or(text);
        stem.replacen('-', ":", 1).parse().ok()
    }
}

/// Whether `tag` is made from a digest: `<algorithm>-<64 hex>`, alone or with `.sig`, `.att` or `.sbom`.
#[must_use]
#[inline]
pub fn is_digest_tag(tag: &str) -> bool {
    let rest = tag.strip_prefix("sha256-").or_else(|| tag.strip_prefix("sha512-"));
    rest.and_then(|rest| rest.split_at_checked(HEX_DIGITS)).is_some_and(|(hex, suffix)| {
        hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && matches!(suffix, "" | ".sig" | ".att" | ".sbom")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;

    #[test]
    fn the_tag_of_referrers_is_that_of_the_specification() {
        for (algorithm, text) in [
            (
                Algorithm::Sha256,
                "sha256-2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
            ),
            (
                Algorithm::Sha512,
                "sha512-a4abd4448c49562d828115d13a1fccea927f52b4d5459297f8b43e42da89238b",
            ),
        ] {
            let tag = Tag::of_referrers(&Digest::of(algorithm, b"x"));
            assert_eq!(tag.as_str(), text);
            assert!(is_digest_tag(text), "{text}");
        }
    }

    #[test]
    fn digest_tags_are_recognised() {
        let digest = Digest::sha256(b"x");
        let mut tags: Vec<_> = Tag::of_attachments(&digest).collect();
        let stem = digest.to_string().replace(':', "-");
        let texts: Vec<_> = tags.iter().map(Tag::as_str).collect();
        assert_eq!(texts, [".sig", ".att", ".sbom"].map(|suffix| format!("{stem}{suffix}")));
        tags.push(Tag::of_referrers(&digest));
        for tag in tags {
            assert_eq!(tag.attached_to(), Some(digest), "{tag}");
            assert!(is_digest_tag(tag.as_str()), "{tag}");
        }
        for other in ["latest", "sha256-12.sig", &format!("{stem}.txt"), &format!("{stem}.sig.x")] {
            assert_eq!(other.parse::<Tag>().expect("a tag").attached_to(), None, "{other}");
            assert!(!is_digest_tag(other), "{other}");
        }
        assert_eq!(Tag::of_attachments(&Digest::of(Algorithm::Sha512, b"x")).count(), 0);
    }
}
