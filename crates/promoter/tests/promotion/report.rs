//! The reports: the JSON to the letter, and the words.

use std::io;

use job::{Confirm::Write, Silent};
use promoter::{
    Clients, Desired, Ending, Outcome, OutcomeKind, Reason, Summary,
    report::{JsonReport, Report, Show, WordsReport},
};
use promotion_manifest::{EdgeSet, EdgeView, Selection};
use testkit::fixture;
use wording::Width;

use crate::harness::{TestRegistries, assert_valid, bare, client, entry};

/// A run with a report of any kind.
async fn run(registries: &TestRegistries, images: &str, report: &mut dyn Report) -> io::Result<()> {
    let edges = EdgeSet::new(vec![registries.project("team", images)]);
    let (_stopper, stop) = job::stop();
    let problems = promotion_manifest::parse_plain("bad.yaml", "registries: 1\n").problems;
    let (clients, settings) = (Clients::new(client()), bare(Write));
    let selection = Selection::all(&edges);
    let desired = Desired { edges: &edges, selection: &selection, problems: &problems };
    let done = promoter::promote(clients, desired, &settings, &stop, &Silent, report).await;
    done.map(drop)
}

/// The summary without what the hosts add up to, which is checked.
fn without_sums(report: &serde_json::Value) -> serde_json::Value {
    let mut summary = report["summary"].clone();
    let mut sums = [0; 3];
    for host in report["hosts"].as_array().expect("a list") {
        for (sum, members) in
            sums.iter_mut().zip([&["reads", "writes"][..], &["bytes_received"], &["bytes_sent"]])
        {
            *sum += members.iter().map(|it| host[it].as_u64().expect("a number")).sum::<u64>();
        }
        assert!(host["retries"] == 0 && host["throttled"] == 0, "{host}");
    }
    for (member, sum) in ["requests", "bytes_received", "bytes_sent"].into_iter().zip(sums) {
        assert!(sum > 0, "{member}");
        assert_eq!(summary.as_object_mut().expect("an object").remove(member), Some(sum.into()));
    }
    assert!(summary.as_object_mut().expect("it").remove("seconds").is_some_and(|it| it.is_f64()));
    summary
}

fn is_plain_name(name: &str) -> bool {
    name.bytes().all(|it| it.is_ascii_lowercase() || it == b'_')
}

#[tokio::test]
async fn the_json_is_the_documented_one() {
    let registries = TestRegistries::open().await;
    let (image, there) = (fixture::image(1, 1), fixture::image(2, 1));
    registries.staging.load("staging/team/app", None, &image).await;
    for registry in &registries.production {
        registry.load("images/app", "v0", &there).await;
    }
    let images = entry("app", &image, &["v1"]) + &entry("app", &there, &["v0"]);
    let mut out = Vec::new();
    run(&registries, &images, &mut JsonReport::new(&mut out, Show::Changes)).await.expect("memory");
    let text = String::from_utf8(out).expect("UTF-8");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_valid(&report);
    let mut members: Vec<_> = report.as_object().expect("an object").keys().cloned().collect();
    members.sort();
    let documented = "confirmed deadline hosts interrupted outcomes problems public_name_failures schema summary";
    assert_eq!(members.join(" "), documented);
    let said = ["confirmed", "interrupted", "deadline"].map(|member| &report[member]);
    assert_eq!(said, [&true.into(), &false.into(), &serde_json::Value::Null]);
    assert!(report["summary"].as_object().expect("an object").keys().all(|it| is_plain_name(it)));
    assert_eq!(report["schema"], 3);
    assert_eq!(report["public_name_failures"], serde_json::json!([]));
    let summary = without_sums(&report);
    assert_eq!(
        summary,
        serde_json::json!({
            "edges": 4, "present": 2, "copied": 2, "tagged": 0, "attached": 0, "lost": 0, "refused": 0,
            "failed": 0, "attachment_broken": 0, "public_name_failures": 0,
        })
    );
    assert!(
        text.trim_end().ends_with('}') && text.rfind("\"summary\"") > text.rfind("\"outcomes\"")
    );
    let outcomes = report["outcomes"].as_array().expect("a list");
    assert_eq!(outcomes.len(), 2, "those present are left out");
    let one = outcomes.iter().find(|outcome| {
        outcome["destination"] == format!("{}/images", registries.production[0].host())
    });
    assert_eq!(
        one.expect("an outcome a destination"),
        &serde_json::json!({
            "project": "team",
            "file": "images/team/images.yaml",
            "line": 3,
            "source": format!("{}/staging/team", registries.staging.host()),
            "destination": format!("{}/images", registries.production[0].host()),
            "repository": "app",
            "digest": image.digest(),
            "tag": "v1",
            "outcome": "copied",
            "code": null,
            "reason": null,
        })
    );
    let problem = &report["problems"][0];
    assert_eq!((&problem["file"], &problem["line"]), (&"bad.yaml".into(), &1.into()));
    assert!(problem["column"].is_u64() && problem["message"].is_string());
    assert_eq!((&problem["rule"], &problem["severity"]), (&"wrong-type".into(), &"error".into()));
    let end = (problem["end_line"].as_u64(), problem["end_column"].as_u64());
    assert_eq!(end, (Some(1), Some(14)), "{problem}");
    assert!(problem.as_object().expect("an object").contains_key("project"));
}

#[tokio::test]
async fn the_words_say_once_what_many_destinations_share() {
    let registries = TestRegistries::open().await;
    let (image, lost) = (fixture::image(1, 1), fixture::image(2, 1));
    registries.staging.load("staging/team/app", None, &image).await;
    let images = entry("app", &image, &["v1"]) + &entry("app", &lost, &["v2"]);
    let mut out = Vec::new();
    run(&registries, &images, &mut WordsReport::new(&mut out, Show::Changes, Width::Unlimited))
        .await
        .expect("memory");
    let text = String::from_utf8(out).expect("UTF-8");
    let mut hosts = registries.production.each_ref().map(|registry| registry.host());
    hosts.sort();
    let [first, second] = hosts;
    assert!(text.starts_with("problem: bad.yaml:1:"), "{text}");
    assert!(
        text.contains(&format!(
            "Copied (team)\n  app:v1  {}  at {first}/images, {second}/images\n",
            image.digest()
        )),
        "{text}"
    );
    let lost = format!(
        "Lost (team)\n  app:v2  {}  at {first}/images, {second}/images: the digest is neither in",
        lost.digest()
    );
    assert!(text.contains(&lost), "{text}");
    let row = text.lines().find(|line| line.starts_with("team ")).expect("a table");
    let row: Vec<_> = row.split_whitespace().collect();
    assert_eq!(row, ["team", "0", "2", "0", "0", "2", "0", "0"]);
    assert!(text.contains("\nThe run cost\n") && text.contains(first.as_str()), "{text}");
}

#[tokio::test]
async fn a_reader_that_goes_away_does_not_stop_the_promotion() {
    struct Closed(io::ErrorKind);
    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }
    for (kind, is_fine) in [(io::ErrorKind::BrokenPipe, true), (io::ErrorKind::StorageFull, false)]
    {
        let registries = TestRegistries::open().await;
        let image = fixture::image(1, 1);
        registries.staging.load("staging/team/app", None, &image).await;
        let mut report = JsonReport::new(Closed(kind), Show::Changes);
        let ended = run(&registries, &entry("app", &image, &["v1"]), &mut report).await;
        assert_eq!(ended.is_ok(), is_fine);
        assert_eq!(registries.production[1].tags("images/app").await, ["v1"]);
    }
}

/// A confirmed run that ended with these counts, and cost nothing.
fn ending(summary: Summary) -> Ending {
    Ending {
        stopped: None,
        confirm: Write,
        problems: 0,
        summary,
        left_out: promoter::LeftOut::default(),
        unread_sources: promoter::UnreadSources::default(),
        unchecked: promoter::Unchecked::default(),
        hosts: Vec::new(),
        estimate: None,
        public_name_failures: Vec::new(),
        time: std::time::Duration::ZERO,
    }
}

#[tokio::test]
async fn what_is_amiss_is_named_however_much_else_there_is_to_say() {
    let registries = TestRegistries::open().await;
    let image = fixture::image(1, 0);
    let tags: Vec<_> = (0..6_000).map(|n| format!("v{n}")).collect();
    let tags: Vec<_> = tags.iter().map(String::as_str).collect();
    let edges = EdgeSet::new(vec![registries.project("team", &entry("app", &image, &tags))]);
    let mut out = Vec::new();
    let mut report = WordsReport::new(&mut out, Show::Everything, Width::Unlimited);
    let ids: Vec<_> = edges.edges_of(0).map(EdgeView::id).collect();
    let outcome = |edge: usize, kind, reason: Option<Reason>| {
        Outcome::new(ids[edge], kind, reason.map(Into::into))
    };
    let mut summary = Summary::default();
    for edge in 0..5_990 {
        let present = outcome(edge, OutcomeKind::Present, None);
        report.outcome(&edges, &present).expect("memory");
        summary.add(OutcomeKind::Present);
    }
    for edge in 5_990..6_000 {
        let amiss = if edge % 2 == 0 {
            outcome(
                edge,
                OutcomeKind::Refused,
                Some(Reason::TagMove {
                    current: image.digest(),
                    remedy: promoter::TagMoveRemedy::NewTag,
                }),
            )
        } else {
            outcome(
                edge,
                OutcomeKind::Failed,
                Some(Reason::BlobNotFound { digest: image.digest() }),
            )
        };
        report.outcome(&edges, &amiss).expect("memory");
        summary.add(amiss.kind);
    }
    report.finish(&edges, &ending(summary)).expect("memory");
    let text = String::from_utf8(out).expect("UTF-8");
    let place = registries.production.iter().map(|it| it.host()).min().expect("two");
    let refused =
        text.lines().filter(|line| line.contains(&format!("at {place}/images: tag move: ")));
    assert_eq!(refused.count(), 5, "{text}");
    let failed = text
        .split(&format!("\nFailed\n  5 edges: blob {} is not found\n", image.digest()))
        .nth(1)
        .expect("a cause");
    assert_eq!(failed.lines().take_while(|line| line.starts_with("    team: app:v")).count(), 5);
    assert!(text.contains("and 990 more edges; --output json names each"));
}
