//! Failures grouped by their cause: reasons that differ only in what was requested are one cause, told by one of
//! them as an example.

use std::{collections::HashMap, hash::Hash};

use crate::counted;

const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"];

const ALGORITHMS: [&str; 2] = ["sha256:", "sha512:"];

/// What may stand around a method, a URL or a digest in a sentence.
const PUNCTUATION: [char; 7] = [':', ',', ';', '(', ')', '`', '"'];

/// The causes of failures, in the order in which they came, each with what `T` keeps of its failures. Failures of one
/// key `K` have one cause.
#[derive(Debug)]
pub struct Causes<T, K = String> {
    most: usize,
    causes: Vec<Cause<T>>,
    known: HashMap<K, usize>,
}

/// Failures whose reasons differ at most in what was requested.
#[derive(Debug)]
pub struct Cause<T> {
    count: u64,
    example: String,
    are_equal: bool,
    /// What is kept of the failures.
    pub kept: T,
}

impl<T: Default, K: Eq + Hash> Causes<T, K> {
    /// No causes yet; at most `most` are kept.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, causes: Vec::new(), known: HashMap::new() }
    }

    /// Counts a failure. Gives its cause, or nothing if it has a new one and as many as may be are kept already.
    pub fn add_keyed(&mut self, key: K, reason: &str) -> Option<&mut Cause<T>> {
        let at = match self.known.get(&key) {
            Some(at) => *at,
            None if self.causes.len() < self.most => {
                let (example, kept) = (reason.to_owned(), T::default());
                self.causes.push(Cause { count: 0, example, are_equal: true, kept });
                *self.known.entry(key).or_insert(self.causes.len() - 1)
            }
            None => return None,
        };
        let cause = self.causes.get_mut(at)?;
        cause.count += 1;
        cause.are_equal &= cause.example == reason;
        Some(cause)
    }

    /// The causes, in the order in which they came.
    #[must_use]
    pub fn as_slice(&self) -> &[Cause<T>] {
        &self.causes
    }
}

impl<T: Default> Causes<T> {
    /// Counts a failure, whose key is its reason without what was requested.
    pub fn add(&mut self, reason: &str) -> Option<&mut Cause<T>> {
        self.add_keyed(without_request(reason), reason)
    }
}

impl<T> Cause<T> {
    /// How many failures have this cause.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The reason of the first failure.
    #[must_use]
    pub fn example(&self) -> &str {
        &self.example
    }

    /// How many things of this noun failed and why: `2 tags: REASON`, or `2 tags, such as: REASON` if the reasons
    /// differ.
    #[must_use]
    pub fn told(&self, noun: &str) -> String {
        let such_as = if self.are_equal { "" } else { ", such as" };
        format!("{}{such_as}: {}", counted(self.count, noun), self.example)
    }
}

/// The reason without what differs from request to request: methods, digests, and what follows the host in URLs and
/// in names of repositories.
fn without_request(reason: &str) -> String {
    let words = reason.split(' ').map(|word| {
        let bare = word.trim_matches(PUNCTUATION);
        let place = bare.split_once("://").map_or(bare, |(_, rest)| rest);
        match place.split_once('/') {
            Some((host, _)) if host.contains(['.', ':']) => host,
            _ if METHODS.contains(&bare) => "",
            _ if ALGORITHMS.iter().any(|algorithm| bare.contains(algorithm)) => "",
            _ => word,
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "registry r.example";

    #[test]
    fn reasons_that_differ_in_the_request_only_are_one_cause() {
        let get =
            |of: &str| format!("{HOST}: GET https://r.example/v2/{of}: 503 Service Unavailable");
        let mut causes = Causes::<()>::new(9);
        for reason in [
            get("a/manifests/v1"),
            get("b/manifests/v2"),
            get("a/blobs/sha256:1"),
            get("a/manifests/v1").replace("GET", "HEAD"),
            get("a/manifests/v1").replace("503", "502"),
            get("a/manifests/v1").replace("r.example", "q.example"),
            "r.example/a: blob sha256:1 cannot be pushed".to_owned(),
            "r.example/b: blob sha256:2 cannot be pushed".to_owned(),
        ] {
            assert!(causes.add(&reason).is_some());
        }
        let told: Vec<_> = causes.as_slice().iter().map(|cause| cause.told("tag")).collect();
        let first = get("a/manifests/v1");
        let expected = [
            format!("4 tags, such as: {first}"),
            format!("1 tag: {}", first.replace("503", "502")),
            format!("1 tag: {}", first.replace("r.example", "q.example")),
            "2 tags, such as: r.example/a: blob sha256:1 cannot be pushed".to_owned(),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn no_more_causes_are_kept_than_may_be() {
        let mut causes = Causes::<()>::new(1);
        for (reason, is_kept) in [("full", true), ("slow", false), ("full", true)] {
            assert_eq!(causes.add(reason).is_some(), is_kept, "{reason}");
        }
        assert_eq!(causes.as_slice()[0].told("tag"), "2 tags: full");
        assert!(Causes::<()>::new(0).add("full").is_none());
    }
}
