//! Promotion manifests, plain and thin: any text is read without a panic, and what comes out makes
//! an edge set whose own lookups hold together and that differs from itself in nothing. Each value has bytes within those
//! of what contains it, behind those of the value before.

#![no_main]

use libfuzzer_sys::fuzz_target;
use promotion_manifest::{
    Criteria, EdgeSet, Selection, YamlNode, YamlValue, compare, parse_plain, parse_thin,
    parse_tree, select,
};

const REGISTRIES: &str =
    "registries: [{name: s.example/a, src: true}, {name: d.example}, {name: d.example/b}]";

fuzz_target!(|text: &str| {
    let thin = parse_thin("p", ("registries", REGISTRIES), ("images", text));
    let plain = parse_plain("plain", text);
    let frame = parse_thin("q", ("registries", text), ("images", "[]"));
    for parsed in [&thin, &plain, &frame] {
        assert!(parsed.manifest.is_some() || !parsed.problems.is_empty());
        for problem in &parsed.problems {
            assert!(!problem.message.contains(char::is_control));
        }
    }
    let manifests = || [&thin, &plain, &frame].into_iter().filter_map(|it| it.manifest.clone());
    for provenance in manifests().filter_map(|manifest| manifest.provenance) {
        for (key, value) in &provenance.members {
            assert_eq!(provenance.get(key), Some(value));
        }
    }
    let set = EdgeSet::new(manifests().collect());
    assert!(compare(&set, &set).is_empty());
    let criteria = Criteria { project: None, changed_since: Some(&set) };
    assert!(select(&set, &criteria).is_empty());
    assert_eq!(Selection::all(&set).len(), set.len());
    for edge in set.edges() {
        assert_eq!(edge.conflict().is_some(), edge.is_conflict());
        assert!(edge.sources().all(|source| source.entry.digest == edge.digest()));
    }
    if let Ok(root) = parse_tree("p", ("tree", text)) {
        check_bytes(&root, text);
    }
});

fn check_bytes(node: &YamlNode<'_>, text: &str) {
    let inner: Vec<_> = match node.value() {
        YamlValue::Null | YamlValue::Text(_) => return,
        YamlValue::List(items) => items.iter().collect(),
        YamlValue::Mapping(entries) => entries.iter().flatten().collect(),
    };
    let bytes = node.bytes().expect("the bytes of a collection");
    assert!(text.get(bytes.clone()).is_some());
    let mut at = bytes.start;
    for inner in &inner {
        if let Some(inner) = inner.bytes() {
            assert!(at <= inner.start && inner.end <= bytes.end);
            at = inner.end;
        }
        check_bytes(inner, text);
    }
}
