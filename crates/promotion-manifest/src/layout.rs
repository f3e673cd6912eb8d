//! The shape of a thin manifest directory: which files make a project, and which stand wrong.
//!
//! Looks at names only; the caller lists the files.

use std::collections::BTreeMap;

use crate::{Problem, Rule};

/// What the file of a project's registries is called, in `manifests/<project>/`.
pub const REGISTRIES_FILE: &str = "promoter-manifest.yaml";
/// What the file of a project's images is called, in `images/<project>/`.
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

/// The files that a project of that name has, relative to the thin manifest directory: its registries', its images'.
#[must_use]
pub fn thin_files(project: &str) -> [String; 2] {
    [Kind::Registries, Kind::Images].map(|kind| kind.path(project))
}

/// Sorts the files of a thin manifest directory, given as paths relative to it with `/` between the
/// components, into projects by name and problems by file. What is not below `images/` or `manifests/`
/// is ignored, and so is what is not YAML.
#[must_use]
pub fn thin_layout<S: AsRef<str>>(files: &[S]) -> (Vec<ThinProject>, Vec<Problem>) {
    let mut found = BTreeMap::<&str, ProjectFiles<'_>>::new();
    let mut problems = Vec::new();
    for path in files.iter().map(AsRef::as_ref) {
        match path.split('/').collect::<Vec<_>>()[..] {
            ["manifests", project, REGISTRIES_FILE] => {
                found.entry(project).or_default().registries = Slot::File(path);
            }
            ["images", project, IMAGES_FILE] => {
                found.entry(project).or_default().images = Slot::File(path);
            }
            [folder @ ("images" | "manifests"), project, name] if is_yaml(name) => {
                let kind = Kind::meant(folder, name);
                found.entry(project).or_default().slot(kind).fill_with_stray();
                problems.push(stray(Some(project), path, kind));
            }
            [folder @ ("images" | "manifests"), .., name] if is_yaml(name) => {
                problems.push(stray(None, path, Kind::meant(folder, name)));
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
enum Kind {
    Registries,
    Images,
}

impl Kind {
    /// What a file is meant to be: its name tells, or else the folder that it stands in.
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

/// What has been found of a project.
#[derive(Default)]
struct ProjectFiles<'a> {
    registries: Slot<'a>,
    images: Slot<'a>,
}

/// What has been found of one of a project's files.
#[derive(Clone, Copy, Default)]
enum Slot<'a> {
    #[default]
    Nothing,
    /// A file with a wrong name or in the wrong folder, which has been reported: correcting it brings
    /// the file that is missing.
    Stray,
    File(&'a str),
}

impl<'a> ProjectFiles<'a> {
    fn slot(&mut self, kind: Kind) -> &mut Slot<'a> {
        match kind {
            Kind::Registries => &mut self.registries,
            Kind::Images => &mut self.images,
        }
    }

    /// The project, if both its files are there; the problem, if one is.
    fn pair(&self, project: &str, problems: &mut Vec<Problem>) -> Option<ThinProject> {
        match (self.registries, self.images) {
            (Slot::File(registries), Slot::File(images)) => {
                return Some(ThinProject {
                    project: project.to_owned(),
                    registries_file: registries.to_owned(),
                    images_file: images.to_owned(),
                });
            }
            (Slot::File(path), Slot::Nothing) => problems.push(half(project, path, Kind::Images)),
            (Slot::Nothing, Slot::File(path)) => {
                problems.push(half(project, path, Kind::Registries));
            }
            _ => {}
        }
        None
    }
}

impl Slot<'_> {
    fn fill_with_stray(&mut self) {
        if matches!(self, Self::Nothing) {
            *self = Self::Stray;
        }
    }
}

/// Hidden files are tools' settings.
fn is_yaml(name: &str) -> bool {
    !name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".yml"))
}

/// The problem of a file that is not read where it stands or as it is called.
fn stray(project: Option<&str>, path: &str, kind: Kind) -> Problem {
    let what = match kind {
        Kind::Registries => "registries",
        Kind::Images => "images",
    };
    let right = kind.path(project.unwrap_or("<project>"));
    let message = format!(
        "file not read: the {what} of a project must be in `{right}`; move it there or remove it"
    );
    Problem::new(project, &path.into(), (Rule::MisplacedFile, None), &message)
}

/// The problem of a project one of whose files is missing.
fn half(project: &str, path: &str, missing: Kind) -> Problem {
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
        // In the other folder; the missing file is not this one, so it is told as well.
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
