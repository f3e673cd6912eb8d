//! The first promotion into a repository. Some registries do not reveal to a user with pull access that a repository does
//! not exist.

use credentials::{Credential, Credentials};
use http::Method;
use job::Confirm::{DryRun, Write};
use oci::Host;
use promoter::PromotionSettings;
use promotion_manifest::EdgeSet;
use registry_client::{RegistryClient, Retries};
use serde_json::Value;
use testkit::{Fault, TestRegistry, TokenModel, TokenRegistry, TokenRights, fixture};

use crate::harness::{bare, entry, is_write, manifest, outcomes_of, reason, run};

const MODELS: [TokenModel; 3] = [TokenModel::DockerHub, TokenModel::Quay, TokenModel::GitHub];

fn client(host: &Host) -> RegistryClient {
    client_with(host, "password")
}

fn client_with(host: &Host, password: &str) -> RegistryClient {
    let password = password.to_owned().into();
    let credential = Credential::Basic { user: "user".to_owned(), password };
    let credentials = Credentials::builder().with(host, credential).build();
    RegistryClient::builder().retries(Retries::none()).credentials(credentials).build()
}

async fn promote(staging: &TestRegistry, to: &TokenRegistry, settings: PromotionSettings) -> Value {
    promote_by(client(&to.host()), staging, to, settings).await
}

async fn promote_by(
    client: RegistryClient,
    staging: &TestRegistry,
    to: &TokenRegistry,
    settings: PromotionSettings,
) -> Value {
    let image = fixture::index(1, 2, 2);
    staging.load("staging/app", None, &image).await;
    let images = entry("app", &image, &["v1"]);
    let project = manifest("team", &staging.prefix("staging"), &[to.prefix("prod")], &images);
    run(client, &EdgeSet::new(vec![project]), &settings, &job::stop().1).await
}

#[tokio::test]
async fn a_rejected_password_fails_the_plan_and_the_run() {
    for model in MODELS {
        let staging = TestRegistry::start().await;
        let to = TokenRegistry::start(model, TokenRights::Push).await;
        for confirm in [DryRun, Write] {
            let client = client_with(&to.host(), "secret!");
            let report = promote_by(client, &staging, &to, PromotionSettings::new(confirm)).await;
            assert_eq!(outcomes_of(&report), ["failed"], "{model:?}: {report:#}");
            let why = reason(&report, "failed");
            assert!(
                why.contains("; the password of user `user` from the settings was rejected: "),
                "{why}"
            );
            assert!(!report.to_string().contains("secret!"));
        }
        assert_eq!(to.count(is_write), 0);
    }
}

#[tokio::test]
async fn a_plan_without_credentials_says_that_there_are_none() {
    let staging = TestRegistry::start().await;
    let to = TokenRegistry::start(TokenModel::DockerHub, TokenRights::Push).await;
    let client = RegistryClient::builder().retries(Retries::none()).build();
    let report = promote_by(client, &staging, &to, PromotionSettings::new(DryRun)).await;
    assert_eq!(outcomes_of(&report), ["to_copy"], "{report:#}");
    let start = format!("; no credentials for {} were found (", to.host());
    assert!(reason(&report, "to_copy").contains(&start), "{report:#}");
}

#[tokio::test]
async fn a_repository_that_does_not_exist_yet_is_promoted_into() {
    let image = fixture::index(1, 2, 2);
    for model in MODELS {
        let staging = TestRegistry::start().await;
        let to = TokenRegistry::start(model, TokenRights::Push).await;
        let report = promote(&staging, &to, PromotionSettings::new(Write)).await;
        assert_eq!(outcomes_of(&report), ["copied"], "{model:?}: {report:#}");
        assert!(to.holds("prod/app", &image).await);
        assert_eq!(to.digest_of("prod/app", "v1").await, Some(image.digest()));
        // Now it exists, and even a dry run reads it.
        for settings in [bare(DryRun), bare(Write)] {
            let report = promote(&staging, &to, settings).await;
            assert_eq!(outcomes_of(&report), ["present"], "{model:?}: {report:#}");
        }
    }
}

#[tokio::test]
async fn a_dry_run_says_that_it_cannot_know_whether_the_repository_exists() {
    for model in MODELS {
        let staging = TestRegistry::start().await;
        let to = TokenRegistry::start(model, TokenRights::Push).await;
        let report = promote(&staging, &to, PromotionSettings::new(DryRun)).await;
        assert_eq!(outcomes_of(&report), ["to_copy"], "{model:?}: {report:#}");
        let note = reason(&report, "to_copy");
        let start = format!("not known before writing: {}/prod/app cannot be read", to.host());
        assert!(note.starts_with(&start) && note.contains("--confirm reads it"), "{note}");
        assert_eq!(to.count(is_write), 0);
    }
}

#[tokio::test]
async fn who_may_not_push_writes_nothing_and_sees_what_is_there() {
    let image = fixture::index(1, 2, 2);
    for model in MODELS {
        let staging = TestRegistry::start().await;
        let to = TokenRegistry::start(model, TokenRights::Pull).await;
        let report = promote(&staging, &to, PromotionSettings::new(Write)).await;
        assert_eq!(outcomes_of(&report), ["failed"], "{model:?}: {report:#}");
        let reason = reason(&report, "failed");
        assert!(reason.contains("401") || reason.contains("403"), "{model:?}: {reason}");
        assert_eq!(to.count(is_write), 0, "{model:?}");
        to.load("prod/app", "v1", &image).await;
        let report = promote(&staging, &to, bare(Write)).await;
        assert_eq!(outcomes_of(&report), ["present"], "{model:?}: {report:#}");
    }
}

/// A run that writes, of an image that is at its source and at the destination, whose list of tags fails with these
/// statuses, one after the other. Returns the report, and the number of requests for the list.
async fn with_failing_lists(statuses: &[u16]) -> (Value, usize) {
    const LIST: &str = "/prod/app/tags/list";
    let (staging, to) = (TestRegistry::start().await, TestRegistry::start().await);
    let image = fixture::image(1, 1);
    staging.load("staging/app", None, &image).await;
    to.load("prod/app", "v1", &image).await;
    for &status in statuses {
        to.fail(Fault::on(Method::GET, LIST).status(status).times(1));
    }
    let images = entry("app", &image, &["v1"]);
    let project = manifest("team", &staging.prefix("staging"), &[to.prefix("prod")], &images);
    let edges = EdgeSet::new(vec![project]);
    let report = run(client(&to.host()), &edges, &bare(Write), &job::stop().1).await;
    assert_eq!(to.count(is_write), 0);
    (report, to.count(|request| request.path_and_query.contains(LIST)))
}

#[tokio::test]
async fn a_repository_that_is_refused_with_push_access_is_read_with_pull_access() {
    let (report, requests) = with_failing_lists(&[401]).await;
    assert_eq!(outcomes_of(&report), ["present"], "{report:#}");
    assert_eq!((&report["outcomes"][0]["reason"], requests), (&Value::Null, 2));
    // Only a refusal is followed by a second read.
    let (report, requests) = with_failing_lists(&[500]).await;
    assert_eq!((outcomes_of(&report), requests), (vec!["failed"], 1));
}

#[tokio::test]
async fn two_refusals_of_one_repository_are_reported_as_one() {
    let (report, requests) = with_failing_lists(&[401, 401]).await;
    assert_eq!((outcomes_of(&report), requests), (vec!["failed"], 2));
    assert_eq!(report["outcomes"][0]["code"], "authentication-required");
    let why = reason(&report, "failed");
    assert_eq!(why.matches("401 Unauthorized").count(), 1, "{why}");
    assert_eq!(why.matches("/prod/app/tags/list").count(), 1, "{why}");
}

#[tokio::test]
async fn a_refusal_and_another_failure_of_one_repository_are_both_reported() {
    let (report, requests) = with_failing_lists(&[401, 502]).await;
    assert_eq!((outcomes_of(&report), requests), (vec!["failed"], 2));
    assert_eq!(report["outcomes"][0]["code"], "authentication-required");
    let why = reason(&report, "failed");
    let (refusal, other) = why.split_once("; GET ").expect(why);
    assert!(refusal.contains("401 Unauthorized"), "{why}");
    assert!(other.contains("502 Bad Gateway"), "{why}");
}
