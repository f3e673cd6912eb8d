//! A number and the noun that it counts, for texts that people read: `1 tag`, `2 tags`.
//!
//! Nouns have a regular plural.

use std::fmt;

/// A number of things. Displayed as `1 repository`, `2 repositories`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted<'n> {
    count: u64,
    noun: &'n str,
}

/// `count` things that `noun` names in the singular. The plural of its last word must be a regular one.
#[must_use]
pub const fn counted(count: u64, noun: &str) -> Counted<'_> {
    Counted { count, noun }
}

impl fmt::Display for Counted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, noun } = *self;
        let sibilants = ["s", "x", "z", "ch", "sh"];
        let vowels = ['a', 'e', 'i', 'o', 'u'];
        match noun.strip_suffix('y') {
            _ if count == 1 => write!(f, "1 {noun}"),
            Some(stem) if !stem.ends_with(vowels) => write!(f, "{count} {stem}ies"),
            _ if sibilants.iter().any(|end| noun.ends_with(end)) => write!(f, "{count} {noun}es"),
            _ => write!(f, "{count} {noun}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_follow_their_number() {
        for (count, noun, expected) in [
            (0, "edge", "0 edges"),
            (1, "edge", "1 edge"),
            (2, "edge", "2 edges"),
            (1, "repository", "1 repository"),
            (2, "repository", "2 repositories"),
            (0, "copy", "0 copies"),
            (2, "key", "2 keys"),
            (1, "prefix", "1 prefix"),
            (2, "prefix", "2 prefixes"),
            (3, "batch", "3 batches"),
            (1, "more host", "1 more host"),
            (2, "more host", "2 more hosts"),
        ] {
            assert_eq!(counted(count, noun).to_string(), expected);
        }
    }
}
