//! Whether a job writes.

/// Whether anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// A dry run: the job finds out and reports what it would do, and writes nothing.
    DryRun,
    /// The job writes.
    Write,
}
