//! The files that a promotion writes: devices, links, and files that are read.

use std::{fs, os::unix::fs::symlink, process::Stdio};

use serde_json::Value;
use tempfile::TempDir;
use testkit::{TestRegistry, fixture};

use crate::harness::{Ended, Thin, assert_valid_report, end_of, entry, portolan, read_report, run};

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
