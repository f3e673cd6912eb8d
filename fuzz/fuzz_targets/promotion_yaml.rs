//! Promotion manifests, plain and thin: any text is read without a panic, and what comes out makes
//! an edge set whose own lookups hold together and that differs from itself in nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use promotion_manifest::{Criteria, EdgeSet, Selection, compare, parse_plain, parse_thin, select};

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
});
