//! What people read, kept as files so that a change of wording is seen in review: the help of every command, and
//! an example of each error. `PORTOLAN_GOLDEN=write cargo test -p portolan --test cli golden` writes the files anew.

mod access;
mod coverage;
mod exchanges;
mod failed_requests;
mod failures;
mod promotions;
mod reasons;
mod responses;
mod unprovoked;

use std::{
    env,
    ffi::{OsStr, OsString},
    fs, iter,
    path::{Path, PathBuf},
    process::{ExitStatus, Output},
};

use http::Method;
use tempfile::TempDir;
use testkit::{Fault, TestHost, TestRegistry, fixture};

use crate::{
    harness::{Thin, entry, portolan, run, write},
    help::{CommandHelp, commands},
    servers::ServerProcess,
};

/// A certificate of X.509 version 1.
const VERSION_1: &str = include_str!("../../../../registry/tests/registry/version-1.pem");

/// Whether the files are written instead of compared.
fn writes() -> bool {
    env::var_os("PORTOLAN_GOLDEN").is_some_and(|mode| mode == "write")
}

/// Compares a text with its file, or writes the file.
fn compare(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if writes() {
        write(&path, text);
        return;
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "{} differs; PORTOLAN_GOLDEN=write writes it anew. Now it is:\n{text}",
        path.display()
    );
}

#[tokio::test]
async fn the_help_of_every_command() {
    for command in commands().await {
        let name = command.path.join("-");
        let name = if name.is_empty() { "portolan" } else { &name };
        compare(&format!("help/{name}.txt"), &command.help);
    }
}

#[tokio::test]
async fn every_command_with_options_has_two_examples() {
    let commands = commands().await;
    // The help of `completions` has an example for each shell instead.
    let with_examples =
        commands.iter().filter(|it| !it.has_commands() && it.path != ["completions"]);
    for CommandHelp { path, help } in with_examples {
        let (_, examples) = help.split_once("\nExamples:\n").expect(help);
        let call = format!("    portolan {} ", path.join(" "));
        let calls = examples.lines().filter(|line| format!("{line} ").starts_with(&call)).count();
        assert_eq!(calls, 2, "{help}");
    }
}

/// Runs of the program, each with what it printed, as one text.
pub(crate) struct Errors {
    directory: TempDir,
    /// The environment of the runs.
    variables: Vec<(String, OsString)>,
    /// What differs from run to run, and what stands for it.
    names: Vec<(String, String)>,
    text: String,
}

impl Errors {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let names = vec![(directory.path().display().to_string(), "DIR".to_owned())];
        let path = ("PATH".to_owned(), env::var_os("PATH").unwrap_or_default());
        Self { directory, variables: vec![path], names, text: String::new() }
    }

    /// The directory of the runs.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Sets a variable of all later runs.
    pub(crate) fn variable(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.variables.retain(|(set, _)| set != name);
        self.variables.push((name.to_owned(), value.as_ref().to_owned()));
    }

    /// Lets all later runs find programs in this directory first.
    pub(crate) fn prepend_path(&mut self, directory: &str) {
        let path = env::var_os("PATH").unwrap_or_default();
        let first = self.path().join(directory);
        let directories = iter::once(first).chain(env::split_paths(&path));
        self.variable("PATH", env::join_paths(directories).expect("a path"));
    }

    /// Shows `name` wherever `value` is printed from now on. A port may be that of a server before, which has ended.
    pub(crate) fn call(&mut self, value: &impl ToString, name: &str) {
        let value = value.to_string();
        self.names.retain(|(known, _)| *known != value);
        self.names.push((value, name.to_owned()));
    }

    pub(crate) fn file(&self, name: &str, text: &str) {
        write(&self.directory.path().join(name), text);
    }

    /// Adds a run in the directory: its title, the end of its command line, and all that it prints.
    pub(crate) async fn run(&mut self, title: &str, arguments: &[&str]) {
        let output = self.output(arguments).await;
        assert!(!output.status.success(), "{title}: {arguments:?} is no error");
        self.add(title, arguments, output.status, &[output.stdout, output.stderr].concat());
    }

    /// The same for a run that prints data on standard output, without these.
    pub(crate) async fn faults(&mut self, title: &str, arguments: &[&str]) {
        let output = self.output(arguments).await;
        assert!(!output.status.success(), "{title}: {arguments:?} is no error");
        self.add(title, arguments, output.status, &output.stderr);
    }

    /// The same for a run that succeeds although it prints an error.
    pub(crate) async fn warning(&mut self, title: &str, arguments: &[&str]) {
        let output = self.output(arguments).await;
        assert!(output.status.success(), "{title}: {output:?}");
        self.add(title, arguments, output.status, &output.stderr);
    }

    async fn output(&self, arguments: &[&str]) -> Output {
        let mut command = portolan(arguments);
        let variables = self.variables.iter().map(|(name, value)| (name, value));
        command.current_dir(self.directory.path()).envs(variables);
        command.output().await.expect("the program starts")
    }

    fn add(&mut self, title: &str, arguments: &[&str], status: ExitStatus, printed: &[u8]) {
        let code = status.code().expect("it ends by itself");
        let printed = str::from_utf8(printed).expect("the program prints UTF-8");
        // Neither the counts of a run nor its cost are errors.
        let (before, cost) = printed.split_once("\nThe run cost\n").unwrap_or((printed, ""));
        let (_, after) = cost.split_once("\n\n").unwrap_or_default();
        let printed = [before, after].concat();
        let lines = printed.lines().filter(|line| !line.contains(" edges: "));
        let printed: String = lines.map(|line| format!("{line}\n")).collect();
        let mut shown =
            format!("## {title}\n\n$ portolan {}\n{printed}exit {code}\n\n", arguments.join(" "));
        for (value, name) in &self.names {
            shown = shown.replace(value, name);
        }
        for (before, name) in RANDOM_PARTS {
            shown = without_random(&shown, before, name);
        }
        self.text.push_str(&shown);
    }

    pub(crate) fn compare(self, name: &str) {
        compare(&format!("errors/{name}.txt"), &self.text);
    }
}

/// What stands before hexadecimal digits that differ from run to run, and what stands for these.
const RANDOM_PARTS: [(&str, &str); 2] = [("/blobs/uploads/", "SESSION"), ("/ranges-a-", "HASH")];

/// The text with `name` in the place of the hexadecimal digits behind each `before`.
fn without_random(text: &str, before: &str, name: &str) -> String {
    let mut parts = text.split(before);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        let name = if rest.len() < part.len() { name } else { "" };
        shown.push_str(&format!("{before}{name}{rest}"));
    }
    shown
}

/// Titles and arguments.
const COMMAND_LINES: &[(&str, &[&str])] = &[
    ("no command", &[]),
    ("an unknown command", &["promot"]),
    ("an unknown flag", &["promote", "--manifest", "images.yaml", "--dry-run"]),
    ("a flag that is missing", &["promote"]),
    (
        "flags that contradict each other",
        &["promote", "--manifest", "a", "--thin-manifest-dir", "b"],
    ),
    ("a dry run that writes", &["promote", "--manifest", "a", "--confirm", "--detailed-exitcode"]),
    ("a bad duration", &["promote", "--manifest", "a", "--deadline", "soon"]),
    ("a bad choice", &["promote", "--manifest", "a", "--verify", "all"]),
    ("a bad rate limit", &["promote", "--manifest", "a", "--quota", "registry.example=many"]),
    (
        "a bad registry host",
        &["promote", "--manifest", "a", "--plain-http", "https://registry.example"],
    ),
    ("a bad public name", &["promote", "--manifest", "a", "--verify-through", "registry.example"]),
    ("credentials without a name", &["promote", "--manifest", "a", "--credentials", "key.json"]),
    ("a file that does not exist", &["promote", "--manifest", "missing.yaml"]),
    ("a directory in the place of a file", &["promote", "--manifest", "."]),
    ("a directory without manifests", &["promote", "--thin-manifest-dir", "."]),
    (
        "a git revision without a repository",
        &["promote", "--manifest", "images.yaml", "--changed-since", "HEAD~1"],
    ),
    (
        "a client certificate without its key",
        &["promote", "--manifest", "images.yaml", "--client-certificate", "images.yaml"],
    ),
    (
        "certificates that are none",
        &["promote", "--manifest", "images.yaml", "--ca-file", "images.yaml"],
    ),
    (
        "a store that is no URL",
        &["mirror", "--from", "registry.example/images", "--to", "s3//bucket"],
    ),
    ("a store in a cloud", &["mirror", "--from", "registry.example/images", "--to", "s3://bucket"]),
    (
        "a store that is given twice",
        &[
            "mirror",
            "--from",
            "registry.example/images",
            "--to",
            "file:///srv/store",
            "--to",
            "file:///srv/store/",
        ],
    ),
    (
        "a registry that is none",
        &["mirror", "--from", "https://registry.example", "--to", "file:///store"],
    ),
    (
        "a registry prefix that ends with a slash",
        &["mirror", "--from", "registry.example/images/", "--to", "file:///store"],
    ),
    ("a registry prefix without a host", &["mirror", "--from", "/images", "--to", "file:///store"]),
    (
        "a registry prefix with a bad path",
        &["mirror", "--from", "registry.example/Images", "--to", "file:///store"],
    ),
    ("a client that is no address", &["explain", "--ip", "localhost", "/v2/"]),
    ("ranges without a file", &["explain", "--ip", "192.0.2.1", "--ranges", "aws", "/v2/"]),
    ("an address to listen on that is none", &["registry", "serve", "--listen", "5000"]),
    ("a name to listen on", &["registry", "serve", "--listen", "store.example:5000"]),
    (
        "one port for two addresses",
        &["store", "serve", ".", "--listen", "127.0.0.1:5000", "--admin", "127.0.0.1:5000"],
    ),
    ("a store directory that does not exist", &["store", "serve", "missing"]),
    ("an unknown shell", &["completions", "tcsh"]),
    ("a bad log filter", &["--log", "promoter=loud", "promote", "--manifest", "images.yaml"]),
    ("a directory to promote without its flag", &["promote", "registry.example"]),
    ("a flag that moves tags", &["promote", "--manifest", "images.yaml", "--force"]),
    ("a short flag for the output", &["promote", "--manifest", "images.yaml", "-o", "json"]),
    (
        "a range given as a revision",
        &["promote", "--manifest", "images.yaml", "--changed-since", "a..b"],
    ),
    ("an address of the front", &["serve", "--listen", ":8080"]),
    ("a port", &["registry", "serve", "--port", "5000"]),
    ("two words in the wrong order", &["serve", "registry"]),
    ("a store with the flag of a registry", &["store", "serve", "--storage", "file:///srv/store"]),
    ("a command for the version", &["version"]),
    ("a misspelt log level", &["--log", "inof", "promote", "--manifest", "images.yaml"]),
    (
        "a misspelt log target",
        &["--log", "warn,regstry=info", "promote", "--manifest", "images.yaml"],
    ),
];

#[tokio::test]
async fn errors_of_the_command_line() {
    let mut errors = Errors::new();
    errors.file("images.yaml", "registries: []\n");
    for (title, arguments) in COMMAND_LINES {
        errors.run(title, arguments).await;
    }
    let stores: Vec<_> = (0..65).map(|n| format!("--to=file:///srv/{n}")).collect();
    let stores: Vec<_> = stores.iter().map(String::as_str).collect();
    errors.call(&stores.join(" "), "--to=file:///srv/0 … --to=file:///srv/64");
    let mirror = ["mirror", "--from", "registry.example/images"];
    errors.run("too many stores", &[&mirror[..], &stores].concat()).await;
    errors.compare("command-line");
}

/// A plain promotion manifest with these images.
pub(crate) fn manifest(images: &str) -> String {
    format!(
        "registries:\n- name: staging.example/team\n  src: true\n- name: registry.example/images\nimages:\n{images}"
    )
}

pub(crate) const DIGEST: &str =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The errors of thin manifest directories.
async fn errors_of_directories(errors: &mut Errors) {
    let thin = "registries:\n- {name: a.example, src: true}\n- name: b.example\n";
    errors.file("tree/manifests/team/promoter-manifest.yaml", thin);
    errors.run("a project without images", &["promote", "--thin-manifest-dir", "tree"]).await;
    errors.file("tree/images/team/imaegs.yaml", "[]\n");
    errors.run("a misnamed file", &["promote", "--thin-manifest-dir", "tree"]).await;
    errors.file("tree/images/other/images.yaml", "[]\n");
    errors.file("tree/images/team/images.yaml", "[]\n");
    errors.run("images without registries", &["promote", "--thin-manifest-dir", "tree"]).await;
}

#[tokio::test]
async fn errors_of_promotion_manifests() {
    let mut errors = Errors::new();
    let app = |dmap: &str| manifest(&format!("- name: app\n  dmap:\n    {dmap}\n"));
    let with = |registries: &str| format!("registries:\n{registries}images: []\n");
    for (title, text) in [
        ("not YAML", manifest("- name: [app\n")),
        ("a tab", manifest("\t- name: app\n")),
        ("a quote that is not closed", app(&format!("\"{DIGEST}: [\"1.0\"]"))),
        (
            "conflict marks of git",
            manifest("<<<<<<< HEAD\n- name: app\n=======\n- name: other\n>>>>>>> topic\n"),
        ),
        ("a missing space after a colon", app(&format!("\"{DIGEST}\":[\"1.0\"]\n    name:app"))),
        ("an empty file", String::new()),
        ("a second document", manifest("- name: app\n---\nimages: []\n")),
        ("an alias", manifest("- &a {name: app}\n- *a\n")),
        ("an unknown key", manifest("- nmae: app\n")),
        ("a key twice", manifest("- name: app\n  name: other\n")),
        ("a digest twice", app(&format!("\"{DIGEST}\": []\n    \"{DIGEST}\": [v1]"))),
        ("a value of the wrong type", manifest("- name: {app: 1}\n")),
        ("no registries", "images: []\n".to_owned()),
        ("no source", with("- name: registry.example/images\n")),
        ("two sources", with("- {name: a.example, src: true}\n- {name: b.example, src: true}\n")),
        ("no destination", with("- {name: a.example, src: true}\n")),
        (
            "a destination in the source",
            with("- {name: a.example/x, src: true}\n- name: a.example/x/y\n"),
        ),
        (
            "a destination twice",
            with("- {name: a.example, src: true}\n- name: b.example\n- name: b.example\n"),
        ),
        (
            "a registry with a scheme",
            with("- {name: \"https://a.example\", src: true}\n- name: b.example\n"),
        ),
        ("a bad repository name", manifest("- name: App\n")),
        ("an image without a name", manifest("- dmap: {}\n")),
        ("a digest that is cut", app("\"sha256:e3b0c442\": [v1]")),
        ("a tag in the place of a digest", app("\"v1\": [v1]")),
        (
            "an upper-case digest",
            app(&format!("\"{}\": [v1]", DIGEST.to_uppercase().replace("SHA", "sha"))),
        ),
        ("a bad tag", app(&format!("\"{DIGEST}\": [\"v 1\"]"))),
        ("a null tag", app(&format!("\"{DIGEST}\": [null]"))),
        ("an ambiguous line break", app("\u{85}")),
        ("a repository name that ends with a slash", manifest("- name: app/\n")),
        ("a digest of another algorithm", app("\"md5:d41d8cd98f00b204\": [v1]")),
    ] {
        errors.file("images.yaml", &text);
        errors.run(title, &["promote", "--manifest", "images.yaml"]).await;
    }
    errors_of_directories(&mut errors).await;
    errors.compare("promotion-manifests");
}

const EIGHT_MISTAKES: &str = r#"lisen: 0.0.0.0:8080
upstream: {path: images}
client_ip: {trusted_hops: one}
ranges:
- {cloud: a, format: csv, from: a.txt}
stores:
- {name: a, serves: [{cloud: aws}]}
- {name: b, url: "https://b.example", serves: gcp}
access_log: 'true'
presence: {timeout: 90}
"#;

#[tokio::test]
async fn errors_of_the_configuration_of_the_front() {
    let mut errors = Errors::new();
    let upstream = "upstream: {endpoint: \"https://registry.example\"}\n";
    for (title, text) in [
        ("no upstream", "listen: 127.0.0.1:0\n".to_owned()),
        ("an unknown field", format!("{upstream}listne: 127.0.0.1:0\n")),
        ("a field twice", format!("{upstream}{upstream}")),
        ("a value of the wrong type", format!("{upstream}access_log: \"yes\"\n")),
        ("an address to listen on that is none", format!("{upstream}listen: 8080\n")),
        (
            "an upstream with a path in its endpoint",
            "upstream: {endpoint: \"https://registry.example/v2\"}\n".to_owned(),
        ),
        ("an upstream that is no URL", "upstream: {endpoint: registry.example}\n".to_owned()),
        (
            "a bad path of the upstream",
            "upstream: {endpoint: \"https://registry.example\", path: \"../images\"}\n".to_owned(),
        ),
        (
            "a network that is none",
            format!("{upstream}client_ip: {{trusted_peers: [10.0.0.0/33]}}\n"),
        ),
        ("too many hops", format!("{upstream}client_ip: {{trusted_hops: 99}}\n")),
        (
            "ranges over plain HTTP",
            format!(
                "{upstream}ranges: [{{cloud: aws, format: aws, from: \"http://ranges.example/aws.json\"}}]\n"
            ),
        ),
        (
            "an unknown format of ranges",
            format!("{upstream}ranges: [{{cloud: aws, format: azure, from: a.json}}]\n"),
        ),
        (
            "a store without a name",
            format!("{upstream}stores: [{{url: \"https://store.example\"}}]\n"),
        ),
        (
            "two stores of one name",
            format!(
                "{upstream}stores: [{{name: a, url: \"https://a.example\", serves: [{{cloud: aws}}]}}, {{name: a, url: \"https://b.example\", serves: [{{cloud: aws}}]}}]\n"
            ),
        ),
        (
            "a store that serves no clients",
            format!("{upstream}stores: [{{name: a, url: \"https://a.example\", serves: []}}]\n"),
        ),
        ("a bad duration", format!("{upstream}presence: {{timeout: 1}}\n")),
        ("eight mistakes", EIGHT_MISTAKES.to_owned()),
    ] {
        errors.file("front.yaml", &text);
        errors.run(title, &["serve", "--config", "front.yaml", "--check"]).await;
    }
    errors_of_store_urls(&mut errors, upstream).await;
    errors.compare("front-configuration");
}

async fn errors_of_store_urls(errors: &mut Errors, upstream: &str) {
    for (title, url) in [
        ("a store that is no URL", "store.example"),
        ("a store with a bad host", "https://store example"),
        ("a store of another scheme", "s3://bucket"),
        ("a store with a query", "https://store.example?a=b"),
        ("a store with an empty segment in its path", "https://store.example/a//b"),
    ] {
        let store = format!("{{name: a, url: \"{url}\", serves: [{{cloud: aws}}]}}");
        errors.file("front.yaml", &format!("{upstream}stores: [{store}]\n"));
        errors.run(title, &["serve", "--config", "front.yaml", "--check"]).await;
    }
}

#[tokio::test]
async fn errors_of_the_embedded_registry() {
    let mut errors = Errors::new();
    errors.file("plain", "alice:secret\n");
    errors.file(
        "users",
        "alice:$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe\nalice:x\n",
    );
    errors.file("rights.yaml", "rules:\n- {users: [alice], repositories: [\"Team/*\"], rights: [pull]}\n- {users: [bob], rihgts: [push]}\n");
    errors.file("garbage.pem", "no certificate\n");
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("made");
    let other = rcgen::generate_simple_self_signed(["b.example".to_owned()]).expect("made");
    errors.file("chain.pem", &made.cert.pem());
    errors.file("key.pem", &made.signing_key.serialize_pem());
    errors.file("other-key.pem", &other.signing_key.serialize_pem());
    errors.file(
        "encrypted.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    errors.file("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    errors.file("version-1.pem", VERSION_1);
    errors.file("odd-key.pem", "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n");
    errors.file("foreign/photo.jpg", "x");
    errors.file("obstructed/.portolan-registry", "");
    errors.file("obstructed/blobs", "");
    let obstructed = format!("file://{}/obstructed", errors.path().display());
    let used = format!("file://{}/used", errors.path().display());
    let user = ["registry", "serve", "--listen", "127.0.0.1:0", "--storage", &used];
    let user = ServerProcess::start(":", &user).await;
    let foreign = format!("file://{}/foreign", errors.directory.path().display());
    let listen = ["registry", "serve", "--listen", "127.0.0.1:0"];
    for (title, flags) in [
        ("a password that is not hashed by bcrypt", &["--htpasswd", "plain"][..]),
        ("a user twice", &["--htpasswd", "users"]),
        ("bad rights", &["--htpasswd", "users", "--rights", "rights.yaml"]),
        ("rights without users", &["--rights", "rights.yaml"]),
        ("a certificate that is none", &["--tls-cert", "garbage.pem", "--tls-key", "garbage.pem"]),
        ("a certificate without its key", &["--tls-cert", "garbage.pem"]),
        ("a key in place of a certificate", &["--tls-cert", "key.pem", "--tls-key", "key.pem"]),
        ("a certificate in place of a key", &["--tls-cert", "chain.pem", "--tls-key", "chain.pem"]),
        ("a file without a key", &["--tls-cert", "chain.pem", "--tls-key", "garbage.pem"]),
        ("an encrypted key", &["--tls-cert", "chain.pem", "--tls-key", "encrypted.pem"]),
        (
            "the key of another certificate",
            &["--tls-cert", "chain.pem", "--tls-key", "other-key.pem"],
        ),
        ("a certificate file that is cut", &["--tls-cert", "cut.pem", "--tls-key", "key.pem"]),
        ("a certificate of version 1", &["--tls-cert", "version-1.pem", "--tls-key", "key.pem"]),
        ("a key of another kind", &["--tls-cert", "chain.pem", "--tls-key", "odd-key.pem"]),
        ("a directory with the files of others", &["--storage", &foreign]),
        ("a directory of another registry that runs", &["--storage", &used]),
        ("a file in the place of a directory", &["--storage", &obstructed]),
        ("a storage that is no URL", &["--storage", "disk"]),
        ("a size that is none", &["--max-blob-size", "big"]),
        ("a manifest size that is too large", &["--max-manifest-size", "1GiB"]),
    ] {
        errors.run(title, &[&listen, flags].concat()).await;
    }
    user.terminated().await;
    errors.compare("registry");
}

/// What a run of one edge says of it: its outcome, code and reason, with stable names of the registries.
async fn outcome_of(
    title: &str,
    at_source: Option<Fault>,
    at_destination: Option<Fault>,
) -> String {
    // One blob, so that one failure comes first.
    let (image, other) = (fixture::image(1, 0), fixture::image(2, 0));
    let (from, to) = (TestRegistry::start().await, TestRegistry::start().await);
    if title != "an image that is lost" {
        from.load("team/app", None, &image).await;
    }
    if title == "a tag on another digest" {
        to.load("images/app", "v1", &other).await;
    }
    for (registry, fault) in [(&from, at_source), (&to, at_destination)] {
        if let Some(fault) = fault {
            registry.fail(fault);
        }
    }
    let entry = entry("app", &image, &["v1"]);
    let thin = Thin::new().project("team", &from.prefix("team"), &to.prefix("images"), &entry);
    let arguments =
        ["promote", "--thin-manifest-dir", thin.path(), "--confirm", "--output", "json"];
    let report = run(&arguments).await.expect(1).json();
    let edge = &report["outcomes"][0];
    let reason = edge["reason"].as_str().expect("a reason");
    let [outcome, code] = ["outcome", "code"].map(|member| edge[member].as_str().expect(member));
    let shown = format!("{outcome} ({code}): {reason}");
    let shown = shown.replace(&from.host().to_string(), "staging.example");
    let shown = shown.replace(&to.host().to_string(), "registry.example");
    format!("## {title}\n\n{shown}\n\n")
}

#[tokio::test]
async fn outcomes_of_a_promotion() {
    let get_blob = || Fault::on(Method::GET, "/blobs/");
    let everything = || Fault::everywhere("/v2/");
    let mut shown = String::new();
    for (title, at_source, at_destination) in [
        ("a tag on another digest", None, None),
        ("an image that is lost", None, None),
        ("a destination that denies pushes", None, Some(Fault::on(Method::POST, "").status(403))),
        ("a destination that fails", None, Some(everything().status(500))),
        ("a source that demands authentication", Some(everything().status(401)), None),
        ("a source that damages a blob", Some(get_blob().corrupt()), None),
        ("a source that cuts a blob", Some(get_blob().truncate_after(3)), None),
        ("a tag that is refused", None, Some(Fault::on(Method::PUT, "/manifests/v1").status(409))),
    ] {
        shown.push_str(&outcome_of(title, at_source, at_destination).await);
    }
    compare("errors/promotion.txt", &shown);
}

#[tokio::test]
async fn errors_of_a_mirroring() {
    let mut errors = Errors::new();
    let registry = TestRegistry::start().await;
    // One blob, so that one failure comes first.
    let image = fixture::image(1, 0);
    registry.load("images/app", "v1", &image).await;
    errors.call(&registry.host(), "registry.example");
    let unreachable = TestHost::unreachable();
    errors.call(&unreachable, "dead.example");
    let from = format!("{}/images", registry.host());
    let to = format!("file://{}/store", errors.directory.path().display());
    let mirror = ["mirror", "--quiet", "--confirm", "--to", &to, "--from"];
    registry.fail(Fault::on(Method::GET, "/blobs/").corrupt());
    errors.run("a damaged blob", &[&mirror[..], &[&from]].concat()).await;
    registry.clear_faults();
    registry.fail(Fault::on(Method::GET, "/blobs/").status(404));
    errors.run("a missing blob", &[&mirror[..], &[&from]].concat()).await;
    registry.clear_faults();
    registry.fail(Fault::everywhere("/_catalog").status(401));
    errors
        .run("a registry that does not list its repositories", &[&mirror[..], &[&from]].concat())
        .await;
    let dead = format!("{unreachable}/images");
    errors.run("a registry that is unreachable", &[&mirror[..], &[&dead]].concat()).await;
    // A label has 63 characters at most (RFC 1035), so that no query is sent to a name server.
    let unknown = format!("{}.invalid", "x".repeat(64));
    errors.call(&unknown, "unknown.example");
    let (prefix, plain) = (format!("{unknown}/images"), ["--plain-http", &unknown]);
    errors
        .run("a registry that is not resolved", &[&mirror[..], &[&prefix], &plain].concat())
        .await;
    errors.compare("mirror");
}
