//! Edges that request a digest tag, which attachments are written under too.

use http::Method;
use job::Confirm::{DryRun, Write};
use promoter::PromotionSettings;
use serde_json::Value;
use testkit::{Fault, fixture, fixture::TestImage};

use crate::harness::{TestRegistries, bare, entry, manifest, promote_with, reason};

/// Where the manifests of these tests request the digest tag.
const POSITION: &str = "images/team/images.yaml:6:81";

/// An image, its signature at staging, and another digest that the manifest requests under the signature's tag.
struct Scene {
    registries: TestRegistries,
    image: TestImage,
    signature: TestImage,
    other: TestImage,
    tag: String,
}

impl Scene {
    async fn open() -> Self {
        let registries = TestRegistries::open().await;
        let [image, signature, other] = [1, 2, 3].map(|seed| fixture::image(seed, 1));
        let tag = format!("sha256-{}.sig", image.digest().hex());
        for (tag, image) in [("v1", &image), (&*tag, &signature), ("other", &other)] {
            registries.staging.load("staging/team/app", tag, image).await;
        }
        Self { registries, image, signature, other, tag }
    }

    /// The image has a referrer in place of the signature, and the tag is that of an index of referrers.
    async fn with_referrer() -> Self {
        let registries = TestRegistries::open().await;
        let [image, signature, other] = [1, 2, 3].map(|seed| fixture::image(seed, 1));
        let referrer = fixture::referrer(4, &image.descriptor, "a/b");
        for (tag, image) in [(Some("v1"), &image), (None, &referrer), (Some("other"), &other)] {
            registries.staging.load("staging/team/app", tag, image).await;
        }
        let tag = format!("sha256-{}", image.digest().hex());
        Self { registries, image, signature, other, tag }
    }

    async fn promote(&self, under_tag: &TestImage, settings: &PromotionSettings) -> Value {
        let to = [self.registries.production[0].prefix("images")];
        let from = self.registries.staging.prefix("staging/team");
        let images = entry("app", &self.image, &["v1"]) + &entry("app", under_tag, &[&self.tag]);
        promote_with(vec![manifest("team", &from, &to, &images)], settings).await
    }

    fn outcome(&self, report: &Value, tag: &str) -> String {
        let outcomes = report["outcomes"].as_array().expect("a list");
        let found = outcomes.iter().find(|it| it["tag"] == tag).expect("an outcome");
        found["outcome"].as_str().expect("text").to_owned()
    }

    async fn digest(&self, tag: &str) -> Option<oci::Digest> {
        self.registries.production[0].digest_of("images/app", tag).await
    }
}

#[tokio::test]
async fn an_edge_on_the_digest_tag_of_another_image_is_a_conflict_before_anything_is_written() {
    let scene = Scene::open().await;
    for settings in [PromotionSettings::new(DryRun), PromotionSettings::new(Write)] {
        let report = scene.promote(&scene.other, &settings).await;
        assert_eq!(scene.outcome(&report, &scene.tag), "refused", "{report:#}");
        let (subject, attachment) = (scene.image.digest(), scene.signature.digest());
        let says = format!(
            "conflict: {POSITION} requests a digest tag that belongs to the attachments of {subject}, which are \
             promoted too, and its source has it on {attachment}; remove the tag from the manifest, or request it on \
             that digest"
        );
        assert_eq!(reason(&report, "refused"), says);
        assert!(!report.to_string().contains("client"), "{report:#}");
    }
    assert_eq!(scene.digest("v1").await, Some(scene.image.digest()));
    assert_eq!(scene.digest(&scene.tag).await, Some(scene.signature.digest()));
}

#[tokio::test]
async fn an_edge_on_the_tag_of_an_index_of_referrers_is_a_conflict_before_anything_is_written() {
    let scene = Scene::with_referrer().await;
    let production = &scene.registries.production[0];
    production.fail(Fault::on(Method::GET, "/referrers/").status(404));
    for settings in [PromotionSettings::new(DryRun), PromotionSettings::new(Write)] {
        let report = scene.promote(&scene.other, &settings).await;
        assert_eq!(scene.outcome(&report, &scene.tag), "refused", "{report:#}");
        let subject = scene.image.digest();
        let says = format!(
            "conflict: {POSITION} requests a digest tag, under which the destination lists the referrers of {subject}, \
             and these are promoted too; remove the tag from the manifest"
        );
        assert_eq!(reason(&report, "refused"), says);
    }
    assert_eq!(scene.digest("v1").await, Some(scene.image.digest()));
    assert!(!production.holds("images/app", &scene.other).await);
    // Now the referrer is listed under the tag, and nothing of it is written again.
    let report = scene.promote(&scene.other, &PromotionSettings::new(Write)).await;
    let reason_text = reason(&report, "refused");
    assert!(
        reason_text.starts_with("tag move: ") && reason_text.contains("; remove the tag from"),
        "{reason_text}"
    );
}

#[tokio::test]
async fn an_edge_on_the_tag_of_an_index_of_referrers_is_promoted_where_no_such_index_is_written() {
    for repository_exists in [false, true] {
        let scene = Scene::with_referrer().await;
        if repository_exists {
            let production = &scene.registries.production[0];
            production.load("images/app", "old", &scene.signature).await;
        }
        for (settings, outcome) in
            [(PromotionSettings::new(DryRun), "to_copy"), (PromotionSettings::new(Write), "copied")]
        {
            let report = scene.promote(&scene.other, &settings).await;
            assert_eq!(scene.outcome(&report, &scene.tag), outcome, "{report:#}");
        }
        assert_eq!(scene.digest(&scene.tag).await, Some(scene.other.digest()));
    }
}

#[tokio::test]
async fn an_edge_whose_tag_attachments_would_move_is_no_longer_present() {
    let scene = Scene::open().await;
    let production = &scene.registries.production[0];
    production.load("images/app", &*scene.tag, &scene.other).await;
    let report = scene.promote(&scene.other, &PromotionSettings::new(DryRun)).await;
    assert_eq!(scene.outcome(&report, &scene.tag), "refused", "{report:#}");
}

#[tokio::test]
async fn an_edge_on_the_signature_itself_is_no_conflict() {
    let scene = Scene::open().await;
    let report = scene.promote(&scene.signature, &PromotionSettings::new(Write)).await;
    assert_ne!(scene.outcome(&report, &scene.tag), "refused", "{report:#}");
    assert_eq!(scene.digest(&scene.tag).await, Some(scene.signature.digest()));
    // Without attachments the tag is the edge's alone.
    let scene = Scene::open().await;
    let report = scene.promote(&scene.other, &bare(Write)).await;
    assert_eq!(scene.outcome(&report, &scene.tag), "copied", "{report:#}");
    assert_eq!(scene.digest(&scene.tag).await, Some(scene.other.digest()));
}
