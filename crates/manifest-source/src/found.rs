//! The files of a thin manifest directory, as a listing of the disk or of a git commit names them.

use std::{ffi::OsStr, io, os::unix::ffi::OsStrExt as _, path::Path};

use promotion_manifest::{Problem, Rule};

/// The most files that are looked at below the [`FOLDERS`] of a thin manifest directory: fifty times the real
/// tree's. More means that it was pointed somewhere else.
pub(crate) const MAX_FILES: usize = 10_000;

/// The folders that projects are in. What is beside them is not ours, such as a folder of archived projects.
pub(crate) const FOLDERS: [&str; 2] = ["images", "manifests"];

/// What is wrong with a link to a directory.
pub(crate) const LINKED_DIRECTORY: &str =
    "links to directories are not followed; put the directory itself here";

/// What is wrong with a directory that is a submodule.
pub(crate) const SUBMODULE: &str =
    "it is a git submodule, and submodules are not read; put the directory itself here";

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
    /// How many files and problems it has.
    pub(crate) fn len(&self) -> usize {
        self.files.len() + self.problems.len()
    }

    /// Adds the problem of a file or directory whose last name is not UTF-8.
    pub(crate) fn not_utf8(&mut self, path: &Path) {
        let name = path.file_name().unwrap_or(path.as_os_str());
        let message = format!(
            "the name `{}` is not UTF-8, so this is not read; rename it",
            name.as_bytes().escape_ascii()
        );
        self.problem(path, Rule::NameNotUtf8, message);
    }

    /// Adds a problem of that file or directory.
    pub(crate) fn problem(&mut self, path: &Path, rule: Rule, message: String) {
        let mut components = path.iter();
        let folder = components.next().and_then(OsStr::to_str);
        let is_folder = folder.is_some_and(|folder| FOLDERS.contains(&folder));
        let project = components.next().filter(|_| is_folder);
        let project = project.map(|project| project.to_string_lossy().into_owned());
        let file = path.display().to_string().into();
        self.problems.push(Problem { project, file, rule, span: None, message });
    }
}
