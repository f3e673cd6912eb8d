//! Likely mistakes: a wrong file, a flag of another program, text that is not what it looks like.

use std::fs;

use tempfile::TempDir;

use crate::harness::{Thin, run, write};

const REGISTRIES: &str =
    "registries:\n- {name: h.example/staging, src: true}\n- name: h.example/prod\n";

fn file(directory: &TempDir, name: &str, text: &[u8]) -> String {
    let path = directory.path().join(name);
    fs::write(&path, text).expect("a file");
    path.display().to_string()
}

#[tokio::test]
async fn half_of_a_thin_manifest_is_named_and_a_manifest_without_edges_is_warned_of() {
    let directory = TempDir::new().expect("a temporary directory");
    let half = file(&directory, "promoter-manifest.yaml", REGISTRIES.as_bytes());
    let ended = run(&["promote", "--quiet", "--manifest", &half]).await.expect(2);
    let says = format!(
        "problem: {half}:1:1: no `images`: this looks like a thin promoter-manifest.yaml; use --thin-manifest-dir, \
         or add `images:`\n"
    );
    assert_eq!(ended.stdout, says);

    let nothing = format!("{REGISTRIES}images: []\n");
    let nothing = file(&directory, "nothing.yaml", nothing.as_bytes());
    let ended = run(&["promote", "--quiet", "--manifest", &nothing]).await.expect(0);
    assert!(ended.stderr.starts_with("warning: the manifests request nothing"), "{}", ended.stderr);

    let invalid = format!("{REGISTRIES}images:\n- name: BAD\n  dmap: {{}}\n");
    let invalid = file(&directory, "invalid.yaml", invalid.as_bytes());
    let ended = run(&["promote", "--manifest", &invalid]).await.expect(1);
    assert!(!ended.stderr.contains("no edges"), "{}", ended.stderr);
    assert!(ended.stderr.contains("until the problems above are fixed"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_manifest_that_is_not_utf8_is_a_problem_in_json_too() {
    let directory = TempDir::new().expect("a temporary directory");
    let bytes: [&[u8]; 2] = [b"registries: \xe9\n", b"\xff\xfea\0"];
    for bytes in bytes {
        let path = file(&directory, "m.yaml", bytes);
        let ended = run(&["promote", "--manifest", &path, "--output", "json"]).await.expect(2);
        let report = ended.json();
        assert_eq!(report["problems"][0]["rule"], "unreadable-file", "{report:#}");
    }
}

#[tokio::test]
async fn bidirectional_and_invisible_characters_are_escaped_in_all_outputs() {
    let thin = Thin::new()
        .file("images/rtl\u{202e}foo/images.yaml", "x: [\u{2066}\u{200b}")
        .file("manifests/rtl\u{202e}foo/promoter-manifest.yaml", REGISTRIES);
    let report = format!("{}/report.json", thin.path());
    for output in ["table", "json"] {
        let arguments = [
            "promote",
            "--thin-manifest-dir",
            thin.path(),
            "--output",
            output,
            "--report",
            &report,
        ];
        let ended = run(&arguments).await.expect(2);
        let written = fs::read_to_string(&report).expect("a report");
        for text in [&ended.stdout, &ended.stderr, &written] {
            let found = text.chars().find(|c| "\u{202e}\u{2066}\u{200b}".contains(*c));
            assert_eq!(found, None, "{text}");
        }
        let json: serde_json::Value = serde_json::from_str(&written).expect("JSON");
        assert_eq!(json["problems"][0]["project"], "rtl\u{202e}foo", "programs read the same");
    }
    let named = format!("{}/a\u{202e}b.yaml", thin.path());
    let ended = run(&["promote", "--manifest", &named]).await.expect(2);
    assert!(ended.stderr.contains("a\\u{202e}b.yaml"), "{}", ended.stderr);
}

#[tokio::test]
async fn errors_quote_no_more_of_a_value_than_a_short_piece() {
    let directory = TempDir::new().expect("a temporary directory");
    let secret = format!("{}SECRET", "x".repeat(40));
    for (name, text) in [
        ("key", format!("{REGISTRIES}images: []\n{secret}: 1\n")),
        ("list", format!("{REGISTRIES}images: {secret}\n")),
        ("name", format!("{REGISTRIES}images:\n- name: {secret}\n")),
        ("digest", format!("{REGISTRIES}images:\n- name: a\n  dmap: {{\"{secret}:x\": []}}\n")),
        ("host", format!("registries:\n- name: {secret}_x-\nimages: []\n")),
        ("scheme", format!("registries:\n- name: {secret}://a\nimages: []\n")),
        ("token", secret.clone()),
    ] {
        let path = write(&directory.path().join(name), &text).display().to_string();
        let ended = run(&["promote", "--manifest", &path]).await;
        assert!(ended.stdout.contains("problem: "), "{name}: {}", ended.stdout);
        assert!(!(ended.stdout + &ended.stderr).contains("SECRET"), "{name}");
    }
    let path = write(&directory.path().join("front.yaml"), &format!("{secret}: 1\n"));
    let ended = run(&["serve", "--check", "--config", &path.display().to_string()]).await.expect(2);
    assert!(!ended.stderr.contains("SECRET"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_registry_with_a_wrong_src_is_one_problem() {
    let directory = TempDir::new().expect("a temporary directory");
    let text = "registries:\n- {name: h.example/a, src: yes}\n- name: h.example/b\nimages: []\n";
    let path = file(&directory, "m.yaml", text.as_bytes());
    let ended = run(&["promote", "--quiet", "--manifest", &path]).await.expect(2);
    assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);
    assert!(ended.stdout.contains("`src` must be `true` or `false`"), "{}", ended.stdout);
}

#[tokio::test]
async fn flags_of_kpromo_and_a_dry_run_get_a_tip() {
    for (arguments, tip) in [
        (&["promote", "--dry-run"][..], "a dry run is the default"),
        (&["promote", "--use-prow-manifest-diff"], "--changed-in"),
        (&["promote", "--use-prow-manifest-diff=true"], "--changed-in"),
        (&["promote", "--parse-only"], "without --confirm"),
        (&["promote", "--manifest-diff-since", "7 days"], "--since"),
        (&["cip", "--confirm"], "portolan promote"),
    ] {
        let ended = run(arguments).await.expect(2);
        let line = ended.stderr.lines().find(|line| line.trim_start().starts_with("tip: "));
        assert!(line.is_some_and(|line| line.contains(tip)), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stderr.matches("tip: ").count(), 1, "{}", ended.stderr);
    }
}
