//! The files that a promotion writes: devices, links, and files that are read.

use std::{fs, os::unix::fs::symlink, process::Stdio, time::Duration};

use serde_json::Value;
use tempfile::TempDir;
use testkit::{TestRegistry, fixture};
use tokio::time::timeout;

use crate::harness::{
    Ended, Thin, assert_valid_report, end_of, entry, portolan, read_report, run, signal,
};

/// Longer than anything takes here.
const LIMIT: Duration = Duration::from_secs(60);

/// A plain manifest, and a directory for outputs.
struct Scene {
    directory: TempDir,
    _registries: [TestRegistry; 2],
}

impl Scene {
    async fn new() -> Self {
        let (staging, production) = (TestRegistry::start().await, TestRegistry::start().await);
        let image = fixture::image(1, 1);
        staging.load("team/app", None, &image).await;
        let directory = TempDir::new().expect("a temporary directory");
        let text = format!(
            "registries:\n- name: \"{}\"\n  src: true\n- name: \"{}\"\nimages:\n{}",
            staging.prefix("team"),
            production.prefix("images"),
            entry("app", &image, &["v1"]),
        );
        fs::write(directory.path().join("m.yaml"), text).expect("a file");
        Self { directory, _registries: [staging, production] }
    }

    fn at(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    async fn run(&self, more: &[&str]) -> Ended {
        run(&[&["promote", "--manifest", &self.at("m.yaml")], more].concat()).await
    }
}

#[tokio::test]
async fn devices_and_descriptors_are_written_in_place_and_links_stay() {
    let scene = Scene::new().await;
    // A link as `/dev/stdout` is one, which the test must not replace on this machine.
    let (stdout, out) = (scene.at("stdout"), scene.at("out"));
    symlink("/proc/self/fd/1", &stdout).expect("a link");
    for to in [Stdio::piped(), fs::File::create(&out).expect("a file").into()] {
        let arguments =
            ["promote", "--quiet", "--manifest", &scene.at("m.yaml"), "--report", &stdout];
        let child = portolan(&arguments).stdout(to).spawn().expect("it starts");
        let mut text = end_of(child).await.expect(0).stdout;
        if text.is_empty() {
            text = fs::read_to_string(&out).expect("a file");
        }
        assert!(text.starts_with("project "), "the table is not overwritten: {text}");
        let (_, json) = text.split_once("{\"schema\"").expect("the report");
        let report = format!("{{\"schema\"{json}");
        assert_valid_report(&serde_json::from_str::<Value>(&report).expect("JSON"));
        assert!(fs::read_link(&stdout).is_ok_and(|it| it.ends_with("fd/1")), "the link stays");
    }
    let metrics = scene.run(&["--quiet", "--metrics-file", &stdout]).await.expect(0).stdout;
    assert!(metrics.contains("# TYPE portolan_promoter_edges gauge"), "{metrics}");
    scene.run(&["--report", "/dev/null", "--metrics-file", "/dev/null"]).await.expect(0);

    let (link, target) = (scene.at("link"), scene.at("target"));
    symlink("target", &link).expect("a link");
    for _ in 0..2 {
        scene.run(&["--report", &link]).await.expect(0);
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
        read_report(target.as_ref());
        fs::write(&target, "old").expect("a file");
    }
}

/// More than is buffered before a write.
const TAGS: usize = 200;

#[tokio::test]
async fn a_report_on_standard_output_follows_what_is_printed_there() {
    let scene = Scene::new().await;
    let tags: Vec<_> = (0..TAGS).map(|tag| format!("v{tag}")).collect();
    let list = format!("[{}]", tags.join(", "));
    let manifest = fs::read_to_string(scene.at("m.yaml")).expect("a file");
    fs::write(scene.at("m.yaml"), manifest.replace("[v1]", &list)).expect("a file");
    for output in ["table", "json"] {
        let ended = scene.run(&["--output", output, "--report", "/dev/stdout"]).await.expect(0);
        let at = ended.stdout.rfind("{\"schema\"").expect("the report");
        let (printed, report) = ended.stdout.split_at(at);
        let report = serde_json::from_str::<Value>(report).expect("JSON");
        assert_valid_report(&report);
        assert_eq!(report["outcomes"].as_array().map(Vec::len), Some(TAGS));
        if output == "json" {
            assert_eq!(serde_json::from_str::<Value>(printed).expect("JSON"), report);
        }
        let of_each = tags.iter().filter(|tag| printed.contains(&***tag)).count();
        assert_eq!(of_each, TAGS, "{printed}");
    }
}

#[tokio::test]
async fn a_file_that_standard_output_goes_to_is_not_replaced() {
    let scene = Scene::new().await;
    for flag in ["--report", "--metrics-file"] {
        let path = scene.at("out");
        let out = fs::File::create(&path).expect("a file");
        let mut command = portolan(&["promote", "--manifest", &scene.at("m.yaml"), flag, &path]);
        let ended = end_of(command.stdout(out).spawn().expect("it starts")).await.expect(2);
        let says = format!("{flag} {path}: standard output goes to this file too");
        assert!(ended.stderr.contains(&says), "{}", ended.stderr);
        // Only the manifest and the output: no temporary file is left.
        assert_eq!(fs::read_dir(scene.directory.path()).expect("a directory").count(), 2);
    }
}

#[tokio::test]
async fn a_file_that_is_read_is_never_written() {
    let scene = Scene::new().await;
    let manifest = scene.at("m.yaml");
    let text = fs::read_to_string(&manifest).expect("a file");
    symlink("m.yaml", scene.at("soft")).expect("a link");
    fs::hard_link(&manifest, scene.at("hard")).expect("a link");
    for name in ["m.yaml", "./m.yaml", "soft", "hard"] {
        for flag in ["--report", "--metrics-file"] {
            let file = scene.at(name);
            let ended = scene.run(&[flag, &file]).await.expect(2);
            let says = format!(
                "error: {flag} {file} and --manifest {manifest} are the same file; name another file to write to\n"
            );
            assert_eq!(ended.stderr, says);
        }
    }
    assert_eq!(fs::read_to_string(&manifest).expect("a file"), text);
    let file = scene.at("z");
    let ended = scene.run(&["--report", &file, "--metrics-file", &file]).await.expect(2);
    let says = format!("--report {file} and --metrics-file {file} are the same file");
    assert!(ended.stderr.contains(&says), "{}", ended.stderr);

    let from = "h.example/a".parse().expect("a prefix");
    let thin =
        Thin::new().project("team", &from, &"h.example/b".parse().expect("a prefix"), "[]\n");
    let file = format!("{}/images/team/images.yaml", thin.path());
    let arguments = ["promote", "--thin-manifest-dir", thin.path(), "--report", &file];
    let ended = run(&arguments).await.expect(2);
    let says = format!("--report {file}: --thin-manifest-dir {} reads this file", thin.path());
    assert!(ended.stderr.contains(&says), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&file).expect("a file"), "[]\n");
    // A new file beside the manifests is no harm.
    let beside = format!("{}/report.json", thin.path());
    run(&["promote", "--thin-manifest-dir", thin.path(), "--report", &beside]).await.expect(0);
}

#[tokio::test]
async fn a_file_that_the_environment_names_is_never_written() {
    let scene = Scene::new().await;
    let write = |name: &str| {
        let file = scene.at(name);
        let parent = std::path::Path::new(&file).parent().expect("a directory");
        fs::create_dir_all(parent).expect("a directory");
        fs::write(&file, "{}").expect("a file");
        file
    };
    let credentials = "the file of credentials";
    let certificates = "the file of root certificates";
    let google = "application_default_credentials.json";
    for (variable, value, file, what) in [
        ("HOME", "home", "home/.docker/config.json", credentials),
        ("HOME", "home", &format!("home/.config/gcloud/{google}"), credentials),
        ("DOCKER_CONFIG", "docker", "docker/config.json", credentials),
        ("REGISTRY_AUTH_FILE", "auth.json", "auth.json", credentials),
        ("XDG_RUNTIME_DIR", "run", "run/containers/auth.json", credentials),
        ("GOOGLE_APPLICATION_CREDENTIALS", "key.json", "key.json", credentials),
        ("CLOUDSDK_CONFIG", "sdk", &format!("sdk/{google}"), credentials),
        ("SSL_CERT_FILE", "roots.pem", "roots.pem", certificates),
        ("SSL_CERT_DIR", "roots", "roots/a.pem", certificates),
    ] {
        let file = write(file);
        symlink(&file, scene.at("output")).expect("a link");
        for flag in ["--report", "--metrics-file"] {
            let (manifest, output) = (scene.at("m.yaml"), scene.at("output"));
            let arguments = ["promote", "--manifest", &manifest, flag, &output];
            let child = portolan(&arguments).env(variable, scene.at(value)).spawn();
            let ended = end_of(child.expect("it starts")).await.expect(2);
            let says = format!(
                "error: {flag} {output} and {what} {file} are the same file; name another file to write to\n"
            );
            assert_eq!(ended.stderr, says, "{variable}");
        }
        fs::remove_file(scene.at("output")).expect("a link");
        assert_eq!(fs::read_to_string(&file).expect("a file"), "{}");
    }
}

#[tokio::test]
async fn a_manifest_on_standard_input_is_never_written() {
    let scene = Scene::new().await;
    let manifest = scene.at("m.yaml");
    let text = fs::read_to_string(&manifest).expect("a file");
    for flag in ["--report", "--metrics-file"] {
        let input = fs::File::open(&manifest).expect("a file");
        let arguments = ["promote", "--manifest", "-", flag, &manifest];
        let child = portolan(&arguments).stdin(input).spawn().expect("it starts");
        let ended = end_of(child).await.expect(2);
        let says = format!("{flag} {manifest} and --manifest - are the same file");
        assert!(ended.stderr.contains(&says), "{}", ended.stderr);
        assert_eq!(fs::read_to_string(&manifest).expect("a file"), text);
    }
}

#[tokio::test]
async fn an_output_that_cannot_be_written_stops_no_other_output() {
    let scene = Scene::new().await;
    let (report, metrics) = (scene.at("r.json"), scene.at("m.prom"));
    let ended = scene.run(&["--report", "/dev/full", "--metrics-file", &metrics]).await.expect(1);
    let says = "error: the report cannot be written: /dev/full: No space left on device";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("1 edge: 0 present, 1 to copy"), "{}", ended.stderr);
    assert!(ended.stdout.contains("To copy"), "{}", ended.stdout);
    assert!(fs::read_to_string(&metrics).is_ok_and(|it| it.contains("portolan_promoter_edges")));

    let ended = scene.run(&["--report", &report, "--metrics-file", "/dev/full"]).await.expect(1);
    let says = "error: cannot write /dev/full: No space left on device";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    read_report(report.as_ref());
    fs::remove_file(&report).expect("a file");

    // Standard output is one of them.
    let arguments =
        ["promote", "--manifest", &scene.at("m.yaml"), "--report", &report, "--output", "json"];
    let full = fs::File::options().write(true).open("/dev/full").expect("a device");
    let child = portolan(&arguments).stdout(full).spawn().expect("it starts");
    end_of(child).await.expect(1);
    read_report(report.as_ref());
}

#[tokio::test]
async fn a_signal_ends_a_run_that_waits_for_the_reader_of_a_pipe() {
    let scene = Scene::new().await;
    let pipes = [scene.at("report"), scene.at("metrics")];
    assert!(std::process::Command::new("mkfifo").args(&pipes).status().expect("it runs").success());
    let [report, metrics] = &pipes;
    let arguments = [
        "promote",
        "--manifest",
        &scene.at("m.yaml"),
        "--report",
        report,
        "--metrics-file",
        metrics,
    ];
    let child = portolan(&arguments).spawn().expect("it starts");
    // Once the report has a reader, the pipe of the metrics is waited for.
    let report = report.clone();
    let reader = tokio::task::spawn_blocking(move || fs::File::open(report));
    let reader = timeout(LIMIT, reader).await.expect("it is opened").expect("no panic");
    signal(&child, "TERM").await;
    let ended = timeout(LIMIT, end_of(child)).await.expect("it ends");
    assert_eq!(ended.code, None, "the signal ended it: {}", ended.stderr);
    drop(reader);
}
