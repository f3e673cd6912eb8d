//! Every code of a reason, provoked: `docs/reference/codes.md`, "Reasons of outcomes".

use std::{pin::Pin, time::Duration};

use credentials::{Credential, Credentials};
use futures_util::{StreamExt as _, stream};
use http::Method;
use job::Confirm::{DryRun, Write};
use oci::{Descriptor, RegistryPrefix, media_type};
use promoter::{PromotionSettings, ReasonCode, VerifyDepth};
use promotion_manifest::EdgeSet;
use registry_client::{RegistryClient, Retries};
use serde_json::Value;
use testkit::{Fault, TestHost, TestRegistry, fixture, fixture::TestImage};

use crate::{
    harness::{TestRegistries, bare, client, entry, manifest, promote, promote_with, run},
    kinds::serving,
};

/// Codes that no scripted registry can provoke, each with the reason.
const NOT_PROVOKED: [(ReasonCode, &str); 3] = [
    (ReasonCode::InvalidSourceName, "such an image is a problem of the manifest, and has no edges"),
    (
        ReasonCode::SlowDestination,
        "a slow destination is deferred, and then has no faster one beside it",
    ),
    (ReasonCode::SourceFailed, "the failure of the source is reported in its place"),
];

/// A run that provokes a code; its report.
type Scenario = fn() -> Pin<Box<dyn Future<Output = Value>>>;

/// Runs at once, each with three registries of its own.
const RUNS_AT_ONCE: usize = 4;

macro_rules! rows {
    ($($code:literal, $outcome:literal: $report:expr;)+) => {
        &[$(($code, $outcome, || Box::pin($report))),+]
    };
}

/// Code, outcome, and the run that provokes them.
const ROWS: &[(&str, &str, Scenario)] = rows! {
    "tag-move", "refused": tag_move();
    "conflict", "refused": conflict();
    "lost", "lost": lost();
    "interrupted", "failed": stopped(None);
    "deadline", "failed": stopped(Some(Duration::from_secs(30)));
    "unreachable", "failed": unreachable();
    "authentication-required", "failed": at_production(|_, _| Fault::on(Method::POST, "").status(401));
    "login-rejected", "failed": login_rejected();
    "credentials-unavailable", "failed": at_production(without_token);
    "denied", "failed": at_production(|_, _| Fault::on(Method::POST, "").status(403));
    "throttled", "failed": at_production(|_, _| Fault::on(Method::GET, "/tags/list").status(429));
    "not-found", "failed": at_staging(|_, image| Fault::everywhere(&layer(image)).status(404));
    "registry-error", "failed": at_production(|_, _| Fault::on(Method::POST, "").status(500));
    "invalid-response", "failed": at_production(|_, _| Fault::on(Method::PUT, "/blobs/").status(200));
    "transfer-failed", "failed": at_staging(|_, image| Fault::on(Method::GET, &layer(image)).truncate_after(9));
    "digest-mismatch", "failed": at_staging(|_, image| Fault::on(Method::GET, &layer(image)).corrupt());
    "size-mismatch", "failed": size_mismatch();
    "unsupported-manifest", "failed": at_staging(|_, image| schema1(image));
    "image-too-large", "failed": image_too_large();
    "lost-race", "failed": lost_race();
    "tag-unreadable", "failed": at_production(|_, _| after(Method::PUT, "/manifests/v1", "/manifests/v1", 404));
    "tag-not-verified", "failed": at_production(|_, _| after(Method::HEAD, "/manifests/v1", "/manifests/v1", 500));
    "incomplete", "to_copy": incomplete();
    "not-checked", "present": not_checked();
    "backfilled", "copied": backfilled();
    "source-unread", "copied": source_unread();
    "non-distributable", "copied": non_distributable();
    "not-known-before-writing", "to_copy": not_known_before_writing();
    "attachments-not-compared", "failed": attachments_not_compared();
    "attachments-unreadable", "failed": signed_at_staging(|sig| Fault::everywhere(sig).status(503));
    "attachment-broken", "attachment-broken": signed_at_staging(|sig| Fault::everywhere(sig).status(404));
    "attachment-not-copied", "failed": signed(|sig| Fault::on(Method::PUT, sig).status(403));
    "attachment-missing", "failed": signed(|sig| after(Method::PUT, "/manifests/v1", sig, 404));
    "attachment-not-verified", "failed": signed(|sig| after(Method::PUT, "/manifests/v1", sig, 500));
};

#[tokio::test]
async fn each_code_is_that_of_the_outcome_that_provokes_it() {
    let reports = stream::iter(ROWS).map(|(_, _, provoke)| provoke()).buffered(RUNS_AT_ONCE);
    let reports: Vec<_> = reports.collect().await;
    let mut wrong = Vec::new();
    for ((code, outcome, _), report) in ROWS.iter().zip(reports) {
        let outcomes = report["outcomes"].as_array().expect("a list");
        if !outcomes.iter().any(|it| it["outcome"] == *outcome && it["code"] == *code) {
            let found = outcomes.iter().map(|it| format!("{} {}", it["outcome"], it["reason"]));
            wrong.push((*code, found.collect::<Vec<_>>()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_code_is_provoked_or_cannot_be() {
    let provoked = ROWS.iter().map(|(code, ..)| *code);
    let not_provoked = NOT_PROVOKED.iter().map(|(code, _)| code.as_str());
    let mut found: Vec<_> = provoked.chain(not_provoked).collect();
    let mut all = ReasonCode::ALL.map(ReasonCode::as_str).to_vec();
    found.sort_unstable();
    all.sort_unstable();
    assert_eq!(found, all);
}

/// An image of one layer, in staging only.
async fn scene() -> (TestRegistries, TestImage) {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.staging.load("staging/team/app", None, &image).await;
    (registries, image)
}

/// The path of the layer of `image`.
fn layer(image: &TestImage) -> String {
    format!("/blobs/{}", image.blobs[1].descriptor.digest)
}

/// All requests to a path that ends so get this status, once there was a request of this method to `first`.
fn after(method: Method, first: &str, path: &str, status: u16) -> Fault {
    Fault::everywhere(path).ending().status(status).once_there_was(method, first)
}

/// A promotion of an image whose destination has a fault.
async fn at_production(fault: fn(&TestRegistry, &TestImage) -> Fault) -> Value {
    let (registries, image) = scene().await;
    let registry = &registries.production[0];
    registry.fail(fault(registry, &image));
    promote(vec![registries.project("team", &entry("app", &image, &["v1"]))], Write).await
}

/// A promotion of an image whose source has a fault.
async fn at_staging(fault: fn(&TestRegistry, &TestImage) -> Fault) -> Value {
    let (registries, image) = scene().await;
    registries.staging.fail(fault(&registries.staging, &image));
    promote(vec![registries.project("team", &entry("app", &image, &["v1"]))], Write).await
}

/// The realm of its challenge does not exist.
fn without_token(registry: &TestRegistry, _: &TestImage) -> Fault {
    let challenge = format!(r#"Bearer realm="http://{}/no-token",service="x""#, registry.host());
    Fault::on(Method::POST, "").status(401).header("www-authenticate", &challenge)
}

/// The manifest is one of Docker schema 1.
fn schema1(image: &TestImage) -> Fault {
    let fault = Fault::on(Method::GET, &format!("/manifests/{}", image.digest())).status(200);
    fault.header("content-type", media_type::DOCKER_SCHEMA1_SIGNED).body("{}")
}

async fn tag_move() -> Value {
    let (registries, image) = scene().await;
    registries.production[0].load("images/app", "v1", &fixture::image(2, 1)).await;
    promote(vec![registries.project("team", &entry("app", &image, &["v1"]))], Write).await
}

async fn conflict() -> Value {
    let (registries, image) = scene().await;
    let other = entry("app", &fixture::image(2, 1), &["v1"]);
    let images = entry("app", &image, &["v1"]) + &other;
    promote(vec![registries.project("team", &images)], Write).await
}

async fn lost() -> Value {
    let registries = TestRegistries::open().await;
    let images = entry("app", &fixture::image(1, 1), &["v1"]);
    promote(vec![registries.project("team", &images)], Write).await
}

async fn stopped(deadline: Option<Duration>) -> Value {
    let (registries, image) = scene().await;
    let edges = EdgeSet::new(vec![registries.project("team", &entry("app", &image, &["v1"]))]);
    let (stopper, stop) = job::stop();
    match deadline {
        Some(deadline) => stopper.stop_at_deadline(deadline),
        None => stopper.stop(),
    }
    run(client(), &edges, &bare(Write), &stop).await
}

async fn unreachable() -> Value {
    let (registries, image) = scene().await;
    let to = [RegistryPrefix { host: TestHost::unreachable(), path: None }];
    let from = registries.staging.prefix("staging/team");
    promote(vec![manifest("team", &from, &to, &entry("app", &image, &["v1"]))], Write).await
}

async fn login_rejected() -> Value {
    let (registries, image) = scene().await;
    let registry = &registries.production[0];
    let refusal = Fault::everywhere("/v2/").status(401);
    registry.fail(refusal.header("www-authenticate", r#"Basic realm="registry""#));
    let credential = Credential::Basic { user: "u".to_owned(), password: "p".to_owned().into() };
    let credentials = Credentials::builder().with(&registry.host(), credential).build();
    let client =
        RegistryClient::builder().retries(Retries::none()).credentials(credentials).build();
    let edges = EdgeSet::new(vec![registries.project("team", &entry("app", &image, &["v1"]))]);
    run(client, &edges, &bare(Write), &job::stop().1).await
}

async fn size_mismatch() -> Value {
    let registries = TestRegistries::open().await;
    let sound = fixture::index(1, 2, 1);
    let image = fixture::with_child_size(&sound, 1, sound.children[1].bytes.len() + 1);
    registries.staging.load("staging/team/app", None, &image).await;
    promote(vec![registries.project("team", &entry("app", &image, &["v1"]))], Write).await
}

async fn image_too_large() -> Value {
    let registries = TestRegistries::open().await;
    let child = |n: usize| TestImage {
        descriptor: Descriptor::of(media_type::OCI_MANIFEST, n.to_string().as_bytes()),
        bytes: bytes::Bytes::new(),
        blobs: Vec::new(),
        children: Vec::new(),
    };
    let children: Vec<_> = (0..=2_048).map(child).collect();
    let image = fixture::index_listing(&children.iter().collect::<Vec<_>>());
    let server = serving(&image).await;
    let from = RegistryPrefix { host: server.host(), path: Some("x".parse().expect("a path")) };
    let to = [registries.production[0].prefix("images")];
    promote(vec![manifest("team", &from, &to, &entry("app", &image, &["v1"]))], Write).await
}

async fn lost_race() -> Value {
    let (registries, image) = scene().await;
    let theirs = fixture::image(2, 1);
    registries.production[0].load("images/app", None, &theirs).await;
    let put = Fault::on(Method::PUT, "/manifests/v1");
    registries.production[0].fail(put.then_put("/v2/images/app/manifests/v1", &theirs));
    promote(vec![registries.project("team", &entry("app", &image, &["v1"]))], Write).await
}

async fn incomplete() -> Value {
    let (registries, image) = scene().await;
    for registry in &registries.production {
        registry.load("images/app", None, &image).await;
    }
    registries.production[0].delete_blob("images/app", &image.blobs[1].descriptor.digest).await;
    promote(vec![registries.project("team", &entry("app", &image, &["v1"]))], DryRun).await
}

async fn not_checked() -> Value {
    let (registries, image) = scene().await;
    for registry in &registries.production {
        registry.load("images/app", "v1", &image).await;
        registry.fail(schema1(&image));
    }
    let deep = PromotionSettings { verify: VerifyDepth::Deep, ..bare(Write) };
    promote_with(vec![registries.project("team", &entry("app", &image, &["v1"]))], &deep).await
}

async fn backfilled() -> Value {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.production[0].load("images/app", "v1", &image).await;
    promote(vec![registries.project("team", &entry("app", &image, &["v1"]))], Write).await
}

async fn source_unread() -> Value {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 1);
    registries.production[0].load("images/app", "v1", &image).await;
    registries.staging.fail(Fault::everywhere("/staging/").status(503));
    promote(vec![registries.project("team", &entry("app", &image, &["v1"]))], Write).await
}

async fn non_distributable() -> Value {
    let registries = TestRegistries::open().await;
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let image = fixture::with_layer_type(&fixture::image(1, 2), 1, foreign);
    registries.staging.load("staging/team/app", None, &image).await;
    promote(vec![registries.project("team", &entry("app", &image, &["v1"]))], Write).await
}

async fn not_known_before_writing() -> Value {
    let (registries, image) = scene().await;
    registries.production[0].fail(Fault::everywhere("/images/app/").status(401));
    promote(vec![registries.project("team", &entry("app", &image, &["v1"]))], DryRun).await
}

async fn attachments_not_compared() -> Value {
    let (registries, image) = scene().await;
    for registry in &registries.production {
        registry.load("images/app", "v1", &image).await;
    }
    registries.staging.fail(Fault::everywhere("/staging/team/app/").status(500));
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    promote_with(vec![project], &PromotionSettings::new(Write)).await
}

/// A promotion of an image with a signature; the fault at the destination is made for its digest tag.
async fn signed(fault: fn(&str) -> Fault) -> Value {
    let (registries, image, sig) = signed_scene().await;
    registries.production[0].fail(fault(&sig));
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    promote_with(vec![project], &PromotionSettings::new(Write)).await
}

/// The same with the fault at the source.
async fn signed_at_staging(fault: fn(&str) -> Fault) -> Value {
    let (registries, image, sig) = signed_scene().await;
    registries.staging.fail(fault(&sig));
    let project = registries.project("team", &entry("app", &image, &["v1"]));
    promote_with(vec![project], &PromotionSettings::new(Write)).await
}

async fn signed_scene() -> (TestRegistries, TestImage, String) {
    let (registries, image) = scene().await;
    let sig = format!("sha256-{}.sig", image.digest().hex());
    let signature = fixture::signatures("p", &["staging"]);
    registries.staging.load("staging/team/app", &*sig, &signature).await;
    (registries, image, sig)
}
