//! `portolan promote`: exit codes, both outputs, signals, closed pipes, the real tree.

use std::{env, fs, path::PathBuf, process::Stdio};

use oci::RegistryPrefix;
use testkit::{Fault, TestHost, TestRegistry, fixture};
use tokio::io::AsyncReadExt as _;

use crate::harness::{Thin, end_of, entry, portolan, run, signal};

#[tokio::test]
async fn a_promotion_ends_with_0_when_everything_holds() {
    let (staging, production) = (TestRegistry::start().await, TestRegistry::start().await);
    let image = fixture::index(1, 2, 2);
    staging.load("team/app", None, &image).await;
    let thin = Thin::new().project(
        "team",
        &staging.prefix("team"),
        &production.prefix("images"),
        &entry("app", &image, &["v1"]),
    );
    let arguments = ["promote", "--thin-manifest-dir", thin.path(), "--output", "json"];

    let dry = run(&arguments).await.expect(0);
    assert_eq!(dry.json()["summary"]["to_copy"], 1);
    assert!(dry.stderr.contains("Nothing was written"), "{}", dry.stderr);
    assert_eq!(production.tags("images/app").await, [""; 0]);

    let confirmed = [&arguments[..], &["--confirm"]].concat();
    let done = run(&confirmed).await.expect(0);
    assert_eq!(done.json()["summary"]["copied"], 1);
    assert!(production.holds("images/app", &image).await);

    let again = run(&[&confirmed[..], &["--all", "--quiet"]].concat()).await.expect(0);
    assert_eq!(again.json()["outcomes"][0]["outcome"], "present");
    assert_eq!(again.stderr, "");
    let words = run(&["promote", "--thin-manifest-dir", thin.path()]).await.expect(0);
    assert!(words.stderr.contains("1 edge: 1 present"), "{}", words.stderr);
}

#[tokio::test]
async fn failures_that_differ_in_the_request_only_are_one_cause() {
    let reads = || Fault::everywhere("/blobs/sha256:").status(403);
    let pushes = || Fault::on(http::Method::POST, "/blobs/uploads/").status(403);
    for (of_staging, of_production, status) in [
        (Some(reads()), None, "403"),
        (None, Some(pushes()), "403"),
        (Some(reads().status(503)), None, "503"),
    ] {
        let (staging, production) = (TestRegistry::start().await, TestRegistry::start().await);
        let mut list = String::new();
        for seed in 1..=3 {
            let (name, image) = (format!("app{seed}"), fixture::image(seed, 1));
            staging.load(&format!("team/{name}"), None, &image).await;
            list += &entry(&name, &image, &["v1"]);
        }
        let (from, to) = (staging.prefix("team"), production.prefix("images"));
        let thin = Thin::new().project("team", &from, &to, &list);
        of_staging.into_iter().for_each(|fault| staging.fail(fault));
        of_production.into_iter().for_each(|fault| production.fail(fault));
        let arguments = ["promote", "--confirm", "--thin-manifest-dir", thin.path()];
        let ended = run(&arguments).await.expect(1);
        let (_, failed) = ended.stdout.split_once("\nFailed\n").expect("failures");
        let cause = failed.lines().next().unwrap_or_default();
        assert!(cause.starts_with("  3 edges, such as: "), "{failed}");
        assert!(cause.contains(status), "{cause}");
        assert!(!failed.contains(" edge: "), "{failed}");
        assert_eq!(failed.lines().filter(|line| line.contains("team: app")).count(), 3, "{failed}");
    }
}

#[tokio::test]
async fn a_plain_manifest_is_promoted_too() {
    let (staging, production) = (TestRegistry::start().await, TestRegistry::start().await);
    let image = fixture::image(1, 1);
    staging.load("team/app", None, &image).await;
    let thin = Thin::new().file(
        "plain.yaml",
        &format!(
            "registries:\n- name: {}\n  src: true\n- name: {}\nimages:\n{}",
            staging.prefix("team"),
            production.prefix("images"),
            entry("app", &image, &["v1"])
        ),
    );
    let file = format!("{}/plain.yaml", thin.path());
    run(&["promote", "--manifest", &file, "--confirm"]).await.expect(0);
    assert_eq!(production.tags("images/app").await, ["v1"]);
}

#[tokio::test]
async fn what_fails_ends_with_1_and_is_named_and_stops_no_other_edge() {
    let (staging, production) = (TestRegistry::start().await, TestRegistry::start().await);
    let (image, lost) = (fixture::image(1, 1), fixture::image(2, 1));
    staging.load("good/app", None, &image).await;
    let (source, destination) = (staging.prefix("good"), production.prefix("images"));
    let images = entry("app", &image, &["v1"])
        + &entry("app", &lost, &["v2"])
        + "- name: app\n  dmap:\n    \"sha256:12\": [\"v3\"]\n";
    let thin = Thin::new()
        .project("good", &source, &destination, &images)
        .project("unreadable", &source, &destination, "- name: [\n")
        .project("unknown-key", &source, &destination, "- name: app\n  dmaps: {}\n");
    let ended =
        run(&["promote", "--thin-manifest-dir", thin.path(), "--output", "json", "--confirm"])
            .await;
    let report = ended.expect(1).json();
    assert_eq!(report["summary"]["copied"], 1);
    assert_eq!(report["summary"]["lost"], 1);
    assert_eq!(report["summary"]["edges"], 2);
    let problems = report["problems"].as_array().expect("a list");
    let mut projects: Vec<_> =
        problems.iter().map(|one| one["project"].as_str().expect("one")).collect();
    projects.sort_unstable();
    projects.dedup();
    assert_eq!(projects, ["good", "unknown-key", "unreadable"]);
    let bad_digest = problems.iter().find(|one| one["project"] == "good").expect("one");
    assert_eq!((&bad_digest["line"], &bad_digest["column"]), (&9.into(), &5.into()));
    assert!(bad_digest["file"].as_str().expect("text").ends_with("images/good/images.yaml"));
    assert_eq!(production.tags("images/app").await, ["v1"]);
}

#[tokio::test]
async fn what_cannot_run_ends_with_2_and_says_what_to_do() {
    let thin = Thin::new().file("images/x/images.yaml", "[]\n");
    let nothing = Thin::new();
    let missing = format!("{}/none", thin.path());
    for (arguments, said) in [
        (vec!["promote"], "--thin-manifest-dir"),
        (vec!["promote", "--manifest", "a", "--thin-manifest-dir", "b"], "cannot be used with"),
        (vec!["promote", "--manifest", &missing], "cannot read"),
        (vec!["promote", "--thin-manifest-dir", nothing.path()], "no promotion manifests in"),
        (vec!["promote", "--thin-manifest-dir", thin.path()], "1 problem in manifests"),
        (vec!["promoet"], "promote"),
        (vec!["--log", "=,=", "demo"], "log filter"),
    ] {
        let ended = run(&arguments).await.expect(2);
        assert!(ended.stderr.contains(said), "{arguments:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn ctrl_c_still_writes_the_whole_report() {
    let (staging, production) = (TestRegistry::start().await, TestRegistry::start().await);
    let image = fixture::image(1, 2);
    staging.load("team/app", None, &image).await;
    staging.fail(Fault::everywhere("/blobs/").hang());
    let thin = Thin::new().project(
        "team",
        &staging.prefix("team"),
        &production.prefix("images"),
        &entry("app", &image, &["v1"]),
    );
    let arguments =
        ["promote", "--thin-manifest-dir", thin.path(), "--output", "json", "--confirm"];
    let child = portolan(&arguments).spawn().expect("it starts");
    while staging.count(|it| it.path_and_query.contains("/blobs/")) == 0 {
        tokio::task::yield_now().await;
    }
    signal(&child, "INT").await;
    let report = end_of(child).await.expect(1).json();
    assert_eq!(report["summary"]["failed"], 1);
    assert!(report["outcomes"][0]["reason"].as_str().expect("one").contains("interrupted"));
}

#[tokio::test]
async fn a_closed_pipe_is_no_error_and_the_promotion_is_done() {
    let (staging, production) = (TestRegistry::start().await, TestRegistry::start().await);
    let image = fixture::image(1, 1);
    staging.load("team/app", None, &image).await;
    let tags: Vec<_> = (0..2000).map(|n| format!("v{n}")).collect();
    let tags: Vec<_> = tags.iter().map(String::as_str).collect();
    let thin = Thin::new().project(
        "team",
        &staging.prefix("team"),
        &production.prefix("images"),
        &entry("app", &image, &tags),
    );
    let arguments =
        ["promote", "--thin-manifest-dir", thin.path(), "--output", "json", "--confirm"];
    let mut child = portolan(&arguments).spawn().expect("it starts");
    drop(child.stdout.take());
    end_of(child).await.expect(0);
    assert_eq!(production.tags("images/app").await.len(), 2000);
}

/// The real tree, with every registry moved to a host that does not respond.
#[tokio::test]
async fn the_real_tree_is_read_whole_and_every_edge_is_accounted_for() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let data = env::var_os("PORTOLAN_DATA").map_or_else(|| default.into(), PathBuf::from);
    let tree = data.join("k8s.io/registry.k8s.io");
    if !tree.is_dir() {
        println!("skipped: {} is not there; set PORTOLAN_DATA", tree.display());
        return;
    }
    let dead = TestHost::unreachable();
    let mut thin = Thin::new();
    for entry in fs::read_dir(tree.join("manifests")).expect("a directory").flatten() {
        let project = entry.file_name().into_string().expect("UTF-8");
        let read = |path: &str| fs::read_to_string(tree.join(path)).expect("a file");
        let (registries, images) = (
            format!("manifests/{project}/promoter-manifest.yaml"),
            format!("images/{project}/images.yaml"),
        );
        if !tree.join(&registries).is_file() {
            continue;
        }
        // `- name: host/path` becomes `- name: dead/host/path`.
        let moved = read(&registries).replace("name: ", &format!("name: {dead}/"));
        thin = thin.file(&registries, &moved).file(&images, &read(&images));
    }
    let ended = run(&["promote", "--thin-manifest-dir", thin.path()]).await.expect(1);
    assert!(ended.stderr.contains("720456 edges: 0 present, 0 to copy, 0 to tag, 0 to attach, 0 lost, 0 refused, 720456 failed; 1 problem in manifests"), "{}", ended.stderr);
    assert!(
        ended.stderr.trim_end().ends_with("Nothing can be promoted: all 720456 edges failed."),
        "{}",
        ended.stderr
    );
    assert!(ended.stdout.contains("k8s-staging-ingress-nginx/images.yaml:152:5:"));
    assert!(ended.stdout.contains(&format!("720456 edges: registry {dead} did not respond")));
}

#[tokio::test]
async fn a_registry_that_takes_no_plain_http_is_not_spoken_to_in_the_clear() {
    let image = fixture::image(1, 1);
    let near = RegistryPrefix { host: TestHost::unreachable(), path: None };
    // The same host by an address that is not taken for this machine.
    let far = near.host.as_str().replace("127.0.0.1", "[::ffff:127.0.0.1]");
    let far: RegistryPrefix = far.parse().expect("a prefix");
    let thin = Thin::new().project("team", &near, &far, &entry("app", &image, &["v1"]));
    let mut command =
        portolan(&["promote", "--thin-manifest-dir", thin.path(), "--output", "json"]);
    let mut child = command.stderr(Stdio::null()).spawn().expect("it starts");
    let mut out = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut out).await.expect("UTF-8");
    assert!(out.contains("https://[::ffff:"), "{out}");
}
