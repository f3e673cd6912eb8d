//! What the tests share: a staging and some production registries, manifests as people write them,
//! and runs whose JSON report is what is looked at.

use std::time::Duration;

use oci::RegistryPrefix;
use promoter::report::{JsonReport, Show};
use promotion_manifest::{EdgeSet, PromotionManifest};
use registry_client::{Client, Retries};
use serde_json::Value;
use testkit::{RecordedRequest, TestRegistry, fixture::Image};
use transfer::{Confirm, Silent};

/// A registry to promote from and two to promote to.
pub(crate) struct Harbour {
    pub(crate) staging: TestRegistry,
    pub(crate) production: [TestRegistry; 2],
}

impl Harbour {
    pub(crate) async fn open() -> Self {
        let production = [TestRegistry::start().await, TestRegistry::start().await];
        Self { staging: TestRegistry::start().await, production }
    }

    /// A project that promotes `images` (the text of an images.yaml) from `staging/project` to
    /// `images` at both production registries.
    pub(crate) fn project(&self, project: &str, images: &str) -> PromotionManifest {
        let to = self.production.each_ref().map(|registry| registry.prefix("images"));
        manifest(project, &self.staging.prefix(&format!("staging/{project}")), &to, images)
    }

    /// All requests so far that would change a registry.
    pub(crate) fn writes(&self) -> usize {
        let all = self.production.iter().chain([&self.staging]);
        all.map(|registry| registry.count(is_write)).sum()
    }

    pub(crate) fn clear_requests(&self) {
        self.production.iter().chain([&self.staging]).for_each(|it| it.clear_requests());
    }
}

/// Whether a request could change the registry.
pub(crate) fn is_write(request: &RecordedRequest) -> bool {
    !matches!(request.method.as_str(), "GET" | "HEAD")
}

/// A thin manifest, parsed.
pub(crate) fn manifest(
    project: &str,
    source: &RegistryPrefix,
    destinations: &[RegistryPrefix],
    images: &str,
) -> PromotionManifest {
    let mut registries = format!("registries:\n- name: {source}\n  src: true\n");
    for destination in destinations {
        registries.push_str(&format!("- name: {destination}\n"));
    }
    let file = format!("images/{project}/images.yaml");
    let parsed = promotion_manifest::parse_thin(
        project,
        ("promoter-manifest.yaml", &registries),
        (&file, images),
    );
    assert_eq!(parsed.problems, []);
    parsed.manifest.expect("a manifest without problems")
}

/// The entry of an images.yaml that asks for `image` under `tags`.
pub(crate) fn entry(name: &str, image: &Image, tags: &[&str]) -> String {
    format!("- name: {name}\n  dmap:\n    \"{}\": [{}]\n", image.digest(), tags.join(", "))
}

/// A client that does not wait long.
pub(crate) fn client() -> Client {
    let patience = Duration::from_millis(500);
    Client::builder()
        .retries(Retries::none())
        .connect_timeout(patience)
        .request_timeout(patience)
        .idle_timeout(patience)
        .build()
}

/// Runs a promotion and gives its JSON report, with every outcome.
pub(crate) async fn promote(manifests: Vec<PromotionManifest>, confirm: Confirm) -> Value {
    let edges = EdgeSet::new(manifests);
    let (_stopper, stop) = transfer::stop();
    let mut out = Vec::new();
    let mut report = JsonReport::new(&mut out, Show::Everything);
    let summary =
        promoter::promote(client(), &edges, &[], confirm, &stop, &Silent, &mut report).await;
    summary.expect("the report is written to memory");
    serde_json::from_slice(&out).expect("the report is JSON")
}

/// `verdict`s of all outcomes, sorted.
pub(crate) fn verdicts(report: &Value) -> Vec<&str> {
    let outcomes = report["outcomes"].as_array().expect("a list");
    let mut verdicts: Vec<_> =
        outcomes.iter().map(|outcome| outcome["outcome"].as_str().expect("a verdict")).collect();
    verdicts.sort_unstable();
    verdicts
}

/// The reason of the only outcome with this verdict, or of the first of several that agree.
pub(crate) fn reason<'a>(report: &'a Value, verdict: &str) -> &'a str {
    let outcomes = report["outcomes"].as_array().expect("a list");
    let mut found = outcomes.iter().filter(|outcome| outcome["outcome"] == verdict);
    let first = found.next().expect(verdict);
    first["reason"].as_str().expect("a reason")
}
