//! The values of a file with their bytes, as an editor needs them: each takes exactly the bytes that it is written in.

#![expect(clippy::expect_used, reason = "helpers of tests: a panic is how a test fails")]

mod data;

use promotion_manifest::{
    EdgeSet, PathStep, YamlNode, YamlPath, YamlValue, compare, parse_thin, parse_tree,
};

use crate::data::kubernetes;

/// A text that is the same for equal values.
fn shape(node: &YamlNode<'_>) -> String {
    match node.value() {
        YamlValue::Null => "null".to_owned(),
        YamlValue::Text(text) => format!("{text:?}"),
        YamlValue::List(items) => {
            format!("[{}]", items.iter().map(shape).collect::<Vec<_>>().join(","))
        }
        YamlValue::Mapping(entries) => {
            let entry =
                |[key, value]: &[YamlNode<'_>; 2]| format!("{}:{}", shape(key), shape(value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
        }
    }
}

/// All nodes, outer ones first.
fn nodes<'n, 't>(root: &'n YamlNode<'t>) -> Vec<&'n YamlNode<'t>> {
    let below: Vec<_> = match root.value() {
        YamlValue::Null | YamlValue::Text(_) => Vec::new(),
        YamlValue::List(items) => items.iter().collect(),
        YamlValue::Mapping(entries) => entries.iter().flatten().collect(),
    };
    std::iter::once(root).chain(below.into_iter().flat_map(nodes)).collect()
}

/// Checks that the bytes of each node, at the column where they begin, are the node again. Gives the number of nodes.
fn check_spans(text: &str) -> usize {
    let root = parse_tree("p", ("f", text)).expect("a text without problems");
    let nodes = nodes(&root);
    for node in &nodes {
        let bytes = node.bytes().expect("the bytes of a node");
        let indent = " ".repeat(node.span().start.column as usize - 1);
        let alone = indent + &text[bytes];
        let again = parse_tree("p", ("f", &alone)).expect(&alone);
        assert_eq!(shape(&again), shape(node), "{alone}");
    }
    nodes.len()
}

fn path(path: &str) -> YamlPath {
    path.parse().expect(path)
}

#[test]
fn the_bytes_of_each_node_are_the_node() {
    let text = "# first
- name: a  # why
  dmap:
    \"sha256:11\": [\"v1\", 'v2',v3 ]  # tags
    'sha256:22':
    # inside
    - x

    # behind the list

  empty:
  e : # a comment
- {name: b, c: , d: [], e, \"f\":[é]}
-
- ~
- folded
  over lines
- - - nested
# last
";
    assert_eq!(check_spans(text), 36);
    assert_eq!(check_spans(&text.replace('\n', "\r\n")), 36);
    assert_eq!(check_spans(&format!("\u{feff}{text}")), 36);
    for (text, number) in
        [("", 1), ("# c\n", 1), ("---\na: b\n...\n", 3), ("? a\n:\n? b\n: c\n", 5)]
    {
        assert_eq!(check_spans(text), number, "{text}");
    }
}

#[test]
fn a_span_ends_with_the_value_and_not_with_what_follows() {
    let text = "a:\n  b: [c] # d\n\n# e\nf:\n";
    let root = parse_tree("p", ("f", text)).expect("a text without problems");
    let bytes = |at: &str| root.find(&path(at)).and_then(YamlNode::bytes).map(|it| &text[it]);
    assert_eq!(bytes("a"), Some("b: [c]"));
    assert_eq!(bytes("a.b"), Some("[c]"));
    assert_eq!(bytes("f"), Some(""));
    assert_eq!(root.bytes().map(|it| &text[it]), Some("a:\n  b: [c] # d\n\n# e\nf:"));
}

#[test]
fn a_block_scalar_cannot_be_replaced_alone() {
    let root = parse_tree("p", ("f", "a: |\n  x\nb: >-\n  y\n")).expect("no problems");
    for key in ["a", "b"] {
        assert_eq!(root.find(&path(key)).expect(key).bytes(), None, "{key}");
    }
}

#[test]
fn a_path_leads_to_a_node_or_nowhere() {
    let text = "images:\n- name: a\n- name: b\n  dmap:\n    \"sha256:11\": [v1, v2]\n    a.b: x\n";
    let root = parse_tree("p", ("f", text)).expect("a text without problems");
    for (at, value) in [
        (r#"images[1].dmap["sha256:11"][1]"#, Some("\"v2\"")),
        (r#"["images"][1]["dmap"]["a.b"]"#, Some("\"x\"")),
        ("images[0]", Some(r#"{"name":"a"}"#)),
        ("images[1].dmap.a.b", None),
        ("images[2]", None),
        ("images.name", None),
        ("images[0].name[0]", None),
    ] {
        assert_eq!(root.find(&path(at)).map(shape).as_deref(), value, "{at}");
    }
    let steps = YamlPath(vec![PathStep::Key("images".to_owned()), PathStep::Item(0)]);
    assert_eq!(path("images[0]"), steps);
    assert_eq!(root.find(&path("")).map(shape), Some(shape(&root)));
    for invalid in [".a", "a.", "a..b", "a[", "a[x]", "a[-1]", "a[0]b", "[\"a]", "a[\"b\"", "a]["] {
        let error = invalid.parse::<YamlPath>().expect_err(invalid).to_string();
        assert!(error.starts_with(&format!("invalid path `{invalid}`: ")), "{error}");
    }
}

#[test]
fn a_file_with_problems_has_no_tree() {
    for text in ["a: &x b\nc: *x\n", "a: b\na: c\n", "a: [", "a: !!str b\n", "a: b\n---\nc: d\n"] {
        let problems = parse_tree("p", ("f", text)).expect_err(text);
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert_eq!((&*problems[0].file, problems[0].project.as_deref()), ("f", Some("p")));
    }
}

#[test]
fn in_the_kubernetes_tree_the_bytes_of_each_node_are_the_node() {
    let Some(projects) = kubernetes() else { return };
    let texts = projects.iter().flat_map(|(_, texts)| texts);
    let nodes: usize = texts.map(|text| check_spans(text)).sum();
    assert!(nodes > 70_000, "{nodes}");
}

#[test]
fn in_the_kubernetes_tree_a_tag_that_is_spliced_in_is_the_only_change() {
    let Some(projects) = kubernetes() else { return };
    let mut spliced = 0;
    for (project, [registries, images]) in &projects {
        let parse = |images: &str| {
            let registries = (&*project.registries_file, &**registries);
            let parsed = parse_thin(&project.project, registries, (&project.images_file, images));
            EdgeSet::new(vec![parsed.manifest.expect("a manifest")])
        };
        let root = parse_tree(&project.project, (&project.images_file, images)).expect("a tree");
        let before = parse(images);
        let destinations = before.manifests()[0].destinations.len();
        for image in ["[0]", "[1]"] {
            let Some(YamlValue::Mapping(digests)) =
                root.find(&path(&format!("{image}.dmap"))).map(YamlNode::value)
            else {
                continue;
            };
            let Some([key, _]) = digests.last() else { continue };
            let YamlValue::Text(digest) = key.value() else { panic!("{key:?}") };
            let tags = root.find(&path(&format!("{image}.dmap[\"{digest}\"]"))).expect("tags");
            let (at, tag) = match tags.value() {
                YamlValue::List([.., last]) => (last.bytes().expect("bytes").end, ", \"zz-new\""),
                YamlValue::List([]) => (tags.bytes().expect("bytes").end - 1, "\"zz-new\""),
                _ => continue,
            };
            let edited = [&images[..at], tag, &images[at..]].concat();
            let after = parse(&edited);
            let changes = compare(&before, &after);
            assert!(
                changes.changed.is_empty() && changes.added.len() == destinations,
                "{changes:?}"
            );
            for edge in &changes.added {
                assert_eq!(edge.tag().map(ToString::to_string).as_deref(), Some("zz-new"));
                assert_eq!(edge.digest().to_string(), digest);
            }
            spliced += 1;
        }
    }
    assert!(spliced > 75, "{spliced}");
}
