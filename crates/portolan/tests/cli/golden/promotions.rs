//! Examples of the errors of promotions and of attachments, each by a run of `portolan promote`: kept as `mod.rs` says.

use http::{Method, Response};
use oci::{Descriptor, Digest, media_type};
use registry::{Registry, RegistrySettings, Storage};
use serde_json::{Value, json};
use testkit::{Body, Fault, TestRegistry, TestServer, fixture, fixture::TestImage};

use super::Errors;
use crate::harness::entry;

const OCI_MANIFEST: &str = media_type::OCI_MANIFEST;

/// A staging and a production registry, and a manifest that promotes an image from one to the other.
struct Scene {
    staging: TestRegistry,
    production: TestRegistry,
    /// One blob, so that one failure comes first.
    image: TestImage,
}

impl Scene {
    /// The image is in staging only.
    async fn new(errors: &mut Errors) -> Self {
        Self::with(errors, fixture::image(1, 0)).await
    }

    async fn with(errors: &mut Errors, image: TestImage) -> Self {
        let settings =
            RegistrySettings { allow_missing_references: true, ..RegistrySettings::default() };
        let staging = TestRegistry::over(Registry::with(Storage::memory(), settings, None)).await;
        let production = TestRegistry::start().await;
        errors.call(&staging.host(), "staging.example");
        errors.call(&production.host(), "registry.example");
        staging.load("team/app", None, &image).await;
        Self { staging, production, image }
    }

    /// The digest tag of the image.
    fn tag(&self, suffix: &str) -> String {
        format!("sha256-{}{suffix}", self.image.digest().hex())
    }

    /// Puts this under the digest tag of the image's signatures, in staging and in production.
    async fn sign(&self, staging: &TestImage, production: &TestImage) {
        self.staging.load("team/app", &*self.tag(".sig"), staging).await;
        self.production.load("images/app", &*self.tag(".sig"), production).await;
    }

    /// Promotes the image and adds the run.
    async fn promote(&self, errors: &mut Errors, title: &str) {
        let (from, to) = (self.staging.host(), self.production.host());
        let registries = format!("- name: {from}/team\n  src: true\n- name: {to}/images\n");
        let images = entry("app", &self.image, &["v1"]);
        errors.file("images.yaml", &format!("registries:\n{registries}images:\n{images}"));
        errors.run(title, &["promote", "--quiet", "--manifest", "images.yaml", "--confirm"]).await;
    }
}

/// An index of referrers that lists these.
fn index_of(manifests: &[&Descriptor]) -> String {
    json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": manifests})
        .to_string()
}

/// The image with a config of this many bytes in place of its own.
fn with_long_config(mut image: TestImage, bytes: usize) -> TestImage {
    let mut manifest: Value = serde_json::from_slice(&image.bytes).expect("a manifest");
    let config = fixture::noise(1, bytes);
    image.blobs[0].descriptor = Descriptor::of(media_type::OCI_CONFIG, &config);
    image.blobs[0].bytes = config;
    manifest["config"] = json!(image.blobs[0].descriptor);
    image.bytes = manifest.to_string().into();
    image.descriptor = Descriptor::of(OCI_MANIFEST, &image.bytes);
    image
}

#[tokio::test]
async fn errors_of_destinations() {
    let mut errors = Errors::new();
    let at_manifest = || Fault::on(Method::PUT, "/manifests/");
    for (title, fault) in [
        ("a blob that is not stored", Fault::on(Method::PUT, "/blobs/").status(202)),
        ("a manifest that is redirected", at_manifest().status(307).header("location", "/other")),
        ("an upload session at another scheme", {
            Fault::on(Method::POST, "/blobs/").status(202).header("location", "ftp://a.example/")
        }),
    ] {
        let scene = Scene::new(&mut errors).await;
        scene.production.fail(fault);
        scene.promote(&mut errors, title).await;
    }
    let scene = Scene::new(&mut errors).await;
    scene.production.load("images/app", None, &scene.image).await;
    scene.production.fail(Fault::everywhere("/blobs/sha256:").status(200).body("short"));
    scene.promote(&mut errors, "a blob that stays damaged").await;
    let scene = Scene::new(&mut errors).await;
    let realm = format!("Bearer realm=\"http://{}/token\",service=\"x\"", scene.production.host());
    let challenge = Fault::everywhere("/v2/images/").status(401).header("www-authenticate", &realm);
    scene.production.fail(challenge);
    scene.promote(&mut errors, "a realm that does not exist").await;
    let scene = Scene::new(&mut errors).await;
    let tokens = TestServer::start(async |_| Response::new(Body::from("{}"))).await;
    errors.call(&tokens.host(), "tokens.example");
    let realm = format!("Bearer realm=\"{}/token\",service=\"x\"", tokens.url());
    let challenge = Fault::everywhere("/v2/images/").status(401).header("www-authenticate", &realm);
    scene.production.fail(challenge);
    scene.promote(&mut errors, "a realm that gives no token").await;
    errors.compare("destinations");
}

#[tokio::test]
async fn errors_of_sources() {
    let mut errors = Errors::new();
    let scene = Scene::new(&mut errors).await;
    let get = Fault::on(Method::GET, &format!("/manifests/{}", scene.image.digest())).status(200);
    let bytes = String::from_utf8(scene.image.bytes.to_vec()).expect("JSON");
    scene.staging.fail(get.header("content-type", media_type::OCI_INDEX).body(&bytes));
    scene.promote(&mut errors, "a manifest of another media type than its own").await;
    let child = |n: usize| TestImage {
        descriptor: Descriptor::of(OCI_MANIFEST, n.to_string().as_bytes()),
        bytes: bytes::Bytes::new(),
        blobs: Vec::new(),
        children: Vec::new(),
    };
    let children: Vec<_> = (0..=2_048).map(child).collect();
    let mut index = fixture::index_listing(&children.iter().collect::<Vec<_>>());
    index.children.clear();
    let scene = Scene::with(&mut errors, index).await;
    scene.promote(&mut errors, "an index of too many manifests").await;
    errors.compare("sources");
}

#[tokio::test]
async fn errors_of_attachments() {
    let mut errors = Errors::new();
    let signatures = |signer: &str| fixture::signatures("p", &[signer]);
    let (ours, theirs) = (signatures("staging"), signatures("production"));
    let scene = Scene::new(&mut errors).await;
    scene.sign(&fixture::index(5, 1, 0), &theirs).await;
    scene.promote(&mut errors, "signatures in an index").await;
    for (title, manifest) in [
        ("signatures without a config", json!({"schemaVersion": 2, "layers": []})),
        (
            "signatures without layers",
            json!({"schemaVersion": 2, "config": {"mediaType": "a/b", "digest": Digest::sha256(b""), "size": 0}}),
        ),
        ("signatures that are not a JSON object", json!([])),
    ] {
        let scene = Scene::new(&mut errors).await;
        scene.sign(&ours, &theirs).await;
        let body = manifest.to_string();
        for reference in [scene.tag(".sig"), Digest::sha256(body.as_bytes()).to_string()] {
            let fault = Fault::everywhere(&format!("/manifests/{reference}")).status(200);
            scene.production.fail(fault.header("content-type", OCI_MANIFEST).body(&body));
        }
        scene.promote(&mut errors, title).await;
    }
    let many = |of: &str| {
        let signers: Vec<_> = (0..600).map(|n| format!("{of}{n}")).collect();
        fixture::signatures("p", &signers.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let scene = Scene::new(&mut errors).await;
    scene.sign(&many("a"), &many("b")).await;
    scene.promote(&mut errors, "too many signatures").await;
    let scene = Scene::new(&mut errors).await;
    scene.sign(&ours, &with_long_config(theirs.clone(), (1 << 20) + 1)).await;
    scene.promote(&mut errors, "signatures with a config that is too long").await;
    let scene = Scene::new(&mut errors).await;
    scene.sign(&with_long_config(ours.clone(), (1 << 20) + 1), &theirs).await;
    scene.promote(&mut errors, "new signatures with a config that is too long").await;
    let scene = Scene::new(&mut errors).await;
    scene.sign(&ours, &theirs).await;
    let config = &ours.blobs[0].descriptor.digest;
    scene.staging.fail(Fault::everywhere(&format!("/blobs/{config}")).status(404));
    scene.promote(&mut errors, "signatures whose config does not exist").await;
    let scene = Scene::new(&mut errors).await;
    scene.sign(&ours, &theirs).await;
    let put = Fault::on(Method::PUT, &format!("/manifests/{}", scene.tag(".sig")));
    scene.production.fail(put.status(412));
    scene.promote(&mut errors, "signatures that others write at the same time").await;
    let scene = Scene::new(&mut errors).await;
    scene.sign(&ours, &theirs).await;
    let path = format!("/manifests/{}", scene.tag(".sig"));
    let late = Fault::everywhere(&path).status(404).once_there_was(Method::PUT, &path);
    scene.production.fail(late);
    scene.promote(&mut errors, "signatures that are not returned after a write").await;
    errors.compare("attachments");
}

#[tokio::test]
async fn errors_of_referrers() {
    let mut errors = Errors::new();
    let subject = fixture::image(1, 0).descriptor;
    let (own, other) = (fixture::referrer(3, &subject, "a/b"), fixture::image(7, 0));
    let of_other = fixture::referrer(4, &other.descriptor, "a/b");
    let many: Vec<_> = (0..=1_000)
        .map(|n: usize| Descriptor::of(OCI_MANIFEST, n.to_string().as_bytes()))
        .collect();
    let many = index_of(&many.iter().collect::<Vec<_>>());
    let image = String::from_utf8(own.bytes.to_vec()).expect("JSON");
    let listed = |kind: &str, body: &str| {
        Fault::on(Method::GET, "/referrers/").status(200).header("content-type", kind).body(body)
    };
    for (title, kind, body) in [
        ("a referrer of another image", media_type::OCI_INDEX, index_of(&[&of_other.descriptor])),
        ("a referrer without a subject", media_type::OCI_INDEX, index_of(&[&other.descriptor])),
        ("too many referrers", media_type::OCI_INDEX, many),
        ("an image in place of referrers", OCI_MANIFEST, image),
    ] {
        let scene = Scene::new(&mut errors).await;
        scene.staging.load("team/app", None, &of_other).await;
        scene.staging.load("team/app", None, &other).await;
        scene.staging.fail(listed(kind, &body));
        scene.promote(&mut errors, title).await;
    }
    // A registry without a referrers API, which has an index of referrers under a tag.
    let scene = Scene::new(&mut errors).await;
    scene.staging.load("team/app", None, &own).await;
    scene.production.fail(Fault::on(Method::GET, "/referrers/").status(404));
    let index = format!("/manifests/{}", scene.tag(""));
    scene.production.fail(Fault::on(Method::PUT, &index).status(403));
    scene.promote(&mut errors, "an index of referrers that cannot be written").await;
    let scene = Scene::new(&mut errors).await;
    scene.staging.load("team/app", None, &own).await;
    scene.production.fail(Fault::on(Method::GET, "/referrers/").status(404));
    let bytes = String::from_utf8(scene.image.bytes.to_vec()).expect("JSON");
    let get = Fault::everywhere(&index).status(200).header("content-type", OCI_MANIFEST);
    scene.production.fail(get.body(&bytes));
    scene.promote(&mut errors, "a tag of an index of referrers that is the image").await;
    errors.compare("referrers");
}
