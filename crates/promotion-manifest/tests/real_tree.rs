//! The Kubernetes tree of thin promotion manifests, as it is.

#![expect(clippy::expect_used, reason = "helpers of tests: a panic is how a test fails")]

mod data;

use std::collections::HashMap;

use promotion_manifest::{EdgeSet, PromotionManifest, compare, parse_thin};

use crate::data::kubernetes;

#[test]
fn the_kubernetes_tree_has_one_problem_and_720456_edges() {
    let Some(projects) = kubernetes() else { return };
    let (mut manifests, mut problems) = (Vec::new(), Vec::new());
    for (project, [registries, images]) in &projects {
        let registries = (&*project.registries_file, &**registries);
        let images = (&*project.images_file, &**images);
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
