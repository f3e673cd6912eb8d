//! What the tests share: a staging and two production registries, promotion manifests, and runs that return their JSON
//! report.

use std::{sync::LazyLock, time::Duration};

use job::{Confirm, Silent, Stop};
use jsonschema::Validator;
use oci::RegistryPrefix;
use promoter::{
    AttachmentsTo, Clients, Desired, PromotionSettings,
    report::{JsonReport, Show, report_schema},
};
use promotion_manifest::{EdgeSet, PromotionManifest, Selection};
use registry_client::{RegistryClient, Retries};
use serde_json::Value;
use testkit::{RecordedRequest, TestRegistry, fixture::TestImage};

/// A registry to promote from and two to promote to.
pub(crate) struct TestRegistries {
    pub(crate) staging: TestRegistry,
    pub(crate) production: [TestRegistry; 2],
}

impl TestRegistries {
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

/// The entry of an images.yaml that requests `image` under `tags`.
pub(crate) fn entry(name: &str, image: &TestImage, tags: &[&str]) -> String {
    format!("- name: {name}\n  dmap:\n    \"{}\": [{}]\n", image.digest(), tags.join(", "))
}

/// A client that does not retry.
pub(crate) fn client() -> RegistryClient {
    RegistryClient::builder().retries(Retries::none()).build()
}

/// The same, which gives up a silent registry: after a time in which even a busy machine responds.
pub(crate) fn impatient() -> RegistryClient {
    let timeout = Duration::from_secs(10);
    let client = RegistryClient::builder().retries(Retries::none()).connect_timeout(timeout);
    client.request_timeout(timeout).idle_timeout(timeout).build()
}

/// A promotion without attachments, whose requests are counted.
pub(crate) fn bare(confirm: Confirm) -> PromotionSettings {
    PromotionSettings { attachments: AttachmentsTo::Nowhere, ..PromotionSettings::new(confirm) }
}

/// Runs a promotion without attachments and gives its JSON report, with every outcome.
pub(crate) async fn promote(manifests: Vec<PromotionManifest>, confirm: Confirm) -> Value {
    promote_with(manifests, &bare(confirm)).await
}

/// The same, with these settings.
pub(crate) async fn promote_with(
    manifests: Vec<PromotionManifest>,
    settings: &PromotionSettings,
) -> Value {
    run(client(), &EdgeSet::new(manifests), settings, &job::stop().1).await
}

/// Runs a promotion by this client.
pub(crate) async fn run(
    client: RegistryClient,
    edges: &EdgeSet,
    settings: &PromotionSettings,
    stop: &Stop,
) -> Value {
    let mut out = Vec::new();
    let mut report = JsonReport::new(&mut out, Show::Everything);
    let clients = Clients::new(client);
    let selection = Selection::all(edges);
    let desired = Desired { edges, selection: &selection, problems: &[] };
    let ended = promoter::promote(clients, desired, settings, stop, &Silent, &mut report).await;
    ended.expect("the report is written to memory");
    let report = serde_json::from_slice(&out).expect("the report is JSON");
    assert_valid(&report);
    report
}

/// Checks a report against its JSON Schema.
pub(crate) fn assert_valid(report: &Value) {
    static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
        jsonschema::validator_for(report_schema().as_value()).expect("a valid schema")
    });
    let errors: Vec<_> = VALIDATOR.iter_errors(report).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}: {report:#}");
}

/// The `outcome` of each entry of `outcomes`, sorted.
pub(crate) fn outcomes_of(report: &Value) -> Vec<&str> {
    let outcomes = report["outcomes"].as_array().expect("a list");
    let mut found: Vec<_> =
        outcomes.iter().map(|outcome| outcome["outcome"].as_str().expect("an outcome")).collect();
    found.sort_unstable();
    found
}

/// The reason of the only outcome with this `outcome`, or of the first of several that agree.
pub(crate) fn reason<'a>(report: &'a Value, kind: &str) -> &'a str {
    let outcomes = report["outcomes"].as_array().expect("a list");
    let mut found = outcomes.iter().filter(|outcome| outcome["outcome"] == kind);
    let first = found.next().expect(kind);
    first["reason"].as_str().expect("a reason")
}
