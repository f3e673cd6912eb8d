//! Every dependency is used by some crate and has its reason in `docs/dependencies.md`, and the page
//! speaks of no other.

use std::collections::BTreeSet;

use crate::{
    metadata::Metadata,
    offence::{Files, Offence},
};

const MANIFEST: &str = "Cargo.toml";
const PAGE: &str = "docs/dependencies.md";

/// The offences of the root's `[workspace.dependencies]`.
pub(crate) fn check(metadata: &Metadata, files: &Files) -> Vec<Offence> {
    let text = |file| files.get(file).map_or("", String::as_str);
    let (declared, explained) = (declared(text(MANIFEST)), explained(text(PAGE)));
    let used = metadata.packages.iter().flat_map(|package| &package.dependencies);
    let used = used.map(|of| of.name.as_str()).collect();
    let offence = |file: &str, what| Offence { file: file.to_owned(), line: 0, what };
    let unused = &declared - &used;
    let unused = unused.iter().map(|name| format!("no crate uses `{name}`; take the line out"));
    let unexplained = &declared - &explained;
    let unexplained = unexplained
        .iter()
        .map(|name| format!("`{name}` has no row; say why it is there and what was rejected"));
    let gone = &explained - &declared;
    let gone = gone.iter().map(|name| format!("`{name}` is no dependency; take the row out"));
    let page = unexplained.chain(gone).map(|what| offence(PAGE, what));
    unused.map(|what| offence(MANIFEST, what)).chain(page).collect()
}

/// The names under `[workspace.dependencies]` that are not our own crates.
fn declared(manifest: &str) -> BTreeSet<&str> {
    let section = manifest.lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    let lines = section.take_while(|line| !line.starts_with('['));
    let entries = lines.filter_map(|line| line.split_once('='));
    let others = entries.filter(|(name, what)| !name.starts_with('#') && !what.contains("path ="));
    others.map(|(name, _)| name.trim()).collect()
}

/// The names in backticks in the first cell of each row of a table.
fn explained(page: &str) -> BTreeSet<&str> {
    let cells = page.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_used_and_explained_are_the_same_names() {
        let metadata = r#"{"workspace_root": "/r", "packages": [{"name": "a",
            "manifest_path": "/r/crates/a/Cargo.toml", "dependencies": [
                {"name": "b", "kind": null, "path": "/r/crates/b"},
                {"name": "fine", "kind": null, "path": null},
                {"name": "silent", "kind": "dev", "path": null}]}]}"#;
        let metadata = Metadata::parse(metadata).expect("metadata");
        let manifest = "[workspace]\nx = 1\n[workspace.dependencies]\nb = { path = \"crates/b\" }\n\
            # a comment = 1\nfine = \"1\"\nsilent = { version = \"1\" }\nidle = \"2\"\n[profile.dev]\ny = 1\n";
        let page = "| for | why |\n|---|---|\n| `fine`, `idle` | `not-this` |\n| `gone` | |\n";
        let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let files = [file(MANIFEST, manifest), file(PAGE, page)].into();
        let offences: Vec<_> = check(&metadata, &files).iter().map(ToString::to_string).collect();
        assert_eq!(
            offences,
            [
                "Cargo.toml: no crate uses `idle`; take the line out",
                "docs/dependencies.md: `silent` has no row; say why it is there and what was rejected",
                "docs/dependencies.md: `gone` is no dependency; take the row out",
            ]
        );
    }
}
