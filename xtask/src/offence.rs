//! What the rules of the house are about, and breaches of them.

use std::{collections::BTreeMap, fmt};

/// A breach of a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Offence {
    /// The file, from the root of the repository.
    pub(crate) file: String,
    /// The line, counted from 1; 0 when it is about the file as a whole.
    pub(crate) line: usize,
    /// What is wrong, and how to correct it.
    pub(crate) what: String,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what),
            line => write!(f, "{}:{line}: {}", self.file, self.what),
        }
    }
}

/// The text files of the repository, by their path from its root.
pub(crate) type Files = BTreeMap<String, String>;
