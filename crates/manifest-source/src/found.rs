//! The files of a thin manifest directory, as a listing of the disk or of a git commit names them.

use std::{io, path::Path};

use promotion_manifest::{Problem, Rule};

/// The most files that are looked at below the [`FOLDERS`] of a thin manifest directory: fifty times the real
/// tree's. More means that it was pointed somewhere else.
pub(crate) const MAX_FILES: usize = 10_000;

/// The folders that projects are in. What is beside them is not ours, such as a folder of archived projects.
pub(crate) const FOLDERS: [&str; 2] = ["images", "manifests"];

/// What is wrong with a link to a directory.
pub(crate) const LINKED_DIRECTORY: &str =
    "links to directories are not followed; put the directory itself here";

/// What is wrong with a link in the place of a file.
pub(crate) fn linked_file() -> io::Error {
    let message = "it is a symbolic link, and links are not followed; put the file itself here";
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

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
