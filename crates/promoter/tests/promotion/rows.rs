//! The rows of `docs/reference/promotion.md`, "What becomes of an edge", and the order of the stages.

use std::time::Duration;

use http::Method;
use job::Confirm::{DryRun, Write};
use testkit::{Fault, TestRegistry, fixture};

use crate::harness::{TestRegistries, entry, is_write, manifest, outcomes_of, promote, reason};

#[tokio::test]
async fn what_is_missing_is_copied_with_all_that_it_reaches_and_the_second_run_writes_nothing() {
    let registries = TestRegistries::open().await;
    let (image, chart) = (fixture::index(1, 2, 3), fixture::helm_chart(2));
    registries.staging.load("staging/team/app", "v1", &image).await;
    registries.staging.load("staging/team/charts/app", None, &chart).await;
    let images = entry("app", &image, &["v1", "stable"]) + &entry("charts/app", &chart, &["1.0.0"]);
    let project = registries.project("team", &images);

    let report = promote(vec![project.clone()], Write).await;
    assert_eq!(outcomes_of(&report), ["copied"; 6], "{report:#}");
    for registry in &registries.production {
        assert!(registry.holds("images/app", &image).await);
        assert!(registry.holds("images/charts/app", &chart).await);
        assert_eq!(registry.tags("images/app").await, ["stable", "v1"]);
        assert_eq!(registry.digest_of("images/app", "stable").await, Some(image.digest()));
    }

    registries.clear_requests();
    let report = promote(vec![project], Write).await;
    assert_eq!(outcomes_of(&report), ["present"; 6]);
    assert_eq!(registries.writes(), 0);
    assert_eq!(
        registries.staging.requests().len(),
        0,
        "nothing that is present is read from the source"
    );
}

#[tokio::test]
async fn without_confirm_nothing_is_written() {
    let registries = TestRegistries::open().await;
    let (new, untagged) = (fixture::index(1, 2, 2), fixture::image(2, 1));
    registries.staging.load("staging/team/app", None, &new).await;
    for registry in &registries.production {
        registry.load("images/app", None, &untagged).await;
    }
    let images = entry("app", &new, &["v2"]) + &entry("app", &untagged, &["v1"]);
    let report = promote(vec![registries.project("team", &images)], DryRun).await;
    assert_eq!(outcomes_of(&report), ["to_copy", "to_copy", "to_tag", "to_tag"]);
    assert_eq!(registries.writes(), 0);
    assert_eq!(registries.production[0].tags("images/app").await, [""; 0]);
    let summary = &report["summary"];
    assert_eq!((&summary["to_copy"], &summary["to_tag"]), (&2.into(), &2.into()));
    assert!(summary["copied"].is_null() && summary["tagged"].is_null());
}

#[tokio::test]
async fn a_tag_on_another_digest_is_refused_and_stays() {
    let registries = TestRegistries::open().await;
    let (old, new) = (fixture::image(1, 1), fixture::image(2, 1));
    registries.staging.load("staging/team/app", None, &new).await;
    registries.production[0].load("images/app", "v1", &old).await;
    let project = registries.project("team", &entry("app", &new, &["v1", "v2"]));
    let report = promote(vec![project], Write).await;
    assert_eq!(outcomes_of(&report), ["copied", "copied", "copied", "refused"]);
    assert!(reason(&report, "refused").contains(&format!("the tag is on {}", old.digest())));
    assert_eq!(registries.production[0].digest_of("images/app", "v1").await, Some(old.digest()));
    assert_eq!(registries.production[0].digest_of("images/app", "v2").await, Some(new.digest()));
    assert_eq!(registries.production[1].digest_of("images/app", "v1").await, Some(new.digest()));
}

#[tokio::test]
async fn a_digest_without_tags_is_one_edge_with_a_null_tag() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.staging.load("staging/team/app", None, &image).await;
    let project = registries.project("team", &entry("app", &image, &[]));
    let report = promote(vec![project.clone()], Write).await;
    assert_eq!(outcomes_of(&report), ["copied"; 2]);
    assert!(report["outcomes"][0]["tag"].is_null());
    assert_eq!(registries.production[0].tags("images/app").await, [""; 0]);
    assert!(registries.production[0].holds("images/app", &image).await);
    assert_eq!(outcomes_of(&promote(vec![project], Write).await), ["present"; 2]);
}

#[tokio::test]
async fn a_second_tag_of_a_digest_that_is_there_is_one_put() {
    let registries = TestRegistries::open().await;
    let image = fixture::index(1, 2, 2);
    for registry in &registries.production {
        registry.load("images/app", "v1", &image).await;
    }
    let project = registries.project("team", &entry("app", &image, &["v1", "stable"]));
    let report = promote(vec![project], Write).await;
    assert_eq!(outcomes_of(&report), ["present", "present", "tagged", "tagged"]);
    for registry in &registries.production {
        assert_eq!(registry.digest_of("images/app", "stable").await, Some(image.digest()));
        assert_eq!(registry.count(is_write), 1);
    }
    assert_eq!(registries.staging.requests().len(), 0);
}

#[tokio::test]
async fn what_staging_lost_is_backfilled_from_another_destination() {
    let registries = TestRegistries::open().await;
    let image = fixture::index(1, 2, 2);
    registries.production[0].load("images/app", "v1", &image).await;
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    let report = promote(vec![project.clone()], DryRun).await;
    assert_eq!(outcomes_of(&report), ["present", "to_copy"]);
    let origin = format!("backfilled from {}/images", registries.production[0].host());
    assert!(reason(&report, "to_copy").starts_with(&origin));
    let report = promote(vec![project], Write).await;
    assert_eq!(outcomes_of(&report), ["copied", "present"]);
    assert!(reason(&report, "copied").starts_with(&origin));
    assert!(registries.production[1].holds("images/app", &image).await);
}

#[tokio::test]
async fn a_digest_that_no_registry_has_is_lost() {
    let registries = TestRegistries::open().await;
    let (lost, fine) = (fixture::image(1, 1), fixture::image(2, 1));
    registries.staging.load("staging/team/app", None, &fine).await;
    let images = entry("app", &lost, &["v1"]) + &entry("app", &fine, &["v2"]);
    let report = promote(vec![registries.project("team", &images)], Write).await;
    assert_eq!(outcomes_of(&report), ["copied", "copied", "lost", "lost"]);
    assert!(reason(&report, "lost").contains("neither in"));
}

#[tokio::test]
async fn a_tag_with_two_digests_is_a_conflict_of_those_edges_alone() {
    let registries = TestRegistries::open().await;
    let (one, other, third) = (fixture::image(1, 1), fixture::image(2, 1), fixture::image(3, 1));
    for (project, image) in [("a", &one), ("a", &third), ("b", &other)] {
        registries.staging.load(&format!("staging/{project}/app"), None, image).await;
    }
    let a =
        registries.project("a", &(entry("app", &one, &["v1"]) + &entry("app", &third, &["v3"])));
    let b = registries.project("b", &entry("app", &other, &["v1"]));
    let report = promote(vec![a, b], Write).await;
    assert_eq!(
        outcomes_of(&report),
        ["copied", "copied", "refused", "refused", "refused", "refused"]
    );
    let reasons: Vec<_> = report["outcomes"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|outcome| outcome["outcome"] == "refused")
        .map(|outcome| (outcome["project"].as_str(), outcome["reason"].as_str().expect("a reason")))
        .collect();
    assert!(
        reasons
            .iter()
            .any(|(project, why)| *project == Some("a") && why.contains("images/b/images.yaml:3"))
    );
    assert!(
        reasons
            .iter()
            .any(|(project, why)| *project == Some("b") && why.contains("images/a/images.yaml:3"))
    );
    assert_eq!(registries.production[0].tags("images/app").await, ["v3"]);
}

#[tokio::test]
async fn the_tag_comes_last_and_children_before_parents() {
    let registries = TestRegistries::open().await;
    let image = fixture::index(1, 3, 2);
    registries.staging.load("staging/team/app", None, &image).await;
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    promote(vec![project], Write).await;
    let puts: Vec<_> = registries.production[0]
        .requests()
        .into_iter()
        .filter(|request| request.method == Method::PUT)
        .map(|request| request.path_and_query)
        .collect();
    let manifests = puts.iter().position(|path| path.contains("/manifests/")).expect("manifests");
    assert!(puts[..manifests].iter().all(|path| path.contains("/blobs/")));
    assert!(puts[manifests..].iter().all(|path| path.contains("/manifests/")));
    let wanted = image.manifests().into_iter().map(|it| it.digest().to_string());
    let written: Vec<_> =
        puts[manifests..].iter().filter_map(|path| path.split('/').next_back()).collect();
    assert_eq!(written.last(), Some(&"v1"));
    assert_eq!(written[written.len() - 2], image.digest().to_string());
    assert_eq!(written.len(), wanted.count() + 1);
}

#[tokio::test]
async fn a_tag_that_appears_after_the_plan_is_not_moved() {
    let registries = TestRegistries::open().await;
    let (old, new) = (fixture::image(1, 1), fixture::image(2, 1));
    registries.staging.load("staging/team/app", None, &new).await;
    // The plan finds no tag; while the layer is copied slowly, another client writes it.
    let slowly = Fault::on(Method::GET, "/blobs/").drip(100, Duration::from_millis(50));
    registries.staging.fail(slowly);
    let project = registries.project("team", &entry("app", &new, &["v1"]));
    let somebody_else = async {
        while registries.staging.count(|it| it.path_and_query.contains("/blobs/")) == 0 {
            tokio::task::yield_now().await;
        }
        registries.production[0].load("images/app", "v1", &old).await;
    };
    let (report, ()) = tokio::join!(promote(vec![project], Write), somebody_else);
    assert_eq!(outcomes_of(&report), ["copied", "refused"]);
    assert_eq!(registries.production[0].digest_of("images/app", "v1").await, Some(old.digest()));
}

#[tokio::test]
async fn nested_destination_prefixes_meet_in_one_repository() {
    let (staging, production) = (TestRegistry::start().await, TestRegistry::start().await);
    let image = fixture::image(1, 1);
    staging.load("team/kubernetes/app", None, &image).await;
    let (source, outer) = (staging.prefix("team"), production.prefix("images"));
    let inner = production.prefix("images/kubernetes");
    let a = manifest("a", &source, &[outer], &entry("kubernetes/app", &image, &["v1"]));
    staging.load("other/app", None, &image).await;
    let b = manifest("b", &staging.prefix("other"), &[inner], &entry("app", &image, &["v1"]));
    let report = promote(vec![a, b], Write).await;
    assert_eq!(outcomes_of(&report), ["copied"], "the same source_digest twice is one edge");
    assert_eq!(production.digest_of("images/kubernetes/app", "v1").await, Some(image.digest()));
}

#[tokio::test]
async fn each_blob_is_read_once_whatever_the_number_of_destinations() {
    let staging = TestRegistry::start().await;
    let mut production = Vec::new();
    for _ in 0..4 {
        production.push(TestRegistry::start().await);
    }
    let image = fixture::index(1, 3, 3);
    staging.load("team/app", None, &image).await;
    let to: Vec<_> = production.iter().map(|registry| registry.prefix("images")).collect();
    let project =
        manifest("team", &staging.prefix("team"), &to, &entry("app", &image, &["v1", "v2"]));
    let report = promote(vec![project], Write).await;
    assert_eq!(outcomes_of(&report), ["copied"; 8]);
    let blobs = image.digests().len() - image.manifests().len();
    let read = |what: &str| {
        staging.count(|it| it.method == Method::GET && it.path_and_query.contains(what))
    };
    assert_eq!(read("/blobs/"), blobs);
    assert_eq!(read("/manifests/"), image.manifests().len());
}

#[tokio::test]
async fn a_tag_move_to_a_digest_that_is_nowhere_is_called_a_typo() {
    let registries = TestRegistries::open().await;
    let (there, nowhere) = (fixture::image(1, 1), fixture::image(2, 1));
    registries.staging.load("staging/team/app", None, &there).await;
    for registry in &registries.production {
        registry.load("images/app", "v1", &there).await;
    }
    let project = registries.project("team", &entry("app", &nowhere, &["v1"]));
    let report = promote(vec![project.clone()], DryRun).await;
    assert_eq!(outcomes_of(&report), ["refused"; 2]);
    let source = registries.staging.prefix("staging/team");
    let typo =
        format!("the digest is not in this image's repository below {source}; check it for a typo");
    let reason_text = reason(&report, "refused");
    assert!(
        reason_text.contains(&typo) && reason_text.contains(&there.digest().to_string()),
        "{reason_text}"
    );
    // One that exists is a new image.
    registries.staging.load("staging/team/app", None, &nowhere).await;
    let report = promote(vec![project.clone()], DryRun).await;
    assert!(reason(&report, "refused").contains("promote under a new tag"), "{report:#}");
    // A source that does not say proves nothing.
    registries.staging.fail(Fault::everywhere("/manifests/").status(500));
    let report = promote(vec![project], DryRun).await;
    assert!(reason(&report, "refused").contains("promote under a new tag"), "{report:#}");
}
