//! Images that are copied from another destination, and what the report says of their source.

use http::Method;
use job::Confirm::{self, DryRun, Write};
use serde_json::Value;
use testkit::{Fault, fixture, fixture::TestImage};

use crate::harness::{TestRegistries, entry, is_write, promote};

/// What the source has.
#[derive(PartialEq)]
enum SourceHas {
    Image,
    Nothing,
}

/// The code and the text of the reason of the edge that is copied from the first production registry to the second.
async fn backfilled(
    source: SourceHas,
    fault: impl FnOnce(&TestImage) -> Option<Fault>,
    confirm: Confirm,
) -> (Value, String) {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    if source == SourceHas::Image {
        registries.staging.load("staging/team/app", None, &image).await;
    }
    registries.production[0].load("images/app", "v1", &image).await;
    fault(&image).into_iter().for_each(|fault| registries.staging.fail(fault));
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    let report = promote(vec![project], confirm).await;
    let kind = if confirm == Write { "copied" } else { "to_copy" };
    let outcomes = report["outcomes"].as_array().expect("a list");
    let found = outcomes.iter().find(|it| it["outcome"] == kind);
    let found = found.expect(kind);
    assert_eq!(registries.staging.count(is_write), 0);
    assert_eq!(registries.production[1].holds("images/app", &image).await, confirm == Write);
    let reason = found["reason"].as_str().expect("a reason").to_owned();
    let (from, source) = (&registries.production[0], &registries.staging);
    let begins = format!("backfilled from {}/images: ", from.host());
    let rest = reason.strip_prefix(&begins).expect(&reason);
    (found["code"].clone(), rest.replace(&source.host().to_string(), "SOURCE"))
}

fn layer(image: &TestImage) -> String {
    format!("/blobs/{}", image.blobs[1].descriptor.digest)
}

#[tokio::test]
async fn an_image_that_its_source_lost_is_told_apart_from_one_whose_source_fails() {
    const UNREAD: &str = "the image could not be read from SOURCE/staging/team: GET http://SOURCE/";
    let manifests =
        |status| move |_: &TestImage| Some(Fault::everywhere("/team/app/").status(status));
    for confirm in [DryRun, Write] {
        let (code, reason) = backfilled(SourceHas::Nothing, |_| None, confirm).await;
        assert_eq!(code, "backfilled");
        assert_eq!(reason, "SOURCE/staging/team no longer has the image");
        // The repository cannot be read: whether the source has the image is not known.
        for status in [403, 429, 503] {
            let (code, reason) = backfilled(SourceHas::Nothing, manifests(status), confirm).await;
            assert_eq!(code, "source-unread", "{reason}");
            assert!(reason.starts_with(UNREAD) && reason.contains(&status.to_string()), "{reason}");
        }
        // The source has the manifest, and does not return it.
        let on_get = |image: &TestImage| {
            let by_digest = format!("/manifests/{}", image.digest());
            Some(Fault::on(Method::GET, &by_digest).status(500))
        };
        let (code, reason) = backfilled(SourceHas::Image, on_get, confirm).await;
        assert_eq!(code, "source-unread", "{reason}");
        assert!(reason.contains("could not be read from SOURCE/staging/team: "), "{reason}");
        assert!(reason.contains("500"), "{reason}");
    }
}

#[tokio::test]
async fn a_layer_that_its_source_lost_is_told_apart_from_one_that_it_does_not_send() {
    let lost = |image: &TestImage| Some(Fault::everywhere(&layer(image)).status(404));
    let (code, reason) = backfilled(SourceHas::Image, lost, Write).await;
    assert_eq!(code, "backfilled", "{reason}");
    assert!(reason.starts_with("SOURCE/staging/team no longer has all of the image: "), "{reason}");
    let cut = |image: &TestImage| Some(Fault::on(Method::GET, &layer(image)).truncate_after(9));
    for fault in [cut, |image: &TestImage| Some(Fault::everywhere(&layer(image)).status(500))] {
        let (code, reason) = backfilled(SourceHas::Image, fault, Write).await;
        assert_eq!(code, "source-unread", "{reason}");
        let begins = "the image could not be read from SOURCE/staging/team: ";
        assert!(reason.starts_with(begins), "{reason}");
    }
}
