//! The JSON report and its schema: `docs/reference/report.md`, "The report of a mirroring", and every code of
//! `docs/reference/codes.md`, "Failures of a mirror run".
#![expect(clippy::expect_used, reason = "helpers of tests")]

use std::{fs, sync::LazyLock, time::Duration};

use blob_store::{BlobStore, key};
use credentials::{Credential, Credentials};
use http::Method;
use job::{Confirm, Silent, stop};
use jsonschema::Validator;
use mirror::{FailureCode, MirrorOptions, MirrorReport, Stores, mirror, mirror_report_schema};
use oci::Digest;
use registry_client::{RegistryClient, Retries};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{
    Fault, TestRegistry,
    fixture::{self, TestImage},
};
use transfer::MAX_DEPTH;

/// How long the client waits: long enough for a busy machine, short enough for a registry that does not respond.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(1);

/// A mirroring of `prod/app:v1` of a registry.
struct Scenario {
    registry: TestRegistry,
    image: TestImage,
    prefix: &'static str,
    directory: TempDir,
    /// A store in place of the one in `directory`.
    store: Option<&'static str>,
    /// The password of the user.
    password: Option<&'static str>,
    is_stopped: bool,
}

impl Scenario {
    async fn of(image: TestImage) -> Self {
        let registry = TestRegistry::start().await;
        registry.load("prod/app", "v1", &image).await;
        Self {
            registry,
            image,
            prefix: "prod",
            directory: TempDir::new().expect("a directory"),
            store: None,
            password: None,
            is_stopped: false,
        }
    }

    fn failing(self, fault: Fault) -> Self {
        self.registry.fail(fault);
        self
    }

    /// The digest of a layer.
    fn layer(&self) -> Digest {
        self.image.blobs[1].descriptor.digest
    }

    fn client(&self) -> RegistryClient {
        let client = RegistryClient::builder().retries(Retries::none());
        let client = client.request_timeout(CLIENT_TIMEOUT).idle_timeout(CLIENT_TIMEOUT);
        let Some(password) = self.password else { return client.build() };
        let password = password.to_owned().into();
        let credential = Credential::Basic { user: "ci-bot".to_owned(), password };
        let credentials = Credentials::builder().with(&self.registry.host(), credential);
        client.credentials(credentials.build()).build()
    }

    /// The report of a run, as it is printed.
    async fn report(&self, confirm: Confirm) -> Value {
        let url = format!("file://{}", self.directory.path().display());
        let store = BlobStore::open(self.store.unwrap_or(&url)).expect("a store");
        let to = Stores::new(vec![store]).expect("one store");
        let options = MirrorOptions { from: self.registry.prefix(self.prefix), to, confirm };
        let (stopper, stop) = stop();
        if self.is_stopped {
            stopper.stop();
        }
        let totals = mirror(&self.client(), &options, &stop, &Silent).await;
        serde_json::to_value(MirrorReport::new(&totals, confirm)).expect("JSON")
    }
}

/// A scenario whose report has a failure of this code.
async fn scenario(code: FailureCode) -> Scenario {
    let catalog = |status| Fault::on(Method::GET, "/_catalog").status(status);
    let listing = |path, body| Fault::on(Method::GET, path).status(200).body(body);
    let blob = |scenario: &Scenario| Fault::on(Method::GET, &scenario.layer().hex());
    let own = Scenario::of(fixture::image(1, 1)).await;
    match code {
        FailureCode::Interrupted => Scenario { is_stopped: true, ..own },
        FailureCode::NoTags => Scenario { prefix: "other", ..own },
        FailureCode::LoginRejected => {
            let refusal = Fault::everywhere("/v2/").status(401);
            let refusal = refusal.header("www-authenticate", r#"Basic realm="registry""#);
            Scenario { password: Some("hunter2"), ..own }.failing(refusal)
        }
        FailureCode::LoginRequired => own.failing(catalog(401)),
        FailureCode::CatalogNotOffered => own.failing(catalog(404)),
        FailureCode::CatalogUnreadable => own.failing(catalog(500)),
        FailureCode::InvalidRepositoryName => {
            own.failing(listing("/_catalog", r#"{"repositories":["prod/Bad"]}"#))
        }
        FailureCode::InvalidTagName => own.failing(listing("/tags/list", r#"{"tags":["-bad"]}"#)),
        FailureCode::TagsNotListed => own.failing(Fault::on(Method::GET, "/tags/list").status(500)),
        FailureCode::Unreachable => own.failing(Fault::on(Method::HEAD, "/manifests/").hang()),
        FailureCode::TagNotResolved => own.failing(Fault::everywhere("/manifests/v1").status(403)),
        FailureCode::TagIncomplete | FailureCode::ContentMissing => {
            let fault = blob(&own).status(404);
            own.failing(fault)
        }
        FailureCode::ContentInvalid => {
            let fault = blob(&own).corrupt();
            own.failing(fault)
        }
        FailureCode::ContentUnreadable => {
            let fault = blob(&own).status(500);
            own.failing(fault)
        }
        FailureCode::TagTooLarge => {
            let nest = |inner: TestImage, _| fixture::index_listing(&[&inner]);
            Scenario::of((0..=MAX_DEPTH).fold(fixture::image(1, 1), nest)).await
        }
        FailureCode::ContentNotStored => {
            let file = own.directory.path().join(key(&own.layer()));
            fs::create_dir_all(file).expect("a directory where the blob should be");
            own
        }
        FailureCode::StoreUnwritable => Scenario { store: Some("file:///proc/x"), ..own },
    }
}

fn violations(report: &Value) -> Vec<String> {
    static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
        jsonschema::validator_for(mirror_report_schema().as_value()).expect("a valid schema")
    });
    VALIDATOR.iter_errors(report).map(|error| error.to_string()).collect()
}

fn codes(report: &Value) -> Vec<&str> {
    let failed = report["failed"].as_array().expect("a list");
    failed.iter().filter_map(|failure| failure["code"].as_str()).collect()
}

#[tokio::test]
async fn each_code_is_in_the_report_of_a_run_and_the_schema_allows_the_report() {
    for code in FailureCode::ALL {
        let report = scenario(code).await.report(Confirm::Write).await;
        assert!(codes(&report).contains(&code.as_str()), "{code}: {report:#}");
        assert_eq!(violations(&report), [""; 0], "{code}: {report:#}");
    }
}

#[tokio::test]
async fn the_schema_allows_the_reports_of_a_plan_a_copy_and_a_repair() {
    let scenario = Scenario::of(fixture::image(1, 1)).await;
    let planned = scenario.report(Confirm::DryRun).await;
    let copied = scenario.report(Confirm::Write).await;
    let layer = scenario.directory.path().join(key(&scenario.layer()));
    fs::write(layer, "").expect("the layer is damaged");
    let to_repair = scenario.report(Confirm::DryRun).await;
    let repaired = scenario.report(Confirm::Write).await;
    for report in [&planned, &copied, &to_repair, &repaired] {
        assert_eq!(violations(report), [""; 0], "{report:#}");
    }
    let writes = |report: &Value| {
        let plan = report["plan"].as_array().expect("a list");
        plan.iter().map(|it| json!([it["action"], it["kind"]])).collect::<Vec<_>>()
    };
    let copy = |kind| json!(["copy", kind]);
    assert_eq!(writes(&planned), [copy("blob"), copy("blob"), copy("manifest")]);
    assert_eq!(writes(&to_repair), [json!(["repair", "blob"])]);
}

#[tokio::test]
async fn the_schema_rejects_what_no_report_has() {
    let scenario = scenario(FailureCode::ContentMissing).await;
    let report = scenario.report(Confirm::Write).await;
    let planned = scenario.report(Confirm::DryRun).await;
    let rejects = |report: &Value, pointer: &str, value: Option<Value>| {
        let mut report = report.clone();
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        let parent = report.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
        match value {
            Some(value) => parent.insert(name.to_owned(), value),
            None => parent.remove(name),
        };
        assert!(!violations(&report).is_empty(), "{pointer}: {report:#}");
    };
    for (pointer, value) in [
        ("/schema", json!(2)),
        ("/bytes", json!(-1)),
        ("/more", json!(0)),
        ("/failed/0/code", json!("lost")),
        ("/failed/0/more", json!(0)),
        ("/stores/0/more", json!(0)),
    ] {
        rejects(&report, pointer, Some(value));
    }
    for pointer in ["/confirmed", "/stores/0/failed", "/failed/0/reason"] {
        rejects(&report, pointer, None);
    }
    rejects(&planned, "/plan/0/action", Some(json!("delete")));
    rejects(&planned, "/plan/0/kind", Some(json!("index")));
    rejects(&planned, "/plan/0/size", None);
}
