//! Failures grouped by their cause: those of one cause are one line, with the reason of the first as an example.

use std::{collections::HashMap, hash::Hash};

use crate::counted;

/// Groups of failures, in the order in which their first failures came. A group has a key `K`, and keeps a `T` about
/// its failures.
#[derive(Debug)]
pub struct FailureGroups<T, K> {
    max_groups: usize,
    groups: Vec<FailureGroup<T>>,
    by_key: HashMap<K, usize>,
}

/// Failures that have one cause. Their reasons differ at most in what was requested.
#[derive(Debug)]
pub struct FailureGroup<T> {
    count: u64,
    example: String,
    are_equal: bool,
    /// What the caller keeps of the failures.
    pub kept: T,
}

impl<T: Default, K: Eq + Hash> FailureGroups<T, K> {
    /// No groups yet, and never more than `max_groups`.
    #[must_use]
    pub fn new(max_groups: usize) -> Self {
        Self { max_groups, groups: Vec::new(), by_key: HashMap::new() }
    }

    /// Counts a failure and returns its group; `None` if it needs a new group and there are `max_groups` already.
    pub fn add(&mut self, key: K, reason: &str) -> Option<&mut FailureGroup<T>> {
        let index = match self.by_key.get(&key) {
            Some(index) => *index,
            None if self.groups.len() < self.max_groups => {
                let (example, kept) = (reason.to_owned(), T::default());
                self.groups.push(FailureGroup { count: 0, example, are_equal: true, kept });
                *self.by_key.entry(key).or_insert(self.groups.len() - 1)
            }
            None => return None,
        };
        let group = self.groups.get_mut(index)?;
        group.count += 1;
        group.are_equal &= group.example == reason;
        Some(group)
    }

    /// The groups, in the order in which their first failures came.
    #[must_use]
    pub fn as_slice(&self) -> &[FailureGroup<T>] {
        &self.groups
    }
}

impl<T> FailureGroup<T> {
    /// The number of failures.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The reason of the first failure.
    #[must_use]
    pub fn example(&self) -> &str {
        &self.example
    }

    /// What failed and why, where `noun` names what failed: `2 tags: REASON`, or `2 tags, such as: REASON` if the
    /// reasons differ.
    #[must_use]
    pub fn summary(&self, noun: &str) -> String {
        let such_as = if self.are_equal { "" } else { ", such as" };
        format!("{}{such_as}: {}", counted(self.count, noun), self.example)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grouped(max_groups: usize, failures: &[(u8, &str)]) -> (Vec<String>, usize) {
        let mut groups = FailureGroups::<(), u8>::new(max_groups);
        let added = failures.iter().filter(|(key, reason)| groups.add(*key, reason).is_some());
        let added = added.count();
        (groups.as_slice().iter().map(|group| group.summary("tag")).collect(), added)
    }

    #[test]
    fn failures_of_one_key_are_one_group() {
        let failures = [(1, "503 of a"), (2, "full"), (1, "503 of b"), (2, "full")];
        let (summaries, added) = grouped(9, &failures);
        assert_eq!(summaries, ["2 tags, such as: 503 of a", "2 tags: full"]);
        assert_eq!(added, 4);
    }

    #[test]
    fn the_number_of_groups_is_bounded() {
        let failures = [(1, "full"), (2, "slow"), (1, "full")];
        assert_eq!(grouped(1, &failures), (vec!["2 tags: full".to_owned()], 2));
        assert_eq!(grouped(0, &failures), (Vec::new(), 0));
    }
}
