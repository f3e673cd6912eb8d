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

/// Several reports of one run. One that cannot be written does not stop the others.
pub struct Reports(pub Vec<Box<dyn Report>>);

impl Reports {
    fn each(&mut self, mut write: impl FnMut(&mut dyn Report) -> io::Result<()>) -> io::Result<()> {
        let mut result = Ok(());
        self.0.retain_mut(|report| match write(&mut **report) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => false,
            Err(error) => {
                result = Err(error);
                false
            }
        });
        result
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
