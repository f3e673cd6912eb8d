//! The rows of `docs/reference/promotion-manifest.md`, "Edges".

#![expect(clippy::expect_used, reason = "helpers of tests: a panic is how a test fails")]

use std::collections::BTreeSet;

use oci::Digest;
use promotion_manifest::{EdgeSet, EdgeView, parse_thin};
use proptest::prelude::*;

/// A set of projects, each `(name, source, destinations, images.yaml)`; digests as one hexadecimal
/// digit in angle brackets.
fn set(projects: &[(&str, &str, &[&str], &str)]) -> EdgeSet {
    let manifests = projects.iter().map(|(project, source, destinations, images)| {
        let mut registries = format!("registries:\n- name: {source}\n  src: true\n");
        for destination in *destinations {
            registries.push_str(&format!("- name: {destination}\n"));
        }
        let mut images = (*images).to_owned();
        for digit in "0123456789abcdef".chars() {
            let digest = format!("sha256:{}", digit.to_string().repeat(64));
            images = images.replace(&format!("<{digit}>"), &digest);
        }
        let parsed =
            parse_thin(project, ("reg", &registries), (&format!("{project}.yaml"), &images));
        assert_eq!(parsed.problems, []);
        parsed.manifest.expect("whole")
    });
    EdgeSet::new(manifests.collect())
}

fn digit(digest: Digest) -> char {
    digest.hex().chars().next().unwrap_or('?')
}

/// An edge as `tag digit (sources)`, and what it conflicts with.
fn show(edge: EdgeView<'_>) -> String {
    let sources: Vec<String> = edge
        .sources()
        .map(|it| {
            let source = it.source_repository().expect("a name");
            format!("{}/{source}", it.source_prefix().host)
        })
        .collect();
    let tag = edge.tag().map_or("-", |tag| tag.as_str());
    let mut text = format!("{tag} {} from {}", digit(edge.digest()), sources.join(", "));
    if let Some(other) = edge.conflict() {
        let (line, digit) = (other.position().line, digit(other.digest()));
        text.push_str(&format!("; but {digit} at {}:{line} of {}", other.file(), other.project()));
    }
    text
}

/// Every destination repository with its edges.
fn shown(set: &EdgeSet) -> Vec<(String, Vec<String>)> {
    set.destinations()
        .iter()
        .enumerate()
        .map(|(at, destination)| {
            let name = format!("{}/{}", destination.prefix.host, destination.repository);
            let edges = set.edges_of(at).map(show).collect();
            (name, edges)
        })
        .collect()
}

fn expected(table: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    table.iter().map(|(name, edges)| ((*name).to_owned(), owned(edges))).collect()
}

#[test]
fn tags_times_destinations_are_edges() {
    let set = set(&[(
        "p",
        "s.example",
        &["z.example", "d.example/x"],
        "- name: i/j\n  dmap:\n    <b>: [u, t]\n    <a>: [w]\n    <c>: []\n- name: h\n  dmap: {<a>: [t]}\n",
    )]);
    let ij: &[&str] = &[
        "- c from s.example/i/j",
        "t b from s.example/i/j",
        "u b from s.example/i/j",
        "w a from s.example/i/j",
    ];
    let h: &[&str] = &["t a from s.example/h"];
    assert_eq!(
        shown(&set),
        expected(&[
            ("d.example/x/h", h),
            ("d.example/x/i/j", ij),
            ("z.example/h", h),
            ("z.example/i/j", ij),
        ])
    );
    assert_eq!((set.len(), set.is_empty(), set.problems().len()), (10, false, 0));
    let first = &set.destinations()[1];
    assert_eq!((first.prefix.to_string(), first.name.as_str()), ("d.example/x".into(), "i/j"));
    let places: Vec<String> = set.edges_of(1).map(|edge| edge.position().to_string()).collect();
    assert_eq!(places, ["5:5", "3:82", "3:79", "4:79"]);
    let second = set.edges_of(1).nth(1).expect("four edges");
    assert_eq!(second.file(), "p.yaml");
    assert_eq!(second.source_digest().position().to_string(), "3:5");
    assert!(EdgeSet::new(Vec::new()).is_empty());
}

#[test]
fn the_same_request_twice_is_one_edge_with_more_sources() {
    let set = set(&[
        ("p", "s.example", &["d.example/x"], "- name: i\n  dmap: {<a>: [t, u], <b>: []}\n"),
        ("q", "r.example/y", &["d.example"], "- name: x/i\n  dmap: {<a>: [t], <b>: []}\n"),
        ("r", "q.example", &["d.example/x"], "- name: i\n  dmap: {<a>: [t]}\n"),
    ]);
    assert_eq!(
        shown(&set),
        expected(&[(
            "d.example/x/i",
            &[
                "- b from s.example/i, r.example/y/x/i",
                "t a from s.example/i, r.example/y/x/i, q.example/i",
                "u a from s.example/i",
            ]
        )])
    );
    let destination = &set.destinations()[0];
    assert_eq!(destination.prefix.to_string(), "d.example/x", "as first written");
    assert_eq!(destination.name.as_str(), "i");
}

#[test]
fn one_tag_on_two_digests_is_a_conflict_of_those_edges_alone() {
    let set = set(&[
        (
            "p",
            "s.example",
            &["d.example/x", "e.example"],
            "- name: i\n  dmap:\n    <a>: [t]\n    <b>: [u]\n",
        ),
        ("q", "r.example", &["d.example"], "- name: x/i\n  dmap:\n    <c>: [t]\n"),
        ("r", "q.example", &["d.example"], "- name: x/i\n  dmap: {<a>: [t]}\n"),
    ]);
    assert_eq!(
        shown(&set),
        expected(&[
            (
                "d.example/x/i",
                &[
                    "t a from s.example/i, q.example/x/i; but c at q.yaml:3 of q",
                    "t c from r.example/x/i; but a at p.yaml:3 of p",
                    "u b from s.example/i",
                ]
            ),
            ("e.example/i", &["t a from s.example/i", "u b from s.example/i"]),
        ])
    );
}

#[test]
fn one_image_may_conflict_with_itself() {
    let set = set(&[(
        "p",
        "s.example",
        &["d.example"],
        "- name: i\n  dmap: {<c>: [t], <a>: [t], <b>: [t]}\n",
    )]);
    let edges = &shown(&set)[0].1;
    assert_eq!(edges.len(), 3);
    assert!(edges[0].contains("but b at") && edges[1].contains("but a at"), "{edges:?}");
    assert!(edges[2].contains("but a at"), "{edges:?}");
}

#[test]
fn a_digest_with_a_tag_and_without_is_two_edges() {
    let set = set(&[
        ("p", "s.example", &["d.example"], "- name: i\n  dmap: {<a>: [t]}\n"),
        ("q", "r.example", &["d.example"], "- name: i\n  dmap: {<a>: []}\n"),
        ("r", "q.example", &["d.example"], "- name: i\n  dmap: {<b>: []}\n"),
    ]);
    let edges = ["- a from r.example/i", "- b from q.example/i", "t a from s.example/i"];
    assert_eq!(shown(&set), expected(&[("d.example/i", &edges)]));
}

proptest! {
    /// Against the obvious: a set of texts.
    #[test]
    fn edges_are_the_set_of_what_is_written(
        source_digests in prop::collection::vec((0..3_usize, 0..2_usize, 0..3_usize, 0..4_usize), 0..40),
    ) {
        let prefixes = ["d.example", "d.example/a", "e.example"];
        let (names, digits) = (["a/i", "i"], ["<a>", "<b>", "<c>"]);
        let tags = ["[]", "[t]", "[u]", "[t, u]"];
        let images: Vec<String> = source_digests
            .iter()
            .map(|(_, name, digit, tag)| {
                format!("- name: {}\n  dmap: {{{}: {}}}\n", names[*name], digits[*digit], tags[*tag])
            })
            .collect();
        let destinations: Vec<[&str; 1]> = source_digests.iter().map(|source_digest| [prefixes[source_digest.0]]).collect();
        let projects: Vec<(&str, &str, &[&str], &str)> = images
            .iter()
            .zip(&destinations)
            .map(|(images, destination)| ("p", "s.example", &destination[..], &**images))
            .collect();
        let mut wanted = BTreeSet::new();
        for (prefix, name, digit, tag) in source_digests {
            let at = format!("{}/{}", prefixes[prefix], names[name]);
            let tags: &[&str] = [&["-"][..], &["t"], &["u"], &["t", "u"]][tag];
            wanted.extend(tags.iter().map(|tag| (at.clone(), *tag, &digits[digit][1..2])));
        }
        let set = set(&projects);
        let found: Vec<String> = shown(&set)
            .into_iter()
            .flat_map(|(at, edges)| edges.into_iter().map(move |edge| {
                let conflict = if edge.contains("; but ") { "!" } else { "" };
                format!("{at} {}{conflict}", &edge[..3])
            }))
            .collect();
        let expected: Vec<String> = wanted
            .iter()
            .map(|(at, tag, digit)| {
                let others = wanted.iter().any(|(a, t, d)| *tag != "-" && a == at && t == tag && d != digit);
                format!("{at} {tag} {digit}{}", if others { "!" } else { "" })
            })
            .collect();
        prop_assert_eq!(set.len(), found.len());
        prop_assert_eq!(found, expected);
    }
}
