//! Which promotion manifests are read, and which of their edges are selected.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::{LoadError, ProjectGlob};

/// Where the promotion manifests are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestSource {
    /// One plain manifest.
    File(PathBuf),
    /// One plain manifest on standard input.
    StandardInput,
    /// A thin manifest directory.
    ThinDirectory(PathBuf),
}

/// A file's directory, and its name there.
pub(crate) fn directory_and_name(path: &Path) -> (&Path, &Path) {
    let directory =
        path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    (directory, Path::new(path.file_name().unwrap_or(OsStr::new(""))))
}

/// Which edges are selected. By default all are.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The projects; all if there are none.
    pub projects: Vec<ProjectGlob>,
    /// Only edges that changed.
    pub changed: Option<ChangeRange>,
}

/// The two states of the manifests between which an edge must have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeRange {
    /// From a git revision to the files as they are.
    Since(String),
    /// Between two git revisions.
    In {
        /// The earlier one.
        from: String,
        /// The later one.
        to: String,
    },
    /// From the last commit that is older than so long, such as `14 days`, to the files as they are.
    Within(String),
}

impl FromStr for ChangeRange {
    type Err = LoadError;

    /// `FROM..TO`.
    fn from_str(text: &str) -> Result<Self, LoadError> {
        match text.split_once("..") {
            Some((from, to)) if !from.is_empty() && !to.is_empty() && !to.starts_with('.') => {
                Ok(Self::In { from: from.to_owned(), to: to.to_owned() })
            }
            _ => Err(LoadError::NoRange(text.to_owned())),
        }
    }
}
