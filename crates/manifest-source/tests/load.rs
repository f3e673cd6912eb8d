//! Reading promotion manifests from disk: what cannot be read is one project's problem.

#![expect(clippy::expect_used, reason = "an expectation that fails is a test that fails")]

use std::{fs, os::unix::fs::symlink, path::Path};

use manifest_source::{LoadError, LoadOptions, LoadedManifests, ManifestSource, load};
use tempfile::TempDir;

const REGISTRIES: &str =
    "registries:\n- {name: h.example/staging, src: true}\n- name: h.example/prod\n";

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a file has a directory")).expect("a directory");
    fs::write(path, text).expect("a file");
}

fn tree() -> TempDir {
    let root = TempDir::new().expect("a temporary directory");
    write(root.path(), "manifests/good/promoter-manifest.yaml", REGISTRIES);
    write(root.path(), "images/good/images.yaml", "[]\n");
    root
}

fn load_tree(root: &TempDir) -> LoadedManifests {
    load(&ManifestSource::ThinDirectory(root.path().to_owned()), &LoadOptions::default())
        .expect("it can be read")
}

#[test]
fn what_is_beside_images_and_manifests_is_ignored() {
    let root = tree();
    write(root.path(), "archived/old/images.yaml", "not: [a, list\n");
    write(root.path(), "archived/images/old/images.yaml", "[]\n");
    write(root.path(), "archived/old/promoter-manifest.yaml", REGISTRIES);
    write(root.path(), "hack/values.yaml", "a: 1\n");
    write(root.path(), ".github/images.yaml", "[]\n");
    write(root.path(), "images.yaml", "[]\n");
    symlink(root.path().join("archived"), root.path().join("linked")).expect("a link");
    let many = root.path().join("archived/many");
    fs::create_dir(&many).expect("a directory");
    (0..10_001).for_each(|n| drop(fs::File::create(many.join(n.to_string())).expect("a file")));
    let loaded = load_tree(&root);
    assert_eq!(loaded.problems, []);
    assert_eq!(loaded.edges.manifests().len(), 1);
}

#[test]
fn files_at_the_wrong_place_in_the_two_folders_are_problems() {
    let root = tree();
    write(root.path(), "images/typo/deep/images.yaml", "[]\n");
    write(root.path(), "manifests/promoter-manifest.yaml", REGISTRIES);
    let loaded = load_tree(&root);
    assert_eq!(loaded.edges.manifests().len(), 1);
    let mut files: Vec<_> = loaded.problems.iter().map(|it| it.file.to_string()).collect();
    files.sort();
    let here = |path: &str| root.path().join(path).display().to_string();
    assert_eq!(
        files,
        [here("images/typo/deep/images.yaml"), here("manifests/promoter-manifest.yaml")]
    );
}

#[test]
fn what_cannot_be_looked_at_is_a_problem_of_its_project() {
    let root = tree();
    write(root.path(), "elsewhere/images.txt", "");
    symlink(root.path().join("elsewhere"), root.path().join("images/linked")).expect("a link");
    fs::create_dir_all(root.path().join("images/odd/images.yaml")).expect("a directory");
    write(root.path(), "manifests/odd/promoter-manifest.yaml", REGISTRIES);
    let loaded = load_tree(&root);
    assert_eq!(loaded.edges.manifests().len(), 1);
    let mut projects: Vec<_> =
        loaded.problems.iter().map(|it| it.project.clone().expect("a project")).collect();
    projects.sort();
    assert_eq!(projects, ["linked", "odd"], "{:?}", loaded.problems);
}

#[test]
fn what_is_no_thin_manifest_directory_is_an_error_that_says_so() {
    let empty = TempDir::new().expect("a temporary directory");
    let error =
        load(&ManifestSource::ThinDirectory(empty.path().to_owned()), &LoadOptions::default())
            .expect_err("empty");
    assert!(matches!(error, LoadError::Empty(_)) && error.to_string().contains("images/<project>"));
    let missing = empty.path().join("none");
    let error = load(&ManifestSource::ThinDirectory(missing), &LoadOptions::default())
        .expect_err("missing");
    assert!(matches!(error, LoadError::Read { .. }));
}
