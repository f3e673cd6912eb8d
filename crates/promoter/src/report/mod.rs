//! Reports of a promotion: one trait, and one file for each format. A report gets outcomes while the run goes on, and
//! writes them to a stream.

mod costs;
mod counted_names;
mod json;
mod members;
mod reasons;
mod schema;
mod table;
mod tail;
mod words;

use std::io;

use promotion_manifest::{EdgeSet, Problem};

use crate::{Ending, Outcome};

pub use costs::in_bytes;
pub use json::JsonReport;
pub use schema::report_schema;
pub use words::WordsReport;

/// Which outcomes a report shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// All but edges that held already.
    Changes,
    /// All.
    Everything,
}

/// A format of the report. The calls come in the order of the methods.
pub trait Report {
    /// Adds the problems of the manifests.
    ///
    /// # Errors
    /// When the stream cannot be written.
    fn problems(&mut self, problems: &[Problem]) -> io::Result<()>;

    /// Adds an outcome.
    ///
    /// # Errors
    /// When the stream cannot be written.
    fn outcome(&mut self, edges: &EdgeSet, outcome: &Outcome) -> io::Result<()>;

    /// Adds the end of the run.
    ///
    /// # Errors
    /// When the stream cannot be written.
    fn finish(&mut self, edges: &EdgeSet, ending: &Ending) -> io::Result<()>;
}

/// Several reports of one run. One that cannot be written does not stop the others, so it is not an error of theirs.
pub struct Reports {
    /// None in the place of one that cannot be written any more.
    reports: Vec<Option<Box<dyn Report>>>,
    failures: Vec<ReportFailure>,
}

/// Why one of several reports is incomplete.
#[derive(Debug)]
pub struct ReportFailure {
    /// Its index among them.
    pub report: usize,
    /// What writing it returned.
    pub error: io::Error,
}

impl Reports {
    /// These reports.
    #[must_use]
    pub fn new(reports: Vec<Box<dyn Report>>) -> Self {
        Self { reports: reports.into_iter().map(Some).collect(), failures: Vec::new() }
    }

    /// Those that could not be written. A broken pipe is not a failure.
    #[must_use]
    pub fn failures(self) -> Vec<ReportFailure> {
        self.failures
    }

    fn each(&mut self, mut write: impl FnMut(&mut dyn Report) -> io::Result<()>) -> io::Result<()> {
        for (index, slot) in self.reports.iter_mut().enumerate() {
            let Some(report) = slot else { continue };
            let Err(error) = write(&mut **report) else { continue };
            *slot = None;
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.failures.push(ReportFailure { report: index, error });
            }
        }
        Ok(())
    }
}

impl Report for Reports {
    fn problems(&mut self, problems: &[Problem]) -> io::Result<()> {
        self.each(|report| report.problems(problems))
    }

    fn outcome(&mut self, edges: &EdgeSet, outcome: &Outcome) -> io::Result<()> {
        self.each(|report| report.outcome(edges, outcome))
    }

    fn finish(&mut self, edges: &EdgeSet, ending: &Ending) -> io::Result<()> {
        self.each(|report| report.finish(edges, ending))
    }
}
