//! The rows of `docs/promotion-manifest.md`, "Choosing".

#![expect(clippy::expect_used, reason = "helpers of tests: a panic is how a test fails")]

use std::collections::BTreeSet;

use promotion_manifest::{DestinationRepository, Edge, EdgeSet, PromotionManifest, parse_thin};
use proptest::prelude::*;

/// A project, from `s/<source>` to these destinations; digests as one hexadecimal digit in angle brackets.
fn project(name: &str, source: &str, destinations: &[&str], images: &str) -> PromotionManifest {
    let mut registries = format!("registries:\n- name: s.example/{source}\n  src: true\n");
    for (at, destination) in destinations.iter().enumerate() {
        registries.push_str(&format!("- name: {destination}\n  service-account: {name}-{at}@x\n"));
    }
    let mut text = images.to_owned();
    for digit in "0123456789abcdef".chars() {
        let digest = format!("sha256:{}", digit.to_string().repeat(64));
        text = text.replace(&format!("<{digit}>"), &digest);
    }
    let file = format!("{name}.yaml");
    let parsed = parse_thin(name, ("reg", &registries), (&file, &text));
    assert_eq!(parsed.problems, []);
    parsed.manifest.expect("whole")
}

/// An edge, as everybody would say it.
fn say(set: &EdgeSet, place: &DestinationRepository, edge: &Edge) -> String {
    let tag = set.tag(edge).map_or("-", |tag| tag.as_str());
    let digit = set.digest(edge).hex().chars().next().unwrap_or('?');
    format!("{}/{} {tag} {digit}", place.prefix.host, place.repository)
}

fn chosen(set: &EdgeSet) -> Vec<String> {
    let places = set.destinations().iter();
    places.flat_map(|place| place.edges.iter().map(|edge| say(set, place, edge))).collect()
}

const TO: &[&str] = &["d.example/prod"];

#[test]
fn edges_of_the_named_projects_are_chosen_and_the_others_stay_known() {
    let images = "- name: i\n  dmap: {<a>: [shared], <b>: [own]}\n";
    let other = "- name: i\n  dmap: {<a>: [shared], <c>: [own]}\n- name: j\n  dmap: {<d>: [t]}\n";
    let mut set = EdgeSet::new(vec![project("p", "x", TO, images), project("q", "y", TO, other)]);
    assert_eq!((set.len(), chosen(&set).len()), (4, 4));
    set.choose_projects(|name| name == "p");
    let own = ["d.example/prod/i own b", "d.example/prod/i shared a"];
    assert_eq!((chosen(&set), set.len()), (own.map(str::to_owned).to_vec(), 2));
    // Both projects wish the shared edge; the conflict is with an edge that is not chosen.
    let place = &set.destinations()[0];
    assert_eq!(place.others().len(), 1);
    let conflict = set.conflict(&place.edges[0], place).expect("a conflict");
    assert_eq!((conflict.project, conflict.file), ("q", "q.yaml"));
    assert_eq!(set.sources(&place.edges[1], place).count(), 2);
    assert!(set.destinations()[1].edges.is_empty() && set.destinations().len() == 2);
    set.choose_projects(|_| false);
    assert!(set.is_empty());
}

#[test]
fn what_changed_is_told_by_edges_and_not_by_lines() {
    let before =
        || EdgeSet::new(vec![project("p", "x", TO, "- name: i\n  dmap: {<a>: [t, u], <b>: []}\n")]);
    let changed = |manifests: Vec<PromotionManifest>| {
        let mut set = EdgeSet::new(manifests);
        set.choose_changed(&before());
        chosen(&set)
    };
    let same = "# a comment\n- name: i\n  dmap:\n    <b>:\n    '<a>':\n    - u\n    - t\n- name: i\n  dmap: {<a>: [t]}\n";
    assert_eq!(changed(vec![project("renamed", "x", TO, same)]), [""; 0], "written otherwise");
    for (images, expected) in [
        ("- name: i\n  dmap: {<a>: [t, u, v], <b>: []}\n", &["d.example/prod/i v a"][..]),
        ("- name: i\n  dmap: {<a>: [u], <b>: [t]}\n", &["d.example/prod/i t b"]),
        ("- name: i\n  dmap: {<a>: [t]}\n", &[]),
        ("- name: j\n  dmap: {<a>: [t]}\n", &["d.example/prod/j t a"]),
        ("- name: i\n  dmap: {<a>: [t, u], <b>: [], <c>: []}\n", &["d.example/prod/i - c"]),
    ] {
        assert_eq!(changed(vec![project("p", "x", TO, images)]), expected, "{images}");
    }
    let images = "- name: i\n  dmap: {<a>: [t, u], <b>: []}\n";
    let more = &["d.example/prod", "e.example"];
    let new = ["e.example/i - b", "e.example/i t a", "e.example/i u a"];
    assert_eq!(changed(vec![project("p", "x", more, images)]), new, "a new destination");
    assert_eq!(changed(vec![project("p", "y", TO, images)]).len(), 3, "another source");
    let twice = vec![
        project("p", "x", TO, images),
        project("q", "y", TO, "- name: i\n  dmap: {<a>: [t]}\n"),
    ];
    assert_eq!(changed(twice), ["d.example/prod/i t a"], "one more source");
    // What was not there at all.
    let mut set = EdgeSet::new(vec![project("p", "x", TO, images)]);
    set.choose_changed(&EdgeSet::new(Vec::new()));
    assert_eq!(set.len(), 3);
}

#[test]
fn the_longest_prefix_gives_its_name_and_its_service_account() {
    let images = "- name: k/i\n  dmap: {<a>: [t]}\n";
    let short = "- name: i\n  dmap: {<a>: [u]}\n";
    for turned in [false, true] {
        let mut both = vec![
            project("outer", "x", &["d.example/prod"], images),
            project("inner", "y", &["e.example", "d.example/prod/k"], short),
        ];
        if turned {
            both.reverse();
        }
        let set = EdgeSet::new(both);
        let place = &set.destinations()[0];
        assert_eq!(
            (place.prefix.to_string().as_str(), place.name.as_str()),
            ("d.example/prod/k", "i")
        );
        assert_eq!(set.service_account(place), Some("inner-1@x"));
        assert_eq!(place.edges.len(), 2);
    }
}

/// The source, and image, digest and tag of each wish.
type Project = (usize, Vec<(usize, usize, Option<usize>)>);

/// Projects of few names, so that they meet often.
fn projects() -> impl Strategy<Value = Vec<Project>> {
    let wish = (0..3_usize, 0..3_usize, prop::option::of(0..3_usize));
    let wishes = prop::collection::vec(wish, 0..6);
    prop::collection::vec((0..2_usize, wishes), 0..3)
}

fn set_of(projects: &[Project]) -> EdgeSet {
    let manifest = |(at, (source, wishes)): (usize, &Project)| {
        let mut images = String::new();
        for (image, digest, tag) in wishes {
            let tag = tag.map(|tag| format!("t{tag}")).unwrap_or_default();
            images.push_str(&format!("- name: i{image}\n  dmap: {{<{digest}>: [{tag}]}}\n"));
        }
        project(&format!("p{at}"), &format!("x{source}"), &["d.example", "e.example/y"], &images)
    };
    EdgeSet::new(projects.iter().enumerate().map(manifest).collect())
}

/// Every edge with its sources.
fn with_sources(set: &EdgeSet) -> BTreeSet<(String, BTreeSet<String>)> {
    let mut all = BTreeSet::new();
    for place in set.destinations() {
        for edge in &place.edges {
            let sources = set.sources(edge, place);
            let sources =
                sources.map(|wish| format!("{}/{}", wish.source_prefix(), wish.image.name));
            all.insert((say(set, place, edge), sources.collect()));
        }
    }
    all
}

proptest! {
    #[test]
    fn changes_are_those_of_an_obviously_right_comparison(before in projects(), after in projects()) {
        let (before, mut after) = (set_of(&before), set_of(&after));
        let old = with_sources(&before);
        let expected: BTreeSet<_> =
            with_sources(&after).into_iter().filter(|edge| !old.contains(edge)).map(|(edge, _)| edge).collect();
        let all = after.len();
        after.choose_changed(&before);
        let found: BTreeSet<_> = chosen(&after).into_iter().collect();
        prop_assert_eq!(&found, &expected);
        let left: usize = after.destinations().iter().map(|place| place.others().len()).sum();
        prop_assert_eq!(left + after.len(), all);
        // Compared with itself nothing is new.
        after.choose_changed(&set_of(&[]));
        prop_assert_eq!(after.len(), expected.len());
    }
}
