//! Reading promotion manifests, from the disk and from git's history, and choosing which of their edges are
//! looked at. What they mean is crate `promotion-manifest`'s.

mod disk;
mod git;
mod glob;
mod time;

use std::{
    collections::{BTreeSet, HashSet},
    io,
    path::{Path, PathBuf},
    str::FromStr,
};

use promotion_manifest::{EdgeSet, Parsed, Problem, PromotionManifest, ThinProject};

pub use glob::ProjectGlob;

use crate::list::list;
use git::Repository;

/// How many projects an error names.
const NAMED_PROJECTS: usize = 5;

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

/// What was read.
#[derive(Debug)]
pub struct Loaded {
    /// All edges of the usable projects, those chosen that are to be looked at.
    pub edges: EdgeSet,
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
    #[error("too many files in {0}: more than {max} below images/ and manifests/; give the thin manifest directory itself", max = disk::MAX_FILES)]
    TooMany(String),
    /// No project is so called.
    #[error("no project matches `{glob}`; the projects are {known}")]
    NoProject {
        /// What was asked for.
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
        "`{0}` is not a revision that has one meaning: it names a time in the reflog of this clone; name a commit, or \
         use --since"
    )]
    ReflogTime(String),
    /// No commit has that name.
    #[error(
        "cannot find the revision `{name}` in {directory}: no commit has that name; correct it, or, in a shallow \
         clone, bring the commit by `git fetch --unshallow`"
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
        /// What it was asked to do.
        what: String,
        /// Where.
        directory: String,
        /// The first line of its answer.
        said: String,
    },
}

/// Reads the promotion manifests at `source`, and chooses among their edges.
///
/// # Errors
/// When there is nothing to read, or nothing to choose by; a fault in one file is one of [`Loaded::problems`] instead.
pub fn load(source: &ManifestSource, choice: &Choice) -> Result<Loaded, LoadError> {
    let repository = || Repository::of(source);
    let (after, before) = match &choice.changes {
        None => (Files::Disk, None),
        Some(Changes::Since(revision)) => (Files::Disk, Some(repository()?.revision(revision)?)),
        Some(Changes::In { from, to }) => {
            let repository = repository()?;
            let (from, to) = (repository.revision(from)?, repository.revision(to)?);
            (Files::Revision(to), Some(from))
        }
        Some(Changes::Within(time)) => (Files::Disk, repository()?.before(time)?),
    };
    let before = before.map(|revision| Before::read(source, Files::Revision(revision)));
    choose(source, &after, before.transpose()?, &choice.projects)
}

/// The manifests as they were.
struct Before {
    files: Files,
    manifests: ReadManifests,
}

impl Before {
    fn read(source: &ManifestSource, files: Files) -> Result<Self, LoadError> {
        let manifests = match read(source, &files) {
            Ok(manifests) => manifests,
            // What was not there yet asked for nothing.
            Err(LoadError::Empty(_)) => ReadManifests::default(),
            Err(LoadError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                ReadManifests::default()
            }
            Err(error) => return Err(error),
        };
        Ok(Self { files, manifests })
    }
}

fn choose(
    source: &ManifestSource,
    after: &Files,
    before: Option<Before>,
    projects: &[ProjectGlob],
) -> Result<Loaded, LoadError> {
    let ReadManifests { manifests, mut problems } = read(source, after)?;
    let mut names: BTreeSet<String> = manifests.iter().map(|it| it.project.clone()).collect();
    names.extend(problems.iter().filter_map(|problem| problem.project.clone()));
    for glob in projects {
        if !names.iter().any(|name| glob.matches(name)) {
            let names = names.iter().map(|name| promotion_manifest::one_line(name));
            let known = list(names, NAMED_PROJECTS);
            return Err(LoadError::NoProject { glob: glob.to_string(), known });
        }
    }
    let mut edges = EdgeSet::new(manifests);
    problems.extend_from_slice(edges.problems());
    if let Some(before) = before {
        let old = EdgeSet::new(before.manifests.manifests);
        let files = (&before.files, after);
        let told = before.manifests.problems.iter().chain(old.problems());
        let told: HashSet<_> = told.map(what).collect();
        let stood = |it: &Problem| told.contains(&what(it)) && is_untouched(source, it, files);
        problems.retain(|problem| !stood(problem));
        edges.choose_changed(&old);
    }
    if !projects.is_empty() {
        let is_chosen = |project: &str| projects.iter().any(|glob| glob.matches(project));
        edges.choose_projects(is_chosen);
        problems.retain(|problem| problem.project.as_deref().is_none_or(is_chosen));
    }
    Ok(Loaded { edges, problems })
}

/// What a problem is.
fn what(problem: &Problem) -> (Option<&str>, &str, &str) {
    (problem.project.as_deref(), &problem.file, &problem.message)
}

/// Whether the files that `problem` is about are the same, byte for byte, in both states. Of others nobody can tell
/// what their change asks for, as the problem leaves it out.
fn is_untouched(
    source: &ManifestSource,
    problem: &Problem,
    (before, after): (&Files, &Files),
) -> bool {
    let (directory, files) = match source {
        ManifestSource::File(path) => {
            let (directory, name) = directory_and_name(path);
            (directory, vec![name])
        }
        ManifestSource::ThinDirectory(directory) => {
            let file = Path::new(&*problem.file).strip_prefix(directory);
            let file = file.map(|file| file.display().to_string()).ok();
            let project = problem.project.as_deref().map(promotion_manifest::thin_files);
            (directory.as_path(), file.into_iter().chain(project.into_iter().flatten()).collect())
        }
        ManifestSource::StandardInput => return false,
    };
    let is_same = |file: &String| match (before.read(directory, file), after.read(directory, file))
    {
        (Ok(before), Ok(after)) => before == after,
        (Err(before), Err(after)) => {
            before.kind() == io::ErrorKind::NotFound && after.kind() == io::ErrorKind::NotFound
        }
        _ => false,
    };
    files.iter().all(is_same)
}

/// The usable projects of one state of the manifests, and every fault of the files.
#[derive(Debug, Default)]
struct ReadManifests {
    manifests: Vec<PromotionManifest>,
    problems: Vec<Problem>,
}

/// Where files are read from.
enum Files {
    Disk,
    Revision(git::Revision),
}

impl Files {
    /// What lies below a directory.
    fn list(&self, directory: &Path) -> Result<Found, LoadError> {
        match self {
            Self::Disk if directory.is_file() => {
                Err(LoadError::IsFile(directory.display().to_string()))
            }
            Self::Disk => disk::list(directory),
            Self::Revision(revision) => revision.list(),
        }
    }

    /// What follows the name of a directory or file that is not found here.
    fn suffix(&self) -> &str {
        match self {
            Self::Disk => "",
            Self::Revision(revision) => revision.suffix(),
        }
    }

    /// A file by its path below a directory.
    fn read(&self, directory: &Path, file: &str) -> io::Result<String> {
        match self {
            Self::Disk => disk::read(&directory.join(file)),
            Self::Revision(revision) => revision.read(file),
        }
    }
}

/// What a directory holds.
#[derive(Default)]
struct Found {
    /// The files, relative to it.
    files: Vec<String>,
    /// What could not be looked at.
    problems: Vec<Problem>,
}

fn read(source: &ManifestSource, files: &Files) -> Result<ReadManifests, LoadError> {
    match source {
        ManifestSource::File(path) => {
            let shown = path.display().to_string();
            let (directory, name) = directory_and_name(path);
            let text = match files {
                Files::Disk if path.is_dir() => return Err(LoadError::IsDirectory(shown)),
                Files::Disk => disk::read_named(path),
                Files::Revision(_) => files.read(directory, &name),
            };
            let text = text.map_err(|source| LoadError::Read {
                path: format!("{shown}{}", files.suffix()),
                source,
            })?;
            Ok(ReadManifests::plain(&shown, &text))
        }
        ManifestSource::StandardInput => {
            let path = "standard input";
            let text = disk::read_all(io::stdin().lock())
                .map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
            Ok(ReadManifests::plain(path, &text))
        }
        ManifestSource::ThinDirectory(directory) => read_thin(directory, files),
    }
}

/// A file's directory, and its name there.
fn directory_and_name(path: &Path) -> (&Path, String) {
    let directory =
        path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    (directory, name.unwrap_or_default())
}

fn read_thin(directory: &Path, files: &Files) -> Result<ReadManifests, LoadError> {
    let mut found = files.list(directory)?;
    found.files.sort_unstable();
    let (projects, mut problems) = promotion_manifest::thin_layout(&found.files);
    problems.append(&mut found.problems);
    if projects.is_empty() && problems.is_empty() {
        return Err(LoadError::Empty(format!("{}{}", directory.display(), files.suffix())));
    }
    let rooted = |file: &str| directory.join(file).display().to_string().into();
    let rooted = |problem: Problem| Problem { file: rooted(&problem.file), ..problem };
    let problems = problems.into_iter().map(rooted).collect();
    let mut read = ReadManifests { manifests: Vec::new(), problems };
    for project in projects {
        match read_project(directory, files, &project) {
            Ok(parsed) => read.add(parsed),
            Err(problem) => read.problems.push(problem),
        }
    }
    Ok(read)
}

fn read_project(directory: &Path, files: &Files, project: &ThinProject) -> Result<Parsed, Problem> {
    let open = |file: &str| {
        let shown = directory.join(file).display().to_string();
        match files.read(directory, file) {
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

impl ReadManifests {
    /// Those of one plain manifest.
    fn plain(file: &str, text: &str) -> Self {
        let mut read = Self::default();
        read.add(promotion_manifest::parse_plain(file, text));
        read
    }

    fn add(&mut self, parsed: Parsed) {
        self.manifests.extend(parsed.manifest);
        self.problems.extend(parsed.problems);
    }
}
