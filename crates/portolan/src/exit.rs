//! Exit codes: meanings, and their numbers in one place.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything that was requested holds.
    AllHolds,
    /// It ran, and something is not as requested; each is named in the output.
    NotAsAsked,
    /// It could not run: flags, configuration or manifests are unusable.
    CouldNotRun,
    /// A dry run with `--detailed-exitcode` found something to write, and nothing amiss.
    ChangesPending,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::AllHolds => Self::SUCCESS,
            Exit::NotAsAsked => Self::from(1),
            Exit::CouldNotRun => Self::from(2),
            Exit::ChangesPending => Self::from(3),
        }
    }
}
