//! Promotion manifests, plain and thin: any text is read without a panic, and what comes out makes
//! an edge set whose own lookups hold together and that differs from itself in nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use promotion_manifest::{EdgeSet, parse_plain, parse_thin};

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
    // Compared with itself nothing is new, and all of it stays known.
    let mut unchanged = EdgeSet::new(manifests().collect());
    let set = EdgeSet::new(manifests().collect());
    unchanged.choose_changed(&set);
    assert!(unchanged.is_empty());
    let others = unchanged.destinations().iter().map(|place| place.others().len());
    assert_eq!(others.sum::<usize>(), set.len());
    for destination in set.destinations() {
        for edge in &destination.edges {
            assert_eq!(set.conflict(edge, destination).is_some(), edge.is_conflict());
            let digest = set.digest(edge);
            assert!(set.sources(edge, destination).all(|wish| wish.entry.digest == digest));
        }
    }
});
