//! A HEAD that fails is not proof of absence: nothing is written, or called lost, because of one.

use http::Method;
use job::Confirm::{DryRun, Write};
use promoter::{PromotionSettings, PublicName, VerifyDepth};
use testkit::{Fault, TestRegistry, fixture};

use crate::harness::{
    TestRegistries, bare, client, entry, outcomes_of, promote, promote_with, reason, run,
};

/// A registry that knows no conditions, and whose HEAD says 404 of `v1`.
fn lies(registry: &TestRegistry) {
    registry.fail(Fault::on(Method::PUT, "/manifests/").ignore_conditions());
    registry.fail(Fault::on(Method::HEAD, "/manifests/v1").status(404));
}

fn tag_writes(registry: &TestRegistry) -> usize {
    registry.count(|it| it.method == Method::PUT && it.path_and_query.ends_with("/manifests/v1"))
}

#[tokio::test]
async fn a_tag_that_a_failed_head_hides_is_never_overwritten() {
    let registries = TestRegistries::open().await;
    let (ours, theirs) = (fixture::image(1, 1), fixture::image(2, 1));
    registries.staging.load("staging/team/app", None, &ours).await;
    let project = registries.project("team", &entry("app", &ours, &["v1"]));
    for registry in &registries.production {
        registry.load("images/app", "v1", &theirs).await;
        lies(registry);
    }
    // One lists the tag; the other's listing is behind, too.
    registries.production[1].fail(Fault::on(Method::GET, "/tags/list").truncate_listing(0));
    assert_eq!(outcomes_of(&promote(vec![project.clone()], DryRun).await), ["refused", "to_copy"]);
    let report = promote(vec![project], Write).await;
    assert_eq!(outcomes_of(&report), ["refused", "refused"], "{report:#}");
    assert!(reason(&report, "refused").starts_with("tag move"), "{report:#}");
    for registry in &registries.production {
        assert_eq!(registry.digest_of("images/app", "v1").await, Some(theirs.digest()));
        assert_eq!(tag_writes(registry), 0);
    }
}

#[tokio::test]
async fn a_listed_tag_that_nothing_can_read_is_failed_and_never_written() {
    let (ours, theirs) = (fixture::image(1, 1), fixture::image(2, 1));
    for status in [404, 500, 501] {
        let registries = TestRegistries::open().await;
        registries.staging.load("staging/team/app", None, &ours).await;
        let registry = &registries.production[0];
        registry.load("images/app", "v1", &theirs).await;
        registry.fail(Fault::on(Method::HEAD, "/manifests/v1").status(404));
        registry.fail(Fault::on(Method::GET, "/manifests/v1").status(status));
        let project = registries.project("team", &entry("app", &ours, &["v1", "v2"]));
        let report = promote(vec![project], Write).await;
        assert_eq!(outcomes_of(&report), ["copied", "copied", "copied", "failed"], "{report:#}");
        assert!(reason(&report, "failed").contains("/manifests/v1: "), "{report:#}");
        assert_eq!(tag_writes(registry), 0, "{status}");
        assert_eq!(registry.tags("images/app").await, ["v1", "v2"], "the other tag is written");
    }
}

#[tokio::test]
async fn a_source_whose_head_fails_is_copied_from() {
    let image = fixture::index(1, 2, 2);
    for status in [404, 403, 405, 500] {
        let registries = TestRegistries::open().await;
        registries.staging.load("staging/team/app", None, &image).await;
        registries.staging.fail(Fault::on(Method::HEAD, "").status(status));
        // Its list says nothing, so that all rests on HEAD and GET.
        registries.staging.fail(Fault::on(Method::GET, "/tags/list").status(404));
        let project = registries.project("team", &entry("app", &image, &["v1"]));
        let report = promote(vec![project], Write).await;
        assert_eq!(outcomes_of(&report), ["copied", "copied"], "{status}: {report:#}");
        assert!(registries.production[0].holds("images/app", &image).await);
    }
}

#[tokio::test]
async fn the_public_name_may_refuse_head_for_what_it_serves() {
    let image = fixture::index(1, 2, 2);
    for status in [403, 404, 405, 501] {
        let registries = TestRegistries::open().await;
        registries.staging.load("staging/team/app", None, &image).await;
        let public = TestRegistry::start().await;
        public.load("app", "v1", &image).await;
        public.fail(Fault::on(Method::HEAD, "").status(status));
        let name = PublicName { client: client(), host: public.host() };
        let settings = PromotionSettings { verify_through: Some(name), ..bare(Write) };
        let project = registries.project("team", &entry("app", &image, &["v1"]));
        let report = promote_with(vec![project], &settings).await;
        assert_eq!(report["public_name_failures"], serde_json::json!([]), "{status}: {report:#}");
        assert!(public.count(|it| it.path_and_query.contains("/blobs/")) > 0);
    }
}

#[tokio::test]
async fn a_signature_that_a_failed_head_hides_goes_along() {
    let (image, signature) = (fixture::image(1, 1), fixture::image(9, 1));
    for status in [404, 403, 405, 500] {
        let registries = TestRegistries::open().await;
        let tag = format!("sha256-{}.sig", image.digest().hex());
        registries.staging.load("staging/team/app", "v1", &image).await;
        registries.staging.load("staging/team/app", tag.as_str(), &signature).await;
        registries.staging.fail(Fault::on(Method::HEAD, ".sig").status(status));
        let project = registries.project("team", &entry("app", &image, &["v1"]));
        let report = promote_with(vec![project], &PromotionSettings::new(Write)).await;
        assert_eq!(outcomes_of(&report), ["copied", "copied"], "{status}: {report:#}");
        let there = registries.production[0].digest_of("images/app", &tag).await;
        assert_eq!(there, Some(signature.digest()), "{status}");
    }
}

#[tokio::test]
async fn a_tag_write_whose_connection_is_reset_does_not_fail_the_edge() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.staging.load("staging/team/app", None, &image).await;
    let put = || Fault::on(Method::PUT, "/manifests/v1").times(1);
    registries.production[0].fail(put().reset());
    registries.production[1].fail(put().lose_response());
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    let retries = registry_client::Retries::default().base(std::time::Duration::from_millis(1));
    let client = registry_client::RegistryClient::builder().retries(retries).build();
    let edges = promotion_manifest::EdgeSet::new(vec![project]);
    let report = run(client, &edges, &bare(Write), &job::stop().1).await;
    assert_eq!(outcomes_of(&report), ["copied", "copied"], "{report:#}");
    for (registry, writes) in registries.production.iter().zip([2, 1]) {
        assert_eq!(registry.digest_of("images/app", "v1").await, Some(image.digest()));
        assert_eq!(tag_writes(registry), writes);
    }
}

#[tokio::test]
async fn what_only_head_does_not_find_is_not_called_missing() {
    let (image, signature) = (fixture::index(1, 2, 2), fixture::signatures("p", &["staging"]));
    let sig = format!("sha256-{}.sig", image.digest().hex());
    let registries = TestRegistries::open().await;
    for registry in &registries.production {
        registry.load("images/app", "v1", &image).await;
        registry.fail(Fault::on(Method::HEAD, "").status(404));
    }
    // No other registry could repair what is missing.
    let deep = PromotionSettings { verify: VerifyDepth::Deep, ..bare(Write) };
    let project = || vec![registries.project("team", &entry("app", &image, &["v1"]))];
    let report = promote_with(project(), &deep).await;
    assert_eq!(outcomes_of(&report), ["present"; 2], "{report:#}");
    // A plan looks for the faults of attachments at their source.
    registries.staging.load("staging/team/app", "v1", &image).await;
    registries.staging.load("staging/team/app", &*sig, &signature).await;
    registries.staging.fail(Fault::on(Method::HEAD, "").status(404));
    let report = promote_with(project(), &PromotionSettings::new(DryRun)).await;
    assert_eq!(outcomes_of(&report), ["to_attach"; 2], "{report:#}");
}

#[tokio::test]
async fn a_tag_whose_redirect_leads_to_a_404_is_never_written() {
    let (ours, theirs) = (fixture::image(1, 1), fixture::image(2, 1));
    for status in [301, 307] {
        let registries = TestRegistries::open().await;
        registries.staging.load("staging/team/app", None, &ours).await;
        let registry = &registries.production[0];
        registry.load("images/app", "v1", &theirs).await;
        registry.fail(Fault::on(Method::PUT, "/manifests/").ignore_conditions());
        registry.fail(Fault::on(Method::GET, "/tags/list").status(404));
        for method in [Method::HEAD, Method::GET] {
            let redirect = Fault::on(method, "/manifests/v1").status(status);
            registry.fail(redirect.header("location", "/signed/x"));
        }
        let project = registries.project("team", &entry("app", &ours, &["v1"]));
        let report = promote(vec![project], Write).await;
        assert_eq!(outcomes_of(&report), ["copied", "failed"], "{status}: {report:#}");
        let reason_text = reason(&report, "failed");
        assert!(
            reason_text.contains("/signed/x, which responded with 404 Not Found"),
            "{reason_text}"
        );
        assert_eq!(tag_writes(registry), 0, "{status}");
    }
}

#[tokio::test]
async fn what_is_at_a_registry_that_has_no_list_of_tags_is_present() {
    for status in [404, 405, 501] {
        let registries = TestRegistries::open().await;
        let image = fixture::image(1, 1);
        let signature = fixture::signatures("p", &["staging"]);
        let sig = format!("sha256-{}.sig", image.digest().hex());
        registries.staging.load("staging/team/app", None, &image).await;
        registries.staging.load("staging/team/app", &*sig, &signature).await;
        for registry in &registries.production {
            let unsupported = r#"{"errors":[{"code":"UNSUPPORTED","message":"no"}]}"#;
            registry.fail(Fault::on(Method::GET, "/tags/list").status(status).body(unsupported));
        }
        let project = || vec![registries.project("team", &entry("app", &image, &["v1", "v2"]))];
        let mut seen = Vec::new();
        for confirm in [DryRun, Write, DryRun, Write] {
            let report = promote_with(project(), &PromotionSettings::new(confirm)).await;
            assert!(
                outcomes_of(&report).iter().all(|it| *it == outcomes_of(&report)[0]),
                "{report:#}"
            );
            seen.push(outcomes_of(&report)[0].to_owned());
        }
        assert_eq!(seen, ["to_copy", "copied", "present", "present"], "{status}");
        for registry in &registries.production {
            assert_eq!(tag_writes(registry), 1, "{status}");
            assert!(registry.digest_of("images/app", &sig).await.is_some(), "{status}");
        }
    }
}
