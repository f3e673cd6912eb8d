//! The sentences of the program: numbers and their nouns, lines that fit a terminal, and each failure once.

use tempfile::TempDir;
use testkit::{Fault, TestHost, TestRegistry, fixture};

use crate::{
    harness::{Ended, Thin, entry, portolan, run, write},
    pty::Terminal,
};

/// Registries, and a thin manifest directory that asks for one tag of one image.
struct Scene {
    staging: TestRegistry,
    production: TestRegistry,
    thin: Thin,
    directory: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let (staging, production) = (TestRegistry::start().await, TestRegistry::start().await);
        let image = fixture::image(1, 1);
        staging.load("team/app", None, &image).await;
        let (from, to) = (staging.prefix("team"), production.prefix("images"));
        let thin = Thin::new().project("team", &from, &to, &entry("app", &image, &["v1"]));
        let directory = TempDir::new().expect("a temporary directory");
        Self { staging, production, thin, directory }
    }

    async fn promote(&self, flags: &[&str]) -> Ended {
        run(&[&["promote", "--thin-manifest-dir", self.thin.path()], flags].concat()).await
    }

    /// The arguments of a mirroring of the production registry.
    fn mirror(&self) -> [String; 6] {
        let from = format!("{}/images", self.production.host());
        let to = format!("file://{}/store", self.directory.path().display());
        ["mirror", "--confirm", "--from", &from, "--to", &to].map(str::to_owned)
    }
}

#[tokio::test]
async fn a_count_of_one_is_followed_by_a_singular() {
    let scene = Scene::new().await;
    let plan = scene.promote(&[]).await.expect(0);
    assert!(plan.stderr.contains("\n1 edge: 0 present, 1 to copy"), "{}", plan.stderr);
    assert!(plan.stderr.contains("0 problems in manifests."), "{}", plan.stderr);
    scene.staging.fail(Fault::everywhere("/blobs/").status(403));
    let failed = scene.promote(&["--confirm"]).await.expect(1);
    assert!(failed.stdout.contains("\nFailed\n  1 edge: "), "{}", failed.stdout);
    scene.staging.clear_faults();
    scene.promote(&["--confirm"]).await.expect(0);

    let arguments = scene.mirror();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mirrored = run(&arguments).await.expect(0);
    let summary = "1 repository, 1 tag: 2 blobs and 1 manifest copied, 0 repaired (";
    assert!(mirrored.stderr.contains(summary), "{}", mirrored.stderr);

    let file = scene.directory.path().join("bad.yaml");
    std::fs::write(&file, "registries: 1\n").expect("a file");
    let bad = run(&["promote", "--manifest", file.to_str().expect("UTF-8")]).await.expect(2);
    assert!(bad.stderr.contains("0 edges: ") && bad.stderr.contains("; 1 problem in manifests."));
}

#[tokio::test]
async fn notes_and_errors_are_wrapped_between_words_on_a_terminal() {
    let scene = Scene::new().await;
    let unknown = ["promote", "--thin-manifest-dir", scene.thin.path(), "--canonical", "a.example"];
    let explain = ["explain", "--ip", "192.0.2.1", "/v2/app/manifests/latest"];
    for (arguments, code) in [
        (&["promote", "--thin-manifest-dir", scene.thin.path()][..], 0),
        (&unknown, 2),
        (&explain, 0),
    ] {
        let piped = run(arguments).await.expect(code);
        for columns in [60, 80, 150] {
            let terminal = Terminal::open(45, columns);
            let mut command = portolan(arguments);
            let mut child = terminal.start(&mut command);
            drop(command);
            assert_eq!(child.wait().await.expect("it ends").code(), Some(code));
            let lines = terminal.lines().await;
            let is_wide = |line: &&String| line.chars().count() > usize::from(columns);
            let wide = lines.iter().filter(is_wide).find(|line| line.trim().contains(' '));
            assert_eq!(wide, None, "{columns}");
            let last = piped.stderr.lines().last().or(piped.stdout.lines().last());
            let last = last.and_then(|line| line.split_whitespace().last()).expect("a word");
            assert!(lines.join("\n").contains(last), "{lines:?}");
        }
    }
}

#[tokio::test]
async fn a_failure_of_a_mirroring_is_printed_once() {
    let scene = Scene::new().await;
    scene.promote(&["--confirm"]).await.expect(0);
    scene.production.fail(Fault::everywhere("/blobs/").corrupt());
    let unreachable = scene.mirror().map(|argument| {
        argument.replace(&scene.production.host().to_string(), &TestHost::unreachable().to_string())
    });
    for arguments in [scene.mirror(), unreachable] {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let ended = run(&arguments).await.expect(1);
        assert!(ended.stdout.starts_with("failed: "), "{}", ended.stdout);
        let both = format!("{}{}", ended.stdout, ended.stderr);
        // The names of failures of one cause are below it.
        for reason in ended.stdout.lines().filter_map(|line| line.strip_prefix("failed: ")) {
            assert_eq!(both.matches(reason).count(), 1, "{both}");
        }
        assert!(!ended.stderr.contains("WARN"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn flags_for_a_host_that_the_run_does_not_contact_are_warned_of() {
    let scene = Scene::new().await;
    let [staging, production] = [&scene.staging, &scene.production].map(|it| it.host().to_string());
    let quota = format!("{production}=1000");
    let used = ["--plain-http", &staging, "--quota", &quota];
    let plan = scene.promote(&used).await.expect(0);
    assert!(!plan.stderr.contains("warning"), "{}", plan.stderr);
    let unused = ["--tls", "a.example:5443", "--plain-http", "b.example", "--quota", "c.example=5"];
    let mut arguments: Vec<_> = scene.mirror().into();
    arguments.extend(unused.map(str::to_owned));
    let mirrored: Vec<_> = arguments.iter().map(String::as_str).collect();
    for ended in [scene.promote(&unused).await.expect(0), run(&mirrored).await] {
        for (flag, host) in
            [("--tls", "a.example:5443"), ("--plain-http", "b.example"), ("--quota", "c.example")]
        {
            let warning = format!(
                "warning: {flag} {host} had no effect: no request went to this host; check its name and port\n"
            );
            assert!(ended.stderr.contains(&warning), "{}", ended.stderr);
        }
    }
}

#[tokio::test]
async fn mistakes_in_arguments_and_files_say_what_to_do() {
    let directory = TempDir::new().expect("a temporary directory");
    let at = |name: &str| format!("{}/{name}", directory.path().display());
    let file = |name: &str, text: &str| {
        std::fs::write(at(name), text).expect("a file");
        at(name)
    };
    let here = directory.path().to_str().expect("UTF-8");
    let empty = file("empty", "# nothing\n");
    let colon = file("colon", "upstream: {endpoint: https://a.example}\nlisten: a: b\n");
    let relative = file("relative", "upstream: {endpoint: registry}\n");
    let slash = "registries:\n- {name: a.example, src: true}\n- {name: b.example/prod/}\n";
    let slash = file("slash", slash);
    let store = "file:///s";
    let cases: [(&[&str], &str); 11] = [
        (&["promote", "--manifest", here], "is a directory; use --thin-manifest-dir\n"),
        (&["promote", "--thin-manifest-dir", &empty], "empty is a file; use --manifest\n"),
        (
            &["promote", "--manifest", &empty],
            "empty:1:1: the file is empty; write `registries:` and `images:`\n",
        ),
        (
            &["promote", "--manifest", &slash],
            "slash:3:10: `b.example/prod/` is not a registry `name`: leave out the slash at the end\n",
        ),
        (&["mirror", "--to", store, "--from", "/prod/"], "leave out the slash at the end\n"),
        (&["mirror", "--to", store, "--from", "a/prod/"], "leave out the slash at the end\n"),
        (
            &["serve", "--check", "--config", &empty],
            "empty: the file is empty; write at least `upstream: {endpoint: https://HOST}`\n",
        ),
        (
            &["serve", "--check", "--config", &colon],
            "colon:2:10: not valid YAML: a `:` follows a value that has one already; put quotes around a value \
             with `: ` in it, or correct the indentation\n",
        ),
        (
            &["serve", "--check", "--config", &relative],
            "relative:1:22: `upstream.endpoint`: `registry` is not a URL; begin with https://\n",
        ),
        (
            &["registry", "serve", "--listen", "8080"],
            "`8080` is not an address and port; write for example `127.0.0.1:8080` or `[::]:8080`\n",
        ),
        (
            &["store", "serve", here, "--listen", "store.example:80"],
            "`store.example:80`: names are not accepted; write an address, such as `127.0.0.1:80`\n",
        ),
    ];
    for (arguments, expected) in cases {
        let ended = run(arguments).await.expect(2);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn a_path_or_file_of_another_kind_says_what_to_give_instead() {
    let directory = TempDir::new().expect("a temporary directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let list = file("list", "- name: app\n  dmap: {}\n");
    let passwd = file("passwd", &format!("{}\n", "x".repeat(60)));
    let ranges = format!("azur={passwd}");
    let cases: [(&[&str], &str); 7] = [
        (&["mirror", "--to", "/s", "--from", "a/prod"], "--to /s: not a URL; write file:///s\n"),
        (
            &["mirror", "--to", "s3://b", "--from", "a/prod"],
            "--to s3://b: the scheme `s3` is not supported; write file:///absolute/directory\n",
        ),
        (
            &["registry", "serve", "--storage", "/dir"],
            "--storage /dir: write `memory` or file:///dir\n",
        ),
        (
            &["registry", "serve", "--storage", "s3://b"],
            "--storage s3://b: the scheme `s3` is not supported; write `memory` or file:///absolute/directory\n",
        ),
        (
            &["registry", "serve", "--storage", "s"],
            "--storage s: write `memory` or file:///absolute/directory\n",
        ),
        (
            &["promote", "--manifest", &list],
            "list:1:1: this looks like a thin images.yaml; use --thin-manifest-dir\n",
        ),
        (
            &["explain", "--ip", "192.0.2.1", "--ranges", &ranges, "/v2/app/manifests/v1"],
            "line 1: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` is not an address prefix",
        ),
    ];
    for (arguments, expected) in cases {
        let ended = run(arguments).await.expect(2);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_utf_8_says_which_encoding_to_save_it_in() {
    let thin = Thin::new();
    let utf16: Vec<u8> =
        "\u{feff}registries: []\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let file = std::path::Path::new(thin.path()).join("utf16.yaml");
    std::fs::write(&file, &utf16).expect("a file");
    for path in ["images/team/images.yaml", "manifests/team/promoter-manifest.yaml"] {
        let path = write(&std::path::Path::new(thin.path()).join(path), "");
        std::fs::write(path, &utf16).expect("a file");
    }
    let file = file.to_str().expect("UTF-8");
    for arguments in [
        &["promote", "--manifest", file][..],
        &["promote", "--thin-manifest-dir", thin.path()],
        &["serve", "--check", "--config", file],
        &["registry", "serve", "--htpasswd", file],
    ] {
        let ended = run(arguments).await.expect(2);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains("the file is UTF-16; save it as UTF-8"), "{arguments:?}: {said}");
    }
}
