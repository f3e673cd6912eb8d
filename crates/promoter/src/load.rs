//! Reading promotion manifests from disk. What they mean is crate `promotion-manifest`'s.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use promotion_manifest::{MAX_FILE_BYTES, Parsed, Problem, PromotionManifest, ThinProject};

/// The most files that are looked at below a thin manifest directory: fifty times the real tree's. More
/// means that it was pointed somewhere else.
const MAX_FILES: usize = 10_000;

/// Where the promotion manifests are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestSource {
    /// One plain manifest.
    File(PathBuf),
    /// A thin manifest directory.
    ThinDirectory(PathBuf),
}

/// What was read: the usable projects, and every fault.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The projects that can be promoted.
    pub manifests: Vec<PromotionManifest>,
    /// The faults, of usable projects too.
    pub problems: Vec<Problem>,
}

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
    /// The directory has no thin manifests.
    #[error(
        "{0} has no promotion manifests: a thin manifest directory holds \
         images/<project>/images.yaml and manifests/<project>/promoter-manifest.yaml"
    )]
    Empty(String),
    /// Whatever this directory is, it holds far too much.
    #[error("{0} holds more than {max} files; give the thin manifest directory itself", max = MAX_FILES)]
    TooMany(String),
}

/// Reads all promotion manifests at `source`.
///
/// # Errors
/// When there is nothing to read; a fault in one file is one of [`Loaded::problems`] instead.
pub fn load(source: &ManifestSource) -> Result<Loaded, LoadError> {
    match source {
        ManifestSource::File(path) => {
            let file = path.display().to_string();
            let text =
                read(path).map_err(|source| LoadError::Read { path: file.clone(), source })?;
            let mut loaded = Loaded::default();
            loaded.add(promotion_manifest::parse_plain(&file, &text));
            Ok(loaded)
        }
        ManifestSource::ThinDirectory(directory) => load_thin(directory),
    }
}

fn load_thin(directory: &Path) -> Result<Loaded, LoadError> {
    let mut found = Found::default();
    let shown = || directory.display().to_string();
    let listed = found.list(directory, Path::new(""));
    listed.map_err(|source| LoadError::Read { path: shown(), source })?;
    if found.files.len() >= MAX_FILES {
        return Err(LoadError::TooMany(shown()));
    }
    found.files.sort_unstable();
    let (projects, mut problems) = promotion_manifest::thin_layout(&found.files);
    problems.append(&mut found.problems);
    if projects.is_empty() && problems.is_empty() {
        return Err(LoadError::Empty(shown()));
    }
    let rooted = |file: &str| directory.join(file).display().to_string().into();
    let rooted = |problem: Problem| Problem { file: rooted(&problem.file), ..problem };
    let mut loaded =
        Loaded { manifests: Vec::new(), problems: problems.into_iter().map(rooted).collect() };
    for project in projects {
        match load_project(directory, &project) {
            Ok(parsed) => loaded.add(parsed),
            Err(problem) => loaded.problems.push(problem),
        }
    }
    Ok(loaded)
}

fn load_project(directory: &Path, project: &ThinProject) -> Result<Parsed, Problem> {
    let open = |file: &str| {
        let path = directory.join(file);
        let shown = path.display().to_string();
        match read(&path) {
            Ok(text) => Ok((shown, text)),
            Err(error) => Err(Problem {
                project: Some(project.project.clone()),
                file: shown.into(),
                position: None,
                message: format!("cannot read it: {error}"),
            }),
        }
    };
    let registries = open(&project.registries_file)?;
    let images = open(&project.images_file)?;
    Ok(promotion_manifest::parse_thin(
        &project.project,
        (&registries.0, &registries.1),
        (&images.0, &images.1),
    ))
}

impl Loaded {
    fn add(&mut self, parsed: Parsed) {
        self.manifests.extend(parsed.manifest);
        self.problems.extend(parsed.problems);
    }
}

/// What a thin manifest directory holds.
#[derive(Default)]
struct Found {
    /// The files, relative to it.
    files: Vec<String>,
    /// What could not be looked at.
    problems: Vec<Problem>,
}

impl Found {
    /// Lists `root/below` and what lies deeper, [`MAX_FILES`] at most; what is hidden is tools' own. Only a
    /// root that cannot be listed is an error: what is deeper is one project's problem.
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

fn read(path: &Path) -> io::Result<String> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let (size, max) = (about.len(), MAX_FILE_BYTES as u64);
    if size > max {
        let message = format!("it has {size} bytes, and at most {max} are read");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    fs::read_to_string(path)
}
