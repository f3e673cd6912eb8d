//! From files to promotion manifests and problems, of one state of the manifests.

use std::{io, path::Path};

use promotion_manifest::{Parsed, Problem, PromotionManifest, Rule, ThinProject};

use crate::{
    LoadError, disk,
    files::ManifestFiles,
    options::{ManifestSource, directory_and_name},
};

/// The usable projects of one state of the manifests, and every fault of the files.
#[derive(Debug, Default)]
pub(crate) struct ReadManifests {
    pub(crate) manifests: Vec<PromotionManifest>,
    pub(crate) problems: Vec<Problem>,
}

/// Reads every manifest at `source`, as `files` has it.
pub(crate) fn read(
    source: &ManifestSource,
    files: &ManifestFiles,
) -> Result<ReadManifests, LoadError> {
    match source {
        ManifestSource::File(path) => {
            let shown = path.display().to_string();
            let (directory, name) = directory_and_name(path);
            let text = match files {
                ManifestFiles::Disk if path.is_dir() => return Err(LoadError::IsDirectory(shown)),
                ManifestFiles::Disk => disk::read_named(path),
                ManifestFiles::Revision(_) => files.read(directory, name),
            };
            ReadManifests::plain(&shown, files.suffix(), text)
        }
        ManifestSource::StandardInput => {
            let path = "standard input";
            ReadManifests::plain(path, "", disk::read_all(io::stdin().lock()))
        }
        ManifestSource::ThinDirectory(directory) => read_thin(directory, files),
    }
}

fn read_thin(directory: &Path, files: &ManifestFiles) -> Result<ReadManifests, LoadError> {
    let mut found = files.list(directory)?;
    found.files.sort_unstable();
    let (projects, mut problems) = promotion_manifest::thin_layout(&found.files);
    problems.retain_mut(|problem| is_separate(problem, &found.problems));
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

/// Whether the problem is another one than those of directories that are not read. A file below one of these is not
/// missing: the message says so then.
fn is_separate(problem: &mut Problem, unread: &[Problem]) -> bool {
    let Some(project) = problem.project.as_ref().filter(|_| problem.rule == Rule::MissingFile)
    else {
        return true;
    };
    let files = promotion_manifest::thin_files(project);
    let is_above = |it: &&Problem| files.iter().any(|file| Path::new(file).starts_with(&*it.file));
    let Some(above) = unread.iter().find(is_above) else { return true };
    let is_of_project = above.project.as_ref() == Some(project);
    problem.message = format!(
        "nothing of project `{project}` is promoted: `{}` is not read, for the reason that is reported there",
        above.file
    );
    problem.rule = above.rule;
    !is_of_project
}

fn read_project(
    directory: &Path,
    files: &ManifestFiles,
    project: &ThinProject,
) -> Result<Parsed, Problem> {
    let open = |file: &str| {
        let shown = directory.join(file).display().to_string();
        match files.read(directory, Path::new(file)) {
            Ok(text) => Ok((shown, text)),
            Err(error) => Err(unreadable(&project.project, &shown, &error)),
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

fn unreadable(project: &str, file: &str, error: &io::Error) -> Problem {
    let message = wording::one_line(&format!("cannot read it: {}", wording::level(error)));
    let (project, file) = (Some(project.to_owned()), file.into());
    Problem { project, file, rule: Rule::UnreadableFile, span: None, message }
}

impl ReadManifests {
    /// Those of one plain manifest. A file whose content cannot be used is a problem, as in a thin manifest directory; one
    /// that does not exist, or must not be read, is an error.
    fn plain(file: &str, suffix: &str, text: io::Result<String>) -> Result<Self, LoadError> {
        use io::ErrorKind::{FileTooLarge, InvalidData, InvalidInput};
        let mut read = Self::default();
        match text {
            Ok(text) => read.add(promotion_manifest::parse_plain(file, &text)),
            Err(error) if matches!(error.kind(), FileTooLarge | InvalidData | InvalidInput) => {
                read.problems.push(unreadable(file, file, &error));
            }
            Err(source) => {
                return Err(LoadError::Read { path: format!("{file}{suffix}"), source });
            }
        }
        Ok(read)
    }

    fn add(&mut self, parsed: Parsed) {
        self.manifests.extend(parsed.manifest);
        self.problems.extend(parsed.problems);
    }
}
