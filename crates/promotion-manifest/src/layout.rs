//! The shape of a thin manifest directory: which files make a project, and which stand wrong.
//!
//! Looks at names only; the caller lists the files.

use std::collections::BTreeMap;

use crate::Problem;

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

/// Sorts the files of a thin manifest directory, given as paths relative to it with `/` between the
/// components, into projects by name and problems by file. Files that have nothing to do with
/// promotion are passed over.
#[must_use]
pub fn thin_layout<S: AsRef<str>>(files: &[S]) -> (Vec<ThinProject>, Vec<Problem>) {
    let mut found = BTreeMap::<&str, Found<'_>>::new();
    let mut problems = Vec::new();
    for path in files.iter().map(AsRef::as_ref) {
        match path.split('/').collect::<Vec<_>>()[..] {
            ["manifests", project, REGISTRIES_FILE] => {
                found.entry(project).or_default().registries = Some(path);
            }
            ["images", project, IMAGES_FILE] => {
                found.entry(project).or_default().images = Some(path);
            }
            [folder @ ("images" | "manifests"), project, name] if is_yaml(name) => {
                found.entry(project).or_default().has_stray = true;
                problems.push(stray(Some(project), path, folder, name));
            }
            [folder @ ("images" | "manifests"), .., name] if is_yaml(name) => {
                problems.push(stray(None, path, folder, name));
            }
            [.., name @ (IMAGES_FILE | REGISTRIES_FILE)] => {
                problems.push(stray(None, path, "", name));
            }
            _ => {}
        }
    }
    let projects = found.into_iter().filter_map(|(project, found)| match found {
        Found { registries: Some(registries), images: Some(images), .. } => Some(ThinProject {
            project: project.to_owned(),
            registries_file: registries.to_owned(),
            images_file: images.to_owned(),
        }),
        // One problem is enough: mending what stands wrong brings the missing file.
        Found { has_stray: true, .. } => None,
        Found { registries, images, .. } => {
            problems.extend(registries.map(|path| half(project, path, &images_path(project))));
            problems.extend(images.map(|path| half(project, path, &registries_path(project))));
            None
        }
    });
    let projects = projects.collect();
    problems.sort_by(|a, b| a.file.cmp(&b.file));
    (projects, problems)
}

/// What has been found of a project.
#[derive(Default)]
struct Found<'a> {
    registries: Option<&'a str>,
    images: Option<&'a str>,
    /// Whether a file with a wrong name or in the wrong folder has been reported.
    has_stray: bool,
}

/// Hidden files are tools' settings.
fn is_yaml(name: &str) -> bool {
    !name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".yml"))
}

/// The problem of a file that is not read where it stands or as it is called.
fn stray(project: Option<&str>, path: &str, folder: &str, name: &str) -> Problem {
    let place = project.unwrap_or("<project>");
    let is_of_images = name == IMAGES_FILE || (name != REGISTRIES_FILE && folder == "images");
    let (what, right) = match is_of_images {
        true => ("images", images_path(place)),
        false => ("registries", registries_path(place)),
    };
    let message = format!(
        "this file is not read, since the {what} of a project stand in `{right}`; move it there, or \
         remove it"
    );
    Problem::new(project, &path.into(), None, &message)
}

/// The problem of a project that has one of its two files.
fn half(project: &str, path: &str, missing: &str) -> Problem {
    let message = format!(
        "nothing of project `{project}` is promoted, since `{missing}` is missing; add it, or \
         remove this file"
    );
    Problem::new(Some(project), &path.into(), None, &message)
}

fn images_path(project: &str) -> String {
    format!("images/{project}/{IMAGES_FILE}")
}

fn registries_path(project: &str) -> String {
    format!("manifests/{project}/{REGISTRIES_FILE}")
}
