//! Running the program and looking at what it did.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::LazyLock,
};

use jsonschema::Validator;
use oci::RegistryPrefix;
use serde_json::Value;
use tempfile::TempDir;
use testkit::fixture::TestImage;
use tokio::process::{Child, Command};

/// The program with `arguments`, in a temporary directory, without this process's variables.
pub(crate) fn portolan(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
    command.args(arguments).env_clear().kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Ended {
    /// Standard output, which is JSON; if it is a report, it is checked against its schema.
    pub(crate) fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr));
        if value.get("outcomes").is_some() {
            assert_valid_report(&value);
        }
        if value.get("already_there").is_some() {
            assert_valid_mirror_report(&value);
        }
        value
    }

    /// Fails the test, with everything the run said, unless it ended with `code`.
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

/// The report of a promotion in a file, checked against its schema.
pub(crate) fn read_report(file: &Path) -> Value {
    let text = fs::read_to_string(file).expect("a report");
    let report = serde_json::from_str(&text).expect("JSON");
    assert_valid_report(&report);
    report
}

/// Checks the report of a promotion against its JSON Schema.
pub(crate) fn assert_valid_report(report: &Value) {
    static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
        let schema = promoter::report::report_schema();
        jsonschema::validator_for(schema.as_value()).expect("a valid schema")
    });
    assert_valid(&VALIDATOR, report);
}

/// Checks the report of a mirroring against its JSON Schema.
fn assert_valid_mirror_report(report: &Value) {
    static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
        let schema = mirror::mirror_report_schema();
        jsonschema::validator_for(schema.as_value()).expect("a valid schema")
    });
    assert_valid(&VALIDATOR, report);
}

fn assert_valid(validator: &Validator, report: &Value) {
    let errors: Vec<_> = validator.iter_errors(report).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}: {report:#}");
}

/// Runs it to its end.
pub(crate) async fn run(arguments: &[&str]) -> Ended {
    portolan(arguments).output().await.expect("the program starts").into()
}

/// Waits for the end of a program that was started.
pub(crate) async fn end_of(child: Child) -> Ended {
    child.wait_with_output().await.expect("the program ends").into()
}

/// Sends it a signal, as `kill` does.
pub(crate) async fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("it runs").to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status().await;
    assert!(sent.expect("kill is there").success());
}

/// A thin manifest directory.
pub(crate) struct Thin(TempDir);

impl Thin {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path().to_str().expect("UTF-8")
    }

    /// Adds a project.
    pub(crate) fn project(
        self,
        project: &str,
        source: &RegistryPrefix,
        destination: &RegistryPrefix,
        images: &str,
    ) -> Self {
        let registries =
            format!("registries:\n- name: \"{source}\"\n  src: true\n- name: \"{destination}\"\n");
        self.file(&format!("manifests/{project}/promoter-manifest.yaml"), &registries)
            .file(&format!("images/{project}/images.yaml"), images)
    }

    /// Adds a file.
    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        write(&self.0.path().join(path), text);
        self
    }
}

/// Writes a file and the directories above it.
pub(crate) fn write(path: &Path, text: &str) -> PathBuf {
    fs::create_dir_all(path.parent().expect("a file has a directory")).expect("a directory");
    fs::write(path, text).expect("a file");
    path.to_owned()
}

/// The entry of an images.yaml that asks for `image` under `tags`.
pub(crate) fn entry(name: &str, image: &TestImage, tags: &[&str]) -> String {
    format!("- name: {name}\n  dmap:\n    \"{}\": [{}]\n", image.digest(), tags.join(", "))
}
