//! The rows of `docs/reference/promotion.md`, "Attachments".

use attachments::{MAX_ATTACHMENT_LEVELS, MAX_ATTACHMENTS, MAX_LISTING_BYTES};
use http::Method;
use job::Confirm::{DryRun, Write};
use oci::{Descriptor, RegistryPrefix, media_type};
use promoter::{AttachmentsTo, BrokenAttachments, PromotionSettings};
use promotion_manifest::EdgeSet;
use registry_client::{Quota, RegistryClient};
use serde_json::Value;
use testkit::{Fault, TestRegistry, fixture, fixture::TestImage};

use crate::harness::{TestRegistries, entry, manifest, outcomes_of, promote_with, reason, run};

/// The digest tag of an image.
fn tag(image: &TestImage, suffix: &str) -> String {
    format!("sha256-{}{suffix}", image.digest().hex())
}

/// The digests of what refers to this one at a registry, in order.
async fn referrers(registry: &TestRegistry, subject: &Descriptor) -> Vec<String> {
    let path = format!("/v2/images/app/referrers/{}", subject.digest);
    let response = testkit::get(&registry.host(), &path).await.expect("a response");
    listed(response.body())
}

fn listed(index: &[u8]) -> Vec<String> {
    let index: Value = serde_json::from_slice(index).expect("an index");
    let listed = index["manifests"].as_array().expect("a list").iter();
    let mut digests: Vec<_> =
        listed.map(|it| it["digest"].as_str().expect("a digest").to_owned()).collect();
    digests.sort();
    digests
}

/// Who signed what a tag is on.
async fn signers(registry: &TestRegistry, tag: &str) -> Vec<String> {
    let path = format!("/v2/images/app/manifests/{tag}");
    let response = testkit::get(&registry.host(), &path).await.expect("a response");
    assert_eq!(response.status(), 200, "{tag}");
    let manifest: Value = serde_json::from_slice(response.body()).expect("a manifest");
    let layers = manifest["layers"].as_array().expect("layers").iter();
    let signer = |layer: &Value| {
        let signer = &layer["annotations"]["dev.cosignproject.cosign/signature"];
        signer.as_str().expect("a signature").to_owned()
    };
    layers.map(signer).collect()
}

/// An index at staging with all kinds of attachments: on itself, on a child, and on an attachment.
struct Signed {
    image: TestImage,
    signature: TestImage,
    attestation: TestImage,
    sbom: TestImage,
    of_sbom: TestImage,
}

impl Signed {
    async fn at(registries: &TestRegistries) -> Self {
        let image = fixture::index(1, 2, 2);
        let child = &image.children[1];
        let sbom = fixture::referrer(3, &child.descriptor, "application/spdx+json");
        let of_sbom = fixture::referrer(4, &sbom.descriptor, "application/example.signature");
        let signed = Self {
            signature: fixture::signatures("root", &["staging"]),
            attestation: fixture::signatures("child", &["builder"]),
            image,
            sbom,
            of_sbom,
        };
        let staging = &registries.staging;
        let repository = "staging/team/app";
        staging.load(repository, "v1", &signed.image).await;
        staging.load(repository, &*tag(&signed.image, ".sig"), &signed.signature).await;
        let child = &signed.image.children[1];
        staging.load(repository, &*tag(child, ".att"), &signed.attestation).await;
        staging.load(repository, None, &signed.sbom).await;
        staging.load(repository, None, &signed.of_sbom).await;
        signed
    }

    fn project(&self, registries: &TestRegistries) -> promotion_manifest::PromotionManifest {
        registries.project("team", &entry("app", &self.image, &["v1"]))
    }

    async fn is_at(&self, registry: &TestRegistry) -> bool {
        let child = &self.image.children[1];
        let mut all = registry.holds("images/app", &self.image).await;
        for (tag, on) in [
            ("v1".to_owned(), &self.image),
            (tag(&self.image, ".sig"), &self.signature),
            (tag(child, ".att"), &self.attestation),
        ] {
            all &= registry.digest_of("images/app", &tag).await == Some(on.digest());
            all &= registry.holds("images/app", on).await;
        }
        for (subject, on) in [(child, &self.sbom), (&self.sbom, &self.of_sbom)] {
            all &= referrers(registry, &subject.descriptor).await == [on.digest().to_string()];
            all &= registry.holds("images/app", on).await;
        }
        all
    }
}

#[tokio::test]
async fn attachments_of_an_image_its_children_and_its_attachments_are_copied_before_the_tag() {
    let registries = TestRegistries::open().await;
    let signed = Signed::at(&registries).await;
    let project = signed.project(&registries);
    let report = promote_with(vec![project.clone()], &PromotionSettings::new(DryRun)).await;
    assert_eq!(outcomes_of(&report), ["to_copy"; 2]);
    assert_eq!(registries.writes(), 0);
    let report = promote_with(vec![project.clone()], &PromotionSettings::new(Write)).await;
    assert_eq!(outcomes_of(&report), ["copied"; 2], "{report:#}");
    for registry in &registries.production {
        assert!(signed.is_at(registry).await);
        let puts = registry.requests().into_iter().filter(|it| it.method == Method::PUT);
        let last = puts.last().expect("a write").path_and_query;
        assert!(last.ends_with("/manifests/v1"), "{last}");
    }
    let read = |it: &testkit::RecordedRequest| {
        it.method == Method::GET && it.path_and_query.contains("/blobs/")
    };
    let all =
        [&signed.image, &signed.signature, &signed.attestation, &signed.sbom, &signed.of_sbom];
    let mut blobs = std::collections::BTreeSet::new();
    for image in all {
        let manifests: Vec<_> = image.manifests().iter().map(|it| it.digest()).collect();
        blobs.extend(image.digests().into_iter().filter(|digest| !manifests.contains(digest)));
    }
    assert_eq!(registries.staging.count(read), blobs.len(), "each blob is read once");

    registries.clear_requests();
    let report = promote_with(vec![project], &PromotionSettings::new(Write)).await;
    assert_eq!(outcomes_of(&report), ["present"; 2], "{report:#}");
    assert_eq!(registries.writes(), 0);
}

#[tokio::test]
async fn what_was_signed_after_it_was_promoted_gets_its_signature() {
    let registries = TestRegistries::open().await;
    let signed = Signed::at(&registries).await;
    registries.production[0].load("images/app", "v1", &signed.image).await;
    registries.production[1].load("images/app", None, &signed.image).await;
    let project = signed.project(&registries);
    let report = promote_with(vec![project.clone()], &PromotionSettings::new(DryRun)).await;
    assert_eq!(outcomes_of(&report), ["to_attach", "to_tag"]);
    let report = promote_with(vec![project], &PromotionSettings::new(Write)).await;
    assert_eq!(outcomes_of(&report), ["attached", "tagged"], "{report:#}");
    for registry in &registries.production {
        assert!(signed.is_at(registry).await);
    }
}

#[tokio::test]
async fn a_signature_of_productions_own_stays_and_stagings_is_added() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.staging.load("staging/team/app", None, &image).await;
    let (sig, repository) = (tag(&image, ".sig"), "staging/team/app");
    let staging = fixture::signatures("p", &["staging", "both"]);
    registries.staging.load(repository, &*sig, &staging).await;
    let own = fixture::signatures("p", &["production", "both"]);
    registries.production[0].load("images/app", &*sig, &own).await;
    let more = fixture::signatures("p", &["both", "production", "staging"]);
    registries.production[1].load("images/app", &*sig, &more).await;
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    let report = promote_with(vec![project.clone()], &PromotionSettings::new(Write)).await;
    assert_eq!(outcomes_of(&report), ["copied"; 2], "{report:#}");
    let merged = signers(&registries.production[0], &sig).await;
    assert_eq!(merged, ["production", "both", "staging"]);
    assert_eq!(registries.production[1].digest_of("images/app", &sig).await, Some(more.digest()));
    // Again there is nothing to do, and nothing is merged twice.
    registries.clear_requests();
    let report = promote_with(vec![project], &PromotionSettings::new(Write)).await;
    assert_eq!((outcomes_of(&report), registries.writes()), (vec!["present"; 2], 0));
}

#[tokio::test]
async fn a_signature_that_is_written_at_the_same_time_is_not_lost() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    let (sig, repository) = (tag(&image, ".sig"), "staging/team/app");
    registries.staging.load(repository, None, &image).await;
    registries.staging.load(repository, &*sig, &fixture::signatures("p", &["staging"])).await;
    // The condition fails once, since another client was faster.
    let put = Fault::on(Method::PUT, &format!("/manifests/{sig}")).status(412).times(1);
    registries.production[0].fail(put);
    let somebody_else = async {
        while registries.production[0]
            .count(|it| it.method == Method::PUT && it.path_and_query.ends_with(&sig))
            == 0
        {
            tokio::task::yield_now().await;
        }
        let other = fixture::signatures("p", &["other"]);
        registries.production[0].load("images/app", &*sig, &other).await;
    };
    // So few requests a second that there is time between the refusal and the next look.
    let quota = Quota { requests_per_second: Some(8.0), ..Quota::default() };
    let client = RegistryClient::builder().quota(registries.production[0].host(), quota).build();
    let edges = EdgeSet::new(vec![registries.project("team", &entry("app", &image, &["v1"]))]);
    let (settings, stop) = (PromotionSettings::new(Write), job::stop().1);
    let (report, ()) = tokio::join!(run(client, &edges, &settings, &stop), somebody_else);
    assert_eq!(outcomes_of(&report), ["copied"; 2]);
    let mut signers = signers(&registries.production[0], &sig).await;
    signers.sort();
    assert_eq!(signers, ["other", "staging"]);
}

#[tokio::test]
async fn attachments_go_where_they_shall() {
    let registries = TestRegistries::open().await;
    let signed = Signed::at(&registries).await;
    let [canonical, other] = &registries.production;
    let project = signed.project(&registries);
    let nowhere =
        PromotionSettings { attachments: AttachmentsTo::Nowhere, ..PromotionSettings::new(Write) };
    assert_eq!(outcomes_of(&promote_with(vec![project.clone()], &nowhere).await), ["copied"; 2]);
    for registry in [canonical, other] {
        assert_eq!(registry.tags("images/app").await, ["v1"]);
    }
    registries.clear_requests();
    promote_with(vec![project.clone()], &nowhere).await;
    assert_eq!(registries.staging.requests().len(), 0, "attachments are not looked up");
    let prefix = canonical.prefix("images");
    let settings = PromotionSettings {
        attachments: AttachmentsTo::Canonical,
        canonical: Some(prefix),
        ..PromotionSettings::new(Write)
    };
    let report = promote_with(vec![project], &settings).await;
    assert_eq!(outcomes_of(&report), ["attached", "present"]);
    assert!(signed.is_at(canonical).await);
    assert_eq!(other.tags("images/app").await, ["v1"]);
}

#[tokio::test]
async fn without_a_referrers_api_the_index_of_the_tag_is_added_to() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.staging.load("staging/team/app", None, &image).await;
    let [new, own] = [2, 3].map(|seed| fixture::referrer(seed, &image.descriptor, "a/b"));
    registries.staging.load("staging/team/app", None, &new).await;
    let production = &registries.production[0];
    let old = RegistryPrefix { host: production.host(), path: None };
    production.fail(Fault::on(Method::GET, "/referrers/").status(404));
    // A referrer of another tool, which the index lists.
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
        "manifests": [{ "mediaType": own.descriptor.media_type, "digest": own.digest(), "size": own.bytes.len() }],
    });
    production.load("images/app", None, &own).await;
    let index = TestImage {
        descriptor: Descriptor::of(media_type::OCI_INDEX, index.to_string().as_bytes()),
        bytes: index.to_string().into(),
        blobs: vec![],
        children: vec![],
    };
    production.load("images/app", &*tag(&image, ""), &index).await;
    let to = [production.prefix("images")];
    let from = registries.staging.prefix("staging/team");
    let project = manifest("team", &from, &to, &entry("app", &image, &["v1"]));
    let report = promote_with(vec![project.clone()], &PromotionSettings::new(Write)).await;
    assert_eq!(outcomes_of(&report), ["copied"], "{report:#} at {old}");
    let path = format!("/v2/images/app/manifests/{}", tag(&image, ""));
    let response = testkit::get(&production.host(), &path).await.expect("a response");
    let mut both = [&own, &new].map(|it| it.digest().to_string());
    both.sort();
    assert_eq!(listed(response.body()), both);
    registries.clear_requests();
    let report = promote_with(vec![project], &PromotionSettings::new(Write)).await;
    assert_eq!((outcomes_of(&report), registries.writes()), (vec!["present"], 0));
}

#[tokio::test]
async fn a_broken_attachment_keeps_the_tag_of_its_image_away_where_all_are_required() {
    let registries = TestRegistries::open().await;
    let signed = Signed::at(&registries).await;
    let fine = fixture::image(9, 1);
    registries.staging.load("staging/team/app", None, &fine).await;
    let required = PromotionSettings {
        broken_attachments: BrokenAttachments::Fatal,
        ..PromotionSettings::new(Write)
    };
    let payload = signed.signature.blobs[1].descriptor.digest;
    let corrupt = Fault::on(Method::GET, &format!("/blobs/{payload}")).corrupt();
    registries.staging.fail(corrupt);
    let images = entry("app", &signed.image, &["v1"]) + &entry("app", &fine, &["v2"]);
    let project = registries.project("team", &images);
    let report = promote_with(vec![project.clone()], &required).await;
    assert_eq!(outcomes_of(&report), ["copied", "copied", "failed", "failed"], "{report:#}");
    let reason = reason(&report, "failed");
    assert!(
        reason.contains(&tag(&signed.image, ".sig")) && reason.contains("was not copied"),
        "{reason}"
    );
    for registry in &registries.production {
        assert_eq!(registry.digest_of("images/app", "v1").await, None);
    }
    // The next run, with an honest source, repairs it.
    registries.staging.clear_faults();
    let report = promote_with(vec![project], &required).await;
    assert_eq!(outcomes_of(&report), ["present", "present", "tagged", "tagged"]);
    assert!(signed.is_at(&registries.production[0]).await);
}

#[tokio::test]
async fn an_attachment_whose_response_is_damaged_once_is_not_broken() {
    for part in ["manifest", "layer"] {
        let registries = TestRegistries::open().await;
        let signed = Signed::at(&registries).await;
        let path = match part {
            "manifest" => format!("/manifests/{}", signed.signature.digest()),
            _ => format!("/blobs/{}", signed.signature.blobs[1].descriptor.digest),
        };
        registries.staging.fail(Fault::on(Method::GET, &path).times(1).corrupt());
        let report =
            promote_with(vec![signed.project(&registries)], &PromotionSettings::new(Write)).await;
        assert_eq!(outcomes_of(&report), ["copied", "copied"], "{part}: {report:#}");
        assert!(signed.is_at(&registries.production[0]).await, "{part}");
    }
}

#[tokio::test]
async fn an_attachment_that_is_broken_for_good_is_reported_beside_its_promoted_image() {
    let no_layer = |signed: &Signed| signed.signature.blobs[1].descriptor.digest;
    for case in ["gone", "without a layer", "other bytes"] {
        let registries = TestRegistries::open().await;
        let signed = Signed::at(&registries).await;
        let fault = match case {
            "gone" => Fault::on(Method::GET, &format!("/manifests/{}", signed.signature.digest()))
                .status(404),
            "other bytes" => {
                Fault::on(Method::GET, &format!("/blobs/{}", no_layer(&signed))).corrupt()
            }
            _ => {
                registries.staging.delete_blob("staging/team/app", &no_layer(&signed)).await;
                Fault::everywhere("no such path")
            }
        };
        registries.staging.fail(fault);
        let project = || vec![signed.project(&registries)];
        if case != "other bytes" {
            let report = promote_with(project(), &PromotionSettings::new(DryRun)).await;
            let planned = ["attachment-broken", "attachment-broken", "to_copy", "to_copy"];
            assert_eq!(outcomes_of(&report), planned, "{case}: {report:#}");
        }
        // The second run finds nothing to do, and the attachment as broken as before.
        for kind in ["copied", "present"] {
            let report = promote_with(project(), &PromotionSettings::new(Write)).await;
            let ended = ["attachment-broken", "attachment-broken", kind, kind];
            assert_eq!(outcomes_of(&report), ended, "{case}: {report:#}");
            let reason_text = reason(&report, "attachment-broken");
            assert!(
                reason_text.starts_with(&format!("digest tag {}: ", tag(&signed.image, ".sig"))),
                "{reason_text}"
            );
            let summary = &report["summary"];
            assert_eq!((&summary["edges"], &summary["attachment_broken"]), (&2.into(), &2.into()));
        }
        for registry in &registries.production {
            assert_eq!(registry.digest_of("images/app", "v1").await, Some(signed.image.digest()));
            let child = &signed.image.children[1];
            assert!(registry.holds("images/app", &signed.attestation).await, "{case}");
            assert_eq!(
                registry.digest_of("images/app", &tag(child, ".att")).await,
                Some(signed.attestation.digest())
            );
        }
        // Its source is put right.
        registries.staging.clear_faults();
        registries.staging.load("staging/team/app", None, &signed.signature).await;
        let report = promote_with(project(), &PromotionSettings::new(Write)).await;
        assert_eq!(outcomes_of(&report), ["attached"; 2], "{case}: {report:#}");
        assert!(signed.is_at(&registries.production[0]).await, "{case}");
    }
}

#[tokio::test]
async fn an_attachment_that_cannot_be_read_for_the_moment_keeps_the_tag_of_its_image_away() {
    let registries = TestRegistries::open().await;
    let signed = Signed::at(&registries).await;
    let path = format!("/manifests/{}", signed.signature.digest());
    registries.staging.fail(Fault::on(Method::GET, &path).status(503));
    let report =
        promote_with(vec![signed.project(&registries)], &PromotionSettings::new(Write)).await;
    assert_eq!(outcomes_of(&report), ["failed"; 2], "{report:#}");
    assert_eq!(registries.production[0].digest_of("images/app", "v1").await, None);
}

#[tokio::test]
async fn a_manifest_that_a_redirect_does_not_lead_to_is_not_broken() {
    let registries = TestRegistries::open().await;
    let signed = Signed::at(&registries).await;
    let path = format!("/manifests/{}", signed.signature.digest());
    let storage = TestRegistry::start().await;
    let gone = format!("http://{}/gone", storage.host());
    registries.staging.fail(Fault::on(Method::GET, &path).status(307).header("location", &gone));
    let report =
        promote_with(vec![signed.project(&registries)], &PromotionSettings::new(Write)).await;
    assert_eq!(outcomes_of(&report), ["failed", "failed"], "{report:#}");
    for registry in &registries.production {
        assert_eq!(registry.digest_of("images/app", "v1").await, None, "it is not tagged unsigned");
    }
}

#[tokio::test]
async fn a_plan_fails_the_edges_that_a_broken_attachment_keeps_away() {
    // Whether attachments are required, and what happens to the signature.
    for (broken, status) in [
        (BrokenAttachments::Fatal, Some(404)),
        (BrokenAttachments::Fatal, None),
        (BrokenAttachments::Fatal, Some(503)),
        (BrokenAttachments::Reported, Some(503)),
    ] {
        let registries = TestRegistries::open().await;
        let signed = Signed::at(&registries).await;
        let path = format!("/manifests/{}", signed.signature.digest());
        match status {
            Some(status) => registries.staging.fail(Fault::on(Method::GET, &path).status(status)),
            None => {
                let payload = signed.signature.blobs[1].descriptor.digest;
                registries.staging.delete_blob("staging/team/app", &payload).await;
            }
        }
        for confirm in [DryRun, Write] {
            let settings =
                PromotionSettings { broken_attachments: broken, ..PromotionSettings::new(confirm) };
            let report = promote_with(vec![signed.project(&registries)], &settings).await;
            assert_eq!(outcomes_of(&report), ["failed"; 2], "{broken:?} {status:?}: {report:#}");
            let reason = reason(&report, "failed");
            assert!(reason.contains(&tag(&signed.image, ".sig")), "{reason}");
        }
        assert_eq!(registries.production[0].digest_of("images/app", "v1").await, None);
    }
}

#[tokio::test]
async fn a_digest_tag_that_cannot_be_merged_says_why() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    let (sig, repository) = (tag(&image, ".sig"), "staging/team/app");
    registries.staging.load(repository, None, &image).await;
    registries.staging.load(repository, &*sig, &fixture::signatures("p", &["staging"])).await;
    registries.production[0].load("images/app", &*sig, &fixture::index(5, 1, 1)).await;
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    let report = promote_with(vec![project], &PromotionSettings::new(Write)).await;
    assert_eq!(outcomes_of(&report), ["copied", "failed"]);
    let reason = reason(&report, "failed");
    assert!(
        reason.contains("cannot be merged") && reason.contains("is not an image manifest"),
        "{reason}"
    );
}

#[tokio::test]
async fn attachments_of_what_staging_lost_come_from_a_destination() {
    let registries = TestRegistries::open().await;
    let signed = Signed::at(&registries).await;
    let [first, second] = &registries.production;
    // The first destination has everything, as a run of before left it.
    let only = [first.prefix("images")];
    let from = registries.staging.prefix("staging/team");
    let images = entry("app", &signed.image, &["v1"]);
    let before = manifest("team", &from, &only, &images);
    promote_with(vec![before], &PromotionSettings::new(Write)).await;
    let lost = registries.staging.prefix("elsewhere");
    let to = registries.production.each_ref().map(|registry| registry.prefix("images"));
    let project = manifest("team", &lost, &to, &images);
    let report = promote_with(vec![project], &PromotionSettings::new(Write)).await;
    assert_eq!(outcomes_of(&report), ["copied", "present"], "{report:#}");
    assert!(signed.is_at(second).await);
}

#[tokio::test]
async fn a_source_that_cannot_list_attachments_is_not_taken_for_one_without() {
    let registries = TestRegistries::open().await;
    let signed = Signed::at(&registries).await;
    registries.production[0].load("images/app", "v1", &signed.image).await;
    registries.staging.fail(Fault::everywhere("/referrers/").status(500));
    let report =
        promote_with(vec![signed.project(&registries)], &PromotionSettings::new(Write)).await;
    assert_eq!(outcomes_of(&report), ["failed"; 2]);
    let reason = reason(&report, "failed");
    assert!(reason.contains("/referrers/") && reason.contains("500"), "{reason}");
}

#[tokio::test]
async fn an_attachment_that_is_broken_at_its_source_is_begun_once_in_a_run() {
    let registries = TestRegistries::open().await;
    let signed = Signed::at(&registries).await;
    let layer = signed.signature.blobs[1].descriptor.digest;
    registries.staging.delete_blob("staging/team/app", &layer).await;
    for _ in 0..2 {
        registries.clear_requests();
        let report =
            promote_with(vec![signed.project(&registries)], &PromotionSettings::new(Write)).await;
        assert_eq!(outcomes_of(&report)[..2], ["attachment-broken"; 2], "{report:#}");
        for registry in &registries.production {
            // The upload of the layer that its source does not have.
            assert_eq!(registry.count(|it| it.method == Method::DELETE), 1);
        }
    }
}

/// A response of the referrers API with these referrers, which has at least so many bytes.
fn referrers_response(subject: &TestImage, referrers: &[Descriptor], bytes: usize) -> Fault {
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": referrers,
    });
    let index = index.to_string();
    let padding = " ".repeat(bytes.saturating_sub(index.len()));
    Fault::on(Method::GET, &format!("/referrers/{}", subject.digest()))
        .status(200)
        .header("content-type", media_type::OCI_INDEX)
        .body(&(index + &padding))
}

/// `number` referrers, each of the one before it.
fn chain_of_referrers(image: &TestImage, number: usize) -> Vec<TestImage> {
    let mut chain = vec![image.clone()];
    for seed in 0..number {
        let subject = &chain[chain.len() - 1].descriptor;
        chain.push(fixture::referrer(10 + seed as u64, subject, "application/example.signature"));
    }
    chain.split_off(1)
}

#[tokio::test]
async fn attachments_beyond_a_bound_fail_the_image_and_nothing_of_it_is_written() {
    let image = fixture::image(1, 2);
    let chain = chain_of_referrers(&image, MAX_ATTACHMENT_LEVELS + 1);
    let half = MAX_LISTING_BYTES / 2;
    let listings = |bytes| {
        let of_image = referrers_response(&image, &[chain[0].descriptor.clone()], bytes);
        vec![of_image, referrers_response(&chain[0], &[], bytes)]
    };
    let too_many: Vec<_> = (0..=MAX_ATTACHMENTS as u64)
        .map(|seed| Descriptor::of(media_type::OCI_MANIFEST, &seed.to_le_bytes()))
        .collect();
    for (referrers, listings, refused) in [
        (&chain[..MAX_ATTACHMENT_LEVELS], vec![], None),
        (&chain, vec![], Some("has attachments of attachments on more than 8 levels")),
        (&chain[..1], listings(half), None),
        (&chain[..1], listings(half + 1), Some("lists of referrers of more than 16777216 bytes")),
        (&[], vec![referrers_response(&image, &too_many, 0)], Some("more than 1000 attachments")),
    ] {
        let registries = TestRegistries::open().await;
        registries.staging.load("staging/team/app", "v1", &image).await;
        for referrer in referrers {
            registries.staging.load("staging/team/app", None, referrer).await;
        }
        listings.into_iter().for_each(|listing| registries.staging.fail(listing));
        let project = registries.project("team", &entry("app", &image, &["v1"]));
        let report = promote_with(vec![project], &PromotionSettings::new(Write)).await;
        let Some(refused) = refused else {
            assert_eq!(outcomes_of(&report), ["copied"; 2], "{report:#}");
            continue;
        };
        assert_eq!(outcomes_of(&report), ["failed"; 2], "{refused}: {report:#}");
        assert_eq!(report["outcomes"][0]["code"], "attachments-unreadable", "{report:#}");
        assert!(reason(&report, "failed").contains(refused), "{report:#}");
        assert_eq!(registries.writes(), 0, "{refused}");
    }
}
