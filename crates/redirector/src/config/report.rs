//! Collects the problems of a configuration file, so that all are reported at once.

use yaml::{Span, YamlReport, YamlRule};

use super::{ConfigError, ConfigProblem};

/// How many problems of a file are kept. The others are counted. Users fix a hundred at most before they check the
/// file again, and a file full of mistakes must not fill the memory.
const MAX_PROBLEMS: usize = 1000;

/// The problems of one file.
#[derive(Debug)]
pub(super) struct ConfigReport<'f> {
    file: &'f str,
    problems: Vec<ConfigProblem>,
    /// The number of problems beyond [`MAX_PROBLEMS`].
    more: usize,
}

impl<'f> ConfigReport<'f> {
    pub(super) const fn new(file: &'f str) -> Self {
        Self { file, problems: Vec::new(), more: 0 }
    }

    /// Adds a problem: of the whole file, or of this part of it.
    pub(super) fn problem(&mut self, span: Option<Span>, message: impl Into<String>) {
        if self.problems.len() >= MAX_PROBLEMS {
            self.more += 1;
            return;
        }
        let position = span.map(|span| (span.start.line.into(), span.start.column.into()));
        self.push(position, message.into());
    }

    /// `value`, or the problems in the order of the file. There is a value if there are no problems.
    pub(super) fn into_result<T>(mut self, value: Option<T>) -> Result<T, ConfigError> {
        self.problems.sort_by_key(|problem| problem.position);
        if self.more > 0 {
            let more = wording::counted(self.more as u64, "more problem");
            self.push(None, format!("{more} not shown; fix those above first"));
        }
        let value = value.filter(|_| self.problems.is_empty());
        value.ok_or(ConfigError { problems: self.problems })
    }

    fn push(&mut self, position: Option<(u64, u64)>, message: String) {
        self.problems.push(ConfigProblem { source: self.file.to_owned(), position, message });
    }
}

impl YamlReport for ConfigReport<'_> {
    fn add(&mut self, _: YamlRule, span: Span, message: String) {
        self.problem(Some(span), message);
    }
}
