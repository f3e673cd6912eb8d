//! Progress, and what is left on a terminal when a command has ended: every line of the report, of the log and of
//! the notes.

use std::collections::BTreeMap;

use tempfile::TempDir;
use testkit::{Fault, TestHost, TestRegistry, fixture};

use crate::{
    harness::{Thin, entry, run, signal},
    pty::Terminal,
};

const IMAGES: u64 = 30;

/// Registries, and a manifest with [`IMAGES`] images.
struct Scene {
    staging: TestRegistry,
    production: TestRegistry,
    images: Vec<fixture::TestImage>,
    thin: Thin,
}

impl Scene {
    async fn new() -> Self {
        let (staging, production) = (TestRegistry::start().await, TestRegistry::start().await);
        let images: Vec<_> = (0..IMAGES).map(|seed| fixture::image(seed, 1)).collect();
        let mut list = String::new();
        for (n, image) in images.iter().enumerate() {
            staging.load(&format!("team/app{n}"), None, image).await;
            list += &entry(&format!("app{n}"), image, &["v1"]);
        }
        let (from, to) = (staging.prefix("team"), production.prefix("images"));
        let thin = Thin::new().project("team", &from, &to, &list);
        Self { staging, production, images, thin }
    }

    /// What is on a terminal of 45 rows after `shell`, which may run `$PORTOLAN` on `$MANIFESTS`.
    async fn run(&self, columns: u16, shell: &str) -> String {
        let terminal = Terminal::open(45, columns);
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", shell]).kill_on_drop(true);
        command.env("PORTOLAN", env!("CARGO_BIN_EXE_portolan"));
        command.env("MANIFESTS", self.thin.path());
        let mut child = terminal.start(&mut command);
        drop(command);
        child.wait().await.expect("it ends");
        terminal.lines().await.join("\n")
    }

    fn hosts(&self) -> [String; 1] {
        [self.production.host().to_string()]
    }
}

fn assert_in_order(text: &str, expected: impl IntoIterator<Item = String>) {
    let mut rest = text;
    for expected in expected {
        let Some((_, after)) = rest.split_once(&*expected) else {
            panic!("{expected} is not there, or not in its place:\n{text}");
        };
        rest = after;
    }
}

#[tokio::test]
async fn no_line_of_a_report_is_erased_on_a_terminal() {
    let scene = Scene::new().await;
    for columns in [80, 200] {
        for shell in [
            "$PORTOLAN promote --thin-manifest-dir $MANIFESTS",
            "$PORTOLAN promote --thin-manifest-dir $MANIFESTS | cat",
        ] {
            let text = scene.run(columns, shell).await;
            let mut expected = vec!["project ".to_owned(), "To copy (team)".to_owned()];
            let mut images: Vec<_> = scene.images.iter().enumerate().collect();
            images.sort_by_key(|(n, _)| format!("app{n}:"));
            for (n, image) in images {
                expected.extend([format!("app{n}:v1"), image.digest().to_string()]);
            }
            expected.extend(["A confirmed run will cost about".to_owned(), "host ".to_owned()]);
            expected.extend(scene.hosts());
            assert_in_order(&text, expected);
            assert!(text.contains("30 edges: 0 present, 30 to copy"), "{shell}: {text}");
            assert!(!text.contains('█') && !text.contains('░'), "the bar is left: {text}");
        }
    }
}

#[tokio::test]
async fn neither_the_log_nor_streamed_json_is_erased_on_a_terminal() {
    for columns in [80, 200] {
        let scene = Scene::new().await;
        let text = scene
            .run(
                columns,
                "$PORTOLAN promote --thin-manifest-dir $MANIFESTS --confirm --log info --output json",
            )
            .await;
        for (n, image) in scene.images.iter().enumerate() {
            let line = text
                .lines()
                .find(|line| line.contains("INFO") && line.contains(&format!("images/app{n} ")));
            let line = line.unwrap_or_else(|| panic!("app{n} is not in the log:\n{text}"));
            assert!(line.contains(&image.digest().to_string()), "{line}");
        }
        let json = text.lines().skip_while(|line| !line.starts_with("{\"schema\":"));
        let json = json.filter(|line| !line.contains("INFO"));
        let json = json.take_while(|line| !line.contains("edges: ")).collect::<String>();
        let report: serde_json::Value =
            serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {text}"));
        crate::harness::assert_valid_report(&report);
        assert_eq!(report["outcomes"].as_array().map(Vec::len), Some(scene.images.len()));
        assert_eq!(report["summary"]["copied"], IMAGES);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("All tags and digests are in place"), "{text}");
    }
}

#[tokio::test]
async fn the_report_of_an_interrupted_promotion_is_whole_on_a_terminal() {
    let scene = Scene::new().await;
    scene.staging.fail(Fault::everywhere("/blobs/").hang());
    let terminal = Terminal::open(45, 80);
    let mut command = crate::harness::portolan(&["promote", "--confirm", "--thin-manifest-dir"]);
    command.arg(scene.thin.path());
    let mut child = terminal.start(&mut command);
    drop(command);
    while scene.staging.count(|it| it.path_and_query.contains("/blobs/")) == 0 {
        tokio::task::yield_now().await;
    }
    signal(&child, "INT").await;
    assert_eq!(child.wait().await.expect("it ends").code(), Some(1));
    let text = terminal.lines().await.join("\n");
    let expected = ["project ", "Failed", "30 edges: interrupted", "The run cost", "host "];
    assert_in_order(&text, expected.map(str::to_owned).into_iter().chain(scene.hosts()));
    // The terminal wraps the last line wherever it ends.
    let without_spaces = |text: &str| text.split_whitespace().collect::<String>();
    let ending = without_spaces("The promotion is incomplete: interrupted; run again.");
    assert!(without_spaces(&text).contains(&ending), "{text}");
}

#[tokio::test]
async fn no_bar_is_left_on_a_terminal_that_shows_the_interrupting_key() {
    let scene = Scene::new().await;
    scene.staging.fail(Fault::everywhere("/blobs/").hang());
    for (columns, interrupts, code) in [(80, 1, 1), (150, 1, 1), (80, 2, 130)] {
        let before = scene.staging.count(|it| it.path_and_query.contains("/blobs/"));
        let terminal = Terminal::open(45, columns);
        let mut command =
            crate::harness::portolan(&["promote", "--confirm", "--thin-manifest-dir"]);
        command.arg(scene.thin.path());
        let mut child = terminal.start(&mut command);
        drop(command);
        while scene.staging.count(|it| it.path_and_query.contains("/blobs/")) == before
            || !terminal.seen().contains("promoting edges")
        {
            tokio::task::yield_now().await;
        }
        // As a terminal does for Ctrl-C: it prints the key where the cursor is, and sends the signal.
        terminal.print("^C");
        signal(&child, "INT").await;
        if interrupts == 2 {
            signal(&child, "INT").await;
        }
        let ended = child.wait().await.expect("it ends").code();
        // The second signal may come after the end.
        assert!(ended == Some(code) || ended == Some(1), "{ended:?}");
        let text = terminal.lines().await.join("\n");
        assert!(!text.contains('█') && !text.contains('░'), "the bar is left: {text}");
        assert!(!text.contains("promoting edges"), "{text}");
    }
}

#[tokio::test]
async fn no_line_of_a_mirroring_is_erased_on_a_terminal() {
    let directory = TempDir::new().expect("a temporary directory");
    let registry = TestRegistry::start().await;
    registry.load("images/app", "v1", &fixture::image(1, 1)).await;
    registry.fail(Fault::everywhere("/blobs/").corrupt());
    for (host, failed) in [
        (registry.host().to_string(), "failed: images/app:v1: "),
        (TestHost::unreachable().to_string(), "failed: "),
    ] {
        let from = format!("{host}/images");
        let to = format!("file://{}/store", directory.path().display());
        let terminal = Terminal::open(45, 80);
        let arguments = ["mirror", "--from", &from, "--to", &to, "--confirm", "--log", "error"];
        let mut command = crate::harness::portolan(&arguments);
        let mut child = terminal.start(&mut command);
        drop(command);
        assert_eq!(child.wait().await.expect("it ends").code(), Some(1));
        let text = terminal.lines().await.join("\n");
        assert_in_order(&text, [failed.to_owned(), " failed.".to_owned()]);
    }
}

/// The lines of each stage, in their order: how much was done, and of how much.
fn stages(stderr: &str) -> BTreeMap<String, Vec<(u64, u64)>> {
    let mut stages: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in stderr.lines() {
        let Some((stage, rest)) = line.split_once(": ") else { continue };
        let rest = rest.split(';').next().unwrap_or_default();
        let Some((done, total)) = rest.split_once(" of ") else { continue };
        if let (Ok(done), Ok(total)) = (done.parse(), total.parse()) {
            stages.entry(stage.to_owned()).or_default().push((done, total));
        }
    }
    stages
}

#[tokio::test]
async fn piped_progress_has_a_first_line_a_line_each_tenth_and_a_last_one() {
    let scene = Scene::new().await;
    let directory = TempDir::new().expect("a temporary directory");
    let promote = ["promote", "--confirm", "--thin-manifest-dir", scene.thin.path()];
    let from = format!("{}/images", scene.production.host());
    let to = format!("file://{}/store", directory.path().display());
    let mirror = ["mirror", "--confirm", "--from", &from, "--to", &to];
    for (command, names) in [
        (&promote[..], &["reading destination repositories", "promoting edges"][..]),
        (&mirror, &["mirroring tags"]),
    ] {
        let ended = run(command).await.expect(0);
        let stages = stages(&ended.stderr);
        for name in names {
            assert!(stages.contains_key(*name), "{name}: {}", ended.stderr);
        }
        for (stage, lines) in stages {
            let total = lines[0].1;
            assert_eq!(lines.first(), Some(&(0, total)), "{stage}: {}", ended.stderr);
            assert_eq!(lines.last(), Some(&(total, total)), "{stage}: {}", ended.stderr);
            let tenth = |done| done * 10 / total;
            assert!(
                lines.windows(2).all(|pair| tenth(pair[0].0) < tenth(pair[1].0)),
                "{stage}: {lines:?}"
            );
        }
        let quiet = run(&[command, &["--quiet"]].concat()).await.expect(0);
        assert_eq!(quiet.stderr, "");
    }
}

#[tokio::test]
async fn a_host_that_throttles_is_named_while_the_run_waits_for_it() {
    let scene = Scene::new().await;
    let refused = Fault::on(http::Method::PUT, "/manifests/").status(429);
    scene.production.fail(refused.header("retry-after", "3600"));
    let host = scene.production.host().to_string();
    let said = format!("{host} limits the rate (429); waiting 300 s");
    let promote = ["promote", "--confirm", "--thin-manifest-dir", scene.thin.path()];
    let stopped = ["--deadline", "3s", "--log", "info"];
    let ended = run(&[&promote[..], &stopped].concat()).await.expect(1);
    let line = ended.stderr.lines().find(|line| line.starts_with("promoting edges: 0 of 30; "));
    assert!(line.is_some_and(|line| line.contains(&said)), "{}", ended.stderr);
    let logged = ended.stderr.lines().filter(|line| line.contains("INFO") && line.contains(&said));
    assert_eq!(logged.count(), 1, "{}", ended.stderr);
    assert!(ended.stdout.contains("; it requests a wait of 3600 s; run again"), "{}", ended.stdout);
    let costs = ended.stdout.split("The run cost\n").nth(1).expect("the costs");
    assert!(
        costs.lines().next().is_some_and(|line| line.ends_with("retries  throttled")),
        "{costs}"
    );
    let row = costs.lines().find(|line| line.trim_start().starts_with(&host)).expect(&host);
    assert!(!row.ends_with(" 0"), "{row}");

    for columns in [80, 150] {
        let terminal = Terminal::open(45, columns);
        let mut command = crate::harness::portolan(&promote);
        command.args(["--deadline", "3s"]);
        let mut child = terminal.start(&mut command);
        drop(command);
        child.wait().await.expect("it ends");
        let seen = terminal.everything().await;
        assert!(seen.contains(&format!("{host} limits the rate (429); waiting ")), "{seen}");
    }
}
