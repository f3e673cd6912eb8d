//! The files of a thin manifest directory, as a listing of the disk or of a git commit names them.

use std::path::Path;

use promotion_manifest::{Problem, Rule};

/// The most files that are looked at below the [`FOLDERS`] of a thin manifest directory: fifty times the real
/// tree's. More means that it was pointed somewhere else.
pub(crate) const MAX_FILES: usize = 10_000;

/// The folders that projects are in. What is beside them is not ours, such as a folder of archived projects.
pub(crate) const FOLDERS: [&str; 2] = ["images", "manifests"];

/// What a directory holds.
#[derive(Default)]
pub(crate) struct FileList {
    /// The files, relative to it.
    pub(crate) files: Vec<String>,
    /// What could not be looked at.
    pub(crate) problems: Vec<Problem>,
}

impl FileList {
    /// Adds a problem of that file or directory.
    pub(crate) fn problem(&mut self, path: &Path, rule: Rule, message: String) {
        let components: Vec<_> = path.iter().filter_map(|component| component.to_str()).collect();
        let project = match components[..] {
            ["images" | "manifests", project, ..] => Some(project.to_owned()),
            _ => None,
        };
        let file = path.display().to_string().into();
        self.problems.push(Problem { project, file, rule, span: None, message });
    }
}
