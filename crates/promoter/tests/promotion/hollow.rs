//! Images that a destination has a manifest of, but not everything that it reaches.

use http::Method;
use job::Confirm::{self, DryRun, Write};
use oci::{Descriptor, Digest};
use promoter::{PromotionSettings, PublicName, VerifyDepth};
use testkit::{Fault, TestRegistry, fixture};

use crate::harness::{
    TestRegistries, bare, client, entry, manifest, outcomes_of, promote, promote_with, reason,
};

fn deep(confirm: Confirm) -> PromotionSettings {
    PromotionSettings { verify: VerifyDepth::Deep, ..bare(confirm) }
}

#[tokio::test]
async fn an_index_is_tagged_only_after_its_children_are_complete() {
    let registries = TestRegistries::open().await;
    let image = fixture::index(1, 2, 2);
    registries.staging.load("staging/team/app", None, &image).await;
    let child = &image.children[0];
    for registry in &registries.production {
        registry.load("images/app", None, child).await;
        registry.delete_blob("images/app", &child.blobs[2].descriptor.digest).await;
    }
    let project = registries.project("team", &entry("app", &image, &["v2"]));
    assert_eq!(outcomes_of(&promote(vec![project], Write).await), ["copied"; 2]);
    for registry in &registries.production {
        assert!(registry.holds("images/app", &image).await);
        assert_eq!(registry.tags("images/app").await, ["v2"]);
    }
}

#[tokio::test]
async fn a_digest_that_is_there_is_completed_before_it_is_tagged() {
    let registries = TestRegistries::open().await;
    let image = fixture::index(1, 2, 2);
    registries.staging.load("staging/team/app", None, &image).await;
    for registry in &registries.production {
        registry.load("images/app", None, &image).await;
    }
    let layer = image.children[1].blobs[2].descriptor.digest;
    registries.production[0].delete_blob("images/app", &layer).await;
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    let report = promote(vec![project.clone()], DryRun).await;
    assert_eq!(outcomes_of(&report), ["to_copy", "to_tag"], "{report:#}");
    let reason_text = reason(&report, "to_copy");
    assert!(
        reason_text.contains("incomplete") && reason_text.contains(&layer.to_string()),
        "{reason_text}"
    );
    assert_eq!(registries.writes(), 0);
    assert_eq!(outcomes_of(&promote(vec![project], Write).await), ["copied", "tagged"]);
    for registry in &registries.production {
        assert!(registry.holds("images/app", &image).await);
        assert_eq!(registry.tags("images/app").await, ["v1"]);
    }
}

#[tokio::test]
async fn a_deep_verification_completes_what_is_present() {
    let registries = TestRegistries::open().await;
    let image = fixture::index(1, 2, 2);
    registries.staging.load("staging/team/app", None, &image).await;
    for registry in &registries.production {
        registry.load("images/app", "v1", &image).await;
    }
    let layer = image.children[1].blobs[2].descriptor.digest;
    registries.production[0].delete_blob("images/app", &layer).await;
    let project = || vec![registries.project("team", &entry("app", &image, &["v1"]))];
    let report = promote(project(), DryRun).await;
    assert_eq!(outcomes_of(&report), ["present"; 2], "only tags and digests are looked at");
    let report = promote_with(project(), &deep(DryRun)).await;
    assert_eq!(outcomes_of(&report), ["present", "to_copy"], "{report:#}");
    assert!(reason(&report, "to_copy").contains(&layer.to_string()), "{report:#}");
    assert_eq!(registries.writes(), 0);
    let report = promote_with(project(), &deep(Write)).await;
    assert_eq!(outcomes_of(&report), ["copied", "present"], "{report:#}");
    assert!(registries.production[0].holds("images/app", &image).await);
    registries.clear_requests();
    assert_eq!(outcomes_of(&promote_with(project(), &deep(Write)).await), ["present"; 2]);
    assert_eq!(registries.writes(), 0);
    let reads = |registry: &TestRegistry| {
        registry.count(|it| it.method == "HEAD" && it.path_and_query.contains("/blobs/"))
    };
    assert_eq!(registries.production.each_ref().map(reads), [5, 5], "each blob once");
}

#[tokio::test]
async fn a_deep_verification_completes_attachments_and_says_what_nothing_has() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.staging.load("staging/team/app", None, &image).await;
    let signature = fixture::signatures("p", &["staging"]);
    let sig = format!("sha256-{}.sig", image.digest().hex());
    registries.staging.load("staging/team/app", &*sig, &signature).await;
    let project = || vec![registries.project("team", &entry("app", &image, &["v1"]))];
    promote_with(project(), &PromotionSettings::new(Write)).await;
    let payload = signature.blobs[1].descriptor.digest;
    registries.production[1].delete_blob("images/app", &payload).await;
    let all = PromotionSettings { verify: VerifyDepth::Deep, ..PromotionSettings::new(Write) };
    let report = promote_with(project(), &all).await;
    assert_eq!(outcomes_of(&report), ["attached", "present"], "{report:#}");
    assert!(registries.production[1].holds("images/app", &signature).await);
    // A layer that neither the source nor a destination has.
    let layer = image.blobs[1].descriptor.digest;
    registries.staging.delete_blob("staging/team/app", &layer).await;
    for registry in &registries.production {
        registry.delete_blob("images/app", &layer).await;
    }
    let report = promote_with(project(), &deep(Write)).await;
    assert_eq!(outcomes_of(&report), ["failed"; 2], "{report:#}");
    assert!(reason(&report, "failed").contains(&layer.to_string()), "{report:#}");
}

#[tokio::test]
async fn a_source_that_cannot_be_read_is_named_when_no_destination_has_the_missing_content() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    let TestRegistries { staging, production: [registry, _] } = &registries;
    staging.load("staging/team/app", None, &image).await;
    registry.load("images/app", "v1", &image).await;
    let layer = image.blobs[1].descriptor.digest;
    registry.delete_blob("images/app", &layer).await;
    for method in [Method::HEAD, Method::GET] {
        staging.fail(Fault::on(method, "/manifests/").status(503));
    }
    let (from, to) = (staging.prefix("staging/team"), [registry.prefix("images")]);
    let project = || vec![manifest("team", &from, &to, &entry("app", &image, &["v1"]))];
    for confirm in [DryRun, Write] {
        let report = promote_with(project(), &deep(confirm)).await;
        assert_eq!(outcomes_of(&report), ["failed"], "{report:#}");
        let text = reason(&report, "failed");
        let source = format!("its source cannot be read: GET http://{}/", staging.host());
        assert!(text.contains(&layer.to_string()), "{text}");
        assert!(text.contains(&source) && text.contains("503"), "{text}");
        assert!(!text.contains("neither"), "{text}");
    }
    // A source that does not have the image is no failure of the source.
    staging.clear_faults();
    for method in [Method::HEAD, Method::GET] {
        staging.fail(Fault::on(method, "/manifests/").status(404));
    }
    let report = promote_with(project(), &deep(DryRun)).await;
    assert!(reason(&report, "failed").contains("neither its source nor"), "{report:#}");
}

/// Says of a blob, so many times, that three bytes of it are there, to HEAD and to the GET that confirms it.
fn truncate(registry: &TestRegistry, blob: &Digest, times: usize) {
    let path = format!("/blobs/{blob}");
    let length = Fault::on(Method::HEAD, &path).times(times).status(200);
    registry.fail(length.header("content-length", "3"));
    let range = Fault::on(Method::GET, &path).times(times).status(206);
    registry.fail(range.header("content-range", "bytes 0-0/3"));
}

#[tokio::test]
async fn a_truncated_blob_is_not_present_and_no_tag_is_written_while_the_registry_keeps_it() {
    let image = fixture::image(1, 1);
    let layer = &image.blobs[1].descriptor;
    for tags in [&["v1"][..], &["v1", "v2"]] {
        let registries = TestRegistries::open().await;
        registries.staging.load("staging/team/app", None, &image).await;
        for registry in &registries.production {
            registry.load("images/app", "v1", &image).await;
        }
        let [keeps, replaces] = &registries.production;
        truncate(keeps, &layer.digest, usize::MAX);
        // Found by the check, found again by the copy, and whole after the upload.
        truncate(replaces, &layer.digest, 2);
        let project = registries.project("team", &entry("app", &image, tags));
        let report = promote_with(vec![project], &deep(Write)).await;
        let count = |kind| outcomes_of(&report).iter().filter(|it| **it == kind).count();
        assert_eq!((count("failed"), count("copied")), (tags.len(), tags.len()), "{report:#}");
        let reason_text = reason(&report, "failed");
        let lengths = format!("it has 3 bytes, the manifest says {}", layer.size);
        assert!(
            reason_text.contains(&lengths) && reason_text.contains("remove the blob"),
            "{reason_text}"
        );
        assert_eq!(keeps.tags("images/app").await, ["v1"]);
        assert_eq!(replaces.tags("images/app").await, tags);
    }
}

#[tokio::test]
async fn a_truncated_blob_behind_the_public_name_is_named_with_both_lengths() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.staging.load("staging/team/app", None, &image).await;
    let public = TestRegistry::start().await;
    public.load("app", "v1", &image).await;
    let Descriptor { digest, size, .. } = &image.blobs[1].descriptor;
    truncate(&public, digest, usize::MAX);
    let name = PublicName { client: client(), host: public.host() };
    let settings = PromotionSettings { verify_through: Some(name), ..bare(Write) };
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    let report = promote_with(vec![project], &settings).await;
    let expected = format!("blob {digest} has 3 bytes, but its manifest states {size}");
    assert_eq!(report["public_name_failures"][0]["reason"], expected, "{report:#}");
}

#[tokio::test]
async fn an_index_that_lists_a_child_with_another_size_is_broken_at_its_source() {
    let sound = fixture::index(1, 2, 1);
    let length = sound.children[1].bytes.len();
    let wrong = fixture::with_child_size(&sound, 1, length + 1);
    // Below another index, where the sound one lists the same child, too.
    let nested = fixture::index_listing(&[&sound, &wrong]);
    for image in [&wrong, &nested] {
        let registries = TestRegistries::open().await;
        registries.staging.load("staging/team/app", None, image).await;
        let project = || vec![registries.project("team", &entry("app", image, &["v1"]))];
        for confirm in [DryRun, Write] {
            let report = promote(project(), confirm).await;
            assert_eq!(outcomes_of(&report), ["failed"; 2], "{report:#}");
            let expected = format!(
                "has {length} bytes, but manifest {} says {}; the image is broken at its source",
                wrong.digest(),
                length + 1
            );
            assert!(reason(&report, "failed").contains(&expected), "{report:#}");
        }
        assert_eq!(registries.writes(), 0);
        // It was promoted before that was checked.
        for registry in &registries.production {
            registry.load("images/app", "v1", image).await;
        }
        let report = promote_with(project(), &deep(DryRun)).await;
        assert_eq!(outcomes_of(&report), ["failed"; 2], "{report:#}");
    }
    // As an attachment, it is left out.
    let registries = TestRegistries::open().await;
    registries.staging.load("staging/team/app", None, &sound).await;
    let signature = format!("sha256-{}.sig", sound.digest().hex());
    registries.staging.load("staging/team/app", &*signature, &wrong).await;
    let project = || vec![registries.project("team", &entry("app", &sound, &["v1"]))];
    for (confirm, kind) in [(DryRun, "to_copy"), (Write, "copied")] {
        let report = promote_with(project(), &PromotionSettings::new(confirm)).await;
        let ended = ["attachment-broken", "attachment-broken", kind, kind];
        assert_eq!(outcomes_of(&report), ended, "{report:#}");
        assert!(reason(&report, "attachment-broken").contains("broken at its source"));
    }
}
