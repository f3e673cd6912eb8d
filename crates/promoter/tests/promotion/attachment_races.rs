//! Other clients write the same digest tags and indexes of referrers at registries that do not check conditions.

use http::Method;
use job::Confirm::Write;
use oci::{Descriptor, media_type};
use promoter::PromotionSettings;
use serde_json::{Value, json};
use testkit::{Fault, RecordedRequest, TestRegistry, fixture, fixture::TestImage};

use crate::harness::{TestRegistries, entry, manifest, outcomes_of, promote_with, reason};

/// An image at staging with one attachment, and the one production registry that it goes to.
struct Scene {
    registries: TestRegistries,
    image: TestImage,
}

impl Scene {
    async fn open() -> Self {
        let registries = TestRegistries::open().await;
        let image = fixture::image(1, 1);
        registries.staging.load("staging/team/app", None, &image).await;
        Self { registries, image }
    }

    fn tag(&self, suffix: &str) -> String {
        format!("sha256-{}{suffix}", self.image.digest().hex())
    }

    fn production(&self) -> &TestRegistry {
        &self.registries.production[0]
    }

    async fn promote(&self) -> Value {
        let to = [self.production().prefix("images")];
        let from = self.registries.staging.prefix("staging/team");
        let project = manifest("team", &from, &to, &entry("app", &self.image, &["v1"]));
        promote_with(vec![project], &PromotionSettings::new(Write)).await
    }

    /// What a tag of the production registry is on.
    async fn read(&self, tag: &str) -> Value {
        let path = format!("/v2/images/app/manifests/{tag}");
        let response = testkit::get(&self.production().host(), &path).await.expect("a response");
        assert_eq!(response.status(), 200, "{tag}");
        serde_json::from_slice(response.body()).expect("a manifest")
    }

    async fn signers(&self) -> Vec<String> {
        let manifest = self.read(&self.tag(".sig")).await;
        let layers = manifest["layers"].as_array().expect("layers").iter();
        let signer = |layer: &Value| {
            let signer = &layer["annotations"]["dev.cosignproject.cosign/signature"];
            signer.as_str().expect("a signature").to_owned()
        };
        let mut signers: Vec<_> = layers.map(signer).collect();
        signers.sort();
        signers
    }
}

/// A signature of staging's, and the manifest that another run puts instead after it has read nothing.
async fn signed() -> (Scene, TestImage) {
    let scene = Scene::open().await;
    let ours = fixture::signatures("p", &["staging"]);
    scene.registries.staging.load("staging/team/app", &*scene.tag(".sig"), &ours).await;
    let theirs = fixture::signatures("p", &["other"]);
    scene.production().load("images/app", None, &theirs).await;
    (scene, theirs)
}

fn puts(tag: String) -> impl Fn(&RecordedRequest) -> bool {
    move |it| it.method == Method::PUT && it.path_and_query.ends_with(&format!("/manifests/{tag}"))
}

#[tokio::test]
async fn a_signature_that_another_run_replaced_after_it_was_read_back_is_merged_again() {
    let (scene, theirs) = signed().await;
    let path = format!("/v2/images/app/manifests/{}", scene.tag(".sig"));
    // The tag of the image is written after its attachments were, and were read back.
    scene
        .production()
        .fail(Fault::on(Method::PUT, "/manifests/v1").times(1).then_put(&path, &theirs));
    let report = scene.promote().await;
    assert_eq!(outcomes_of(&report), ["copied"], "{report:#}");
    assert_eq!(scene.signers().await, ["other", "staging"]);
}

#[tokio::test]
async fn a_signature_that_another_run_has_merged_already_is_not_written_again() {
    let (scene, _) = signed().await;
    let both = fixture::signatures("p", &["other", "staging"]);
    scene.production().load("images/app", None, &both).await;
    let path = format!("/v2/images/app/manifests/{}", scene.tag(".sig"));
    scene
        .production()
        .fail(Fault::on(Method::PUT, "/manifests/v1").times(1).then_put(&path, &both));
    let report = scene.promote().await;
    assert_eq!(outcomes_of(&report), ["copied"], "{report:#}");
    assert_eq!(scene.signers().await, ["other", "staging"]);
    assert_eq!(scene.production().count(puts(scene.tag(".sig"))), 1);
}

#[tokio::test]
async fn a_signature_that_a_client_replaces_each_time_is_a_failure_and_the_run_ends() {
    let (scene, theirs) = signed().await;
    let sig = scene.tag(".sig");
    let path = format!("/v2/images/app/manifests/{sig}");
    let at_tag = format!("/manifests/{sig}");
    scene.production().fail(Fault::on(Method::PUT, &at_tag).ignore_conditions());
    scene.production().fail(Fault::on(Method::GET, &at_tag).then_put(&path, &theirs));
    let report = scene.promote().await;
    assert_eq!(outcomes_of(&report), ["failed"], "{report:#}");
    let reason = reason(&report, "failed");
    let start = format!("digest tag {sig} was written, but is gone: ");
    assert!(reason.starts_with(&start) && reason.contains("run again"), "{reason}");
    assert_eq!(scene.production().count(puts(sig)), 4, "the first and three repairs");
}

#[tokio::test]
async fn signatures_of_others_are_kept_where_reads_are_late() {
    let cases = [true, false].map(|ignores| [1, 2, 6, 9].map(|stale| (ignores, stale)));
    let cases = cases.into_iter().flatten().map(async |(ignores_conditions, stale)| {
        let (scene, theirs) = signed().await;
        let sig = scene.tag(".sig");
        scene.production().load("images/app", &*sig, &theirs).await;
        let at_tag = format!("/manifests/{sig}");
        // Neither GET nor HEAD finds the tag for a while after our first write to it.
        let late = Fault::everywhere(&at_tag).status(404).times(stale);
        scene.production().fail(late.once_there_was(Method::PUT, &at_tag));
        if ignores_conditions {
            scene.production().fail(Fault::on(Method::PUT, &at_tag).ignore_conditions());
        }
        let report = scene.promote().await;
        scene.production().clear_faults();
        let case = format!("{ignores_conditions} {stale}: {report:#}");
        assert_eq!(scene.signers().await, ["other", "staging"], "{case}");
        let reads = 1 + 4;
        let expected = if stale < reads { "copied" } else { "failed" };
        assert_eq!(outcomes_of(&report), [expected], "{case}");
    });
    futures_util::future::join_all(cases).await;
}

#[tokio::test]
async fn a_repair_that_is_refused_says_so() {
    let (scene, theirs) = signed().await;
    let sig = scene.tag(".sig");
    let path = format!("/v2/images/app/manifests/{sig}");
    let put_v1 = Fault::on(Method::PUT, "/manifests/v1").times(1).then_put(&path, &theirs);
    let refused = Fault::on(Method::PUT, &format!("/manifests/{sig}")).status(403);
    scene.production().fail(refused.once_there_was(Method::PUT, "/manifests/v1"));
    scene.production().fail(put_v1);
    let report = scene.promote().await;
    let reason = reason(&report, "failed");
    assert!(reason.contains("403") && !reason.contains("replace it"), "{reason}");
}

/// An index of referrers as another client writes it.
fn index(referrers: &[&TestImage]) -> TestImage {
    let manifests: Vec<_> = referrers
        .iter()
        .map(|it| {
            json!({
                "mediaType": it.descriptor.media_type, "digest": it.digest(), "size": it.bytes.len(),
            })
        })
        .collect();
    let index = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": manifests,
    });
    let bytes = index.to_string();
    let descriptor = Descriptor::of(media_type::OCI_INDEX, bytes.as_bytes());
    TestImage { descriptor, bytes: bytes.into(), blobs: vec![], children: vec![] }
}

#[tokio::test]
async fn an_index_of_referrers_that_another_run_replaced_is_merged_again() {
    // Another run had read the index before one of our referrers was in it; or after both were.
    for (is_replaced, writes) in [(true, 3), (false, 2)] {
        let scene = Scene::open().await;
        let [ours, more, theirs] =
            [2, 3, 4].map(|seed| fixture::referrer(seed, &scene.image.descriptor, "a/b"));
        for referrer in [&ours, &more] {
            scene.registries.staging.load("staging/team/app", None, referrer).await;
        }
        let (production, tag) = (scene.production(), scene.tag(""));
        production.fail(Fault::on(Method::GET, "/referrers/").status(404));
        production.load("images/app", None, &theirs).await;
        production.load("images/app", &*tag, &index(&[&theirs])).await;
        for referrer in [&ours, &more] {
            production.load("images/app", None, referrer).await;
        }
        let path = format!("/v2/images/app/manifests/{tag}");
        let put = Fault::on(Method::PUT, "/manifests/v1").times(1);
        let now =
            if is_replaced { index(&[&theirs, &ours]) } else { index(&[&more, &theirs, &ours]) };
        production.fail(put.then_put(&path, &now));
        let report = scene.promote().await;
        assert_eq!(outcomes_of(&report), ["copied"], "{report:#}");
        let listed = scene.read(&tag).await;
        let listed = listed["manifests"].as_array().expect("a list");
        for referrer in [&ours, &more, &theirs] {
            let is_listed = listed.iter().any(|entry| entry["digest"] == json!(referrer.digest()));
            assert!(is_listed, "{listed:#?}");
        }
        assert_eq!(production.count(puts(tag)), writes);
    }
}
