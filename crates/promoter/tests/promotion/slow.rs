//! Destinations that are slow, fail during the run, or throttle: the other destinations do not wait for them.

use std::time::{Duration, Instant};

use http::Method;
use job::Confirm::Write;
use promotion_manifest::EdgeSet;
use registry_client::{Quota, RegistryClient};
use testkit::{Fault, RecordedRequest, TestLink, fixture};

use crate::harness::{
    TestRegistries, bare, entry, is_write, manifest, outcomes_of, promote, reason, run,
};

fn reads_blob(it: &RecordedRequest) -> bool {
    it.method == Method::GET && it.path_and_query.contains("/blobs/")
}

#[tokio::test]
async fn a_dripping_destination_holds_no_other_up_and_is_fed_from_one_that_is_done() {
    let registries = TestRegistries::open().await;
    let [fast, slow] = &registries.production;
    let link = TestLink::to(&slow.host()).await;
    let images: Vec<_> = (0..3).map(|n| fixture::image_with_layers(n, &[4 << 20])).collect();
    let mut list = String::new();
    for (n, image) in images.iter().enumerate() {
        registries.staging.load(&format!("staging/team/app{n}"), None, image).await;
        list += &entry(&format!("app{n}"), image, &["v1"]);
    }
    let mut prefix = slow.prefix("images");
    prefix.host = link.host();
    let to = [fast.prefix("images"), prefix];
    let project = manifest("team", &registries.staging.prefix("staging/team"), &to, &list);
    let edges = EdgeSet::new(vec![project]);
    // A client that is patient: the destination is slow, not broken.
    let (settings, stop) = (bare(Write), job::stop().1);
    link.slow_down(500_000);
    let began = Instant::now();
    let promotion = run(RegistryClient::builder().build(), &edges, &settings, &stop);
    let fast_is_done = async {
        for n in 0..images.len() {
            while fast.digest_of(&format!("images/app{n}"), "v1").await.is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        // What goes to the slow one takes 24 s at this pace; it is still at it.
        assert!(
            slow.tags("images/app0").await.is_empty() && slow.tags("images/app2").await.is_empty()
        );
        link.slow_down(0);
        began.elapsed()
    };
    let (report, fast_took) = tokio::join!(promotion, fast_is_done);
    assert!(fast_took < Duration::from_secs(15), "{fast_took:?}");
    assert_eq!(outcomes_of(&report), ["copied"; 6], "{report:#}");
    for (n, image) in images.iter().enumerate() {
        assert!(slow.holds(&format!("images/app{n}"), image).await);
    }
    let blobs: usize = images.iter().map(|image| image.blobs.len()).sum();
    assert_eq!(registries.staging.count(reads_blob), blobs, "the source is read once all the same");
    assert!(fast.count(reads_blob) > 0, "the slow one was fed from the fast one");
    assert!(!report.to_string().contains("backfilled"), "the source has it: {report:#}");
}

#[tokio::test]
async fn a_destination_that_goes_down_in_the_middle_fails_alone_and_the_next_run_repairs_it() {
    let registries = TestRegistries::open().await;
    let [up, down] = &registries.production;
    let images: Vec<_> = (0..12).map(|seed| fixture::index(seed, 2, 2)).collect();
    let mut list = String::new();
    for (n, image) in images.iter().enumerate() {
        registries.staging.load(&format!("staging/team/app{n}"), None, image).await;
        list += &entry(&format!("app{n}"), image, &["v1"]);
    }
    let project = registries.project("team", &list);
    let fall = async {
        while down.count(is_write) < 20 {
            tokio::task::yield_now().await;
        }
        down.fail(Fault::everywhere("").reset());
    };
    let (report, ()) = tokio::join!(promote(vec![project.clone()], Write), fall);
    let outcomes_at = |report: &serde_json::Value, host: &testkit::TestRegistry| {
        let host = host.host().to_string();
        let outcomes = report["outcomes"].as_array().expect("a list").iter();
        let at = outcomes.filter(|it| it["destination"].as_str().expect("it").starts_with(&host));
        at.map(|it| it["outcome"].as_str().expect("an outcome").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(outcomes_at(&report, up), ["copied"; 12]);
    let failed = outcomes_at(&report, down).iter().filter(|it| *it == "failed").count();
    assert!(failed > 0, "{report:#}");
    for (n, image) in images.iter().enumerate() {
        assert!(up.holds(&format!("images/app{n}"), image).await);
    }
    down.clear_faults();
    let report = promote(vec![project], Write).await;
    assert!(report["summary"]["failed"] == 0 && report["summary"]["edges"] == 24, "{report:#}");
    for (n, image) in images.iter().enumerate() {
        assert!(down.holds(&format!("images/app{n}"), image).await);
        assert_eq!(down.tags(&format!("images/app{n}")).await, ["v1"]);
    }
}

#[tokio::test]
async fn a_storm_of_429_is_waited_out() {
    let registries = TestRegistries::open().await;
    let images: Vec<_> = (0..4).map(|seed| fixture::image(seed, 2)).collect();
    let mut list = String::new();
    for (n, image) in images.iter().enumerate() {
        registries.staging.load(&format!("staging/team/app{n}"), None, image).await;
        list += &entry(&format!("app{n}"), image, &["v1"]);
    }
    // With rates that they come back to, or else they would feel their way from the least.
    let rate = Some(400.0);
    let quota = Quota { reads_per_second: rate, writes_per_second: rate, ..Quota::default() };
    let mut client = RegistryClient::builder();
    for registry in registries.production.iter().chain([&registries.staging]) {
        let storm = Fault::everywhere("/v2/").status(429).header("retry-after", "1");
        registry.fail(storm.times(3));
        client = client.quota(registry.host(), quota.clone());
    }
    let edges = EdgeSet::new(vec![registries.project("team", &list)]);
    let (settings, stop) = (bare(Write), job::stop().1);
    let report = run(client.build(), &edges, &settings, &stop).await;
    assert_eq!(outcomes_of(&report), ["copied"; 8], "{report:#}");
    let throttled: u64 = report["hosts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|host| host["throttled"].as_u64().expect("a number"))
        .sum();
    assert_eq!(throttled, 9, "each was counted");
}

#[tokio::test]
async fn a_project_without_a_chance_leaves_the_others_alone() {
    let registries = TestRegistries::open().await;
    let (lost, fine) = (fixture::image(1, 1), fixture::image(2, 1));
    registries.staging.load("staging/good/app", None, &fine).await;
    let bad = promotion_manifest::parse_thin(
        "bad",
        ("manifests/bad/promoter-manifest.yaml", "registries:\n- name: h.example/a\n"),
        ("images/bad/images.yaml", "- name: app\n"),
    );
    assert!(bad.manifest.is_none() && !bad.problems.is_empty());
    let projects = vec![
        registries.project("lost", &entry("gone", &lost, &["v1"])),
        registries.project("good", &entry("app", &fine, &["v1"])),
    ];
    let report = promote(projects, Write).await;
    assert_eq!(outcomes_of(&report), ["copied", "copied", "lost", "lost"]);
    assert!(reason(&report, "lost").contains("neither in"));
    // Each registry got a HEAD for the digest before it was reported as lost.
    let is_late = |it: &RecordedRequest| {
        it.method == Method::HEAD && it.path_and_query.ends_with(&lost.digest().to_string())
    };
    for registry in registries.production.iter().chain([&registries.staging]) {
        assert!(registry.count(is_late) > 0);
    }
}
