//! `portolan promote`: its flags for selection, reports and deadlines.

use std::fs;

use serde_json::Value;
use testkit::{Fault, TestRegistry, TokenModel, TokenRegistry, TokenRights, fixture};

use crate::harness::{Thin, end_of, entry, portolan, read_report, run, signal};

/// A staging and a production registry, a manifest, and an image at staging.
struct Scene {
    staging: TestRegistry,
    production: TestRegistry,
    image: fixture::TestImage,
    thin: Thin,
}

impl Scene {
    async fn new() -> Self {
        let (staging, production) = (TestRegistry::start().await, TestRegistry::start().await);
        let image = fixture::image(1, 2);
        staging.load("team/app", None, &image).await;
        let (from, to) = (staging.prefix("team"), production.prefix("images"));
        let thin = Thin::new().project("team", &from, &to, &entry("app", &image, &["v1"]));
        Self { staging, production, image, thin }
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["promote", "--thin-manifest-dir", self.thin.path(), "--confirm"], more].concat()
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.thin.path())
    }
}

#[tokio::test]
async fn the_report_and_the_metrics_are_files_that_appear_whole() {
    let scene = Scene::new().await;
    let (report, metrics) = (scene.at("report.json"), scene.at("portolan.prom"));
    fs::write(&metrics, "old").expect("a file");
    let files = ["--report", &report, "--metrics-file", &metrics];
    let ended = run(&scene.arguments(&files)).await.expect(0);
    assert!(ended.stdout.contains("Copied (team)") && ended.stdout.contains("The run cost"));
    assert!(
        ended.stderr.trim_end().ends_with("in place, and their content was checked."),
        "{}",
        ended.stderr
    );
    let json = read_report(report.as_ref());
    assert_eq!((&json["schema"], &json["summary"]["copied"]), (&3.into(), &1.into()));
    let text = fs::read_to_string(&metrics).expect("a file");
    let host = scene.production.host();
    for line in [
        "portolan_promoter_edges{outcome=\"copied\"} 1".to_owned(),
        "portolan_promoter_edges{outcome=\"failed\"} 0".to_owned(),
        "portolan_promoter_all_holds 1".to_owned(),
        "portolan_promoter_problems 0".to_owned(),
        "# TYPE portolan_promoter_duration_seconds gauge".to_owned(),
        format!(
            "portolan_promoter_requests{{host=\"{host}\",kind=\"write\"}} {}",
            json["hosts"]
                .as_array()
                .expect("a list")
                .iter()
                .find(|it| it["host"] == host.as_str())
                .expect("it")["writes"]
        ),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(fs::read_dir(scene.thin.path()).expect("a directory").all(|entry| {
        !entry.expect("an entry").file_name().to_string_lossy().contains(".part")
    }));
    // A file that cannot be written is reported before anything is done.
    let nowhere = scene.at("no/where");
    let ended = run(&scene.arguments(&["--report", &nowhere])).await.expect(2);
    assert!(ended.stderr.contains("no/where: No such file"), "{}", ended.stderr);
}

#[tokio::test]
async fn the_deadline_stops_it_and_the_report_is_written_all_the_same() {
    let scene = Scene::new().await;
    scene.staging.fail(Fault::everywhere("/blobs/").hang());
    let report = scene.at("report.json");
    let flags = ["--deadline", "1s", "--report", &report, "--output", "json"];
    let ended = run(&scene.arguments(&flags)).await.expect(1).json();
    let written = read_report(report.as_ref());
    for report in [ended, written] {
        assert_eq!(report["summary"]["failed"], 1);
        let reason = report["outcomes"][0]["reason"].as_str().expect("one");
        assert!(reason.starts_with("stopped by --deadline after 1 s"), "{reason}");
        let said = ["confirmed", "interrupted", "deadline"].map(|member| &report[member]);
        assert_eq!(said, [&Value::from(true), &true.into(), &1.0.into()]);
    }
    scene.staging.clear_faults();
    run(&scene.arguments(&["--deadline", "1h"])).await.expect(0);
    assert!(scene.production.holds("images/app", &scene.image).await);
}

#[tokio::test]
async fn what_the_public_name_lacks_ends_with_1() {
    let scene = Scene::new().await;
    let public = TestRegistry::start().await;
    let url = format!("http://{}", public.host());
    let flags = ["--verify-through", &*url, "--output", "json"];
    let report = run(&scene.arguments(&flags)).await.expect(1).json();
    assert_eq!(report["public_name_failures"][0]["name"], format!("{}/app:v1", public.host()));
    assert_eq!(
        (&report["summary"]["failed"], &report["summary"]["public_name_failures"]),
        (&0.into(), &1.into())
    );
    let ended =
        run(&["promote", "--thin-manifest-dir", scene.thin.path(), "--verify-through", &url]).await;
    assert!(ended.expect(2).stderr.contains("--confirm"), "there is nothing to verify");
}

#[tokio::test]
async fn flags_that_cannot_be_meant_end_with_2_and_teach() {
    let scene = Scene::new().await;
    let (file, odd) = (scene.at("images"), scene.at("odd.json"));
    fs::write(&odd, "{}").expect("a file");
    let named = format!("a@b={odd}");
    let twice = ["--credentials", &*named, "--credentials", &*named];
    for (flags, said) in [
        (&["--project", "maet"][..], "no project matches `maet`; the projects are team"),
        (&["--project", ""], "write a project's name"),
        (&["--changed-in", "HEAD"], "write FROM..TO"),
        (&["--changed-since", "HEAD", "--since", "1 day"], "cannot be used with"),
        (&["--changed-since", "HEAD"], "git cannot"),
        (&["--attachments", "canonical"], "--canonical"),
        (&["--canonical", "h.example/x"], "no image goes to that registry"),
        (
            &["--canonical", "h.example/x", "--attachments", "none"],
            "no effect with --attachments none",
        ),
        (&["--deadline", "soon"], "such as 90s"),
        (&["--verify-through", "registry.example"], "https://registry.example"),
        (&["--quota", "h"], "HOST=N"),
        (&["--report", &file], "is a directory; name a file"),
        (&["--credentials", &named], "no registry in the manifests has that `service-account`"),
        (&twice, "has two files"),
    ] {
        let ended = run(&scene.arguments(flags)).await.expect(2);
        assert!(ended.stderr.contains(said), "{flags:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
    assert!(scene.production.requests().is_empty() && scene.staging.requests().is_empty());
}

#[tokio::test]
async fn a_service_account_acts_by_the_file_that_is_given_for_it() {
    let scene = Scene::new().await;
    let realm = "Basic realm=\"x\"";
    let asking = Fault::everywhere("/v2/").status(401).header("www-authenticate", realm);
    scene.production.fail(asking.unless_authorized());
    let registries = format!(
        "registries:\n- name: {}\n  src: true\n- name: {}\n  service-account: pusher@example\n",
        scene.staging.prefix("team"),
        scene.production.prefix("images")
    );
    fs::write(scene.at("manifests/team/promoter-manifest.yaml"), registries).expect("a file");
    let config = scene.at("docker.json");
    // `u:p`
    let auths = format!(r#"{{"auths":{{"{}":{{"auth":"dTpw"}}}}}}"#, scene.production.host());
    fs::write(&config, auths).expect("a file");
    let named = format!("pusher@example={config}");
    run(&scene.arguments(&["--credentials", &named])).await.expect(0);
    assert!(scene.production.holds("images/app", &scene.image).await);
    let ended = run(&scene.arguments(&["--credentials", "pusher@example=nowhere"])).await.expect(2);
    assert!(
        ended.stderr.contains("--credentials pusher@example: nowhere: the file cannot be read"),
        "{}",
        ended.stderr
    );
}

#[tokio::test]
async fn a_quota_is_kept() {
    let scene = Scene::new().await;
    let quota = format!("{}=20", scene.production.host());
    let flags = ["--quota", &*quota, "--output", "json", "--attachments", "none"];
    let report = run(&scene.arguments(&flags)).await.expect(0).json();
    let requests = scene.production.requests().len();
    let seconds = report["summary"]["seconds"].as_f64().expect("a number");
    assert!(seconds > (requests as f64 - 4.0) / 20.0, "{requests} requests in {seconds} s");
}

#[tokio::test]
async fn the_last_line_offers_confirm_only_where_it_would_do_something() {
    let scene = Scene::new().await;
    let plan = ["promote", "--thin-manifest-dir", scene.thin.path()];
    let last = |ended: &crate::harness::Ended| ended.stderr.trim_end().to_owned();
    let carries_out = "this was a dry run; use --confirm to write.";
    let ended = run(&plan).await.expect(0);
    assert!(last(&ended).ends_with(carries_out), "{}", ended.stderr);
    run(&scene.arguments(&[])).await.expect(0);
    let ended = run(&plan).await.expect(0);
    let unchecked = "All tags and digests are in place. The content of images already present was not checked; \
                     --verify deep checks it.";
    assert!(last(&ended).ends_with(unchecked), "{}", ended.stderr);
    let ended = run(&[&plan[..], &["--verify", "deep"]].concat()).await.expect(0);
    let checked = "All tags and digests are in place, and their content was checked.";
    assert!(last(&ended).ends_with(checked), "{}", ended.stderr);
    // The tag is elsewhere, and stays there.
    scene.production.load("images/app", "v1", &fixture::image(2, 1)).await;
    let ended = run(&plan).await.expect(1);
    let nothing = "Nothing can be promoted: the edge was refused.";
    assert!(last(&ended).ends_with(nothing), "{}", ended.stderr);
}

#[tokio::test]
async fn a_dry_run_with_something_to_write_says_too_how_much_cannot_be_promoted() {
    let scene = Scene::new().await;
    let images = scene.at("images/team/images.yaml");
    let nowhere = entry("typo", &fixture::image(9, 1), &["v1"]);
    let text = fs::read_to_string(&images).expect("the images") + &nowhere;
    fs::write(&images, text).expect("a file");
    let ended = run(&["promote", "--thin-manifest-dir", scene.thin.path()]).await.expect(1);
    let both =
        "this was a dry run; use --confirm to write. 1 of 2 edges cannot be promoted; see above.";
    assert!(ended.stderr.trim_end().ends_with(both), "{}", ended.stderr);
}

#[tokio::test]
async fn a_dry_run_that_was_stopped_says_that_the_plan_is_incomplete_and_why() {
    let scene = Scene::new().await;
    scene.staging.fail(Fault::everywhere("/v2/").hang());
    let plan = ["promote", "--thin-manifest-dir", scene.thin.path(), "--deadline", "1s"];
    let ended = run(&plan).await.expect(1);
    let incomplete = "The plan is incomplete: stopped by --deadline after 1 s; run again.";
    assert!(ended.stderr.trim_end().ends_with(incomplete), "{}", ended.stderr);
    assert!(!ended.stderr.contains("Nothing can be promoted"), "{}", ended.stderr);
    let ended = run(&scene.arguments(&["--deadline", "1s"])).await.expect(1);
    let incomplete = "The promotion is incomplete: stopped by --deadline after 1 s; run again.";
    assert!(ended.stderr.trim_end().ends_with(incomplete), "{}", ended.stderr);
}

#[tokio::test]
async fn a_report_without_edges_has_no_table() {
    let scene = Scene::new().await;
    fs::write(scene.at("images/team/images.yaml"), "- name: [\n").expect("a file");
    let ended = run(&scene.arguments(&["--quiet"])).await.expect(2);
    assert!(ended.stdout.starts_with("problem: "), "{}", ended.stdout);
    assert!(!ended.stdout.contains("to_copy") && !ended.stdout.contains("copied"));
    assert!(!ended.stdout.contains("project "), "{}", ended.stdout);
}

/// Makes the manifests the one commit of a repository.
fn commit(scene: &Scene) {
    let git = |arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.arg("-C").arg(scene.thin.path()).args(arguments);
        assert!(git.status().expect("git").success(), "{arguments:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    let user = ["-c", "user.name=t", "-c", "user.email=t@example"];
    git(&[&user[..], &["commit", "-q", "-m", "x"]].concat());
}

#[tokio::test]
async fn a_run_that_selects_no_edge_says_that_no_registry_was_contacted() {
    let scene = Scene::new().await;
    commit(&scene);
    scene.staging.clear_requests();
    for (flags, named) in [
        (&["--changed-since", "HEAD"][..], "--changed-since HEAD"),
        (&["--changed-in", "HEAD..HEAD"], "--changed-in HEAD..HEAD"),
        (&["--since", "1 second"], "--since 1 second"),
        (&["--project", "t*", "--changed-since", "HEAD"], "--project t*, --changed-since HEAD"),
    ] {
        // So that "1 second" begins after the commit.
        let after = ["-c", "user.name=t", "-c", "user.email=t@example", "commit", "-q", "--amend"];
        let date = ["--date", "2026-01-01T00:00:00Z", "--no-edit"];
        let mut git = std::process::Command::new("git");
        git.env("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z").arg("-C").arg(scene.thin.path());
        assert!(git.args(after).args(date).status().expect("git").success());
        for more in [&[][..], &["--verify", "deep"]] {
            let ended = run(&scene.arguments(&[flags, more].concat())).await.expect(0);
            let says = format!(" No edge was selected ({named}); no registry was contacted.");
            assert!(ended.stderr.trim_end().ends_with(&says), "{}", ended.stderr);
            assert!(!ended.stderr.contains("in place"), "{}", ended.stderr);
        }
    }
    assert!(scene.staging.requests().is_empty() && scene.production.requests().is_empty());
}

#[tokio::test]
async fn an_attachment_that_is_broken_for_two_destinations_is_counted_once() {
    let scene = Scene::new().await;
    let second = TestRegistry::start().await;
    let sig = format!("sha256-{}.sig", scene.image.digest().hex());
    let signature = fixture::signatures("p", &["staging"]);
    scene.staging.load("team/app", &*sig, &signature).await;
    scene.staging.delete_blob("team/app", &signature.blobs[1].descriptor.digest).await;
    let names = [scene.staging.prefix("team"), scene.production.prefix("a"), second.prefix("b")];
    let manifest = format!(
        "registries:\n- {{name: {}, src: true}}\n- {{name: {}}}\n- {{name: {}}}\n\
         images:\n- {{name: app, dmap: {{\"{}\": [v1]}}}}\n",
        names[0],
        names[1],
        names[2],
        scene.image.digest(),
    );
    let (file, metrics) = (scene.at("plain.yaml"), scene.at("portolan.prom"));
    fs::write(&file, manifest).expect("a file");
    let flags = ["promote", "--manifest", &file, "--confirm", "--metrics-file", &metrics];
    let ended = run(&flags).await.expect(1);
    let says = " All tags are in place; broken at their source and left out: 1 attachment at 2 destinations; repair or \
                remove them there.\n";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    let text = fs::read_to_string(&metrics).expect("a file");
    assert!(text.lines().any(|line| line == "portolan_promoter_broken_attachments 1"), "{text}");
}

#[tokio::test]
async fn a_source_that_cannot_be_read_is_named_in_the_summary_though_its_edges_hold() {
    let scene = Scene::new().await;
    let other = TestRegistry::start().await;
    other.load("images/app", "v1", &scene.image).await;
    scene.staging.fail(Fault::everywhere("/team/app/").status(403));
    let names =
        [scene.staging.prefix("team"), other.prefix("images"), scene.production.prefix("images")];
    let manifest = format!(
        "registries:\n- {{name: {}, src: true}}\n- {{name: {}}}\n- {{name: {}}}\n\
         images:\n- {{name: app, dmap: {{\"{}\": [v1]}}}}\n",
        names[0],
        names[1],
        names[2],
        scene.image.digest(),
    );
    let (file, metrics) = (scene.at("plain.yaml"), scene.at("portolan.prom"));
    fs::write(&file, manifest).expect("a file");
    let dry = ["promote", "--manifest", &file, "--attachments", "none"];
    let host = scene.staging.host();
    let ended = run(&dry).await.expect(0);
    let says = format!(
        " 1 edge would be copied from another destination, because the source could not be read; check {host}. "
    );
    assert!(ended.stderr.contains(&says), "{}", ended.stderr);
    let ended =
        run(&[&dry[..], &["--confirm", "--metrics-file", &metrics]].concat()).await.expect(0);
    let says = says.replace("would be", "was");
    assert!(ended.stderr.contains(&says), "{}", ended.stderr);
    assert!(ended.stdout.contains("the image could not be read from "), "{}", ended.stdout);
    let text = fs::read_to_string(&metrics).expect("a file");
    assert!(text.lines().any(|line| line == "portolan_promoter_unread_source_edges 1"), "{text}");
}

#[tokio::test]
async fn a_report_that_cannot_be_written_is_named() {
    let scene = Scene::new().await;
    let full = ["--report", "/dev/full"];
    let ended = run(&scene.arguments(&full)).await.expect(1);
    let says = "the report cannot be written: /dev/full: No space left on device";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    let arguments = scene.arguments(&[]);
    let out = fs::File::options().write(true).open("/dev/full").expect("a device");
    let child = portolan(&arguments).stdout(out).spawn().expect("it starts");
    let ended = end_of(child).await.expect(1);
    let says = "the report cannot be written: standard output: No space left on device";
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
}

#[tokio::test]
async fn a_date_in_the_future_ends_with_2() {
    let scene = Scene::new().await;
    commit(&scene);
    for date in ["2062-10-01", "2100-01-01"] {
        let ended = run(&scene.arguments(&["--since", date])).await.expect(2);
        assert!(ended.stderr.contains("the date is in the future"), "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
    assert!(scene.production.requests().is_empty());
}

#[tokio::test]
async fn a_deep_verification_says_what_it_would_copy_and_copies_it() {
    let scene = Scene::new().await;
    run(&scene.arguments(&[])).await.expect(0);
    let layer = scene.image.blobs[1].descriptor.digest;
    scene.production.delete_blob("images/app", &layer).await;
    let ended = run(&scene.arguments(&["--verify", "shallow", "--all"])).await.expect(0);
    assert!(ended.stdout.contains("Present (team)"), "{}", ended.stdout);
    let plan = ["promote", "--thin-manifest-dir", scene.thin.path(), "--verify", "deep"];
    let ended = run(&plan).await.expect(0);
    let missing =
        format!("the image was incomplete at the destination: missing or damaged blob {layer}");
    assert!(ended.stdout.contains("To copy (team)") && ended.stdout.contains(&missing));
    assert!(!scene.production.holds("images/app", &scene.image).await);
    let ended = run(&scene.arguments(&["--verify", "deep"])).await.expect(0);
    assert!(ended.stdout.contains("Copied (team)") && ended.stdout.contains(&missing));
    assert!(scene.production.holds("images/app", &scene.image).await);
}

#[tokio::test]
async fn a_broken_attachment_ends_with_1_and_is_fatal_to_its_image_only_on_request() {
    let scene = Scene::new().await;
    let sig = format!("sha256-{}.sig", scene.image.digest().hex());
    let signature = fixture::signatures("p", &["staging"]);
    scene.staging.load("team/app", &*sig, &signature).await;
    scene.staging.delete_blob("team/app", &signature.blobs[1].descriptor.digest).await;
    let metrics = scene.at("portolan.prom");
    run(&scene.arguments(&["--attachments-required"])).await.expect(1);
    assert_eq!(scene.production.tags("images/app").await, [""; 0]);
    let ended = run(&scene.arguments(&["--metrics-file", &metrics])).await.expect(1);
    assert_eq!(scene.production.tags("images/app").await, ["v1"]);
    assert!(ended.stdout.contains("Attachment broken (team)"), "{}", ended.stdout);
    assert!(ended.stdout.contains(&format!("digest tag {sig}: ")), "{}", ended.stdout);
    assert!(ended.stderr.contains(
        "broken at their source and left out: 1 attachment at 1 destination; repair or remove"
    ));
    let text = fs::read_to_string(&metrics).expect("a file");
    assert!(text.lines().any(|line| line == "portolan_promoter_broken_attachments 1"), "{text}");
}

#[tokio::test]
async fn where_only_attachments_are_broken_all_tags_are_said_to_be_in_place() {
    let scene = Scene::new().await;
    let sig = format!("sha256-{}.sig", scene.image.digest().hex());
    let signature = fixture::signatures("p", &["staging"]);
    scene.staging.load("team/app", &*sig, &signature).await;
    scene.staging.delete_blob("team/app", &signature.blobs[1].descriptor.digest).await;
    run(&scene.arguments(&[])).await.expect(1);
    let plan = ["promote", "--thin-manifest-dir", scene.thin.path()];
    for arguments in [&plan[..], &scene.arguments(&[])] {
        let ended = run(arguments).await.expect(1);
        let says = "All tags are in place; broken at their source and left out: 1 attachment at 1 destination; repair \
                    or remove them there.\n";
        assert!(ended.stderr.ends_with(says), "{}", ended.stderr);
        assert!(!ended.stderr.contains("not everything"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_dry_run_counts_the_edges_that_it_could_not_check() {
    let (staging, image) = (TestRegistry::start().await, fixture::image(1, 1));
    let production = TokenRegistry::start(TokenModel::DockerHub, TokenRights::Push).await;
    staging.load("team/app", None, &image).await;
    let to = format!("{}/prod", production.host()).parse().expect("a prefix");
    let thin = Thin::new().project(
        "team",
        &staging.prefix("team"),
        &to,
        &entry("app", &image, &["v1", "v2"]),
    );
    let ended = run(&["promote", "--thin-manifest-dir", thin.path()]).await.expect(0);
    let host = production.host();
    let says = format!(
        "use --confirm to write. 2 of 2 edges could not be checked; log in to {host} with docker login.\n"
    );
    assert!(ended.stderr.ends_with(&says), "{}", ended.stderr);
    // Once for the host, not for each tag.
    let unknown =
        format!("\nNot checked\n  {host}: not logged in, or without access; contents unknown\n");
    assert!(ended.stdout.contains(&unknown), "{}", ended.stdout);
    assert!(!ended.stdout.contains("not known before writing"), "{}", ended.stdout);
}

#[tokio::test]
async fn a_hangup_stops_a_run_with_a_report_unless_it_is_ignored() {
    let scene = Scene::new().await;
    scene.staging.fail(Fault::everywhere("/blobs/").hang());
    for (shell, ignored) in [("exec \"$@\"", false), ("trap '' HUP; exec \"$@\"", true)] {
        let report = scene.at("report.json");
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", shell, "sh", env!("CARGO_BIN_EXE_portolan")]);
        command.args(scene.arguments(&["--report", &report])).kill_on_drop(true);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let before = scene.staging.count(|it| it.path_and_query.contains("/blobs/"));
        let child = command.spawn().expect("it starts");
        while scene.staging.count(|it| it.path_and_query.contains("/blobs/")) == before {
            tokio::task::yield_now().await;
        }
        signal(&child, "HUP").await;
        if ignored {
            // It would end with 130 here if SIGHUP had been the first signal.
            signal(&child, "TERM").await;
        }
        let ended = end_of(child).await.expect(1);
        assert!(ended.stdout.contains("interrupted"), "{}", ended.stdout);
        assert_eq!(read_report(report.as_ref())["interrupted"], true);
        fs::remove_file(report).expect("a file");
    }
}
