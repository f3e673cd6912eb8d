//! `cargo xtask tidy`: the house rules that no compiler checks.
//!
//! Reads the workspace's metadata and the files that git tracks or would track; each rule is a
//! function of their text, in the file named for it.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, ensure};

use crate::{
    cycles, dependencies, docs, error_texts, layers,
    metadata::Metadata,
    offence::{Files, Offence},
    paths, source, tables,
};

/// Checks everything, and lists all offences in `out`.
///
/// # Errors
/// When cargo or git cannot be run, or a file cannot be read or is not Rust.
pub(crate) fn run(out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let metadata =
        Metadata::parse(&output("cargo", &["metadata", "--format-version", "1", "--no-deps"])?)?;
    let files = files(&metadata.workspace_root)?;
    if !files.contains_key("README.md") {
        writeln!(out, "note: there is no README.md yet, so links to docs/ are not checked")?;
    }
    let offences = check(&metadata, &files)?;
    for offence in &offences {
        writeln!(out, "{offence}")?;
    }
    match offences.len() {
        0 => writeln!(out, "tidy: {} files, nothing to correct", files.len())?,
        count => writeln!(out, "tidy: {count} to correct")?,
    }
    Ok(if offences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All the rules, in the order in which files come.
fn check(metadata: &Metadata, files: &Files) -> anyhow::Result<Vec<Offence>> {
    let sources = files.iter().filter(|(file, _)| file.ends_with(".rs"));
    let mut offences: Vec<Offence> = layers::check(metadata)
        .into_iter()
        .chain(cycles::check(metadata, files)?)
        .chain(dependencies::check(metadata, files))
        .chain(docs::check(files))
        .chain(tables::check(files))
        .chain(error_texts::check(files)?)
        .chain(files.iter().flat_map(|(file, text)| paths::check(file, text)))
        .chain(sources.flat_map(|(file, text)| source::check(file, text)))
        .collect();
    offences.sort();
    Ok(offences)
}

/// What git tracks and what it would track; binary files are left out.
fn files(root: &Path) -> anyhow::Result<Files> {
    let root_name = root.to_str().context("the path of the repository is not UTF-8")?;
    let list = ["-C", root_name, "ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let names = output("git", &list)?;
    let mut files = Files::new();
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        let path = root.join(name);
        // Tracked files that are gone from the working tree, and links to folders, are no text.
        if !path.is_file() {
            continue;
        }
        let bytes = fs::read(&path).with_context(|| format!("{name} cannot be read"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.insert(name.to_owned(), text);
        }
    }
    Ok(files)
}

/// The standard output of a program that must succeed.
fn output(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let command = || format!("{program} {}", arguments.join(" "));
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("`{}` cannot be started", command()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{}` failed: {}", command(), said.trim());
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed no UTF-8", command()))
}
