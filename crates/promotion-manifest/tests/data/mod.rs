//! The texts of the Kubernetes tree of thin promotion manifests.

use std::{
    fs,
    path::{Path, PathBuf},
};

use promotion_manifest::{ThinProject, thin_layout};

/// The 75 projects, each with the texts of its registries and of its images. `None` without the data.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
pub(crate) fn kubernetes() -> Option<Vec<(ThinProject, [String; 2])>> {
    let tree = tree();
    if !tree.is_dir() {
        println!("skipped: {} does not exist", tree.display());
        return None;
    }
    let (projects, misplaced) = thin_layout(&files(&tree));
    assert_eq!((projects.len(), misplaced), (75, vec![]));
    let read = |file: &str| fs::read_to_string(tree.join(file)).expect(file);
    let texts = |project: ThinProject| {
        let texts = [read(&project.registries_file), read(&project.images_file)];
        (project, texts)
    };
    Some(projects.into_iter().map(texts).collect())
}

fn tree() -> PathBuf {
    #[expect(
        clippy::disallowed_methods,
        reason = "where the data lies is the environment's to say"
    )]
    let data = std::env::var("PORTOLAN_DATA").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data").to_owned()
    });
    Path::new(&data).join("k8s.io/registry.k8s.io")
}

fn files(tree: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(tree).expect("below").display().to_string());
            }
        }
    }
    files
}
