//! Problems of promotion manifests, with their positions.
//!
//! They are values, not errors, because parsing continues after each of them.

use std::{fmt, sync::Arc};

use wording::one_line;
use yaml::{Position, Span, YamlNode, YamlReport, YamlRule};

use crate::{Rule, syntax};

/// One problem of a promotion manifest. Displayed as `file:line:column: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The project concerned, if it belongs to one.
    pub project: Option<String>,
    /// The file, as the caller named it.
    pub file: Arc<str>,
    /// The rule that is broken.
    pub rule: Rule,
    /// Its position in the file, unless it concerns the whole file.
    pub span: Option<Span>,
    /// What is wrong, why, and what to do: one line, control characters escaped.
    pub message: String,
}

impl Problem {
    /// A problem. `message` may contain any text of the file.
    pub(crate) fn new(
        project: Option<&str>,
        file: &Arc<str>,
        (rule, span): (Rule, Option<Span>),
        message: &str,
    ) -> Self {
        let (project, file) = (project.map(str::to_owned), Arc::clone(file));
        Self { project, file, rule, span, message: one_line(message) }
    }

    /// The position of its first character.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.span.map(|span| span.start)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.file))?;
        if let Some(position) = self.position() {
            write!(f, ":{position}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Collects the problems of one file of one project.
#[derive(Debug)]
pub(crate) struct Problems {
    project: String,
    file: Arc<str>,
    problems: Vec<Problem>,
    /// The number of problems beyond [`Problems::MAX_PROBLEMS`].
    more: usize,
    project_is_out: bool,
}

impl Problems {
    /// How many problems of one file are kept. The others are counted. Users fix a hundred at most before they check the
    /// file again, and a file full of mistakes must not fill the memory.
    const MAX_PROBLEMS: usize = 1000;

    /// No problems of `file` yet.
    pub(crate) fn new(project: &str, file: &Arc<str>) -> Self {
        Self {
            project: project.to_owned(),
            file: Arc::clone(file),
            problems: Vec::new(),
            more: 0,
            project_is_out: false,
        }
    }

    /// Adds a problem that makes it unclear what the project requests: nothing of the project is promoted.
    pub(crate) fn leave_out_project(
        &mut self,
        rule: Rule,
        at: impl Into<Span>,
        message: impl AsRef<str>,
    ) {
        self.project_is_out = true;
        self.leave_out_entry(rule, at, message);
    }

    /// Adds a problem of one image, digest or tag only, which the caller leaves out.
    pub(crate) fn leave_out_entry(
        &mut self,
        rule: Rule,
        at: impl Into<Span>,
        message: impl AsRef<str>,
    ) {
        if self.problems.len() < Self::MAX_PROBLEMS {
            self.problems.push(self.problem((rule, Some(at.into())), message.as_ref()));
        } else {
            self.more += 1;
        }
    }

    /// The project that the file belongs to.
    pub(crate) fn project(&self) -> &str {
        &self.project
    }

    /// Whether a problem leaves out the whole project.
    pub(crate) fn project_is_out(&self) -> bool {
        self.project_is_out
    }

    /// The problems in the order of the text.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(Problem::position);
        if self.more > 0 {
            let more = wording::counted(self.more as u64, "more problem");
            let message = format!("{more} not shown; fix those above first");
            self.problems.push(self.problem((Rule::TooManyProblems, None), &message));
        }
        self.problems
    }

    fn problem(&self, at: (Rule, Option<Span>), message: &str) -> Problem {
        Problem::new(Some(&self.project), &self.file, at, message)
    }
}

/// Any problem of the YAML leaves out the project.
impl YamlReport for Problems {
    fn add(&mut self, rule: YamlRule, span: Span, message: String) {
        self.leave_out_project(rule.into(), span, message);
    }

    fn syntax(&mut self, text: &str, at: Position, cause: &str) {
        let (at, message) = syntax::problem(text, at, cause);
        self.leave_out_project(Rule::YamlSyntax, at, message);
    }

    fn unknown_key(&mut self, key: &YamlNode<'_>, names: &[&str]) {
        if names.contains(&"dmap") && key.scalar().is_some_and(syntax::is_digest_key) {
            let message = syntax::UNDER_INDENTED;
            self.leave_out_project(Rule::DigestOutsideDmap, key.span(), message);
        } else {
            let message = yaml::unknown_key(key, names);
            self.leave_out_project(Rule::UnknownKey, key.span(), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use wording::quoted;

    use super::*;

    #[test]
    fn a_message_cannot_drive_a_terminal() {
        let mut report = Problems::new("p", &Arc::from("images.yaml"));
        let at = |line| Position { line, column: 3 };
        report.leave_out_entry(
            Rule::InvalidTag,
            at(2),
            format!("bad {}", quoted("\u{1b}[31m\n::error::")),
        );
        report.leave_out_entry(
            Rule::InvalidTag,
            at(1),
            format!("long {}", quoted(&"é".repeat(41))),
        );
        assert!(!report.project_is_out());
        let shown: Vec<String> = report.into_problems().iter().map(ToString::to_string).collect();
        assert_eq!(shown[0], format!("images.yaml:1:3: long `{}…`", "é".repeat(40)));
        assert_eq!(shown[1], "images.yaml:2:3: bad `\\u{1b}[31m\\n::error::`");
    }

    #[test]
    fn a_file_of_nothing_but_faults_has_a_bounded_report() {
        let mut report = Problems::new("p", &Arc::from("f"));
        for _ in 0..Problems::MAX_PROBLEMS + 7 {
            report.leave_out_entry(Rule::InvalidTag, Position::START, "x");
        }
        report.leave_out_project(Rule::EmptyFile, Position::START, "y");
        assert!(report.project_is_out());
        let problems = report.into_problems();
        assert_eq!(problems.len(), Problems::MAX_PROBLEMS + 1);
        let last = problems.last().map(ToString::to_string);
        assert_eq!(last.as_deref(), Some("f: 8 more problems not shown; fix those above first"));
    }
}
