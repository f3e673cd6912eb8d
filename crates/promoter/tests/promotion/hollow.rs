//! Images that a destination has a manifest of, but not everything that it reaches.

use promoter::{Settings, Verify};
use testkit::{TestRegistry, fixture};
use transfer::Confirm::{self, DryRun, Write};

use crate::harness::{Harbour, bare, entry, promote, promote_with, reason, verdicts};

fn deep(confirm: Confirm) -> Settings {
    Settings { verify: Verify::Deep, ..bare(confirm) }
}

#[tokio::test]
async fn an_index_is_tagged_only_after_its_children_are_complete() {
    let harbour = Harbour::open().await;
    let image = fixture::index(1, 2, 2);
    harbour.staging.load("staging/team/app", None, &image).await;
    let child = &image.children[0];
    for registry in &harbour.production {
        registry.load("images/app", None, child).await;
        registry.delete_blob("images/app", &child.blobs[2].descriptor.digest).await;
    }
    let project = harbour.project("team", &entry("app", &image, &["v2"]));
    assert_eq!(verdicts(&promote(vec![project], Write).await), ["copied"; 2]);
    for registry in &harbour.production {
        assert!(registry.holds("images/app", &image).await);
        assert_eq!(registry.tags("images/app").await, ["v2"]);
    }
}

#[tokio::test]
async fn a_digest_that_is_there_is_completed_before_it_is_tagged() {
    let harbour = Harbour::open().await;
    let image = fixture::index(1, 2, 2);
    harbour.staging.load("staging/team/app", None, &image).await;
    for registry in &harbour.production {
        registry.load("images/app", None, &image).await;
    }
    let layer = image.children[1].blobs[2].descriptor.digest;
    harbour.production[0].delete_blob("images/app", &layer).await;
    let project = harbour.project("team", &entry("app", &image, &["v1"]));
    let report = promote(vec![project.clone()], DryRun).await;
    assert_eq!(verdicts(&report), ["to_copy", "to_tag"], "{report:#}");
    let told = reason(&report, "to_copy");
    assert!(told.contains("incomplete") && told.contains(&layer.to_string()), "{told}");
    assert_eq!(harbour.writes(), 0);
    assert_eq!(verdicts(&promote(vec![project], Write).await), ["copied", "tagged"]);
    for registry in &harbour.production {
        assert!(registry.holds("images/app", &image).await);
        assert_eq!(registry.tags("images/app").await, ["v1"]);
    }
}

#[tokio::test]
async fn a_deep_verification_completes_what_is_present() {
    let harbour = Harbour::open().await;
    let image = fixture::index(1, 2, 2);
    harbour.staging.load("staging/team/app", None, &image).await;
    for registry in &harbour.production {
        registry.load("images/app", "v1", &image).await;
    }
    let layer = image.children[1].blobs[2].descriptor.digest;
    harbour.production[0].delete_blob("images/app", &layer).await;
    let project = || vec![harbour.project("team", &entry("app", &image, &["v1"]))];
    let report = promote(project(), DryRun).await;
    assert_eq!(verdicts(&report), ["present"; 2], "only tags and digests are looked at");
    let report = promote_with(project(), &deep(DryRun)).await;
    assert_eq!(verdicts(&report), ["present", "to_copy"], "{report:#}");
    assert!(reason(&report, "to_copy").contains(&layer.to_string()), "{report:#}");
    assert_eq!(harbour.writes(), 0);
    let report = promote_with(project(), &deep(Write)).await;
    assert_eq!(verdicts(&report), ["copied", "present"], "{report:#}");
    assert!(harbour.production[0].holds("images/app", &image).await);
    harbour.clear_requests();
    assert_eq!(verdicts(&promote_with(project(), &deep(Write)).await), ["present"; 2]);
    assert_eq!(harbour.writes(), 0);
    let asked = |registry: &TestRegistry| {
        registry.count(|it| it.method == "HEAD" && it.path_and_query.contains("/blobs/"))
    };
    assert_eq!(harbour.production.each_ref().map(asked), [5, 5], "each blob once");
}

#[tokio::test]
async fn a_deep_verification_completes_attachments_and_says_what_nothing_has() {
    let harbour = Harbour::open().await;
    let image = fixture::image(1, 1);
    harbour.staging.load("staging/team/app", None, &image).await;
    let signature = fixture::signatures("p", &["staging"]);
    let sig = format!("sha256-{}.sig", image.digest().hex());
    harbour.staging.load("staging/team/app", &*sig, &signature).await;
    let project = || vec![harbour.project("team", &entry("app", &image, &["v1"]))];
    promote_with(project(), &Settings::new(Write)).await;
    let payload = signature.blobs[1].descriptor.digest;
    harbour.production[1].delete_blob("images/app", &payload).await;
    let all = Settings { verify: Verify::Deep, ..Settings::new(Write) };
    let report = promote_with(project(), &all).await;
    assert_eq!(verdicts(&report), ["attached", "present"], "{report:#}");
    assert!(harbour.production[1].holds("images/app", &signature).await);
    // A layer that neither the source nor a destination has.
    let layer = image.blobs[1].descriptor.digest;
    harbour.staging.delete_blob("staging/team/app", &layer).await;
    for registry in &harbour.production {
        registry.delete_blob("images/app", &layer).await;
    }
    let report = promote_with(project(), &deep(Write)).await;
    assert_eq!(verdicts(&report), ["failed"; 2], "{report:#}");
    assert!(reason(&report, "failed").contains(&layer.to_string()), "{report:#}");
}
