//! What every long job has besides its work: whether it writes at all, and telling how far it is.
//! What is done with the telling (a bar, lines, nothing) is the caller's.

/// Whether anything is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// What would be done is found out and told; nothing is written anywhere.
    DryRun,
    /// It is done.
    Write,
}

/// Hears of the progress of a promotion or a mirroring. Calls come from any task.
pub trait Progress: Send + Sync {
    /// A new stage begins: `what` is done `total` times.
    fn stage(&self, what: &'static str, total: u64);

    /// `steps` more of the stage are done.
    fn advance(&self, steps: u64);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: &'static str, _: u64) {}
    fn advance(&self, _: u64) {}
}
