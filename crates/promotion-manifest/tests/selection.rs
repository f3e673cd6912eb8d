//! The rows of `docs/reference/promotion-manifest.md`, "Selection" and "Changes".

#![expect(clippy::expect_used, reason = "helpers of tests: a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};

use promotion_manifest::{
    Changes, Criteria, EdgeSet, EdgeView, PromotionManifest, Selection, compare, parse_thin, select,
};
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

/// An edge as `repository tag digit`.
fn say(edge: EdgeView<'_>) -> String {
    let tag = edge.tag().map_or("-", |tag| tag.as_str());
    let digit = edge.digest().hex().chars().next().unwrap_or('?');
    format!("{}/{} {tag} {digit}", edge.destination().prefix.host, edge.destination().repository)
}

fn selected(set: &EdgeSet, selection: &Selection) -> Vec<String> {
    selection.edges(set).map(say).collect()
}

fn of_project(set: &EdgeSet, project: &dyn Fn(&str) -> bool) -> Selection {
    select(set, &Criteria { project: Some(project), changed_since: None })
}

fn changed_since(set: &EdgeSet, before: &EdgeSet) -> Selection {
    select(set, &Criteria { project: None, changed_since: Some(before) })
}

const TO: &[&str] = &["d.example/prod"];

#[test]
fn edges_of_the_named_projects_are_selected_and_the_set_stays_as_it_is() {
    let images = "- name: i\n  dmap: {<a>: [shared], <b>: [own]}\n";
    let other = "- name: i\n  dmap: {<a>: [shared], <c>: [own]}\n- name: j\n  dmap: {<d>: [t]}\n";
    let set = EdgeSet::new(vec![project("p", "x", TO, images), project("q", "y", TO, other)]);
    assert_eq!((set.len(), Selection::all(&set).len()), (4, 4));
    let selection = of_project(&set, &|name| name == "p");
    let own = ["d.example/prod/i own b", "d.example/prod/i shared a"];
    assert_eq!((selected(&set, &selection), selection.len()), (own.map(str::to_owned).to_vec(), 2));
    assert_eq!((selection.len_of(0), selection.len_of(1)), (2, 0));
    // Both projects request the shared edge; the conflict is with an edge that is not selected.
    let edges: Vec<_> = selection.edges_of(&set, 0).collect();
    let conflict = edges[0].conflict().expect("a conflict");
    assert_eq!((conflict.project(), conflict.file()), ("q", "q.yaml"));
    assert_eq!(edges[1].sources().count(), 2);
    assert!(of_project(&set, &|_| false).is_empty() && set.len() == 4);
}

#[test]
fn what_changed_is_judged_by_edges_and_not_by_lines() {
    let before =
        || EdgeSet::new(vec![project("p", "x", TO, "- name: i\n  dmap: {<a>: [t, u], <b>: []}\n")]);
    let changed = |manifests: Vec<PromotionManifest>| {
        let set = EdgeSet::new(manifests);
        selected(&set, &changed_since(&set, &before()))
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
    let set = EdgeSet::new(vec![project("p", "x", TO, images)]);
    assert_eq!(changed_since(&set, &EdgeSet::new(Vec::new())).len(), 3);
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
        assert_eq!(set.edges_of(0).len(), 2);
    }
}

/// The source, and image, digest and tag of each request.
type Project = (usize, Vec<(usize, usize, Option<usize>)>);

/// Projects of few names, so that they meet often.
fn projects() -> impl Strategy<Value = Vec<Project>> {
    let request = (0..3_usize, 0..3_usize, prop::option::of(0..3_usize));
    let requests = prop::collection::vec(request, 0..6);
    prop::collection::vec((0..2_usize, requests), 0..3)
}

fn set_of(projects: &[Project]) -> EdgeSet {
    let manifest = |(at, (source, requests)): (usize, &Project)| {
        let mut images = String::new();
        for (image, digest, tag) in requests {
            let tag = tag.map(|tag| format!("t{tag}")).unwrap_or_default();
            images.push_str(&format!("- name: i{image}\n  dmap: {{<{digest}>: [{tag}]}}\n"));
        }
        project(&format!("p{at}"), &format!("x{source}"), &["d.example", "e.example/y"], &images)
    };
    EdgeSet::new(projects.iter().enumerate().map(manifest).collect())
}

/// Every edge as (repository, tag), digit and sources.
type Said = BTreeMap<(String, String), BTreeMap<String, BTreeSet<String>>>;

fn said(set: &EdgeSet) -> Said {
    let mut all = Said::new();
    for edge in set.edges() {
        let said = say(edge);
        let parts: Vec<&str> = said.split(' ').collect();
        let source = |it: promotion_manifest::SourceDigest<'_>| {
            format!("{}/{}", it.source_prefix(), it.image.name)
        };
        let key = (parts[0].to_owned(), parts[1].to_owned());
        all.entry(key)
            .or_default()
            .insert(parts[2].to_owned(), edge.sources().map(source).collect());
    }
    all
}

/// What a comparison finds: `+`, `-` or `>` with the edges.
fn found(changes: &Changes<'_>) -> BTreeSet<String> {
    let added = changes.added.iter().map(|edge| format!("+ {}", say(*edge)));
    let removed = changes.removed.iter().map(|edge| format!("- {}", say(*edge)));
    let changed = changes.changed.iter();
    let changed = changed.map(|it| format!("> {} {}", say(it.before), say(it.after)));
    added.chain(removed).chain(changed).collect()
}

/// The same, found by looking at each edge of either side.
fn slowly_found(before: &Said, after: &Said) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for key in before.keys().chain(after.keys()) {
        let name = |digit: &str| format!("{} {} {digit}", key.0, key.1);
        let nothing = BTreeMap::new();
        let (old, new) = (before.get(key).unwrap_or(&nothing), after.get(key).unwrap_or(&nothing));
        let mut gone: Vec<_> = old.keys().filter(|it| !new.contains_key(*it)).collect();
        let mut come: Vec<_> = new.keys().filter(|it| !old.contains_key(*it)).collect();
        while key.1 != "-" && !gone.is_empty() && !come.is_empty() {
            all.insert(format!("> {} {}", name(gone.remove(0)), name(come.remove(0))));
        }
        all.extend(gone.into_iter().map(|digit| format!("- {}", name(digit))));
        all.extend(come.into_iter().map(|digit| format!("+ {}", name(digit))));
        let both = old
            .iter()
            .filter(|(digit, sources)| new.get(*digit).is_some_and(|new| new != *sources));
        all.extend(both.map(|(digit, _)| format!("> {} {}", name(digit), name(digit))));
    }
    all
}

#[test]
fn a_tag_on_another_digest_is_one_change() {
    let set = |images| EdgeSet::new(vec![project("p", "x", TO, images)]);
    let before = set("- name: i\n  dmap: {<a>: [t, u], <b>: [], <c>: [v]}\n");
    let after = set("- name: i\n  dmap: {<a>: [u], <d>: [t], <e>: [], <c>: [v, w]}\n");
    let changes = compare(&before, &after);
    assert_eq!(
        found(&changes).into_iter().collect::<Vec<_>>(),
        [
            "+ d.example/prod/i - e",
            "+ d.example/prod/i w c",
            "- d.example/prod/i - b",
            "> d.example/prod/i t a d.example/prod/i t d",
        ]
    );
    assert!(changes.changed[0].is_tag_move());
    let other_source = EdgeSet::new(vec![project(
        "p",
        "y",
        TO,
        "- name: i\n  dmap: {<a>: [t, u], <b>: [], <c>: [v]}\n",
    )]);
    let changes = compare(&before, &other_source);
    assert_eq!((changes.added.len(), changes.removed.len(), changes.changed.len()), (0, 0, 4));
    assert!(changes.changed.iter().all(|change| !change.is_tag_move()));
}

proptest! {
    #[test]
    fn changes_are_those_of_an_obviously_right_comparison(before in projects(), after in projects()) {
        let (before, after) = (set_of(&before), set_of(&after));
        let changes = compare(&before, &after);
        prop_assert_eq!(found(&changes), slowly_found(&said(&before), &said(&after)));
        // What is to be looked at is what was added or changed.
        let (all, selection) = (after.len(), changed_since(&after, &before));
        prop_assert_eq!(selection.len(), changes.added.len() + changes.changed.len());
        prop_assert_eq!(after.len(), all);
        // Compared with itself nothing is new.
        prop_assert!(compare(&after, &after).is_empty() && changed_since(&after, &after).is_empty());
    }
}
