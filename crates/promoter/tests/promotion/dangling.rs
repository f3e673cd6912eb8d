//! Digest tags that a registry lists and that are on nothing, and referrers APIs that respond with something else.

use http::Method;
use job::Confirm::{DryRun, Write};
use promoter::{BrokenAttachments, PromotionSettings};
use testkit::{Fault, TestRegistry, fixture, fixture::TestImage};

use crate::harness::{TestRegistries, entry, outcomes_of, promote_with, reason};

fn tag(image: &TestImage, suffix: &str) -> String {
    format!("sha256-{}{suffix}", image.digest().hex())
}

/// An image at staging with a signature and a referrer, and the digest tag of this suffix on nothing.
async fn scene(suffix: &str) -> (TestRegistries, TestImage, TestImage) {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    let sbom = fixture::referrer(3, &image.descriptor, "application/spdx+json");
    let staging = &registries.staging;
    staging.load("staging/team/app", "v1", &image).await;
    staging.load("staging/team/app", None, &sbom).await;
    for suffix in [".sig", ".att", ".sbom"] {
        let signature = fixture::signatures(suffix, &["staging"]);
        staging.load("staging/team/app", &*tag(&image, suffix), &signature).await;
    }
    let dangling = tag(&image, suffix);
    if suffix.is_empty() {
        staging.load("staging/team/app", &*dangling, &fixture::image(9, 1)).await;
    }
    lose(staging, &dangling);
    (registries, image, sbom)
}

/// The tag stays listed, and its manifest is gone.
fn lose(registry: &TestRegistry, tag: &str) {
    // The suffixes of the others follow this text in their paths.
    let path = format!("/manifests/{tag}");
    registry.fail(Fault::everywhere(&path).ending().status(404));
}

#[tokio::test]
async fn a_digest_tag_that_is_on_nothing_is_a_broken_attachment() {
    for suffix in [".sig", ".att", ".sbom", ""] {
        let (registries, image, sbom) = scene(suffix).await;
        let project = || vec![registries.project("team", &entry("app", &image, &["v1"]))];
        for (settings, kind) in [
            (PromotionSettings::new(DryRun), "to_copy"),
            (PromotionSettings::new(Write), "copied"),
            (PromotionSettings::new(Write), "present"),
        ] {
            let report = promote_with(project(), &settings).await;
            let broken = "attachment-broken";
            assert_eq!(outcomes_of(&report), [broken, broken, kind, kind], "{suffix}: {report:#}");
            let reason_text = reason(&report, broken);
            let start = format!("digest tag {}: GET ", tag(&image, suffix));
            assert!(
                reason_text.starts_with(&start) && reason_text.contains("404"),
                "{reason_text}"
            );
            let to_do = "run again, and if it still fails, push it again or delete the tag";
            assert!(reason_text.contains(to_do), "{reason_text}");
        }
        for registry in &registries.production {
            assert!(
                registry.holds("images/app", &image).await
                    && registry.holds("images/app", &sbom).await
            );
            let mut tags = [".att", ".sbom", ".sig"].map(|suffix| tag(&image, suffix)).to_vec();
            tags.retain(|it| *it != tag(&image, suffix));
            tags.push("v1".to_owned());
            assert_eq!(registry.tags("images/app").await, tags);
        }
        let required = PromotionSettings {
            broken_attachments: BrokenAttachments::Fatal,
            ..PromotionSettings::new(Write)
        };
        let report = promote_with(project(), &required).await;
        assert_eq!(outcomes_of(&report), ["failed"; 2], "{suffix}: {report:#}");
        assert!(reason(&report, "failed").contains(&tag(&image, suffix)));
    }
}

#[tokio::test]
async fn a_digest_tag_that_cannot_be_read_for_the_moment_keeps_the_tag_of_its_image_away() {
    for suffix in [".sig", ""] {
        let (registries, image, _) = scene(suffix).await;
        registries.staging.clear_faults();
        let path = format!("/manifests/{}", tag(&image, suffix));
        registries.staging.fail(Fault::everywhere(&path).ending().status(503));
        let project = registries.project("team", &entry("app", &image, &["v1"]));
        let report = promote_with(vec![project], &PromotionSettings::new(Write)).await;
        assert_eq!(outcomes_of(&report), ["failed"; 2], "{suffix}: {report:#}");
        assert_eq!(registries.production[0].digest_of("images/app", "v1").await, None);
    }
}

#[tokio::test]
async fn a_digest_tag_that_one_request_does_not_find_is_not_broken() {
    let (registries, image, _) = scene(".sig").await;
    registries.staging.clear_faults();
    let path = format!("/manifests/{}", tag(&image, ".sig"));
    // A HEAD and the GET that confirms it.
    registries.staging.fail(Fault::everywhere(&path).times(2).status(404));
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    let report = promote_with(vec![project], &PromotionSettings::new(Write)).await;
    assert_eq!(outcomes_of(&report), ["copied"; 2], "{report:#}");
}

#[tokio::test]
async fn a_digest_tag_of_a_destination_that_is_listed_and_not_found_is_not_written() {
    let (registries, image, _) = scene(".sig").await;
    registries.staging.clear_faults();
    let production = &registries.production[0];
    let sig = tag(&image, ".sig");
    let own = fixture::signatures("p", &["production"]);
    production.load("images/app", &*sig, &own).await;
    lose(production, &sig);
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    let report = promote_with(vec![project], &PromotionSettings::new(Write)).await;
    assert_eq!(outcomes_of(&report), ["copied", "failed"], "{report:#}");
    assert!(reason(&report, "failed").contains(&sig));
    assert_eq!(production.digest_of("images/app", &sig).await, Some(own.digest()));
}

#[tokio::test]
async fn a_referrers_api_that_responds_with_something_else_counts_as_none() {
    for body in ["{}", "", "[]", r#"{"errors":[]}"#] {
        let (registries, image, _) = scene(".sig").await;
        registries.staging.clear_faults();
        let other = Fault::on(Method::GET, "/referrers/").status(200);
        registries.staging.fail(other.header("content-type", "application/json").body(body));
        let project = registries.project("team", &entry("app", &image, &["v1"]));
        let report = promote_with(vec![project], &PromotionSettings::new(Write)).await;
        assert_eq!(outcomes_of(&report), ["copied"; 2], "{body}: {report:#}");
        let sig = registries.production[0].digest_of("images/app", &tag(&image, ".sig")).await;
        assert!(sig.is_some(), "{body}");
    }
    // What may be a damaged list of referrers is not passed over.
    for body in [r#"{"schemaVersion":2,"manifests":[{}]}"#, r#"{"schemaVersion":2,"mani"#] {
        let (registries, image, _) = scene(".sig").await;
        registries.staging.clear_faults();
        let other = Fault::on(Method::GET, "/referrers/").status(200);
        registries.staging.fail(
            other.header("content-type", "application/vnd.oci.image.index.v1+json").body(body),
        );
        let project = registries.project("team", &entry("app", &image, &["v1"]));
        let report = promote_with(vec![project], &PromotionSettings::new(Write)).await;
        assert_eq!(outcomes_of(&report), ["failed"; 2], "{body}: {report:#}");
        assert!(reason(&report, "failed").contains("not an index of referrers"));
    }
}

#[tokio::test]
async fn a_listed_referrer_that_does_not_refer_to_its_image_is_a_broken_attachment() {
    let image = fixture::image(1, 1);
    let sound = fixture::referrer(2, &image.descriptor, "a/b");
    let other = fixture::image(3, 1);
    let of_other = fixture::referrer(4, &other.descriptor, "a/b");
    let refers = format!("it refers to {}, not to this image", other.digest());
    for (wrong, why) in [(&other, "it has no subject"), (&of_other, &*refers)] {
        for broken in [BrokenAttachments::Reported, BrokenAttachments::Fatal] {
            let registries = TestRegistries::open().await;
            for manifest in [&image, wrong] {
                registries.staging.load("staging/team/app", None, manifest).await;
            }
            let index = fixture::index_listing(&[&sound, wrong]);
            registries.staging.load("staging/team/app", &*tag(&image, ""), &index).await;
            registries.staging.fail(Fault::on(Method::GET, "/referrers/").status(404));
            let project = || vec![registries.project("team", &entry("app", &image, &["v1"]))];
            for (confirm, kind) in [(DryRun, "to_copy"), (Write, "copied"), (Write, "present")] {
                let settings = PromotionSettings {
                    broken_attachments: broken,
                    ..PromotionSettings::new(confirm)
                };
                let report = promote_with(project(), &settings).await;
                let ended = match broken {
                    BrokenAttachments::Reported => {
                        vec!["attachment-broken", "attachment-broken", kind, kind]
                    }
                    BrokenAttachments::Fatal => vec!["failed"; 2],
                };
                assert_eq!(outcomes_of(&report), ended, "{report:#}");
                let reason_text = reason(&report, ended[0]);
                assert!(
                    reason_text.contains(why) && reason_text.contains(&wrong.digest().to_string()),
                    "{reason_text}"
                );
            }
            for registry in &registries.production {
                let is_tagged = broken == BrokenAttachments::Reported;
                assert_eq!(registry.digest_of("images/app", "v1").await.is_some(), is_tagged);
                let digest = wrong.digest().to_string();
                assert_eq!(registry.digest_of("images/app", &digest).await, None);
                assert!(!is_tagged || registry.holds("images/app", &sound).await);
            }
        }
    }
}

#[tokio::test]
async fn where_attachments_are_required_all_broken_ones_are_named() {
    let (registries, image, sbom) = scene(".sig").await;
    let staging = &registries.staging;
    staging.delete_blob("staging/team/app", &sbom.blobs[1].descriptor.digest).await;
    lose(staging, &tag(&image, ".att"));
    let project = || vec![registries.project("team", &entry("app", &image, &["v1"]))];
    for confirm in [DryRun, Write] {
        let required = PromotionSettings {
            broken_attachments: BrokenAttachments::Fatal,
            ..PromotionSettings::new(confirm)
        };
        let report = promote_with(project(), &required).await;
        assert_eq!(outcomes_of(&report), ["failed"; 2], "{report:#}");
        let reason_text = reason(&report, "failed");
        for named in [tag(&image, ".sig"), tag(&image, ".att"), sbom.digest().to_string()] {
            assert!(reason_text.contains(&named), "{named}: {reason_text}");
        }
    }
    let report = promote_with(project(), &PromotionSettings::new(Write)).await;
    let all = report["outcomes"].as_array().expect("a list").iter();
    let reason_text =
        all.filter_map(|it| it["reason"].as_str()).find(|it| it.starts_with("referrer "));
    let to_do = "; push the attachment again or delete it at its source";
    assert!(reason_text.is_some_and(|it| it.ends_with(to_do)), "{reason_text:?}");
}
