//! Why nothing could be read at all. What is wrong with one file is a problem instead.

use std::io;

use crate::found::MAX_FILES;

/// Why nothing could be read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file or directory itself.
    #[error("cannot read {path}")]
    Read {
        /// What was to be read.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// A directory where a plain manifest belongs.
    #[error("{0} is a directory; use --thin-manifest-dir")]
    IsDirectory(String),
    /// A file where a thin manifest directory belongs.
    #[error("{0} is a file; use --manifest")]
    IsFile(String),
    /// The directory has no thin manifests.
    #[error(
        "no promotion manifests in {0}: a thin manifest directory has \
         images/<project>/images.yaml and manifests/<project>/promoter-manifest.yaml; correct the path"
    )]
    Empty(String),
    /// Whatever this directory is, it holds far too much.
    #[error("too many files in {0}: more than {max} below images/ and manifests/; give the thin manifest directory itself", max = MAX_FILES)]
    TooMany(String),
    /// No project is so called.
    #[error("no project matches `{glob}`; the projects are {known}")]
    NoProject {
        /// What was requested.
        glob: String,
        /// Some that there are.
        known: String,
    },
    /// Not `FROM..TO`.
    #[error("`{0}` is not a range of revisions; write FROM..TO, such as HEAD~1..HEAD")]
    NoRange(String),
    /// Standard input is in no git repository.
    #[error(
        "cannot find what changed: the manifest is read from standard input, which has no git history; \
         write it to a file in the repository, or omit the flag"
    )]
    NoHistory,
    /// Not a time that git reads as it is meant.
    #[error(
        "`{0}` is not a time; write a number and a unit, such as \"14 days\" (50 years at most), or a date, such as \
         2026-10-01"
    )]
    NoTime(String),
    /// A time that has not come yet.
    #[error("`{0}` is not a time in the past: the date is in the future; correct it")]
    Future(String),
    /// A time in the reflog, which git takes for another one.
    #[error(
        "`{0}` names a time in the reflog of this clone, so its meaning can change; name a commit, or use --since"
    )]
    ReflogTime(String),
    /// No commit has that name.
    #[error(
        "cannot find the revision `{name}` in {directory}: no commit has that name; correct it, or, in a shallow clone, fetch the commit with `git fetch --unshallow`"
    )]
    NoRevision {
        /// The name.
        name: String,
        /// The directory of the repository.
        directory: String,
    },
    /// There is no git.
    #[error(
        "cannot run git, which is needed to find what changed: {0}; install it, or omit the flag"
    )]
    NoGit(io::Error),
    /// What git said.
    #[error("git cannot {what} in {directory}: {said}")]
    Git {
        /// What git was run for.
        what: String,
        /// Where.
        directory: String,
        /// The first line of its message.
        said: String,
    },
}
