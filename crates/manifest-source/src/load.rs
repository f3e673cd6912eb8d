//! Loading: one or two states of the manifests, and which edges of the later one are chosen.

use std::{
    collections::{BTreeSet, HashSet},
    io,
    path::Path,
};

use promotion_manifest::{EdgeSet, Problem};

use crate::{
    Changes, Choice, LoadError, ManifestSource, ProjectGlob,
    choice::directory_and_name,
    files::Files,
    git::Repository,
    read::{ReadManifests, read},
};

/// How many projects an error names.
const NAMED_PROJECTS: usize = 5;

/// What was read.
#[derive(Debug)]
pub struct Loaded {
    /// All edges of the usable projects, those chosen that are to be looked at.
    pub edges: EdgeSet,
    /// The faults, of usable projects too.
    pub problems: Vec<Problem>,
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
            let known = wording::list(names, NAMED_PROJECTS);
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
