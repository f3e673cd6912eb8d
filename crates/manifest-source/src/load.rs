//! Loading: one or two states of the manifests, and which edges of the later one are selected.

use std::{
    collections::{BTreeSet, HashSet},
    io,
    path::{Path, PathBuf},
};

use promotion_manifest::{Criteria, EdgeSet, Problem, Rule, Selection, select};

use crate::{
    ChangeRange, LoadError, LoadOptions, ManifestSource, ProjectGlob,
    files::ManifestFiles,
    git::GitRepository,
    options::directory_and_name,
    read::{ReadManifests, read},
};

/// How many projects an error names.
const NAMED_PROJECTS: usize = 5;

/// What was read.
#[derive(Debug)]
pub struct LoadedManifests {
    /// All edges of the usable projects.
    pub edges: EdgeSet,
    /// Those that the options select.
    pub selection: Selection,
    /// What is wrong with the manifests, those of usable projects too.
    pub problems: Vec<Problem>,
}

/// Reads the promotion manifests at `source`, and selects among their edges.
///
/// # Errors
/// When there is nothing to read, or the options name no project or revision. What is wrong with one file is one of [`LoadedManifests::problems`] instead.
pub fn load(source: &ManifestSource, options: &LoadOptions) -> Result<LoadedManifests, LoadError> {
    let repository = || GitRepository::of(source);
    let (after, before) = match &options.changed {
        None => (ManifestFiles::Disk, None),
        Some(ChangeRange::Since(revision)) => {
            (ManifestFiles::Disk, Some(repository()?.revision(revision)?))
        }
        Some(ChangeRange::In { from, to }) => {
            let repository = repository()?;
            let (from, to) = (repository.revision(from)?, repository.revision(to)?);
            (ManifestFiles::Revision(Box::new(to)), Some(from))
        }
        Some(ChangeRange::Within(time)) => (ManifestFiles::Disk, repository()?.before(time)?),
    };
    let before =
        before.map(|revision| Before::read(source, ManifestFiles::Revision(Box::new(revision))));
    read_and_select(source, &after, before.transpose()?, &options.projects)
}

/// The manifests as they were.
struct Before {
    files: ManifestFiles,
    manifests: ReadManifests,
}

impl Before {
    fn read(source: &ManifestSource, files: ManifestFiles) -> Result<Self, LoadError> {
        let manifests = match read(source, &files) {
            Ok(manifests) => manifests,
            // A state without manifests requests nothing.
            Err(LoadError::Empty(_)) => ReadManifests::default(),
            Err(LoadError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                ReadManifests::default()
            }
            Err(error) => return Err(error),
        };
        Ok(Self { files, manifests })
    }
}

fn read_and_select(
    source: &ManifestSource,
    after: &ManifestFiles,
    before: Option<Before>,
    projects: &[ProjectGlob],
) -> Result<LoadedManifests, LoadError> {
    let ReadManifests { manifests, mut problems } = read(source, after)?;
    let mut names: BTreeSet<String> = manifests.iter().map(|it| it.project.clone()).collect();
    names.extend(problems.iter().filter_map(|problem| problem.project.clone()));
    for glob in projects {
        if !names.iter().any(|name| glob.matches(name)) {
            let names = names.iter().map(|name| wording::one_line(name));
            let known = wording::list(names, NAMED_PROJECTS);
            return Err(LoadError::NoProject { glob: glob.to_string(), known });
        }
    }
    let edges = EdgeSet::new(manifests);
    problems.extend_from_slice(edges.problems());
    let old = before.map(|Before { files, manifests }| {
        let old = EdgeSet::new(manifests.manifests);
        let known = manifests.problems.iter().chain(old.problems());
        let known: HashSet<_> = known.map(what).collect();
        let files = (&files, after);
        let stood = |it: &Problem| known.contains(&what(it)) && is_untouched(source, it, files);
        problems.retain(|problem| !stood(problem));
        old
    });
    let is_named = |project: &str| projects.iter().any(|glob| glob.matches(project));
    let mut criteria = Criteria { project: None, changed_since: old.as_ref() };
    if !projects.is_empty() {
        criteria.project = Some(&is_named);
        problems.retain(|problem| problem.project.as_deref().is_none_or(is_named));
    }
    let selection = select(&edges, &criteria);
    Ok(LoadedManifests { edges, selection, problems })
}

/// What a problem is.
fn what(problem: &Problem) -> (Option<&str>, &str, &str) {
    (problem.project.as_deref(), &problem.file, &problem.message)
}

/// Whether the files that `problem` is about are the same, byte for byte, in both states. What a change of other files
/// requests is unknown, since the problem leaves it out.
fn is_untouched(
    source: &ManifestSource,
    problem: &Problem,
    (before, after): (&ManifestFiles, &ManifestFiles),
) -> bool {
    // Several files may have such a name as it is shown.
    if problem.rule == Rule::NameNotUtf8 {
        return false;
    }
    let (directory, files) = match source {
        ManifestSource::File(path) => {
            let (directory, name) = directory_and_name(path);
            (directory, vec![name.to_owned()])
        }
        ManifestSource::ThinDirectory(directory) => {
            let shown = directory.display().to_string();
            let file = Path::new(&*problem.file).strip_prefix(shown).map(Path::to_owned).ok();
            let project = problem.project.as_deref().map(promotion_manifest::thin_files);
            let project = project.into_iter().flatten().map(PathBuf::from);
            (directory.as_path(), file.into_iter().chain(project).collect())
        }
        ManifestSource::StandardInput => return false,
    };
    let is_same = |file: &PathBuf| match (before.read(directory, file), after.read(directory, file))
    {
        (Ok(before), Ok(after)) => before == after,
        (Err(before), Err(after)) => {
            before.kind() == io::ErrorKind::NotFound && after.kind() == io::ErrorKind::NotFound
        }
        _ => false,
    };
    files.iter().all(is_same)
}
