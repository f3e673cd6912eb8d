//! Telling what a promotion did: one trait, one file a format. A report takes outcomes while the run
//! goes on and writes them to a stream that was handed in; it decides nothing.

mod costs;
mod json;
mod layout;
mod members;
mod reasons;
mod schema;
mod words;

use std::io;

use promotion_manifest::{EdgeSet, Problem};

use crate::{Ending, Outcome};

pub use costs::in_bytes;
pub use json::JsonReport;
pub use layout::{Width, row};
pub use schema::report_schema;
pub use words::WordsReport;

/// Which outcomes a report shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// All but those that held already.
    Changes,
    /// All.
    Everything,
}

/// A format of the report. The calls come in the order of the methods.
pub trait Report {
    /// The faults in the manifests.
    ///
    /// # Errors
    /// When the stream cannot be written; so with the others.
    fn problems(&mut self, problems: &[Problem]) -> io::Result<()>;

    /// The next outcome.
    ///
    /// # Errors
    /// As above.
    fn outcome(&mut self, edges: &EdgeSet, outcome: &Outcome) -> io::Result<()>;

    /// The end.
    ///
    /// # Errors
    /// As above.
    fn finish(&mut self, edges: &EdgeSet, ending: &Ending) -> io::Result<()>;
}

/// Several reports of one run. One that cannot be written does not stop the others.
pub struct Reports(pub Vec<Box<dyn Report>>);

impl Reports {
    fn each(&mut self, mut tell: impl FnMut(&mut dyn Report) -> io::Result<()>) -> io::Result<()> {
        let mut broken = Ok(());
        self.0.retain_mut(|report| match tell(&mut **report) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => false,
            Err(error) => {
                broken = Err(error);
                false
            }
        });
        broken
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
