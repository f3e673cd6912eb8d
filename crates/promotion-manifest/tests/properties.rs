//! Properties of all inputs: no panic, every position is within the text, and every problem has a message.

use std::fmt::Write as _;

use promotion_manifest::{
    EdgeSet, Parsed, Position, YamlValue, parse_plain, parse_thin, parse_tree, thin_layout,
};
use proptest::prelude::*;

/// Whether `at` is a place of `text`, or just behind the end of a line.
fn is_within(text: &str, at: Position) -> bool {
    // A CR alone does not end a line. It is refused, and no other problem of the file is reported.
    let text = text.replace("\r\n", "\n");
    let line = text.split('\n').nth(at.line as usize - 1);
    line.is_some_and(|line| (1..=line.chars().count() + 1).contains(&(at.column as usize)))
}

fn places(parsed: &Parsed) -> impl Iterator<Item = (&str, Position)> {
    let problems =
        parsed.problems.iter().filter_map(|problem| Some((&*problem.file, problem.position()?)));
    let manifest = parsed.manifest.iter();
    let registries = manifest.clone().flat_map(|manifest| {
        let all = manifest.destinations.iter().chain([&manifest.source]);
        all.map(|registry| (&*manifest.registries_file, registry.position))
    });
    let images = manifest.flat_map(|manifest| {
        manifest.images.iter().flat_map(|image| {
            let entries = image
                .digests
                .iter()
                .flat_map(|entry| entry.tags.iter().map(|(_, at)| *at).chain([entry.position]));
            entries.chain([image.position]).map(|at| (&*manifest.images_file, at))
        })
    });
    problems.chain(registries).chain(images)
}

fn check(parsed: Parsed, texts: &[(&str, &str)]) -> Result<(), TestCaseError> {
    for (file, at) in places(&parsed) {
        let text = texts.iter().find(|(name, _)| *name == file).map(|(_, text)| text);
        prop_assert!(text.is_some_and(|text| is_within(text, at)), "{at} is not in {text:?}");
    }
    for problem in &parsed.problems {
        prop_assert!(!problem.message.contains(char::is_control), "{problem}");
    }
    prop_assert!(parsed.manifest.is_some() || !parsed.problems.is_empty());
    let set = EdgeSet::new(parsed.manifest.into_iter().collect());
    let edges: usize = (0..set.destinations().len()).map(|to| set.edges_of(to).len()).sum();
    prop_assert_eq!(set.len(), edges);
    Ok(())
}

/// Checks that the bytes of each node are within those of the one that contains it, behind those of the node before.
fn check_tree(text: &str) -> Result<(), TestCaseError> {
    let Ok(root) = parse_tree("p", ("f", text)) else { return Ok(()) };
    let mut unchecked = vec![&root];
    while let Some(node) = unchecked.pop() {
        let below: Vec<_> = match node.value() {
            YamlValue::Null | YamlValue::Text(_) => Vec::new(),
            YamlValue::List(items) => items.iter().collect(),
            YamlValue::Mapping(entries) => entries.iter().flatten().collect(),
        };
        if let Some(bytes) = node.bytes() {
            prop_assert!(text.get(bytes.clone()).is_some(), "{bytes:?} of {text:?}");
            let mut at = bytes.start;
            for inner in below.iter().filter_map(|inner| inner.bytes()) {
                prop_assert!(at <= inner.start, "{inner:?} in {bytes:?} of {text:?}");
                at = inner.end;
            }
            prop_assert!(at <= bytes.end, "{at} behind {bytes:?} of {text:?}");
        }
        unchecked.extend(below);
    }
    Ok(())
}

/// Pieces that make texts which are nearly right.
fn pieces() -> impl Strategy<Value = String> {
    let digest = format!("sha256:{}", "a".repeat(64));
    let piece = prop::sample::select(vec![
        "- name: a\n",
        "  dmap:\n",
        "    ",
        "\n",
        ": ",
        "[t]",
        "[]",
        "{",
        "}",
        ", ",
        "\"",
        "'",
        "~",
        "# c\n",
        "registries:\n",
        "- name: h.example/p\n",
        "  src: true\n",
        "&a ",
        "*a",
        "!!str ",
        "- ",
        "? ",
        "|\n",
        "---\n",
        "...\n",
        "\r\n",
        "\r",
        "\t",
        "\u{feff}",
        "\u{85}",
        "\u{2028}",
        "é",
        "images:\n",
        "provenance: {a: b}\n",
        "<<: ",
        "%YAML 1.2\n",
        "\u{1b}",
        "\0",
    ]);
    prop::collection::vec(prop_oneof![9 => piece.prop_map(str::to_owned), 1 => Just(digest)], 0..40)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_read(a in any::<String>(), b in any::<String>()) {
        check(parse_thin("p", ("a", &a), ("b", &b)), &[("a", &a), ("b", &b)])?;
        check(parse_plain("a", &a), &[("a", &a)])?;
        check_tree(&a)?;
    }

    #[test]
    fn any_pieces_are_read(a in pieces(), b in pieces()) {
        check(parse_thin("p", ("a", &a), ("b", &b)), &[("a", &a), ("b", &b)])?;
        let good = "registries: [{name: h.example, src: true}, {name: i.example}]";
        check(parse_thin("p", ("a", good), ("b", &b)), &[("a", good), ("b", &b)])?;
        check(parse_plain("a", &a), &[("a", &a)])?;
        check_tree(&a)?;
    }

    #[test]
    fn any_files_are_sorted(files in prop::collection::vec(
        r"((images|manifests|x)/)?([ab]/)?([ab]/)?(images\.yaml|promoter-manifest\.yaml|x\.yml|OWNERS)", 0..12,
    )) {
        let (projects, problems) = thin_layout(&files);
        for project in &projects {
            prop_assert!(files.contains(&project.images_file));
            prop_assert!(files.contains(&project.registries_file));
        }
        for problem in &problems {
            prop_assert!(files.iter().any(|file| **file == *problem.file));
        }
        // No file of ours is passed over in silence.
        for file in files.iter().filter(|file| !file.ends_with("OWNERS") && !is_foreign(file)) {
            let read = projects.iter().any(|project| {
                project.images_file == *file || project.registries_file == *file
            });
            let is_reported = problems.iter().any(|problem| *problem.file == **file);
            prop_assert!(read || is_reported || has_stray_twin(file, &problems), "{file}");
        }
    }
}

/// Whether `file` is in no folder of a thin manifest directory.
fn is_foreign(file: &str) -> bool {
    !file.starts_with("images/") && !file.starts_with("manifests/")
}

/// Whether the project of `file` has another problem, which explains its missing file.
fn has_stray_twin(file: &str, problems: &[promotion_manifest::Problem]) -> bool {
    let project = file.split('/').nth(1);
    problems.iter().any(|problem| problem.project.as_deref() == project)
}

#[test]
fn a_large_file_is_read_in_linear_time() {
    let mut images = String::new();
    for i in 0..20_000 {
        let _ = write!(images, "- name: i\n  dmap: {{sha256:{i:064x}: [t, \"t{i}\"]}}\n");
    }
    let registries = "registries: [{name: h.example, src: true}, {name: i.example}]";
    let parsed = parse_thin("p", ("a", registries), ("b", &images));
    let set = EdgeSet::new(parsed.manifest.into_iter().collect());
    assert_eq!(set.len(), 40_000);
    let conflicts = set.edges_of(0).filter(|edge| edge.is_conflict());
    assert_eq!(conflicts.filter(|edge| edge.conflict().is_some()).count(), 20_000);
}
