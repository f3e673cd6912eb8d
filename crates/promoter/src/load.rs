//! Reading promotion manifests from disk. What they mean is crate `promotion-manifest`'s.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use promotion_manifest::{Parsed, Problem, PromotionManifest, ThinProject};

/// The largest manifest file read, in bytes. The largest real one has 1.2 MB; anything near this is
/// not a promotion manifest.
const MAX_FILE_BYTES: u64 = 64 << 20;

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
    #[error("cannot read {path}: {source}")]
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
    let unreadable = |source| LoadError::Read { path: directory.display().to_string(), source };
    let mut files = Vec::new();
    for below in ["images", "manifests"] {
        list(directory, Path::new(below), &mut files).map_err(unreadable)?;
    }
    files.sort_unstable();
    let (projects, problems) = promotion_manifest::thin_layout(&files);
    if projects.is_empty() && problems.is_empty() {
        return Err(LoadError::Empty(directory.display().to_string()));
    }
    let mut loaded = Loaded { manifests: Vec::with_capacity(projects.len()), problems: Vec::new() };
    let rooted = |file: &str| directory.join(file).display().to_string();
    loaded.problems.extend(
        problems
            .into_iter()
            .map(|problem| Problem { file: rooted(&problem.file).into(), ..problem }),
    );
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

/// The regular files below `root/below`, relative to `root`. Links are followed to files, not into
/// directories, so that a loop cannot trap us.
fn list(root: &Path, below: &Path, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            list(root, &path, files)?;
        } else {
            files.push(path.display().to_string());
        }
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<String> {
    let size = fs::metadata(path)?.len();
    if size > MAX_FILE_BYTES {
        let message =
            format!("it has {size} bytes; a promotion manifest has at most {MAX_FILE_BYTES}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    fs::read_to_string(path)
}
