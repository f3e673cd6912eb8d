//! Promotion of all kinds of images and artifacts.

use http::Method;
use job::Confirm::{DryRun, Write};
use oci::{Descriptor, Digest};
use promoter::PromotionSettings;
use testkit::{Fault, RecordedRequest, fixture, fixture::TestImage};

use crate::harness::{TestRegistries, entry, outcomes_of, promote, promote_with, reason};

#[tokio::test]
async fn an_index_of_indexes_is_copied_whole() {
    let registries = TestRegistries::open().await;
    let image = fixture::nested(1, 2);
    registries.staging.load("staging/team/app", None, &image).await;
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    let report = promote_with(vec![project.clone()], &PromotionSettings::new(Write)).await;
    assert_eq!(outcomes_of(&report), ["copied"; 2], "{report:#}");
    for registry in &registries.production {
        assert!(registry.holds("images/app", &image).await);
    }
    assert_eq!(
        outcomes_of(&promote_with(vec![project], &PromotionSettings::new(Write)).await),
        ["present"; 2]
    );
}

#[tokio::test]
async fn a_sha512_digest_is_promoted_untagged() {
    let registries = TestRegistries::open().await;
    let image = fixture::in_sha512(&fixture::image(1, 2));
    assert!(image.digest().to_string().starts_with("sha512:"));
    registries.staging.load("staging/team/app", None, &image).await;
    let project = registries.project("team", &entry("app", &image, &[]));
    let report = promote_with(vec![project.clone()], &PromotionSettings::new(Write)).await;
    assert_eq!(outcomes_of(&report), ["copied"; 2], "{report:#}");
    for registry in &registries.production {
        assert!(registry.holds("images/app", &image).await);
    }
    assert_eq!(
        outcomes_of(&promote_with(vec![project], &PromotionSettings::new(Write)).await),
        ["present"; 2]
    );
}

/// A registry that has only this manifest, under its digest. Portolan's own registry does not accept such a manifest.
pub(crate) async fn serving(image: &TestImage) -> testkit::TestServer {
    let TestImage { descriptor, bytes, .. } = image.clone();
    let respond = move |request: &http::Request<testkit::Body>| {
        let is_it = request.uri().path().ends_with(&descriptor.digest.to_string());
        let (status, content) = if is_it { (200, bytes.clone()) } else { (404, "".into()) };
        let response = http::Response::builder()
            .status(if request.uri().path() == "/v2/" { 200 } else { status })
            .header("content-type", &descriptor.media_type)
            .header("docker-content-digest", descriptor.digest.to_string())
            .header("content-length", content.len());
        let is_head = request.method() == Method::HEAD;
        let body = if is_head { testkit::Body::empty() } else { testkit::Body::from(content) };
        response.body(body).expect("a response")
    };
    testkit::TestServer::start(move |request| std::future::ready(respond(&request))).await
}

#[tokio::test]
async fn an_image_that_is_served_as_an_index_is_refused() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    let mut content: serde_json::Value = serde_json::from_slice(&image.bytes).expect("JSON");
    content.as_object_mut().expect("an object").remove("mediaType");
    let bytes = bytes::Bytes::from(content.to_string());
    let descriptor = Descriptor::of(oci::media_type::OCI_INDEX, &bytes);
    let image = TestImage { descriptor, bytes, blobs: Vec::new(), children: Vec::new() };
    let server = serving(&image).await;
    let from =
        oci::RegistryPrefix { host: server.host(), path: Some("team".parse().expect("a path")) };
    let to = registries.production.each_ref().map(|registry| registry.prefix("images"));
    let project = crate::harness::manifest("team", &from, &to, &entry("app", &image, &["v1"]));
    let report = promote(vec![project], Write).await;
    assert_eq!(outcomes_of(&report), ["failed"; 2], "{report:#}");
    assert!(reason(&report, "failed").contains("ambiguous"), "{report:#}");
    for registry in &registries.production {
        assert!(!registry.holds("images/app", &image).await);
    }
}

#[tokio::test]
async fn docker_schema_1_is_refused_in_words_by_the_plan() {
    let registries = TestRegistries::open().await;
    let bytes = r#"{"schemaVersion":1,"name":"app","tag":"v1","fsLayers":[],"history":[]}"#;
    // The digest is that of the signed part, not of the whole manifest, which includes the signatures.
    let descriptor = Descriptor::of(oci::media_type::DOCKER_SCHEMA1_SIGNED, b"what is signed");
    let old =
        TestImage { descriptor, bytes: bytes.into(), blobs: Vec::new(), children: Vec::new() };
    let fine = fixture::image(1, 1);
    registries.staging.load("staging/team/app", None, &fine).await;
    let server = serving(&old).await;
    let from =
        oci::RegistryPrefix { host: server.host(), path: Some("old".parse().expect("a path")) };
    let to = registries.production.each_ref().map(|registry| registry.prefix("images"));
    let projects = vec![
        crate::harness::manifest("old", &from, &to, &entry("legacy", &old, &["v1"])),
        registries.project("team", &entry("app", &fine, &["v1"])),
    ];
    for (confirm, fine) in [(DryRun, "to_copy"), (Write, "copied")] {
        let report = promote(projects.clone(), confirm).await;
        let mut expected = vec!["failed", "failed", fine, fine];
        expected.sort_unstable();
        assert_eq!(outcomes_of(&report), expected, "{report:#}");
        let reason = reason(&report, "failed");
        assert!(reason.contains("schema 1") && reason.contains("rebuild the image"), "{reason}");
    }
}

#[tokio::test]
async fn docker_schema_1_that_is_there_already_is_present() {
    let old = Digest::sha256(b"what is signed").to_string();
    let server = {
        let old = old.clone();
        let respond = move |request: &http::Request<testkit::Body>| {
            let path = request.uri().path();
            let (status, body) = match path {
                "/v2/" => (200, ""),
                _ if path.contains("/referrers/") => (404, ""),
                _ if path.ends_with("/tags/list") => (200, r#"{"name":"a/legacy","tags":["v1"]}"#),
                _ if path.ends_with("/v1") || path.ends_with(&old) => (200, "all of it"),
                _ => (404, ""),
            };
            let is_head = request.method() == Method::HEAD;
            let response = http::Response::builder()
                .status(status)
                .header("content-type", oci::media_type::DOCKER_SCHEMA1_SIGNED)
                .header("docker-content-digest", &old)
                .header("content-length", body.len());
            response.body(testkit::Body::from(if is_head { "" } else { body })).expect("a response")
        };
        testkit::TestServer::start(move |request| std::future::ready(respond(&request))).await
    };
    let at = |path: &str| oci::RegistryPrefix {
        host: server.host(),
        path: Some(path.parse().expect("a path")),
    };
    let images = format!("- name: legacy\n  dmap: {{\"{old}\": [v1]}}\n");
    let project = crate::harness::manifest("old", &at("staging"), &[at("a")], &images);
    let report = promote_with(vec![project], &PromotionSettings::new(Write)).await;
    assert_eq!(outcomes_of(&report), ["present"], "{report:#}");
}

#[tokio::test]
async fn a_blob_that_images_share_moves_to_each_registry_once() {
    let registries = TestRegistries::open().await;
    // The platforms of one index share their first layer, and so do these images, with one another.
    let images: Vec<_> = (0..4).map(|_| fixture::image_with_layers(7, &[9_000])).collect();
    let mut list = String::new();
    for (n, image) in images.iter().enumerate() {
        registries.staging.load(&format!("staging/team/app{n}"), None, image).await;
        list += &entry(&format!("app{n}"), image, &["v1"]);
    }
    let report = promote(vec![registries.project("team", &list)], Write).await;
    assert_eq!(outcomes_of(&report), ["copied"; 8]);
    let layer = images[0].blobs[1].descriptor.digest;
    // The colon is escaped in queries.
    let of_layer = |it: &RecordedRequest| it.path_and_query.contains(&layer.hex());
    let read = |it: &RecordedRequest| it.method == Method::GET && of_layer(it);
    assert_eq!(registries.staging.count(read), 1, "read once");
    for registry in &registries.production {
        let sent = |it: &RecordedRequest| it.method == Method::PUT && of_layer(it);
        assert_eq!(registry.count(sent), 1, "sent once");
        let is_upload = |it: &RecordedRequest| it.method == Method::POST && of_layer(it);
        assert_eq!(registry.count(is_upload), 4, "and mounted three times");
    }
}

#[tokio::test]
async fn two_destinations_at_one_registry_cost_one_transfer() {
    let registries = TestRegistries::open().await;
    let image = fixture::index(1, 2, 2);
    registries.staging.load("staging/team/app", None, &image).await;
    let registry = &registries.production[0];
    let to = ["images", "images/kubernetes", "mirror"].map(|path| registry.prefix(path));
    let from = registries.staging.prefix("staging/team");
    let project = crate::harness::manifest("team", &from, &to, &entry("app", &image, &["v1"]));
    // A mount that is refused is made up for within the registry.
    registry.fail(Fault::on(Method::POST, "/v2/mirror/").refuse_mount());
    let report = promote(vec![project], Write).await;
    assert_eq!(outcomes_of(&report), ["copied"; 3], "{report:#}");
    for path in ["images/app", "images/kubernetes/app", "mirror/app"] {
        assert!(registry.holds(path, &image).await, "{path}");
    }
    let blobs = image.digests().len() - image.manifests().len();
    let read =
        |it: &RecordedRequest| it.method == Method::GET && it.path_and_query.contains("/blobs/");
    assert_eq!(registries.staging.count(read), blobs, "each blob is read once from the source");
    assert_eq!(registry.count(read), blobs, "and once from the registry, for who takes no mounts");
}

#[tokio::test]
async fn a_layer_of_a_manifest_media_type_is_copied_as_a_blob() {
    let registries = TestRegistries::open().await;
    let image = fixture::with_layer_type(&fixture::image(1, 1), 0, oci::media_type::OCI_INDEX);
    registries.staging.load("staging/team/app", None, &image).await;
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    assert_eq!(outcomes_of(&promote(vec![project], Write).await), ["copied"; 2]);
    assert!(registries.production[0].holds("images/app", &image).await);
}

#[tokio::test]
async fn layers_that_may_not_be_distributed_are_named_in_the_outcome() {
    let registries = TestRegistries::open().await;
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let image = fixture::with_layer_type(&fixture::image(1, 2), 1, foreign);
    registries.staging.load("staging/team/app", None, &image).await;
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    for (confirm, kind) in [(DryRun, "to_copy"), (Write, "copied")] {
        let report = promote(vec![project.clone()], confirm).await;
        assert_eq!(outcomes_of(&report), [kind; 2]);
        let reason_text = reason(&report, kind);
        let layer = image.blobs[2].descriptor.digest.to_string();
        assert!(
            reason_text.contains("without `urls`") && reason_text.contains(&layer),
            "{reason_text}"
        );
    }
}
