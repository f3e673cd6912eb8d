//! Promotion manifests on the disk.

use std::{fs, io, path::Path};

use promotion_manifest::{MAX_FILE_BYTES, Problem};

use super::{Found, LoadError};

/// The most files that are looked at below a thin manifest directory: fifty times the real tree's. More
/// means that it was pointed somewhere else.
pub(super) const MAX_FILES: usize = 10_000;

/// What lies below `directory`. Only a root that cannot be listed is an error: what is deeper is one project's problem.
pub(super) fn list(directory: &Path) -> Result<Found, LoadError> {
    let mut found = Found::default();
    let shown = || directory.display().to_string();
    let listed = found.list(directory, Path::new(""));
    listed.map_err(|source| LoadError::Read { path: shown(), source })?;
    if found.files.len() >= MAX_FILES {
        return Err(LoadError::TooMany(shown()));
    }
    Ok(found)
}

impl Found {
    /// Lists `root/below` and what lies deeper, [`MAX_FILES`] at most; what is hidden is tools' own.
    fn list(&mut self, root: &Path, below: &Path) -> io::Result<()> {
        for entry in fs::read_dir(root.join(below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if is_hidden || self.files.len() >= MAX_FILES {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if let Err(error) = self.list(root, &path) {
                    self.problem(&path, format!("cannot read this directory: {error}"));
                }
            } else if kind.is_symlink() && root.join(&path).is_dir() {
                let message =
                    "links to directories are not followed; put the directory itself here";
                self.problem(&path, message.to_owned());
            } else {
                self.files.push(path.display().to_string());
            }
        }
        Ok(())
    }

    fn problem(&mut self, path: &Path, message: String) {
        let components: Vec<_> = path.iter().filter_map(|component| component.to_str()).collect();
        let project = match components[..] {
            ["images" | "manifests", project, ..] => Some(project.to_owned()),
            _ => None,
        };
        let file = path.display().to_string().into();
        self.problems.push(Problem { project, file, position: None, message });
    }
}

/// A file, whole.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    fits(about.len())?;
    fs::read_to_string(path)
}

/// Whether a file of so many bytes is read.
pub(super) fn fits(size: u64) -> io::Result<()> {
    let max = MAX_FILE_BYTES as u64;
    if size > max {
        let message = format!("it has {size} bytes, and at most {max} are read");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(())
}
