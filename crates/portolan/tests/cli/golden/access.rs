//! Examples of the errors about credentials, connections, git and files that a run writes: kept as `mod.rs` says.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use http::{Method, Response};
use serde_json::{Value, json};
use testkit::{Body, Fault, TestHost, TestProxy, TestRegistry, TestServer, TestTlsServer, fixture};
use tokio::process::Command;

use super::{DIGEST, Errors, manifest};

const KEY: &str = include_str!("../../../../credentials/tests/credentials/test-key.pem");

/// A registry that responds with 401 to every request, with any credentials or none.
async fn rejecting() -> TestRegistry {
    let registry = TestRegistry::start().await;
    let refusal = Fault::everywhere("/v2/").status(401);
    registry.fail(refusal.header("www-authenticate", r#"Basic realm="registry""#));
    registry
}

/// A credential helper that runs this script.
fn helper(errors: &Errors, name: &str, script: &str) {
    let file = format!("bin/docker-credential-{name}");
    errors.file(&file, &format!("#!/bin/sh\n{script}\n"));
    let path = errors.path().join(file);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a program");
}

#[tokio::test]
async fn errors_of_credentials() {
    let mut errors = Errors::new();
    let registry = rejecting().await;
    let host = registry.host().to_string();
    errors.call(&host, "registry.example");
    errors.prepend_path("bin");
    helper(&errors, "failing", "echo 'the keychain is locked' >&2; exit 1");
    helper(&errors, "garbled", "echo hello");
    helper(&errors, "long", "head -c 100000 /dev/zero");
    errors.file("bin/docker-credential-unusable", "");
    let from = format!("{host}/images");
    let to = format!("file://{}/store", errors.path().display());
    let mirror = ["mirror", "--quiet", "--from", &from, "--to", &to];
    let with_helper = |name: &str| json!({"credHelpers": {&host: name}}).to_string();
    errors.variable("DOCKER_CONFIG", "docker");
    for (title, config) in [
        ("no credentials", "{}".to_owned()),
        (
            "a rejected password",
            json!({"auths": {&host: {"username": "ci-bot", "password": "x"}}}).to_string(),
        ),
        ("a docker configuration that is not JSON", "{".to_owned()),
        ("entries that are not an object", r#"{"auths": []}"#.to_owned()),
        ("a login that is not base64", json!({"auths": {&host: {"auth": "!"}}}).to_string()),
        ("a helper that is not installed", with_helper("missing")),
        ("a helper that is a path", with_helper("../bin/failing")),
        ("a helper that cannot be run", with_helper("unusable")),
        ("a helper that fails", with_helper("failing")),
        ("a helper that prints something else", with_helper("garbled")),
        ("a helper that prints too much", with_helper("long")),
    ] {
        errors.file("docker/config.json", &config);
        errors.run(title, &mirror).await;
    }
    errors.variable("REGISTRY_AUTH_FILE", "missing.json");
    errors.run("a credentials file that does not exist", &mirror).await;
    let account = "  service-account: robot@p.example\n";
    let with_account = manifest(&format!("- name: app\n  dmap:\n    \"{DIGEST}\": []\n"));
    let with_account = with_account.replacen("images:\n", &format!("{account}images:\n"), 1);
    errors.file("images.yaml", &with_account);
    errors.file("other.json", "{}");
    errors.file("list.json", "[]");
    for (title, file) in [
        ("a service account that no manifest names", "other@p.example=other.json"),
        ("a file for a service account that does not exist", "robot@p.example=missing.json"),
        ("a file for a service account that is a directory", "robot@p.example=docker"),
        ("a file for a service account that is not a JSON object", "robot@p.example=list.json"),
        ("a file for a service account of another kind", "robot@p.example=other.json"),
    ] {
        errors.run(title, &["promote", "--manifest", "images.yaml", "--credentials", file]).await;
    }
    errors.compare("credentials");
}

/// A key file of Google's with `member` replaced, or without it.
fn key_file(token_uri: &str, member: &str, value: Option<&str>) -> String {
    let mut file = json!({
        "type": "service_account", "client_email": "robot@p.example", "private_key_id": "1",
        "private_key": KEY, "token_uri": token_uri,
    });
    let members = file.as_object_mut().expect("an object");
    match value {
        Some(value) => drop(members.insert(member.to_owned(), Value::from(value))),
        None => drop(members.remove(member)),
    }
    file.to_string()
}

#[tokio::test]
async fn errors_of_google_credentials() {
    let mut errors = Errors::new();
    let registry = rejecting().await;
    // Only the proxy knows where Google's registry is.
    let proxy = TestProxy::start(&[("gcr.io:80", registry.address())], None).await;
    errors.variable("HTTP_PROXY", format!("http://{}", proxy.address()));
    let tokens = TestServer::start(async |request: http::Request<Body>| {
        let (status, body) = match request.uri().path() {
            "/refused" => (
                400,
                r#"{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}"#,
            ),
            "/token" => (200, r#"{"access_token": "t", "expires_in": 3600}"#),
            _ => (200, "{}"),
        };
        Response::builder().status(status).body(Body::from(body)).expect("a response")
    })
    .await;
    errors.call(&tokens.host(), "google.example");
    errors.variable("GOOGLE_APPLICATION_CREDENTIALS", "google.json");
    let to = format!("file://{}/store", errors.path().display());
    let mirror =
        ["mirror", "--quiet", "--from", "gcr.io/project", "--plain-http", "gcr.io", "--to", &to];
    errors.run("a key file that does not exist", &mirror).await;
    let at = |path: &str| format!("{}{path}", tokens.url());
    for (title, file) in [
        ("a key file that is not JSON", "{\"type\": }".to_owned()),
        ("a key file without a type", key_file(&at("/"), "type", None)),
        ("credentials of another type", key_file(&at("/"), "type", Some("external_account"))),
        ("a key file with an empty text", key_file(&at("/"), "client_email", Some(""))),
        ("a private key that is not PEM", key_file(&at("/"), "private_key", Some("x"))),
        ("a token URL without TLS", key_file("http://google.example/", "project_id", Some("p"))),
        ("a key that Google refuses", key_file(&at("/refused"), "project_id", Some("p"))),
        ("a response without a token", key_file(&at("/empty"), "project_id", Some("p"))),
    ] {
        errors.file("google.json", &file);
        errors.run(title, &mirror).await;
    }
    errors.file("google.json", &key_file(&at("/token"), "project_id", Some("p")));
    let account = ["--impersonate-service-account", "robot"];
    errors.run("a service account without a domain", &[&mirror[..], &account].concat()).await;
    errors.variable("GCE_METADATA_HOST", "http://metadata/");
    errors.run("a metadata server that is no host", &mirror).await;
    errors.compare("google-credentials");
}

#[tokio::test]
async fn errors_of_connections() {
    let mut errors = Errors::new();
    let registry = TestRegistry::start().await;
    let host = registry.host().to_string();
    errors.call(&host, "registry.example");
    let to = format!("file://{}/store", errors.path().display());
    let from = format!("{host}/images");
    let mirror = ["mirror", "--quiet", "--to", &to, "--from"];
    let tls = [&mirror[..], &[&from, "--tls", &host]].concat();
    errors.run("a port that speaks plain HTTP", &tls).await;
    let tls = TestTlsServer::start("127.0.0.1", "{}").await;
    let tls = tls.address().to_string();
    errors.call(&tls, "tls.example");
    let from = format!("{tls}/images");
    errors.run("a certificate that is not trusted", &[&mirror[..], &[&from]].concat()).await;
    let plain = [&mirror[..], &[&from, "--plain-http", &tls]].concat();
    errors.run("a port that speaks TLS", &plain).await;
    let named = ["registry.test/images", "--plain-http", "registry.test"];
    let through = [&mirror[..], &named].concat();
    for (title, proxy) in [
        ("a proxy of another kind", "socks5://proxy.example:1080"),
        ("a proxy without a host", "http://"),
    ] {
        errors.variable("HTTP_PROXY", proxy);
        errors.run(title, &through).await;
    }
    // `user:password` in base64.
    let proxy = TestProxy::start(&[], Some("Basic dXNlcjpwYXNzd29yZA==")).await;
    errors.call(&proxy.address(), "proxy.example:3128");
    for (title, user) in [
        ("a proxy that requires a password", ""),
        ("a proxy that rejects the password", "user:wrong@"),
    ] {
        errors.variable("HTTP_PROXY", format!("http://{user}{}", proxy.address()));
        errors.run(title, &through).await;
    }
    let (secure, _) = TestProxy::start_with_tls(&[], None).await;
    errors.call(&secure.address(), "secure.example:3129");
    errors.variable("HTTP_PROXY", format!("https://{}", secure.address()));
    errors.run("a proxy whose certificate is not trusted", &through).await;
    errors.variable("HTTP_PROXY", format!("https://{host}"));
    errors.run("a proxy that does not speak TLS", &through).await;
    let unreachable = TestHost::unreachable();
    errors.call(&unreachable, "dead.example:3128");
    errors.variable("HTTP_PROXY", format!("http://{unreachable}"));
    errors.run("a proxy that is unreachable", &through).await;
    errors.compare("connections");
}

/// Runs git in a directory.
async fn git(directory: &Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.arg("-C").arg(directory).args(["-c", "user.name=t", "-c", "user.email=t@example"]);
    git.args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    // So that the commit has the same name in every run.
    let date = "2026-01-01T00:00:00Z";
    git.env("GIT_AUTHOR_DATE", date).env("GIT_COMMITTER_DATE", date);
    let output = git.output().await.expect("git");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[tokio::test]
async fn errors_of_selection() {
    let mut errors = Errors::new();
    let registries = "registries:\n- {name: a.example, src: true}\n- name: b.example\n";
    errors.file("tree/manifests/team/promoter-manifest.yaml", registries);
    errors.file("tree/images/team/images.yaml", "[]\n");
    git(errors.path(), &["init", "-q", "tree"]).await;
    let tree = errors.path().join("tree");
    git(&tree, &["commit", "-q", "--allow-empty", "-m", "x"]).await;
    let promote = ["promote", "--thin-manifest-dir", "tree"];
    for (title, flags) in [
        ("a project that does not exist", &["--project", "teams"][..]),
        ("a project without a name", &["--project", ""]),
        ("a revision that does not exist", &["--changed-since", "v1.0"]),
        ("a revision in the reflog", &["--changed-since", "HEAD@{yesterday}"]),
        ("a range of revisions without its end", &["--changed-in", "HEAD"]),
        ("a revision without manifests", &["--changed-in", "HEAD..HEAD"]),
        ("a time that is none", &["--since", "soon"]),
        ("a date in the future", &["--since", "2999-01-01"]),
    ] {
        errors.run(title, &[&promote[..], flags].concat()).await;
    }
    let stdin = ["promote", "--manifest", "-", "--changed-since", "HEAD"];
    errors.run("standard input has no history", &stdin).await;
    let file = ["promote", "--thin-manifest-dir", "tree/images/team/images.yaml"];
    errors.run("a file in the place of a directory", &file).await;
    errors.variable("PATH", "");
    let since = [&promote[..], &["--changed-since", "HEAD"]].concat();
    errors.run("git is not installed", &since).await;
    errors.file("many/manifests/team/promoter-manifest.yaml", registries);
    for n in 0..=10_000 {
        errors.file(&format!("many/images/team/{n}.yaml"), "");
    }
    errors.run("too many files", &["promote", "--thin-manifest-dir", "many"]).await;
    errors.compare("selection");
}

#[tokio::test]
async fn errors_of_files_that_are_written() {
    let mut errors = Errors::new();
    errors.file("images.yaml", &manifest("[]\n"));
    errors.file("file", "");
    let promote = ["promote", "--manifest", "images.yaml"];
    for (title, flags) in [
        ("a report in a directory that does not exist", ["--report", "missing/report.json"]),
        ("a report that is a directory", ["--report", "."]),
        ("metrics in a parent directory", ["--metrics-file", ".."]),
        ("metrics without a file name", ["--metrics-file", "missing/.."]),
    ] {
        errors.run(title, &[&promote[..], &flags].concat()).await;
    }
    let registry = TestRegistry::start().await;
    let image = fixture::image(1, 0);
    registry.load("images/app", "v1", &image).await;
    errors.call(&registry.host(), "registry.example");
    let from = format!("{}/images", registry.host());
    let below = format!("file://{}/file/store", errors.path().display());
    let mirror = ["mirror", "--quiet", "--confirm", "--from", &from, "--to"];
    errors.run("a store below a file", &[&mirror[..], &[&below]].concat()).await;
    errors.file("store/containers/images", "");
    let blocked = format!("file://{}/store", errors.path().display());
    errors
        .run(
            "a store with a file in the place of a directory",
            &[&mirror[..], &[&blocked]].concat(),
        )
        .await;
    errors.compare("written-files");
}

#[tokio::test]
async fn errors_of_address_ranges() {
    let mut errors = Errors::new();
    for (title, format, list) in [
        ("a list that is not JSON", "aws", &b"<html>"[..]),
        ("a list of another cloud", "gcp", b"{}"),
        ("a list without prefixes", "cidr", b"# none\n"),
        ("a line that is no prefix", "cidr", b"192.0.2.0/24\n192.0.2.0/33\n"),
        ("a line with too many words", "cidr", b"192.0.2.0/24 region one\n"),
        ("a line that is not text", "cidr", b"192.0.2.0/24\n\xff\n"),
        ("a list that is too long", "cidr", &[b'#'; (16 << 20) + 1]),
    ] {
        fs::write(errors.path().join("ranges"), list).expect("it is written");
        errors.file(
            "front.yaml",
            &format!(
                "upstream: {{endpoint: \"https://registry.example\"}}\nranges: [{{cloud: a, format: {format}, from: ranges}}]\n"
            ),
        );
        errors.faults(title, &["serve", "--config", "front.yaml", "--check"]).await;
    }
    let server = TestTlsServer::start("127.0.0.1", "192.0.2.0/24\n").await;
    errors.call(&server.address(), "ranges.example");
    errors.file("ca.pem", server.certificate());
    let fetched = format!(
        "upstream: {{endpoint: \"https://registry.example\"}}\ncache_dir: ca.pem\n\
         ranges: [{{cloud: a, format: cidr, from: \"https://{}/\"}}]\n",
        server.address()
    );
    errors.file("front.yaml", &fetched);
    let check = ["serve", "--config", "front.yaml", "--ca-file", "ca.pem", "--check"];
    errors.warning("a file in the place of the directory of copies", &check).await;
    errors.compare("address-ranges");
}

#[tokio::test]
async fn errors_of_a_path_that_is_explained() {
    let mut errors = Errors::new();
    errors.file("front.yaml", "upstream: {endpoint: \"https://registry.example\"}\n");
    let blob = format!("/v2/app/blobs/{}", &DIGEST[..20]);
    for (title, path) in [
        ("a digest that is cut", blob.as_str()),
        ("an image in the place of a path", "registry.example/app:1.0"),
        ("a path without /v2", "/app/manifests/1.0"),
        ("a name outside the grammar", "/v2/App/manifests/1.0"),
        ("a query with a space", "/v2/app/manifests/1.0?a b"),
    ] {
        errors.run(title, &["explain", "--config", "front.yaml", "--ip", "192.0.2.1", path]).await;
    }
    errors.compare("explain");
}

#[tokio::test]
async fn errors_of_the_responses_of_a_registry() {
    let mut errors = Errors::new();
    let registry = TestRegistry::start().await;
    let image = fixture::image(1, 0);
    registry.load("images/app", "v1", &image).await;
    let host = registry.host().to_string();
    errors.call(&host, "registry.example");
    let from = format!("{host}/images/app");
    let to = format!("file://{}/store", errors.path().display());
    let mirror = ["mirror", "--quiet", "--confirm", "--from", &from, "--to", &to];
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let listing = || Fault::on(Method::GET, "/tags/list").status(200);
    let read =
        || Fault::on(Method::GET, "/manifests/").status(200).header("content-type", manifest);
    let redirected =
        |to: &str| Fault::on(Method::GET, "/tags/list").status(307).header("location", to);
    for (title, fault) in [
        (
            "an HTML page in place of a list",
            listing().header("content-type", "text/html").body("<html>"),
        ),
        ("a list that is not JSON", listing().body("hello")),
        (
            "an error with a status of success",
            listing().body(r#"{"errors": [{"code": "DENIED", "message": "log in"}]}"#),
        ),
        (
            "a malformed link to the next page",
            listing().header("link", "<next").body(r#"{"tags": ["v1"]}"#),
        ),
        ("a redirect without a target", Fault::on(Method::GET, "/tags/list").status(307)),
        ("a redirect to another scheme", redirected("ftp://registry.example/")),
        ("a redirect to content that does not exist", redirected("/v2/gone")),
        ("a redirect to itself", redirected("/v2/images/app/tags/list")),
        ("an empty manifest", read().body("")),
        ("a compressed manifest", read().header("content-encoding", "gzip").body("x")),
        ("a listed tag that does not exist", Fault::everywhere("/manifests/v1").status(404)),
        ("a blob that is too short", Fault::on(Method::GET, "/blobs/").wrong_length()),
    ] {
        registry.fail(fault);
        errors.run(title, &mirror).await;
        registry.clear_faults();
    }
    errors.compare("registry-responses");
}

#[tokio::test]
async fn errors_of_stores() {
    let mut errors = Errors::new();
    let mirror = ["mirror", "--quiet", "--from", "registry.test/images", "--to"];
    for (title, store) in [
        ("a store on another machine", "file://server/store"),
        ("a store with a query", "file:///store?a"),
        ("a store without a URL", "store"),
        ("a store with a bad port", "file://a:b/store"),
    ] {
        errors.run(title, &[&mirror[..], &[store]].concat()).await;
    }
    errors.compare("stores");
}
