//! Which credentials a command uses, and what it says where a registry rejects them.

use http::Method;
use oci::RegistryPrefix;
use tempfile::TempDir;
use testkit::{Fault, TestRegistry, TokenModel, TokenRegistry, TokenRights, fixture};

use crate::harness::{Ended, Thin, entry, portolan, write};

/// A docker configuration directory with one entry.
fn docker_config(key: &str, user: &str, password: &str) -> TempDir {
    let directory = TempDir::new().expect("a directory");
    let entry = format!(r#"{{"username":"{user}","password":"{password}"}}"#);
    let config = format!(r#"{{"auths":{{"{key}":{entry}}}}}"#);
    write(&directory.path().join("config.json"), &config);
    directory
}

async fn run_as(config: &TempDir, arguments: &[&str]) -> Ended {
    let mut command = portolan(arguments);
    command.env("DOCKER_CONFIG", config.path());
    command.output().await.expect("the program starts").into()
}

/// A registry that responds with 401 to every request, with any credentials or none.
async fn rejecting() -> TestRegistry {
    let registry = TestRegistry::start().await;
    let refusal = Fault::everywhere("/v2/").status(401);
    registry.fail(refusal.header("www-authenticate", r#"Basic realm="registry""#));
    registry
}

/// A project with one image, and the registry that it comes from.
async fn project(to: &RegistryPrefix) -> (TestRegistry, Thin) {
    let staging = TestRegistry::start().await;
    let image = fixture::image(1, 1);
    staging.load("team/app", None, &image).await;
    let images = entry("app", &image, &["v1"]);
    let thin = Thin::new().project("team", &staging.prefix("team"), to, &images);
    (staging, thin)
}

#[tokio::test]
async fn a_rejected_password_is_no_green_plan_and_its_file_is_named() {
    let registry = rejecting().await;
    let (_staging, thin) = project(&registry.prefix("images")).await;
    let config = docker_config(registry.host().as_str(), "ci-bot", "hunter2");
    let file = config.path().join("config.json");
    let named = format!("the password of user `ci-bot` from {} was rejected", file.display());
    let prefix = registry.prefix("images").to_string();
    let store = TempDir::new().expect("a directory");
    let to = format!("file://{}", store.path().display());
    let promote = ["promote", "--thin-manifest-dir", thin.path()];
    for arguments in [
        &promote[..],
        &[&promote[..], &["--confirm"]].concat(),
        &["mirror", "--from", &prefix, "--to", &to],
        &["mirror", "--from", &prefix, "--to", &to, "--confirm"],
    ] {
        let ended = run_as(&config, arguments).await.expect(1);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains(&named), "{arguments:?}: {said}");
        assert!(!said.contains("hunter2") && !said.contains("does not list"), "{said}");
    }
}

#[tokio::test]
async fn without_credentials_the_places_that_were_looked_in_are_named() {
    let registry = rejecting().await;
    let (_staging, thin) = project(&registry.prefix("images")).await;
    let config = docker_config("other.example", "ci-bot", "hunter2");
    let file = config.path().join("config.json");
    let arguments = ["promote", "--thin-manifest-dir", thin.path(), "--confirm"];
    let ended = run_as(&config, &arguments).await.expect(1);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    let named =
        format!("no credentials for {} were found (looked in {}", registry.host(), file.display());
    assert!(said.contains(&named), "{said}");
}

#[tokio::test]
async fn credentials_of_a_path_suffice_alone() {
    let registry = TokenRegistry::start(TokenModel::DockerHub, TokenRights::Push).await;
    // The realm gives no token without credentials, and so none to a request about the host as a whole.
    registry.fail(Fault::on(Method::GET, "/token").unless_authorized().status(401));
    let (_staging, thin) = project(&registry.prefix("prod")).await;
    let config = docker_config(&format!("{}/prod", registry.host()), "user", "password");
    let arguments = ["promote", "--thin-manifest-dir", thin.path(), "--confirm"];
    run_as(&config, &arguments).await.expect(0);
    assert_eq!(registry.tags("prod/app").await, ["v1"]);
}

#[tokio::test]
async fn a_user_who_may_not_push_is_named_with_the_right_that_is_missing() {
    let registry = TokenRegistry::start(TokenModel::DockerHub, TokenRights::Pull).await;
    let (_staging, thin) = project(&registry.prefix("prod")).await;
    let config = docker_config(registry.host().as_str(), "user", "password");
    let file = config.path().join("config.json");
    let arguments = ["promote", "--thin-manifest-dir", thin.path(), "--confirm"];
    let ended = run_as(&config, &arguments).await.expect(1);
    let named = format!(
        "; user `user` is logged in (password from {}), but may not push to prod/app; grant that right, or log in as \
         another user",
        file.display()
    );
    assert!(ended.stdout.contains(&named), "{}", ended.stdout);
}
