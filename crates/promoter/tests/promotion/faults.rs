//! Failures, and the edges that they must not affect: `docs/internals/promotion.md`, "What goes wrong, and what follows".

use std::time::Duration;

use http::Method;
use job::Confirm::Write;
use oci::RegistryPrefix;
use promotion_manifest::EdgeSet;
use registry_client::RegistryClient;
use testkit::{Fault, RecordedRequest, TestHost, fixture};

use crate::harness::{
    TestRegistries, bare, client, entry, impatient, is_write, manifest, outcomes_of, promote,
    reason, run,
};

#[tokio::test]
async fn a_dead_destination_fails_its_own_edges_and_names_the_cause() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.staging.load("staging/team/app", None, &image).await;
    let dead = RegistryPrefix { host: TestHost::unreachable(), path: None };
    let to = [dead.clone(), registries.production[0].prefix("images")];
    let from = registries.staging.prefix("staging/team");
    let project = manifest("team", &from, &to, &entry("app", &image, &["v1", "v2"]));
    let report = promote(vec![project], Write).await;
    assert_eq!(outcomes_of(&report), ["copied", "copied", "failed", "failed"]);
    let reason = reason(&report, "failed");
    assert!(reason.contains(&format!("GET http://{}/v2/", dead.host)), "{reason}");
}

#[tokio::test]
async fn a_silent_host_gets_one_request_for_a_thousand_edges() {
    let registries = TestRegistries::open().await;
    registries.staging.fail(Fault::everywhere("").hang());
    let images: Vec<_> = (0..500).map(|seed| fixture::image(seed, 0)).collect();
    let entries = images.iter().enumerate();
    let list: String =
        entries.map(|(n, image)| entry(&format!("app{n}"), image, &["v1"])).collect();
    let edges = EdgeSet::new(vec![registries.project("team", &list)]);
    let report = run(impatient(), &edges, &bare(Write), &job::stop().1).await;
    assert_eq!(outcomes_of(&report), ["failed"; 1000]);
    assert!(reason(&report, "failed").contains("did not respond"));
    assert_eq!(registries.staging.requests().len(), 1);
}

#[tokio::test]
async fn a_destination_that_falls_silent_after_the_plan_is_given_up_for_the_run() {
    let registries = TestRegistries::open().await;
    let images: Vec<_> = (0..64).map(|seed| fixture::image(seed, 1)).collect();
    let mut list = String::new();
    for (n, image) in images.iter().enumerate() {
        registries.staging.load(&format!("staging/team/app{n}"), None, image).await;
        list += &entry(&format!("app{n}"), image, &["v1"]);
    }
    let silent = Fault::on(Method::POST, "").hang();
    registries.production[0].fail(silent);
    let edges = EdgeSet::new(vec![registries.project("team", &list)]);
    let report = run(impatient(), &edges, &bare(Write), &job::stop().1).await;
    let expected = [["copied"; 64], ["failed"; 64]].concat();
    assert_eq!(outcomes_of(&report), expected);
    assert!(reason(&report, "failed").contains("did not respond"));
    // Only the digests that were under way when it fell silent had begun to upload.
    let posts = registries.production[0].count(|it| it.method == Method::POST);
    assert!(posts <= 8 * 4, "{posts} requests");
}

#[tokio::test]
async fn a_repository_that_cannot_be_read_fails_alone() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    for name in ["good", "bad"] {
        registries.staging.load(&format!("staging/team/{name}"), None, &image).await;
    }
    registries.production[0].fail(Fault::on(Method::GET, "/images/bad/tags/list").status(500));
    let images = entry("good", &image, &["v1"]) + &entry("bad", &image, &["v1"]);
    let report = promote(vec![registries.project("team", &images)], Write).await;
    assert_eq!(outcomes_of(&report), ["copied", "copied", "copied", "failed"]);
    assert!(reason(&report, "failed").contains("/v2/images/bad/tags/list"));
    assert_eq!(registries.production[0].tags("images/bad").await, [""; 0]);
}

#[tokio::test]
async fn a_project_whose_source_is_dead_does_not_stop_another() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.staging.load("staging/alive/app", None, &image).await;
    let dead = RegistryPrefix { host: TestHost::unreachable(), path: None };
    let to = [registries.production[0].prefix("images/dead")];
    let projects = vec![
        manifest("dead", &dead, &to, &entry("app", &image, &["v1"])),
        registries.project("alive", &entry("app", &image, &["v1"])),
    ];
    let report = promote(projects, Write).await;
    assert_eq!(outcomes_of(&report), ["copied", "copied", "failed"]);
}

#[tokio::test]
async fn bytes_that_do_not_match_their_digest_are_never_written() {
    let registries = TestRegistries::open().await;
    let (bad, good) = (fixture::image(1, 2), fixture::image(2, 1));
    registries.staging.load("staging/team/app", None, &bad).await;
    registries.staging.load("staging/team/app", None, &good).await;
    let layer = bad.blobs[1].descriptor.digest;
    registries.staging.fail(Fault::on(Method::GET, &format!("/blobs/{layer}")).corrupt());
    let images = entry("app", &bad, &["v1"]) + &entry("app", &good, &["v2"]);
    let report = promote(vec![registries.project("team", &images)], Write).await;
    assert_eq!(outcomes_of(&report), ["copied", "copied", "failed", "failed"]);
    assert!(reason(&report, "failed").contains(&layer.to_string()));
    for registry in &registries.production {
        assert_eq!(registry.tags("images/app").await, ["v2"]);
        assert_eq!(registry.digest_of("images/app", &bad.digest().to_string()).await, None);
        let path = format!("/v2/images/app/blobs/{layer}");
        let found = testkit::get(&registry.host(), &path).await.expect("a response");
        assert_eq!(found.status(), 404);
    }
    // The next run, with an honest source, does what was missing.
    registries.staging.clear_faults();
    let report = promote(vec![registries.project("team", &images)], Write).await;
    assert_eq!(outcomes_of(&report), ["copied", "copied", "present", "present"]);
}

#[tokio::test]
async fn a_destination_that_refuses_a_blob_gets_no_manifest_and_no_tag() {
    let registries = TestRegistries::open().await;
    let image = fixture::index(1, 2, 2);
    registries.staging.load("staging/team/app", None, &image).await;
    registries.production[0].fail(Fault::on(Method::PUT, "/blobs/uploads/").status(507).times(1));
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    let report = promote(vec![project.clone()], Write).await;
    assert_eq!(outcomes_of(&report), ["copied", "failed"]);
    assert!(reason(&report, "failed").contains("507"), "{report:#}");
    assert_eq!(registries.production[0].tags("images/app").await, [""; 0]);
    assert_eq!(
        registries.production[0].digest_of("images/app", &image.digest().to_string()).await,
        None
    );
    assert!(registries.production[1].holds("images/app", &image).await);
    assert_eq!(outcomes_of(&promote(vec![project], Write).await), ["copied", "present"]);
}

#[tokio::test]
async fn a_tag_that_cannot_be_written_fails_and_the_next_run_writes_it() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.staging.load("staging/team/app", None, &image).await;
    registries.production[0].fail(Fault::on(Method::PUT, "/manifests/v1").status(503).times(1));
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    assert_eq!(outcomes_of(&promote(vec![project.clone()], Write).await), ["copied", "failed"]);
    registries.clear_requests();
    assert_eq!(outcomes_of(&promote(vec![project], Write).await), ["present", "tagged"]);
    assert_eq!(registries.writes(), 1, "only what was missing is done");
}

#[tokio::test]
async fn an_interrupted_run_reports_what_it_did_not_reach_and_the_next_one_finishes() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 2);
    registries.staging.load("staging/team/app", None, &image).await;
    let layer = format!("/blobs/{}", image.blobs[2].descriptor.digest);
    registries.staging.fail(Fault::on(Method::GET, &layer).hang());
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    let edges = EdgeSet::new(vec![project.clone()]);
    let (stopper, stop) = job::stop();
    let settings = bare(Write);
    let run = run(client(), &edges, &settings, &stop);
    let interrupt = async {
        while registries.staging.count(|it| it.path_and_query.contains(&layer)) == 0 {
            tokio::task::yield_now().await;
        }
        stopper.stop();
    };
    let (report, ()) = tokio::join!(run, interrupt);
    assert_eq!(outcomes_of(&report), ["failed"; 2]);
    assert!(reason(&report, "failed").contains("interrupted"));
    for registry in &registries.production {
        assert_eq!(registry.tags("images/app").await, [""; 0]);
    }
    registries.staging.clear_faults();
    assert_eq!(outcomes_of(&promote(vec![project], Write).await), ["copied"; 2]);
}

#[tokio::test]
async fn an_interrupt_does_not_take_back_what_was_done() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.staging.load("staging/team/app", None, &image).await;
    registries.production[1].fail(Fault::on(Method::PUT, "/manifests/v1").hang());
    let edges = EdgeSet::new(vec![registries.project("team", &entry("app", &image, &["v1"]))]);
    let (stopper, stop) = job::stop();
    let settings = bare(Write);
    let run = run(client(), &edges, &settings, &stop);
    let tagged = |registry: usize| {
        let put = |it: &RecordedRequest| {
            it.method == Method::PUT && it.path_and_query.ends_with("/manifests/v1")
        };
        registries.production[registry].count(put) == 1
    };
    let interrupt = async {
        while !(tagged(1) && registries.production[0].tags("images/app").await == ["v1"]) {
            tokio::task::yield_now().await;
        }
        // The response to the write is on its way to the run.
        tokio::time::sleep(Duration::from_millis(100)).await;
        stopper.stop();
    };
    let (report, ()) = tokio::join!(run, interrupt);
    assert_eq!(outcomes_of(&report), ["copied", "failed"]);
}

#[tokio::test]
async fn a_source_that_lost_a_layer_is_followed_by_a_destination_that_has_it() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 2);
    registries.staging.load("staging/team/app", None, &image).await;
    registries.production[0].load("images/app", "v1", &image).await;
    let layer = format!("/staging/team/app/blobs/{}", image.blobs[1].descriptor.digest);
    registries.staging.fail(Fault::everywhere(&layer).status(404));
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    let report = promote(vec![project], Write).await;
    assert_eq!(outcomes_of(&report), ["copied", "present"], "{report:#}");
    assert!(reason(&report, "copied").starts_with("backfilled from"));
    assert!(registries.production[1].holds("images/app", &image).await);
}

#[tokio::test]
async fn an_image_that_no_origin_can_send_fails_with_the_reason_of_each_origin() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.staging.load("staging/team/app", None, &image).await;
    registries.production[0].load("images/app", "v1", &image).await;
    let by_digest = format!("/manifests/{}", image.digest());
    registries.staging.fail(Fault::on(Method::GET, &by_digest).status(500));
    registries.production[0].fail(Fault::on(Method::GET, &by_digest).status(502));
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    let report = promote(vec![project], Write).await;
    assert_eq!(outcomes_of(&report), ["failed", "present"], "{report:#}");
    let text = reason(&report, "failed");
    for (registry, status) in [(&registries.staging, "500"), (&registries.production[0], "502")] {
        assert!(text.contains(&registry.host().to_string()) && text.contains(status), "{text}");
    }
}

#[tokio::test]
async fn what_the_source_cannot_give_is_backfilled_though_the_source_cannot_be_read() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.production[0].load("images/app", "v1", &image).await;
    registries.staging.fail(Fault::everywhere("/manifests/").status(500));
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    assert_eq!(outcomes_of(&promote(vec![project], Write).await), ["copied", "present"]);
}

#[tokio::test]
async fn a_project_that_shares_an_edge_is_backfilled_as_if_it_were_alone() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.production[0].load("images/app", "v1", &image).await;
    let (from, images) = (registries.staging.prefix("staging"), entry("app", &image, &["v1"]));
    let to = registries.production.each_ref().map(|registry| registry.prefix("images"));
    let p = manifest("p", &from, &to[..1], &images);
    let q = manifest("q", &from, &to, &images);
    assert_eq!(outcomes_of(&promote(vec![p, q], Write).await), ["copied", "present"]);
}

#[tokio::test]
async fn a_run_that_is_killed_anywhere_is_finished_by_the_next() {
    let image = fixture::index(1, 2, 2);
    for reached in 1.. {
        let registries = TestRegistries::open().await;
        registries.staging.load("staging/team/app", None, &image).await;
        let project = registries.project("team", &entry("app", &image, &["v1"]));
        let killed = {
            let run = promote(vec![project.clone()], Write);
            let kill = async {
                while registries.production[0].count(is_write) < reached {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                () = kill => true,
                _ = run => false,
            }
        };
        // Whatever tag is there reaches everything.
        for registry in &registries.production {
            if !registry.tags("images/app").await.is_empty() {
                assert!(registry.holds("images/app", &image).await);
            }
        }
        let report = promote(vec![project], Write).await;
        assert!(report["summary"]["failed"] == 0 && report["summary"]["edges"] == 2, "{report:#}");
        for registry in &registries.production {
            assert!(registry.holds("images/app", &image).await);
            assert_eq!(registry.digest_of("images/app", "v1").await, Some(image.digest()));
        }
        if !killed {
            assert!(reached > 10, "it was killed at {reached} points only");
            return;
        }
    }
}

#[tokio::test]
async fn an_interrupted_run_names_what_it_waited_for() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.staging.load("staging/team/app", None, &image).await;
    let wait = Fault::on(Method::POST, "").status(429).header("retry-after", "60");
    registries.production[0].fail(wait);
    let edges = EdgeSet::new(vec![registries.project("team", &entry("app", &image, &["v1"]))]);
    let (stopper, stop) = job::stop();
    let settings = bare(Write);
    let run = run(RegistryClient::builder().build(), &edges, &settings, &stop);
    let deadline = async {
        while registries.production[0].count(|it| it.method == Method::POST) == 0
            || registries.production[1].count(|it| it.method == Method::POST) == 0
        {
            tokio::task::yield_now().await;
        }
        // The response is on its way to the run.
        tokio::time::sleep(Duration::from_millis(200)).await;
        stopper.stop_at_deadline(Duration::from_secs(30));
    };
    let (report, ()) = tokio::join!(run, deadline);
    let host = registries.production[0].host();
    let outcomes = report["outcomes"].as_array().expect("a list");
    let outcome = outcomes.iter().find(|it| it["destination"] == format!("{host}/images"));
    let reason_text = outcome.expect("its outcome")["reason"].as_str().expect("a reason");
    let begin =
        format!("stopped by --deadline after 30 s; last failure at {host}: POST http://{host}/");
    assert!(
        reason_text.starts_with(&begin) && reason_text.contains("429 Too Many Requests"),
        "{reason_text}"
    );
    assert_eq!(
        (&report["confirmed"], &report["interrupted"], &report["deadline"]),
        (&true.into(), &true.into(), &30.0.into())
    );
}
