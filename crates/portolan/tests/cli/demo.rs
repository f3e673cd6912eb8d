//! `portolan demo`, `portolan --version` and the help.

use std::fs;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::{
    harness::{Ended, end_of, portolan, run, signal},
    pty::Terminal,
};

#[tokio::test]
async fn the_demonstration_checks_itself_and_leaves_nothing() {
    let directory = TempDir::new().expect("a temporary directory");
    let mut command = portolan(&["demo", "--exit"]);
    command.env("TMPDIR", directory.path());
    let ended: Ended = command.output().await.expect("it runs").into();
    let ended = ended.expect(0);
    for word in ["AWS Paris", "elsewhere, IPv6"] {
        assert!(ended.stdout.contains(word), "{}", ended.stdout);
    }
    // Its servers are gone, so there is nothing to pull from.
    assert!(!ended.stdout.contains("docker pull"), "{}", ended.stdout);
    // The name of a directory is left whole.
    let mut lines = ended.stdout.lines().filter(|line| !line.contains("--thin-manifest-dir"));
    let wide = lines.find(|line| line.chars().count() > 80);
    assert_eq!(wide, None, "a line is wider than 80 columns");
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
}

#[tokio::test]
async fn no_log_line_is_among_the_output_of_a_demonstration_on_a_terminal() {
    let directory = TempDir::new().expect("a temporary directory");
    let terminal = Terminal::open(60, 80);
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", "ulimit -n 256; exec \"$PORTOLAN\" demo --exit"]).kill_on_drop(true);
    command.env("PORTOLAN", env!("CARGO_BIN_EXE_portolan")).env("TMPDIR", directory.path());
    command.env_remove("PORTOLAN_LOG");
    let mut child = terminal.start(&mut command);
    drop(command);
    assert_eq!(child.wait().await.expect("it ends").code(), Some(0));
    let lines = terminal.lines().await;
    let text = lines.join("\n");
    assert!(text.contains("elsewhere, IPv6"), "{text}");
    assert!(!text.contains("WARN") && !text.contains("limit of open files"), "{text}");
    // The name of a directory is left whole.
    let mut lines = lines.iter().filter(|line| !line.contains("portolan-demo-"));
    assert_eq!(lines.find(|line| line.chars().count() > 80), None, "{text}");
}

#[tokio::test]
async fn the_demonstration_runs_until_it_is_stopped() {
    let directory = TempDir::new().expect("a temporary directory");
    let mut command = portolan(&["demo"]);
    let mut child = command.env("TMPDIR", directory.path()).spawn().expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut pull = String::new();
    for command in ["docker pull ", "skopeo copy ", "docker://", "crane pull "] {
        let line = loop {
            let line = out.next_line().await.expect("UTF-8").expect("it prints how to pull");
            if line.trim().starts_with(command) {
                break line;
            }
        };
        assert!(line.chars().count() <= 80, "{line}");
        if let Some(image) = line.trim().strip_prefix("docker pull ") {
            image.clone_into(&mut pull);
        }
    }
    let (host, _) = pull.split_once('/').expect("host/name:tag");
    let found = testkit::get(&host.parse().expect("a host"), "/v2/").await.expect("it is up");
    assert_eq!(found.status(), 200);
    signal(&child, "INT").await;
    end_of(child).await.expect(0);
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
}

#[tokio::test]
async fn a_demonstration_whose_output_is_not_read_is_checked_all_the_same() {
    let directory = TempDir::new().expect("a temporary directory");
    let mut command = portolan(&["demo", "--exit"]);
    let mut child = command.env("TMPDIR", directory.path()).spawn().expect("it starts");
    drop(child.stdout.take());
    end_of(child).await.expect(0);
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
}

#[tokio::test]
async fn an_interrupted_demonstration_leaves_nothing_and_claims_nothing() {
    let directory = TempDir::new().expect("a temporary directory");
    let mut command = portolan(&["demo", "--exit"]);
    let mut child = command.env("TMPDIR", directory.path()).spawn().expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("piped")).lines();
    out.next_line().await.expect("UTF-8").expect("it has begun");
    signal(&child, "INT").await;
    end_of(child).await.expect(1);
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
}

#[tokio::test]
async fn the_help_is_a_table_of_contents_and_the_version_says_which_build() {
    let help = run(&["--help"]).await.expect(0).stdout;
    for verb in
        ["promote", "mirror", "serve", "explain", "store", "registry", "demo", "completions"]
    {
        assert!(help.contains(&format!("\n  {verb} ")), "{help}");
    }
    let version = run(&["--version"]).await.expect(0).stdout;
    assert!(version.starts_with(concat!("portolan ", env!("CARGO_PKG_VERSION"))), "{version}");
    let git = std::process::Command::new("git").args(["rev-parse", "HEAD"]).output();
    if git.is_ok_and(|git| git.status.success()) {
        let build = version.split_once(" (").expect("a build").1;
        let date = build.trim_end().trim_end_matches(')').rsplit_once(", ").expect("a date").1;
        assert_eq!(date.split('-').map(str::len).collect::<Vec<_>>(), [4, 2, 2], "{version}");
    }
    let script = run(&["completions", "bash"]).await.expect(0).stdout;
    assert!(script.contains("_portolan"), "{script}");
}
