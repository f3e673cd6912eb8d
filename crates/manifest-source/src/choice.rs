//! Which promotion manifests are read, and which of their edges are chosen.

use std::{
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
pub(crate) fn directory_and_name(path: &Path) -> (&Path, String) {
    let directory =
        path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    (directory, name.unwrap_or_default())
}

/// What is looked at. By default, everything.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The projects; all if there are none.
    pub projects: Vec<ProjectGlob>,
    /// Only what changed.
    pub changes: Option<Changes>,
}

/// Between which states of the manifests changes are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
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

impl FromStr for Changes {
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
