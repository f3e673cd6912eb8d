//! `portolan promote`: what the plan names, how wide it is, and its exit code.

use oci::RegistryPrefix;
use testkit::{TestRegistry, fixture};

use crate::{
    harness::{Ended, Thin, entry, run},
    pty::Terminal,
};

/// An image at staging with a signature and a referrer, wanted below `paths` of one registry.
struct Scene {
    image: fixture::TestImage,
    attachments: [String; 2],
    places: Vec<String>,
    thin: Thin,
    _registries: [TestRegistry; 2],
}

impl Scene {
    async fn new(paths: usize) -> Self {
        let (staging, production) = (TestRegistry::start().await, TestRegistry::start().await);
        let image = fixture::image(1, 1);
        staging.load("team/app", None, &image).await;
        let signature = fixture::signatures("payload", &["alice"]);
        let tag = format!("sha256-{}.sig", image.digest().hex());
        staging.load("team/app", &*tag, &signature).await;
        let sbom = fixture::referrer(2, &image.descriptor, "application/spdx+json");
        staging.load("team/app", None, &sbom).await;
        let places: Vec<RegistryPrefix> =
            (1..=paths).map(|n| production.prefix(&format!("region-{n}/images"))).collect();
        let mut registries =
            format!("registries:\n- name: {}\n  src: true\n", staging.prefix("team"));
        for place in &places {
            registries += &format!("- name: {place}\n");
        }
        let project = "a-project-with-a-long-name";
        let thin = Thin::new()
            .file(&format!("manifests/{project}/promoter-manifest.yaml"), &registries)
            .file(&format!("images/{project}/images.yaml"), &entry("app", &image, &["v1"]));
        let mut places: Vec<_> = places.iter().map(ToString::to_string).collect();
        places.sort();
        let attachments = [tag, sbom.digest().to_string()];
        Self { image, attachments, places, thin, _registries: [staging, production] }
    }

    async fn run(&self, flags: &[&str]) -> Ended {
        run(&[&["promote", "--thin-manifest-dir", self.thin.path()], flags].concat()).await
    }

    /// The lines on a terminal of that width.
    async fn shown(&self, columns: u16, variable: Option<&str>) -> Vec<String> {
        let terminal = Terminal::open(45, columns);
        let arguments = ["promote", "--quiet", "--thin-manifest-dir", self.thin.path()];
        let mut command = crate::harness::portolan(&arguments);
        command.envs(variable.map(|columns| ("COLUMNS", columns)));
        let mut child = terminal.start(&mut command);
        drop(command);
        assert_eq!(child.wait().await.expect("it ends").code(), Some(0));
        terminal.lines().await
    }
}

#[tokio::test]
async fn the_plan_names_destinations_and_attachments() {
    let scene = Scene::new(2).await;
    let out = scene.run(&[]).await.expect(0).stdout;
    let [tag, referrer] = &scene.attachments;
    let row = format!("  app:v1  {}  at {}", scene.image.digest(), scene.places.join(", "));
    let row = out.lines().find(|line| line.starts_with(&*row)).expect(&out);
    assert!(row.contains("  with attachments "), "{row}");
    assert!(row.contains(&**tag) && row.contains(&**referrer), "{row}");
    let json = scene.run(&["--output", "json"]).await.expect(0).json();
    let mut named: Vec<_> = json["outcomes"][0]["attachments"].as_array().expect("a list").clone();
    named.sort_by_key(ToString::to_string);
    assert_eq!(named, scene.attachments.clone().map(serde_json::Value::from));

    let done = scene.run(&["--confirm"]).await.expect(0).stdout;
    assert!(done.contains(&scene.places.join(", ")), "{done}");
    let again = scene.run(&["--output", "json", "--all"]).await.expect(0).json();
    assert_eq!(again["outcomes"][0]["attachments"], serde_json::Value::Null);
}

#[tokio::test]
async fn the_plan_counts_the_destinations_that_it_does_not_name() {
    let scene = Scene::new(19).await;
    let out = scene.run(&[]).await.expect(0).stdout;
    assert!(out.contains(&format!("  at {} and 14 more", scene.places[..5].join(", "))), "{out}");
}

#[tokio::test]
async fn a_report_fits_the_terminal_and_nothing_is_cut() {
    let scene = Scene::new(7).await;
    let piped = scene.run(&[]).await.expect(0).stdout;
    let words =
        |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
    for (columns, variable, expected) in [
        (60, None, 60),
        (80, None, 80),
        (120, None, 120),
        (200, None, 200),
        (200, Some("70"), 70),
        (100, Some("nonsense"), 100),
    ] {
        let lines = scene.shown(columns, variable).await;
        for line in &lines {
            let is_one_word = words(line).len() == 1;
            assert!(line.chars().count() <= expected || is_one_word, "{expected}: {line}");
        }
        assert_eq!(words(&lines.join("\n")), words(&piped), "at {columns} columns");
    }
}

#[tokio::test]
async fn a_dry_run_says_by_its_exit_code_that_changes_are_pending() {
    let scene = Scene::new(1).await;
    scene.run(&["--detailed-exitcode"]).await.expect(3);
    let both = scene.run(&["--detailed-exitcode", "--confirm"]).await.expect(2);
    assert!(both.stderr.contains("cannot be used with '--confirm'"), "{}", both.stderr);
    scene.run(&["--confirm"]).await.expect(0);
    scene.run(&["--detailed-exitcode"]).await.expect(0);
    // What is amiss comes first.
    let lost = fixture::image(9, 1);
    let images = entry("app", &scene.image, &["v1", "v2"]) + &entry("lost", &lost, &["v1"]);
    let project = "images/a-project-with-a-long-name/images.yaml";
    let scene = Scene { thin: scene.thin.file(project, &images), ..scene };
    scene.run(&["--detailed-exitcode"]).await.expect(1);
}
