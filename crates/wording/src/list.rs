//! Lists in sentences: the first names of a long list, and the number of others.

use std::fmt::Display;

/// The first `most` of `names`, and the number of the others: `a, b and 3 more`.
#[must_use]
pub fn list<T: Display>(names: impl IntoIterator<Item = T>, most: usize) -> String {
    let mut names = names.into_iter();
    let named: Vec<_> = names.by_ref().take(most).map(|name| name.to_string()).collect();
    and_more(&named, names.count() as u64)
}

/// These names, and the number of others that are not named.
#[must_use]
pub fn and_more(named: &[String], more: u64) -> String {
    let named = named.join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_says_how_many_it_leaves_out() {
        let listed = |count: u32| list(1..=count, 3);
        assert_eq!([0, 1, 3, 5].map(listed), ["", "1", "1, 2, 3", "1, 2, 3 and 2 more"]);
    }
}
