//! Telling what a promotion did: one trait, one file a format. A report takes outcomes while the run
//! goes on and writes them to a stream that was handed in; it decides nothing.

mod json;
mod words;

use std::io;

use promotion_manifest::{EdgeSet, Problem};
use transfer::Confirm;

use crate::{Outcome, Summary};

pub use json::JsonReport;
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
    fn finish(&mut self, edges: &EdgeSet, summary: &Summary, confirm: Confirm) -> io::Result<()>;
}
