//! The rows of `docs/internals/promotion.md`, "Tags": other clients write at the same time.

use std::time::Duration;

use http::Method;
use job::Confirm::Write;
use promotion_manifest::EdgeSet;
use registry_client::{Quota, RegistryClient};
use testkit::{Fault, RecordedRequest, fixture};

use crate::harness::{TestRegistries, bare, entry, outcomes_of, promote, reason, run};

/// Waits until a registry got such a request.
async fn until(registry: &testkit::TestRegistry, matching: impl Fn(&RecordedRequest) -> bool) {
    while registry.count(&matching) == 0 {
        tokio::task::yield_now().await;
    }
}

fn put(tag: &'static str) -> impl Fn(&RecordedRequest) -> bool {
    move |it| it.method == Method::PUT && it.path_and_query.ends_with(&format!("/manifests/{tag}"))
}

#[tokio::test]
async fn the_loser_of_a_race_gets_412_from_a_registry_with_conditions() {
    let registries = TestRegistries::open().await;
    let (ours, theirs) = (fixture::image(1, 1), fixture::image(2, 1));
    registries.staging.load("staging/team/app", None, &ours).await;
    let [registry, other] = &registries.production;
    // So few requests a second that there is time between the look and the write.
    let quota = Quota { requests_per_second: Some(4.0), ..Quota::default() };
    let client = RegistryClient::builder().quota(registry.host(), quota).build();
    let other_client = async {
        until(registry, |it| {
            it.method == Method::GET && it.path_and_query.ends_with("/manifests/v1")
        })
        .await;
        registry.load("images/app", "v1", &theirs).await;
    };
    let edges = EdgeSet::new(vec![registries.project("team", &entry("app", &ours, &["v1"]))]);
    let (settings, stop) = (bare(Write), job::stop().1);
    let (report, ()) = tokio::join!(run(client, &edges, &settings, &stop), other_client);
    assert_eq!(outcomes_of(&report), ["copied", "failed"], "{report:#}");
    let reason = reason(&report, "failed");
    assert!(
        reason.starts_with("lost the race") && reason.contains(&theirs.digest().to_string()),
        "{reason}"
    );
    assert_eq!(registry.digest_of("images/app", "v1").await, Some(theirs.digest()), "it stays");
    assert_eq!(other.digest_of("images/app", "v1").await, Some(ours.digest()));
}

#[tokio::test]
async fn two_runs_that_promote_the_same_both_succeed() {
    let registries = TestRegistries::open().await;
    let image = fixture::index(1, 2, 2);
    registries.staging.load("staging/team/app", None, &image).await;
    let tags: Vec<_> = (0..10).map(|n| format!("v{n}")).collect();
    let tags: Vec<_> = tags.iter().map(String::as_str).collect();
    let project = registries.project("team", &entry("app", &image, &tags));
    let (one, other) =
        tokio::join!(promote(vec![project.clone()], Write), promote(vec![project], Write));
    for report in [one, other] {
        assert!(
            report["summary"]["failed"] == 0 && report["summary"]["refused"] == 0,
            "{report:#}"
        );
    }
    for registry in &registries.production {
        assert!(registry.holds("images/app", &image).await);
        assert_eq!(registry.tags("images/app").await.len(), 10);
    }
}

#[tokio::test]
async fn of_two_runs_that_want_a_tag_on_two_digests_one_wins_and_the_other_says_so() {
    let registries = TestRegistries::open().await;
    let (one, other) = (fixture::image(1, 1), fixture::image(2, 1));
    for image in [&one, &other] {
        registries.staging.load("staging/team/app", None, image).await;
    }
    let tags: Vec<_> = (0..20).map(|n| format!("v{n}")).collect();
    let tags: Vec<_> = tags.iter().map(String::as_str).collect();
    let project = |image| registries.project("team", &entry("app", image, &tags));
    let (first, second) =
        tokio::join!(promote(vec![project(&one)], Write), promote(vec![project(&other)], Write));
    let (mut won, mut lost) = (0, 0);
    for (report, image) in [(&first, &one), (&second, &other)] {
        for outcome in report["outcomes"].as_array().expect("a list") {
            let tag = outcome["tag"].as_str().expect("a tag");
            let at = outcome["destination"].as_str().expect("a destination");
            let registry =
                registries.production.iter().find(|it| at.starts_with(it.host().as_str()));
            let there = registry.expect("one of both").digest_of("images/app", tag).await;
            let holds = there == Some(image.digest());
            let says_so = outcome["outcome"] == "copied";
            assert_eq!(holds, says_so, "{outcome:#}");
            if says_so {
                won += 1;
            } else {
                lost += 1;
                let reason = outcome["reason"].as_str().expect("a reason");
                assert!(
                    reason.contains("lost the race") || reason.contains("tag move"),
                    "{reason}"
                );
            }
        }
    }
    assert_eq!((won, lost), (40, 40), "each tag of each destination is on one of the two");
}

#[tokio::test]
async fn a_tag_that_is_moved_later_in_the_run_is_seen_at_its_end() {
    let registries = TestRegistries::open().await;
    let (ours, theirs, slow) = (fixture::image(1, 1), fixture::image(2, 1), fixture::image(3, 1));
    registries.staging.load("staging/team/app", None, &ours).await;
    registries.staging.load("staging/team/slow", None, &slow).await;
    let layer = format!("/blobs/{}", slow.blobs[1].descriptor.digest);
    registries.staging.fail(Fault::on(Method::GET, &layer).drip(100, Duration::from_millis(100)));
    let registry = &registries.production[0];
    let looked = |it: &RecordedRequest| {
        it.method != Method::PUT && it.path_and_query.ends_with("/manifests/v1")
    };
    let other_client = async {
        // After the look before the write and the one after it.
        while registry.count(looked) < 2 || registry.count(put("v1")) == 0 {
            tokio::task::yield_now().await;
        }
        registry.load("images/app", "v1", &theirs).await;
    };
    let images = entry("app", &ours, &["v1"]) + &entry("slow", &slow, &["v2"]);
    let project = registries.project("team", &images);
    let (report, ()) = tokio::join!(promote(vec![project], Write), other_client);
    assert_eq!(outcomes_of(&report), ["copied", "copied", "copied", "failed"], "{report:#}");
    assert!(reason(&report, "failed").starts_with("lost the race"));
}

#[tokio::test]
async fn a_tag_that_is_readable_only_shortly_after_its_write_is_waited_for() {
    let image = fixture::image(1, 1);
    for (reads, ended) in [(2, "copied"), (usize::MAX, "failed")] {
        let registries = TestRegistries::open().await;
        registries.staging.load("staging/team/app", None, &image).await;
        let [late, other] = &registries.production;
        // One GET comes before the write. Each read after it is a HEAD and a GET.
        for (method, times) in [(Method::HEAD, reads), (Method::GET, reads.saturating_add(1))] {
            late.fail(Fault::on(method, "/manifests/v1").times(times).status(404));
        }
        let project = registries.project("team", &entry("app", &image, &["v1"]));
        let report = promote(vec![project], Write).await;
        assert_eq!(outcomes_of(&report), ["copied", ended], "{report:#}");
        for registry in [late, other] {
            assert_eq!(registry.count(put("v1")), 1);
        }
        if ended == "failed" {
            let reason_text = reason(&report, ended);
            assert!(
                reason_text.starts_with("the registry accepted the tag, but does not return it"),
                "{reason_text}"
            );
        }
    }
}
