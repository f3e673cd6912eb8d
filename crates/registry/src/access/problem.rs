//! Problems in the files of users and rights.

use std::fmt;

/// All problems in the files of users and rights.
#[derive(Debug, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct AccessError(pub(super) Vec<AccessProblem>);

fn lines(problems: &[AccessProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl AccessError {
    /// Each problem with its position.
    #[must_use]
    pub fn problems(&self) -> &[AccessProblem] {
        &self.0
    }
}

/// One problem and its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessProblem {
    file: String,
    pub(super) line: usize,
    pub(super) column: usize,
    message: String,
}

impl AccessProblem {
    pub(super) fn new(file: &str, (line, column): (usize, usize), message: String) -> Self {
        Self { file: file.to_owned(), line, column, message }
    }

    /// The line, from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }
}

impl fmt::Display for AccessProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message } = self;
        write!(f, "{file}:{line}:{column}: {message}")
    }
}
