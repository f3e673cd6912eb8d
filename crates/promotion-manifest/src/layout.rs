//! The layout of a thin manifest directory: which files form a project, and which are misplaced.
//!
//! Only names are used; the caller lists the files.

use std::collections::BTreeMap;

use crate::{Problem, Rule};

/// The name of the file with a project's registries, in `manifests/<project>/`.
pub const REGISTRIES_FILE: &str = "promoter-manifest.yaml";
/// The name of the file with a project's images, in `images/<project>/`.
pub const IMAGES_FILE: &str = "images.yaml";

/// A project of a thin manifest directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThinProject {
    /// The name of its directories.
    pub project: String,
    /// The file with its registries, relative to the thin manifest directory.
    pub registries_file: String,
    /// The file with its images, relative to the thin manifest directory.
    pub images_file: String,
}

/// The files of a project with this name, relative to the thin manifest directory: its registries, its images.
#[must_use]
pub fn thin_files(project: &str) -> [String; 2] {
    [ProjectFile::Registries, ProjectFile::Images].map(|kind| kind.path(project))
}

/// The projects of a thin manifest directory, by name, and its problems, by file. The files are given as paths relative to
/// the directory, with `/` between components. Files that are not YAML, and files outside `images/` and `manifests/`, are
/// ignored.
#[must_use]
pub fn thin_layout<S: AsRef<str>>(files: &[S]) -> (Vec<ThinProject>, Vec<Problem>) {
    let mut found = BTreeMap::<&str, ProjectFiles<'_>>::new();
    let mut problems = Vec::new();
    for path in files.iter().map(AsRef::as_ref) {
        match path.split('/').collect::<Vec<_>>()[..] {
            ["manifests", project, REGISTRIES_FILE] => {
                found.entry(project).or_default().registries = FoundFile::File(path);
            }
            ["images", project, IMAGES_FILE] => {
                found.entry(project).or_default().images = FoundFile::File(path);
            }
            [folder @ ("images" | "manifests"), project, name] if is_yaml(name) => {
                let kind = ProjectFile::meant(folder, name);
                found.entry(project).or_default().file_mut(kind).fill_with_stray();
                problems.push(stray(Some(project), path, kind));
            }
            [folder @ ("images" | "manifests"), .., name] if is_yaml(name) => {
                problems.push(stray(None, path, ProjectFile::meant(folder, name)));
            }
            _ => {}
        }
    }
    let projects = found.iter().filter_map(|(project, found)| found.pair(project, &mut problems));
    let projects = projects.collect();
    problems.sort_by(|a, b| a.file.cmp(&b.file));
    (projects, problems)
}

/// The two files of a project.
#[derive(Clone, Copy)]
enum ProjectFile {
    Registries,
    Images,
}

impl ProjectFile {
    /// The file that was probably meant: by its name, or else by its folder.
    fn meant(folder: &str, name: &str) -> Self {
        match name {
            REGISTRIES_FILE => Self::Registries,
            IMAGES_FILE => Self::Images,
            _ if folder == "images" => Self::Images,
            _ => Self::Registries,
        }
    }

    fn path(self, project: &str) -> String {
        match self {
            Self::Registries => format!("manifests/{project}/{REGISTRIES_FILE}"),
            Self::Images => format!("images/{project}/{IMAGES_FILE}"),
        }
    }
}

/// The files of a project that were found.
#[derive(Default)]
struct ProjectFiles<'a> {
    registries: FoundFile<'a>,
    images: FoundFile<'a>,
}

/// Whether one of a project's two files was found.
#[derive(Clone, Copy, Default)]
enum FoundFile<'a> {
    #[default]
    Nothing,
    /// A file with a wrong name or in the wrong folder, which has been reported. To correct it provides the missing file.
    Stray,
    File(&'a str),
}

impl<'a> ProjectFiles<'a> {
    fn file_mut(&mut self, kind: ProjectFile) -> &mut FoundFile<'a> {
        match kind {
            ProjectFile::Registries => &mut self.registries,
            ProjectFile::Images => &mut self.images,
        }
    }

    /// The project if both files exist. If only one exists, that is a problem.
    fn pair(&self, project: &str, problems: &mut Vec<Problem>) -> Option<ThinProject> {
        match (self.registries, self.images) {
            (FoundFile::File(registries), FoundFile::File(images)) => {
                return Some(ThinProject {
                    project: project.to_owned(),
                    registries_file: registries.to_owned(),
                    images_file: images.to_owned(),
                });
            }
            (FoundFile::File(path), FoundFile::Nothing) => {
                problems.push(half(project, path, ProjectFile::Images));
            }
            (FoundFile::Nothing, FoundFile::File(path)) => {
                problems.push(half(project, path, ProjectFile::Registries));
            }
            _ => {}
        }
        None
    }
}

impl FoundFile<'_> {
    fn fill_with_stray(&mut self) {
        if matches!(self, Self::Nothing) {
            *self = Self::Stray;
        }
    }
}

/// Whether it is a YAML file. Hidden files are settings of tools.
fn is_yaml(name: &str) -> bool {
    !name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".yml"))
}

/// The problem of a file that is not read because of its name or folder.
fn stray(project: Option<&str>, path: &str, kind: ProjectFile) -> Problem {
    let what = match kind {
        ProjectFile::Registries => "registries",
        ProjectFile::Images => "images",
    };
    let right = kind.path(project.unwrap_or("<project>"));
    let message = format!(
        "file not read: the {what} of a project must be in `{right}`; move it there or remove it"
    );
    Problem::new(project, &path.into(), (Rule::MisplacedFile, None), &message)
}

/// The problem of a project one of whose files is missing.
fn half(project: &str, path: &str, missing: ProjectFile) -> Problem {
    let message = format!(
        "nothing of project `{project}` is promoted: `{}` is missing; add it or remove this file",
        missing.path(project)
    );
    Problem::new(Some(project), &path.into(), (Rule::MissingFile, None), &message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files → projects, and problems as `project file: words`.
    type Row<'a> = (&'a [&'a str], &'a [&'a str], &'a [(&'a str, &'a str, &'a str)]);

    const TABLE: &[Row<'_>] = &[
        (&["images/a/images.yaml", "manifests/a/promoter-manifest.yaml"], &["a"], &[]),
        (
            &["images/a/images.yaml"],
            &[],
            &[("a", "images/a/images.yaml", "`manifests/a/promoter-manifest.yaml` is missing")],
        ),
        (
            &["manifests/a/promoter-manifest.yaml", "images/a/OWNERS"],
            &[],
            &[("a", "manifests/a/promoter-manifest.yaml", "`images/a/images.yaml` is missing")],
        ),
        // Misspelt, and the one that is missing for it.
        (
            &["images/a/imaegs.yaml", "manifests/a/promoter-manifest.yaml"],
            &[],
            &[(
                "a",
                "images/a/imaegs.yaml",
                "images of a project must be in `images/a/images.yaml`",
            )],
        ),
        (
            &["images/a/images.yml", "manifests/a/promoter-manifest.yml"],
            &[],
            &[
                ("a", "images/a/images.yml", "`images/a/images.yaml`"),
                ("a", "manifests/a/promoter-manifest.yml", "`manifests/a/promoter-manifest.yaml`"),
            ],
        ),
        // In the other folder. The missing file is another one, so it is reported as well.
        (
            &["images/a/promoter-manifest.yaml", "manifests/a/promoter-manifest.yaml"],
            &[],
            &[
                ("a", "images/a/promoter-manifest.yaml", "registries of a project must be in"),
                ("a", "manifests/a/promoter-manifest.yaml", "`images/a/images.yaml` is missing"),
            ],
        ),
        (
            &["manifests/a/images.yaml", "manifests/a/promoter-manifest.yaml"],
            &[],
            &[("a", "manifests/a/images.yaml", "must be in `images/a/images.yaml`")],
        ),
        // Beside a whole project.
        (
            &[
                "images/a/images.yaml",
                "images/a/promoter-manifest.yaml",
                "manifests/a/promoter-manifest.yaml",
            ],
            &["a"],
            &[("a", "images/a/promoter-manifest.yaml", "move it there or remove it")],
        ),
        // Too deep, not deep enough; elsewhere nothing is a project's.
        (
            &["images/a/b/images.yaml", "manifests/promoter-manifest.yaml", "image/a/images.yaml"],
            &[],
            &[
                ("-", "images/a/b/images.yaml", "`images/<project>/images.yaml`"),
                ("-", "manifests/promoter-manifest.yaml", "`manifests/<project>/"),
            ],
        ),
        (
            &[
                "OWNERS",
                "README.md",
                "cloudbuild.yaml",
                "images/a/OWNERS",
                "images/a/generate.sh",
                "images/a/.yamllint.yaml",
                "images/a/images.yaml.orig",
                "manifests/README.md",
                "manifests/manifest_test.go",
                "archived/a/images.yaml",
                "archived/a/promoter-manifest.yaml",
                "images.yaml",
                "",
                "/",
            ],
            &[],
            &[],
        ),
    ];

    #[test]
    fn the_rows_of_the_page() {
        for (files, projects, expected) in TABLE {
            let (found, problems) = thin_layout(files);
            let names: Vec<&str> = found.iter().map(|project| &*project.project).collect();
            assert_eq!(names, *projects, "{files:?}");
            assert_eq!(problems.len(), expected.len(), "{problems:#?}");
            for (problem, (project, file, words)) in problems.iter().zip(*expected) {
                assert_eq!(
                    (problem.project.as_deref().unwrap_or("-"), &*problem.file),
                    (*project, *file)
                );
                assert!(problem.message.contains(words), "{problem}");
            }
        }
    }
}
