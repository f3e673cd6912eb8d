//! Selection of edges: by project, and by the history of git. `docs/reference/promotion.md`, "Selection".

#![expect(clippy::expect_used, reason = "an expectation that fails is a test that fails")]

use std::{fs, path::Path, process::Command};

use manifest_source::{ChangeRange, LoadError, LoadOptions, LoadedManifests, ManifestSource, load};
use tempfile::TempDir;

/// A thin manifest directory in a git repository.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(TempDir::new().expect("a directory"));
        tree.git(&["init", "-q"]);
        tree
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.git_at("2026-01-01T00:00:00Z", arguments)
    }

    fn git_at(&self, date: &str, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.arg("-C").arg(self.path()).args(["-c", "user.name=t", "-c", "user.email=t@example"]);
        git.args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        git.env("GIT_AUTHOR_DATE", date).env("GIT_COMMITTER_DATE", date);
        let output = git.output().expect("git");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    /// Writes a project's two files.
    fn project(&self, name: &str, images: &str) {
        let registries =
            "registries:\n- {name: s.example/staging, src: true}\n- name: d.example/prod\n";
        self.write(&format!("promotion/manifests/{name}/promoter-manifest.yaml"), registries);
        self.write(&format!("promotion/images/{name}/images.yaml"), images);
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    fn commit(&self, date: &str) -> String {
        self.git(&["add", "-A"]);
        self.git_at(date, &["commit", "-q", "-m", "x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn load(&self, options: &LoadOptions) -> Result<LoadedManifests, LoadError> {
        load(&ManifestSource::ThinDirectory(self.path().join("promotion")), options)
    }

    /// The tags that are chosen.
    fn chosen(&self, changes: ChangeRange) -> Vec<String> {
        let loaded = self.load(&LoadOptions { projects: Vec::new(), changed: Some(changes) });
        tags(&loaded.expect("it can be read"))
    }
}

fn tags(loaded: &LoadedManifests) -> Vec<String> {
    let edges = loaded.selection.edges(&loaded.edges);
    edges.map(|edge| edge.tag().expect("a tag").to_string()).collect()
}

fn images(name: &str, of: &[(char, &str)]) -> String {
    let mut text = format!("- name: {name}\n  dmap:\n");
    for (digit, tag) in of {
        let digest = digit.to_string().repeat(64);
        text.push_str(&format!("    sha256:{digest}: [{tag}]\n"));
    }
    text
}

/// A tree with three commits, and a change that is not committed.
fn history() -> (Tree, [String; 3]) {
    let tree = Tree::new();
    tree.project("a", &images("a", &[('1', "one")]));
    tree.project("b", &images("b", &[('2', "two")]));
    tree.write("promotion/images/broken/images.yaml", "- name: [\n");
    let first = tree.commit("2026-01-01T00:00:00Z");
    tree.project("a", &images("a", &[('1', "one"), ('3', "three")]));
    let second = tree.commit("2026-02-01T00:00:00Z");
    tree.project("b", &format!("# a comment\n{}", images("b", &[('4', "four"), ('2', "two")])));
    let third = tree.commit("2026-03-01T00:00:00Z");
    tree.project("c", &images("c", &[('5', "five")]));
    (tree, [first, second, third])
}

#[test]
fn what_changed_since_a_revision_is_chosen() {
    let (tree, [first, second, third]) = history();
    let since = |revision: &str| tree.chosen(ChangeRange::Since(revision.to_owned()));
    assert_eq!(since(&third), ["five"]);
    assert_eq!(since("HEAD~1"), ["four", "five"]);
    assert_eq!(since(&first), ["three", "four", "five"]);
    let range: ChangeRange = format!("{first}..{second}").parse().expect("a range");
    assert_eq!(tree.chosen(range), ["three"]);
    let range: ChangeRange = "HEAD~1..HEAD".parse().expect("a range");
    assert_eq!(tree.chosen(range), ["four"], "what is not committed is not looked at");
}

#[test]
fn what_changed_within_a_time_is_chosen() {
    let (tree, _) = history();
    let within = |time: &str| tree.chosen(ChangeRange::Within(time.to_owned()));
    assert_eq!(within("2026-02-15"), ["four", "five"]);
    assert_eq!(within("2026-01-15"), ["three", "four", "five"]);
    assert_eq!(within("2025-01-01").len(), 5, "everything is younger");
    assert_eq!(within("1 second"), ["five"], "only what is not committed");
    let error = tree
        .load(&LoadOptions { projects: vec![], changed: Some(ChangeRange::Within("soon".into())) });
    assert!(error.expect_err("no time").to_string().contains("14 days"));
}

#[test]
fn a_time_that_git_would_take_for_another_one_is_an_error() {
    let (tree, _) = history();
    let error = |changes: ChangeRange| {
        let options = LoadOptions { projects: Vec::new(), changed: Some(changes) };
        tree.load(&options).expect_err("not a time").to_string()
    };
    for date in ["2062-10-01", "2100-01-01", "9999-12-31"] {
        let error = error(ChangeRange::Within(date.into()));
        assert!(error.contains("the date is in the future"), "{date}: {error}");
    }
    let error_of_day = error(ChangeRange::Within("2026-02-31".into()));
    assert!(error_of_day.contains("`2026-02-31` is not a time"), "{error_of_day}");
    for revision in
        ["HEAD@{2062-10-01}", "HEAD@{1 day ago}", "@{yesterday}~1", "HEAD@{20260101000000}"]
    {
        let error = error(ChangeRange::Since(revision.into()));
        assert!(error.contains("a time in the reflog"), "{revision}: {error}");
    }
    let error = error(ChangeRange::Since("nowhere".into()));
    assert!(!error.contains("single revision"), "{error}");
    assert_eq!(tree.chosen(ChangeRange::Since("HEAD@{1}".into())), ["four", "five"]);
}

#[test]
fn old_problems_are_not_part_of_the_change() {
    let (tree, [first, ..]) = history();
    let all = tree.load(&LoadOptions::default()).expect("it can be read");
    assert_eq!(all.problems.len(), 1, "{:?}", all.problems);
    tree.write("promotion/images/new/images.yaml", "[]\n");
    let options = LoadOptions { projects: Vec::new(), changed: Some(ChangeRange::Since(first)) };
    let loaded = tree.load(&options).expect("it can be read");
    let projects: Vec<_> = loaded.problems.iter().map(|it| it.project.as_deref()).collect();
    assert_eq!(projects, [Some("new")]);
}

#[test]
fn a_problem_in_changed_files_is_reported_though_it_is_old() {
    let tree = Tree::new();
    let missing = "- dmap: {}\n";
    let bad = |digit: char| images(&format!("i{digit}"), &[(digit, ".x")]);
    tree.project("entry", &format!("{missing}{}", bad('1')));
    tree.project("out", &images("o", &[('2', "two")]));
    tree.write("promotion/manifests/out/promoter-manifest.yaml", "registries: []\n");
    tree.write("promotion/images/deep/er/images.yaml", "[]\n");
    tree.project("left", missing);
    let first = tree.commit("2026-01-01T00:00:00Z");
    let reported = || {
        let changes = Some(ChangeRange::Since(first.clone()));
        let loaded = tree
            .load(&LoadOptions { projects: Vec::new(), changed: changes })
            .expect("it can be read");
        let mut reported: Vec<_> =
            loaded.problems.into_iter().map(|it| it.project.unwrap_or_default()).collect();
        reported.dedup();
        (reported, loaded.selection.len())
    };
    assert_eq!(reported(), (vec![], 0));
    // Each asks for something new that a fault worded as before leaves out.
    tree.project("entry", &format!("{missing}{}", bad('3')));
    assert_eq!(reported().0, ["entry"]);
    tree.write("promotion/images/out/images.yaml", &images("o", &[('2', "two"), ('4', "four")]));
    assert_eq!(reported().0, ["entry", "out"]);
    tree.write("promotion/images/deep/er/images.yaml", &images("d", &[('5', "five")]));
    assert_eq!(reported().0.len(), 3);
}

#[test]
fn manifests_that_are_not_there_are_an_error_of_the_later_revision_only() {
    let (tree, [first, second, _]) = history();
    let load = |source: ManifestSource, from: &str, to: &str| {
        let changes = Some(format!("{from}..{to}").parse().expect("a range"));
        load(&source, &LoadOptions { projects: Vec::new(), changed: changes })
    };
    let file = || ManifestSource::File(tree.path().join("plain.yaml"));
    let other = || ManifestSource::ThinDirectory(tree.path().join("other"));
    let registries = "registries:\n- {name: s.example, src: true}\n- name: d.example\nimages:\n";
    tree.write("plain.yaml", &format!("{registries}{}", images("i", &[('1', "one")])));
    tree.write("other/images/a/images.yaml", "[]\n");
    let last = tree.commit("2026-04-01T00:00:00Z");
    for source in [file(), other()] {
        assert!(load(source.clone(), &first, &last).is_ok());
        let error = load(source, &first, &second).expect_err("not there").to_string();
        assert!(error.contains(&format!(" at commit {second}")), "{error}");
    }
    assert_eq!(load(file(), &first, &last).expect("there").selection.len(), 1);
}

#[test]
fn projects_are_chosen_by_name() {
    let (tree, _) = history();
    let choose = |globs: &[&str]| {
        let projects = globs.iter().map(|glob| glob.parse().expect("a glob")).collect();
        tree.load(&LoadOptions { projects, changed: None })
    };
    let loaded = choose(&["a", "c*"]).expect("it can be read");
    assert_eq!(
        (tags(&loaded), loaded.problems.len()),
        (vec!["one".into(), "three".into(), "five".into()], 0)
    );
    let loaded = choose(&["brok?n"]).expect("it can be read");
    assert_eq!((tags(&loaded).len(), loaded.problems.len()), (0, 1));
    let error = choose(&["a", "d"]).expect_err("no such project").to_string();
    assert_eq!(error, "no project matches `d`; the projects are a, b, broken, c");
}

#[test]
fn a_plain_manifest_has_a_history_too() {
    let tree = Tree::new();
    let registries = "registries:\n- {name: s.example, src: true}\n- name: d.example\nimages:\n";
    let write =
        |of: &[(char, &str)]| tree.write("plain.yaml", &format!("{registries}{}", images("i", of)));
    tree.write("README", "");
    let empty = tree.commit("2026-01-01T00:00:00Z");
    write(&[('1', "one")]);
    let first = tree.commit("2026-01-02T00:00:00Z");
    write(&[('1', "one"), ('2', "two")]);
    let source = ManifestSource::File(tree.path().join("plain.yaml"));
    for (revision, expected) in [(&first, &["two"][..]), (&empty, &["one", "two"])] {
        let changes = Some(ChangeRange::Since(revision.clone()));
        let loaded = load(&source, &LoadOptions { projects: Vec::new(), changed: changes })
            .expect("it can be read");
        assert_eq!(tags(&loaded), expected);
    }
}

#[test]
fn a_failure_of_git_is_an_error_that_says_what_to_do() {
    let (tree, _) = history();
    let error = |directory: &Path, revision: &str| {
        let source = ManifestSource::ThinDirectory(directory.to_owned());
        let changes = Some(ChangeRange::Since(revision.to_owned()));
        load(&source, &LoadOptions { projects: Vec::new(), changed: changes })
            .expect_err(revision)
            .to_string()
    };
    let directory = tree.path().join("promotion");
    for revision in ["nowhere", "--help", "-", "HEAD:promotion", ""] {
        let error = error(&directory, revision);
        assert!(error.contains(&format!("find the revision `{revision}`")), "{error}");
        assert!(error.contains("git fetch --unshallow"), "{error}");
    }
    let outside = TempDir::new().expect("a directory");
    let error = error(outside.path(), "HEAD");
    assert!(error.contains("not a git repository"), "{error}");
    for range in ["HEAD", "..HEAD", "HEAD..", "a...b"] {
        assert!(range.parse::<ChangeRange>().expect_err(range).to_string().contains("FROM..TO"));
    }
}

#[test]
fn links_are_problems_in_the_directory_and_in_its_history() {
    let tree = Tree::new();
    tree.project("good", &images("good", &[('1', "one")]));
    tree.project("team", "");
    tree.project("other", &images("other", &[('1', "one")]));
    tree.write("shared/images.yaml", &images("app", &[('1', "one")]));
    tree.write("shared/manifests/promoter-manifest.yaml", "");
    let at = |path: &str| tree.path().join("promotion").join(path);
    for (target, link) in [
        ("../../../shared/images.yaml", "images/team/images.yaml"),
        ("/etc/hostname", "manifests/other/promoter-manifest.yaml"),
        ("../../shared/manifests", "manifests/linked"),
        ("/etc", "images/outside"),
        ("../images/good/images.yaml", "images/README"),
    ] {
        let _ = fs::remove_file(at(link));
        std::os::unix::fs::symlink(target, at(link)).expect("a link");
    }
    let first = tree.commit("2026-01-01T00:00:00Z");
    tree.write("shared/images.yaml", &images("app", &[('1', "one"), ('2', "two")]));
    let second = tree.commit("2026-01-02T00:00:00Z");
    let range = ChangeRange::In { from: first.clone(), to: second };
    for changed in [None, Some(ChangeRange::Since(first)), Some(range)] {
        let options = LoadOptions { projects: Vec::new(), changed };
        let loaded = tree.load(&options).expect("it can be read");
        assert_eq!(loaded.edges.manifests().len(), 1, "{options:?}");
        let mut problems: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
        problems.sort();
        let file = "cannot read it: it is a symbolic link, and links are not followed; put the file itself here";
        let directory = "links to directories are not followed; put the directory itself here";
        let expected = [
            ("images/outside", directory),
            ("images/team/images.yaml", file),
            ("manifests/linked", directory),
            ("manifests/other/promoter-manifest.yaml", file),
        ];
        let expected = expected.map(|(path, says)| format!("{}: {says}", at(path).display()));
        let unknown = problems.iter().filter(|it| !expected.contains(it)).collect::<Vec<_>>();
        assert!(unknown.is_empty(), "{options:?}: {unknown:?}");
        let known_before = options.changed.is_some();
        let files = expected.iter().filter(|it| !known_before || it.ends_with(file));
        for expected in files {
            assert!(problems.contains(expected), "{options:?}: {expected}: {problems:?}");
        }
    }
}

#[test]
fn a_plain_manifest_may_be_a_link_on_the_disk_and_its_content_may_be_a_problem() {
    let tree = Tree::new();
    let registries =
        "registries:\n- {name: s.example/a, src: true}\n- name: d.example/b\nimages:\n";
    tree.write("real.yaml", &format!("{registries}{}", images("app", &[('1', "one")])));
    let link = tree.path().join("link.yaml");
    std::os::unix::fs::symlink("real.yaml", &link).expect("a link");
    let commit = tree.commit("2026-01-01T00:00:00Z");
    let load = |changed| {
        let options = LoadOptions { projects: Vec::new(), changed };
        load(&ManifestSource::File(link.clone()), &options).expect("it can be read")
    };
    assert_eq!(tags(&load(None)), ["one"]);
    // What a link led to in a commit is not known, so nothing is left out because of it.
    assert_eq!(tags(&load(Some(ChangeRange::Since(commit.clone())))), ["one"]);
    let loaded = load(Some(ChangeRange::In { from: commit.clone(), to: commit }));
    assert!(loaded.problems[0].message.contains("it is a symbolic link"), "{loaded:?}");
    fs::write(tree.path().join("real.yaml"), b"\xff\xfea").expect("a file");
    let loaded = load(None);
    assert!(loaded.problems[0].message.contains("the file is UTF-16"), "{loaded:?}");
}

/// The problems of a run on the disk, of one since a commit, and of one between two commits.
fn problems_of_each(tree: &Tree, [first, second]: [&str; 2]) -> [Vec<String>; 3] {
    let range = ChangeRange::In { from: first.to_owned(), to: second.to_owned() };
    [None, Some(ChangeRange::Since(first.to_owned())), Some(range)].map(|changed| {
        let options = LoadOptions { projects: Vec::new(), changed };
        let loaded = tree.load(&options).expect("it can be read");
        let mut problems: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
        problems.sort();
        problems
    })
}

#[test]
fn a_name_that_is_not_utf8_is_a_problem_in_the_directory_and_in_its_history() {
    use std::os::unix::ffi::OsStrExt as _;
    let tree = Tree::new();
    tree.project("good", &images("good", &[('1', "one")]));
    let root = tree.path().join("promotion");
    let first = tree.commit("2026-01-01T00:00:00Z");
    for path in [&b"images/b\xe9/images.yaml"[..], b"manifests/b\xe9/promoter-manifest.yaml"] {
        let path = root.join(std::ffi::OsStr::from_bytes(path));
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, "").expect("a file");
    }
    let second = tree.commit("2026-01-02T00:00:00Z");
    let says = "the name `b\\xe9` is not UTF-8, so this is not read; rename it";
    let expected = ["images/b\u{fffd}", "manifests/b\u{fffd}"];
    let expected = expected.map(|path| format!("{}: {says}", root.join(path).display()));
    // It was so before, too: whether it changed is not known.
    for from in [&first, &second] {
        for problems in problems_of_each(&tree, [from, &second]) {
            assert_eq!(problems, expected);
        }
    }
}

#[test]
fn a_plain_manifest_whose_name_is_not_utf8_has_a_history() {
    use std::os::unix::ffi::OsStrExt as _;
    let tree = Tree::new();
    let registries = "registries: [{name: s.example/a, src: true}, {name: d.example/b}]\nimages:\n";
    let file = tree.path().join(std::ffi::OsStr::from_bytes(b"m\xe9.yaml"));
    let write = |of: &[(char, &str)]| {
        fs::write(&file, format!("{registries}{}", images("app", of))).expect("a file");
    };
    write(&[('1', "one")]);
    let first = tree.commit("2026-01-01T00:00:00Z");
    write(&[('1', "one"), ('2', "two")]);
    let second = tree.commit("2026-01-02T00:00:00Z");
    let range = ChangeRange::In { from: first.clone(), to: second };
    for changed in [ChangeRange::Since(first), range] {
        let options = LoadOptions { projects: Vec::new(), changed: Some(changed) };
        let loaded = load(&ManifestSource::File(file.clone()), &options).expect("it can be read");
        assert_eq!(tags(&loaded), ["two"], "{options:?}");
    }
}

#[test]
fn a_linked_folder_is_a_problem_of_its_projects_in_the_directory_and_in_its_history() {
    let tree = Tree::new();
    tree.git(&["commit", "-q", "--allow-empty", "-m", "x"]);
    let first = tree.git(&["rev-parse", "HEAD"]);
    tree.project("team", &images("team", &[('1', "one")]));
    let root = tree.path().join("promotion");
    fs::rename(root.join("images"), root.join("img")).expect("renamed");
    std::os::unix::fs::symlink("img", root.join("images")).expect("a link");
    let second = tree.commit("2026-01-02T00:00:00Z");
    let [link, file] = ["images", "manifests/team/promoter-manifest.yaml"].map(|it| root.join(it));
    let (link, file) = (link.display(), file.display());
    let expected = [
        format!("{link}: links to directories are not followed; put the directory itself here"),
        format!(
            "{file}: nothing of project `team` is promoted: `images` is not read, for the reason that is reported there"
        ),
    ];
    for problems in problems_of_each(&tree, [&first, &second]) {
        assert_eq!(problems, expected);
    }
}

#[test]
fn a_project_in_a_submodule_is_a_problem_that_says_so() {
    let tree = Tree::new();
    tree.project("team", &images("team", &[('1', "one")]));
    tree.git(&["add", "promotion/manifests"]);
    tree.git(&["commit", "-q", "-m", "x"]);
    let first = tree.git(&["rev-parse", "HEAD"]);
    let entry = format!("160000,{first},promotion/images/team");
    tree.git(&["update-index", "--add", "--cacheinfo", &entry]);
    tree.git(&["commit", "-q", "-m", "x"]);
    let range = ChangeRange::In { from: first, to: "HEAD".to_owned() };
    let loaded = tree.load(&LoadOptions { projects: Vec::new(), changed: Some(range) });
    let problems = loaded.expect("it can be read").problems;
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let directory = tree.path().join("promotion/images/team");
    let says = "it is a git submodule, and submodules are not read; put the directory itself here";
    assert_eq!(problems, [format!("{}: {says}", directory.display())]);
}
