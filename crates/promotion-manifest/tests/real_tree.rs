//! The Kubernetes tree of thin promotion manifests, as it is.

#![expect(clippy::expect_used, reason = "helpers of tests: a panic is how a test fails")]

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use promotion_manifest::{EdgeSet, PromotionManifest, compare, parse_thin, thin_layout};

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

#[test]
fn the_kubernetes_tree_has_one_problem_and_720456_edges() {
    let tree = tree();
    if !tree.is_dir() {
        println!("skipped: {} is not there", tree.display());
        return;
    }
    let (projects, misplaced) = thin_layout(&files(&tree));
    assert_eq!((projects.len(), misplaced), (75, vec![]));
    let read = |file: &str| fs::read_to_string(tree.join(file)).expect(file);
    let (mut manifests, mut problems) = (Vec::new(), Vec::new());
    for project in &projects {
        let (registries, images) = (&project.registries_file, &project.images_file);
        let (registries, images) =
            ((&**registries, &*read(registries)), (&**images, &*read(images)));
        let parsed = parse_thin(&project.project, registries, images);
        problems.extend(parsed.problems);
        manifests.extend(parsed.manifest);
    }
    let [problem] = &problems[..] else { panic!("{problems:#?}") };
    assert!(problem.message.contains("64 hexadecimal digits; this has 63"), "{problem}");
    let set = EdgeSet::new(manifests);
    assert_eq!((set.len(), set.problems().len(), set.manifests().len()), (720_456, 0, 75));
    assert_eq!(destination_hosts(set.manifests()), 22);
    assert_eq!(set.destinations().len() % 22, 0, "every image is in all regions");
    assert!(set.edges().all(|edge| !edge.is_conflict()));
    assert!(compare(&set, &set).is_empty());
    let dns_controller = image(set.manifests(), "k8s-staging-kops", "dns-controller");
    assert_eq!(dns_controller, 1, "its many entries are merged");
}

fn destination_hosts(manifests: &[PromotionManifest]) -> usize {
    let mut hosts = HashMap::new();
    for registry in manifests.iter().flat_map(|manifest| &manifest.destinations) {
        *hosts.entry(&registry.prefix.host).or_insert(0) += 1;
    }
    hosts.len()
}

/// How many images of `project` are called `name`.
fn image(manifests: &[PromotionManifest], project: &str, name: &str) -> usize {
    let project = manifests.iter().filter(|manifest| manifest.project == project);
    project
        .flat_map(|manifest| &manifest.images)
        .filter(|image| image.name.as_str() == name)
        .count()
}
