//! What `cargo metadata --no-deps` says, as far as the rules need it.
//!
//! Source: <https://doc.rust-lang.org/cargo/commands/cargo-metadata.html>, "JSON format".

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Deserialize;

/// The workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    /// Where the repository is.
    pub(crate) workspace_root: PathBuf,
    /// Its crates.
    pub(crate) packages: Vec<Package>,
}

/// A crate of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its `Cargo.toml`, absolute.
    manifest_path: PathBuf,
    /// What it depends on, for all targets and features.
    pub(crate) dependencies: Vec<Dependency>,
}

/// A dependency of a crate.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The name of the crate, whatever it is renamed to.
    pub(crate) name: String,
    /// None for a normal one, else `dev` or `build`.
    kind: Option<String>,
    /// Where it is, if it is one of ours.
    path: Option<PathBuf>,
}

impl Metadata {
    /// Reads what cargo printed.
    pub(crate) fn parse(json: &str) -> anyhow::Result<Self> {
        serde_json::from_str(json).context("`cargo metadata` printed something unexpected")
    }

    /// The `Cargo.toml` of `package`, from the root of the repository.
    pub(crate) fn manifest_of(&self, package: &Package) -> String {
        let path = &package.manifest_path;
        path.strip_prefix(&self.workspace_root).unwrap_or(path).display().to_string()
    }
}

impl Dependency {
    /// Whether it is another crate of this workspace.
    pub(crate) fn is_ours(&self) -> bool {
        self.path.is_some()
    }

    /// Whether only tests, benches and examples see it.
    pub(crate) fn is_dev(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}
