//! Names of projects with `*` and `?` in them.

use std::{fmt, str::FromStr};

/// A pattern that whole names of projects are held against: `*` is any text, `?` any character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectGlob(Box<str>);

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is empty; write a project's name, where `*` is any text and `?` any character")]
pub struct ProjectGlobError;

impl FromStr for ProjectGlob {
    type Err = ProjectGlobError;

    fn from_str(text: &str) -> Result<Self, ProjectGlobError> {
        if text.is_empty() { Err(ProjectGlobError) } else { Ok(Self(text.into())) }
    }
}

impl fmt::Display for ProjectGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ProjectGlob {
    /// Whether all of `name` is so.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name): (Vec<char>, Vec<char>) =
            (self.0.chars().collect(), name.chars().collect());
        let (mut at, mut in_name) = (0, 0);
        // Where the last star stands, and how much of the name it has taken: the only place to go back to.
        let mut star: Option<(usize, usize)> = None;
        while in_name < name.len() {
            match pattern.get(at) {
                Some('*') => {
                    star = Some((at, in_name));
                    at += 1;
                }
                Some(c) if *c == '?' || *c == name[in_name] => {
                    at += 1;
                    in_name += 1;
                }
                _ => {
                    let Some((star_at, taken)) = star else { return false };
                    star = Some((star_at, taken + 1));
                    (at, in_name) = (star_at + 1, taken + 1);
                }
            }
        }
        pattern[at..].iter().all(|c| *c == '*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_or_not() {
        for (glob, name, matches) in [
            ("etcd", "etcd", true),
            ("etcd", "etcd2", false),
            ("k8s-*", "k8s-staging-etcd", true),
            ("*", "", true),
            ("*-etcd", "k8s-staging-etcd", true),
            ("k8s-*-e*d", "k8s-staging-etcd", true),
            ("k8s-*-e*x", "k8s-staging-etcd", false),
            ("?tcd", "etcd", true),
            ("?tcd", "tcd", false),
            ("é?", "éa", true),
            ("a*a", "a", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(
                glob.parse::<ProjectGlob>().expect(glob).matches(name),
                matches,
                "{glob} {name}"
            );
        }
        assert!("".parse::<ProjectGlob>().is_err());
    }
}
