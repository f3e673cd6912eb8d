//! The progress of a job: stages, steps and bytes. How it is shown (a bar, lines, not at all) is the caller's.

/// Receives the progress of a job. Calls come from any task.
pub trait Progress: Send + Sync {
    /// A new stage begins: `what` is done `total` times.
    fn stage(&self, what: &'static str, total: u64);

    /// `steps` more of the stage are done.
    fn advance(&self, steps: u64);

    /// The job will write at most this many bytes.
    fn expect_bytes(&self, _bytes: u64) {}
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: &'static str, _: u64) {}
    fn advance(&self, _: u64) {}
}
