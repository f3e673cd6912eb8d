//! Promotion manifests, plain and thin: any text is read without a panic, and what comes out makes
//! an edge set whose own lookups hold together.

#![no_main]

use libfuzzer_sys::fuzz_target;
use promotion_manifest::{EdgeSet, parse_plain, parse_thin};

const REGISTRIES: &str =
    "registries: [{name: s.example/a, src: true}, {name: d.example}, {name: d.example/b}]";

fuzz_target!(|text: &str| {
    let thin = parse_thin("p", ("registries", REGISTRIES), ("images", text));
    let plain = parse_plain("plain", text);
    for parsed in [&thin, &plain] {
        assert!(parsed.manifest.is_some() || !parsed.problems.is_empty());
        for problem in &parsed.problems {
            assert!(!problem.message.contains(char::is_control));
        }
    }
    let set =
        EdgeSet::new([thin, plain].into_iter().filter_map(|parsed| parsed.manifest).collect());
    for destination in set.destinations() {
        for edge in &destination.edges {
            assert_eq!(set.conflict(edge, destination).is_some(), edge.is_conflict());
            let digest = set.digest(edge);
            assert!(set.sources(edge, destination).all(|wish| wish.entry.digest == digest));
        }
    }
});
