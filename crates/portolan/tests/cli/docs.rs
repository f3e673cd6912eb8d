//! The JSON that the docs describe has the members that they name, and no others.

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use tempfile::TempDir;
use testkit::{Fault, TestRegistry, fixture};

use crate::harness::{Thin, entry, run};

/// The names between backquotes that are spelled like members: in lower case, with `_` or `-`.
fn names(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2).flat_map(|it| it.split(['"', ',', ' ']));
    let is_name = |it: &&str| {
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-');
        !it.is_empty() && !it.starts_with('-') && it.bytes().all(is_letter)
    };
    quoted.filter(is_name).map(str::to_owned).collect()
}

fn members(value: &Value) -> BTreeSet<String> {
    value.as_object().expect("an object").keys().cloned().collect()
}

/// A dry run, and a run with everything that a report can have.
async fn promotion_reports() -> [Value; 2] {
    let (staging, production) = (TestRegistry::start().await, TestRegistry::start().await);
    let public = TestRegistry::start().await;
    let image = fixture::image(1, 1);
    staging.load("team/app", None, &image).await;
    let signature = format!("sha256-{}.sig", image.digest().hex());
    staging.load("team/app", &*signature, &fixture::signatures("payload", &["alice"])).await;
    let (from, to) = (staging.prefix("team"), production.prefix("images"));
    let thin = Thin::new().project("team", &from, &to, &entry("app", &image, &["v1"])).project(
        "bad",
        &from,
        &to,
        "- name: [\n",
    );
    let arguments = ["promote", "--thin-manifest-dir", thin.path(), "--output", "json"];
    let dry = run(&arguments).await.expect(1).json();
    let url = format!("http://{}", public.host());
    let flags = ["--confirm", "--verify-through", &url];
    [dry, run(&[&arguments, &flags[..]].concat()).await.expect(1).json()]
}

/// The names in the first cells of the first table below `heading` of the page of reports.
fn members_below(heading: &str) -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/report.md");
    let text = fs::read_to_string(path).expect("a page");
    let (_, text) = text.split_once(heading).expect(heading);
    let lines = text.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = lines.take_while(|line| line.starts_with("| `"));
    let cells = rows.map(|line| line[2..].split_once(" | ").expect("two cells").0);
    cells.flat_map(names).collect()
}

#[tokio::test]
async fn the_report_of_a_promotion_has_the_members_that_the_docs_name() {
    let described = members_below("## The report of a promotion");
    let [dry, done] = promotion_reports().await;
    assert_eq!(members(&dry), described);
    let without = |name: &str| described.iter().filter(|it| *it != name).cloned().collect();
    assert_eq!(members(&done), without("estimate"));
    for list in ["problems", "public_name_failures", "hosts", "outcomes"] {
        let item = if list == "outcomes" { &dry[list][0] } else { &done[list][0] };
        assert_eq!(members(item), members_below(&format!("### `{list}`")), "{list}");
    }
    assert_eq!(members(&dry["estimate"]), members_below("### `estimate`"));
    let of_host = members_below("Each of `estimate.hosts` has these members:");
    assert_eq!(members(&dry["estimate"]["hosts"][0]), of_host);
    let summaries = members(&dry["summary"]).union(&members(&done["summary"])).cloned().collect();
    assert_eq!(members_below("### `summary`"), summaries);
}

#[tokio::test]
async fn the_report_of_a_mirroring_has_the_members_that_the_docs_name() {
    let registry = TestRegistry::start().await;
    registry.load("images/app", "v1", &fixture::image(1, 1)).await;
    registry.fail(Fault::everywhere("/blobs/").corrupt());
    let directory = TempDir::new().expect("a temporary directory");
    let from = format!("{}/images", registry.host());
    let to = format!("file://{}/store", directory.path().display());
    let arguments = ["mirror", "--from", &from, "--to", &to, "--confirm", "--output", "json"];
    let report = run(&arguments).await.expect(1).json();
    assert_eq!(members(&report), members_below("## The report of a mirroring"));
    for list in ["stores", "failed"] {
        assert_eq!(members(&report[list][0]), members_below(&format!("### `{list}`")), "{list}");
    }
}

#[tokio::test]
async fn the_plan_of_the_guide_is_what_the_program_prints() {
    let (staging, production) = (TestRegistry::start().await, TestRegistry::start().await);
    let image = fixture::image(1, 1);
    staging.load("team/app", None, &image).await;
    let (from, to) = (staging.prefix("team"), production.prefix("prod"));
    let thin = Thin::new().project("team", &from, &to, &entry("app", &image, &["1.0"]));
    let ended = run(&["promote", "--thin-manifest-dir", thin.path()]).await.expect(0);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/first-promotion.md");
    let guide = fs::read_to_string(path).expect("a page");
    let (_, sample) = guide.split_once("```text\n").expect("a sample");
    let (sample, _) = sample.split_once("```").expect("its end");
    assert!(ended.stdout.starts_with(sample), "{}\n{sample}", ended.stdout);
}
