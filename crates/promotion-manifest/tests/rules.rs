//! The rows of `docs/reference/promotion-manifest.md`, "How each entry is read".

use promotion_manifest::{
    EdgeSet, EdgeView, MAX_FILE_BYTES, Parsed, RawYamlValue, parse_plain, parse_thin,
};

const REGISTRIES: &str = "\
registries:
- name: src.example/staging
  src: true
- name: dst.example/prod
";

/// What a case expects: the positions of the problems with some words of each, and the edges as `image tag digit`, with
/// `-` for no tag; `None` if the project is left out.
type Expected<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>);

/// Replaces `<a>` and `<b>` with digests that repeat this digit.
fn expand(text: &str) -> String {
    text.replace("<a>", &format!("sha256:{}", "a".repeat(64)))
        .replace("<b>", &format!("sha256:{}", "b".repeat(64)))
}

fn edges(parsed: Parsed) -> Option<String> {
    let set = EdgeSet::new(vec![parsed.manifest?]);
    let show = |edge: EdgeView<'_>| {
        let tag = edge.tag().map_or("-", |tag| tag.as_str());
        format!("{} {tag} {}", edge.destination().name, &edge.digest().hex()[..1])
    };
    let all: Vec<_> = set.edges().map(show).collect();
    Some(all.join(", "))
}

#[track_caller]
fn check(case: &str, parsed: Parsed, (problems, wanted): Expected<'_>) {
    let found: Vec<String> = parsed.problems.iter().map(ToString::to_string).collect();
    let fits = found.len() == problems.len()
        && found.iter().zip(problems).all(|(found, (place, words))| {
            found.starts_with(&format!("{place}: ")) && found.contains(words)
        });
    assert!(fits, "{case}\nexpected {problems:#?}\nfound {found:#?}");
    assert_eq!(edges(parsed).as_deref(), wanted, "{case}");
}

fn images(text: &str, expected: Expected<'_>) {
    let expanded = expand(text);
    check(text, parse_thin("p", ("reg", REGISTRIES), ("img", &expanded)), expected);
}

fn registries(text: &str, expected: Expected<'_>) {
    let list = expand("- name: i\n  dmap: {<a>: [t]}");
    check(text, parse_thin("p", ("reg", text), ("img", &list)), expected);
}

#[test]
fn row_1_what_is_not_yaml_leaves_the_project_out() {
    images("- name: i\n  dmap: {<a>: [\"t]}\n", (&[("img:2:84", "unclosed quote")], None));
    images("- name: i\n   dmap:\n", (&[("img:2:8", "not valid YAML")], None));
    let indentation = "not valid YAML: wrong indentation; align this line with the keys beside it";
    images("- name: i\n dmap: {}\n", (&[("img:2:2", indentation)], None));
    images("- name: i\n\tdmap: {}\n", (&[("img:2:1", "tab in indentation; use spaces")], None));
    images(&"[".repeat(40), (&[("img:1:33", "limit")], None));
    images(&"- ".repeat(40), (&[("img:1:65", "limit")], None));
    images(&" ".repeat(MAX_FILE_BYTES + 1), (&[("img:1:1", "(maximum 33554432)")], None));
    registries("registries: [", (&[("reg:1:13", "not valid YAML")], None));
}

#[test]
fn a_common_mistake_in_yaml_is_named_with_its_remedy() {
    let tab = "tab in indentation; use spaces";
    for (text, place, words) in [
        ("- name: i\n  dmap:\n\t\t<a>: [t]\n", "img:3:1", tab),
        ("- name: i\n \tdmap: {}\n", "img:2:2", tab),
        ("- name: i\n  dmap:\n    <a>:\n\t- t\n", "img:4:1", tab),
        ("- name: i\n  dmap: {<a>: [*]}\n", "img:2:84", "quote the asterisk"),
        ("- name: i\n  dmap: {<a>: [*latest]}\n", "img:2:84", "quote the asterisk"),
        ("- name: * \n", "img:1:9", "quote the asterisk"),
        ("- name: i\n  dmap:\n  <a>: [t]\n", "img:3:3", "indent it below `dmap:`"),
        ("- name: i\n  dmap:\n  \"<a>\": [t]\n", "img:3:3", "indent it below `dmap:`"),
        ("- name: i\n  dmap:\n<a>: [t]\n", "img:3:1", "indent it below `dmap:`"),
    ] {
        images(text, (&[(place, words)], None));
    }
}

#[test]
fn a_missing_quote_comma_bracket_or_space_is_named_where_it_is_missing() {
    let (quote, colon) =
        ("unclosed quote; add the closing `\"`", "a space is missing after the `:`");
    for (text, place, words) in [
        ("- name: i\n  dmap:\n    <a>: [\"1.0]\n", "img:3:79", quote),
        ("- name: i\n  dmap:\n    <a>: [\"1.0]\n    \"<b>\": [\"2.0\"]\n", "img:3:79", quote),
        ("- name: i\n  dmap:\n    \"<a>: [\"1.0\"]\n", "img:3:5", quote),
        ("- name: i\n  dmap:\n    \"<a>: [1.0]\n    \"<b>\": [2.0]\n", "img:3:5", quote),
        ("- name: i\n  dmap:\n    <a>: [\"2.0\" \"latest\"]\n", "img:3:85", "a comma is missing"),
        ("- name: i\n  dmap:\n    \"<a>\": [\"2.0\" latest]\n", "img:3:87", "a comma is missing"),
        ("- name: i\n  dmap: {<a>: [t] <b>: [u]}\n", "img:2:87", "a comma is missing"),
        ("- name: i\n  dmap:\n    \"<a>\":[\"1.0\"]\n", "img:3:79", colon),
        ("- name: i\n  dmap:\n    <a>:[\"1.0\"]\n    <b>: [t]\n", "img:3:77", colon),
        (
            "- name: i\n  dmap:\n    <a>: [t\n    <b>: [u]\n",
            "img:3:78",
            "unclosed `[`; add the closing `]`",
        ),
        ("- name: i\n  dmap: {<a>:[1.0]\n", "img:2:82", colon),
        ("- name:app\n  dmap: {<a>: [t]}\n", "img:1:8", "a space is missing after `name:`; add it"),
        ("- name: i\n  dmap:{<a>: [t]}\n", "img:2:8", "a space is missing after `dmap:`; add it"),
        (
            "- name: i\n  dmap:\n    <a>:\n    - t\n    -1.0\n",
            "img:5:6",
            "a space is missing after the `-`",
        ),
        ("- name: 'app\n  dmap: {<a>: [t]}\n", "img:1:9", "unclosed quote; add the closing `'`"),
        (
            "<<<<<<< HEAD\n- name: i\n=======\n- name: j\n>>>>>>> x\n",
            "img:1:1",
            "git conflict marker",
        ),
        ("- name: i\n  dmap:\n<<<<<<< HEAD\n    <a>: [t]\n", "img:3:1", "resolve the conflict"),
        ("- name: i\n  dmap:\n    <a>: [t]]\n", "img:3:81", "not valid YAML"),
    ] {
        images(text, (&[(place, words)], None));
    }
    registries(
        "registries:\n- name: a.example\n  src:true\n",
        (&[("reg:3:7", "after `src:`; add it")], None),
    );
}

#[test]
fn an_ambiguous_line_break_leaves_the_project_out() {
    for (character, words) in [
        ("\u{85}", "U+0085 (next line)"),
        ("\u{2028}", "U+2028 (line separator)"),
        ("\u{2029}", "U+2029 (paragraph separator)"),
        ("\u{0B}", "U+000B (line tabulation)"),
        ("\u{0C}", "U+000C (form feed)"),
        ("\r", "U+000D (carriage return"),
    ] {
        let text = format!("- name: é #{character}x\n  dmap: {{}}\n# \"{character}y\n");
        images(&text, (&[("img:1:12", words), ("img:3:4", words)], None));
        let registries_text = format!("{REGISTRIES}# {character} y\n");
        registries(&registries_text, (&[("reg:5:3", words)], None));
    }
    images("- name: i\r\n  dmap: {<a>: [t]}\r\n", (&[], Some("i t a")));
}

#[test]
fn a_file_of_too_many_values_is_refused_before_they_fill_the_memory() {
    let head = "- name: i\n  dmap:\n    <a>: [";
    let tags = |count: usize| format!("{head}{}]\n", "a,".repeat(count));
    // The list, the image, its two keys, its name, the mapping, the digest and the list of tags.
    let others = 8;
    assert_eq!(
        parse_thin("p", ("reg", REGISTRIES), ("img", &expand(&tags(1_000_000 - others)))).problems,
        []
    );
    let place = format!("img:3:{}", 79 + 2 * (1_000_000 - others));
    let words = "too many YAML values: a file may have 1000000; split it";
    images(&tags(1_000_001 - others), (&[(&place, words)], None));
}

#[test]
fn both_files_are_read_whatever_is_wrong_with_the_first() {
    let parsed = parse_thin("p", ("reg", "registries: ["), ("img", "- nme: i"));
    let both = [
        ("reg:1:13", "not valid YAML"),
        ("img:1:3", "unknown key `nme`"),
        ("img:1:3", "no `name`"),
    ];
    check("both", parsed, (&both, None));
}

#[test]
fn row_2_what_a_reviewer_cannot_see_through_leaves_the_project_out() {
    images(
        "- name: i\n---\n- name: j\n",
        (&[("img:2:1", "second YAML document: a file may have only one")], None),
    );
    images(
        "- name: &n i\n  dmap: {<a>: [t]}\n- name: *n\n  dmap: *m\n",
        (&[("img:3:9", "quote the asterisk"), ("img:4:9", "quote the asterisk")], None),
    );
    images("- name: !!str i\n", (&[("img:1:15", "YAML tags")], None));
    images("- !x {name: i}\n", (&[("img:1:6", "YAML tags")], None));
}

#[test]
fn row_3_an_unknown_key_leaves_the_project_out() {
    images(
        "- name: i\n  dmpa: {<a>: [t]}\n  tags: []\n",
        (&[("img:2:3", "unknown key `dmpa`; did you mean `dmap`?"), ("img:3:3", "`tags`")], None),
    );
    registries(
        &format!("{REGISTRIES}  token: x\nrenames: []\nimages: []\n"),
        (
            &[
                ("reg:5:3", "unknown key `token`"),
                ("reg:6:1", "unknown key `renames`"),
                ("reg:7:1", "unknown key `images`"),
            ],
            None,
        ),
    );
}

#[test]
fn row_4_a_duplicate_key_leaves_the_project_out() {
    images(
        "- name: i\n  name: j\n",
        (&[("img:2:3", "duplicate key `name`: it is already on line 1")], None),
    );
    images(
        "- name: i\n  dmap:\n    <a>: [t]\n    <b>: [u]\n    \"<a>\": [v]\n",
        (&[("img:5:5", "it is already on line 3")], None),
    );
    registries(
        &format!("{REGISTRIES}provenance:\n  builders: [{{caller: {{b: 1, b: 2}}}}]\n"),
        (&[("reg:6:30", "duplicate key `b`: it is already on line 6")], None),
    );
}

#[test]
fn row_5_a_wrong_type_leaves_the_project_out() {
    for (text, place, words) in [
        ("name: i\n", "img:1:1", "the images must be a list"),
        ("- i\n", "img:1:3", "an image must be a mapping"),
        ("- name: [i]\n", "img:1:9", "must be text, but it is a list"),
        ("- name: i\n  dmap: t\n", "img:2:9", "`dmap` must map digests to lists of tags"),
        ("- name: i\n  dmap: {<a>: t}\n", "img:2:83", "must be a list, such as"),
        ("- name: i\n  dmap: {<a>: [{}]}\n", "img:2:84", "a tag must be text"),
        ("- name: i\n  dmap: {[x]: [t]}\n", "img:2:10", "a key must be text"),
        ("- name: i\n  dmap: {: [t]}\n", "img:2:10", "a key must be text, but it is empty"),
    ] {
        images(text, (&[(place, words)], None));
    }
    for (text, place, words) in [
        ("[]", "reg:1:1", "the file must be a mapping"),
        ("registries: x\n", "reg:1:13", "`registries` must be a list"),
        ("registries: {}\n", "reg:1:13", "`registries` must be a list"),
    ] {
        registries(text, (&[(place, words)], None));
    }
    for (more, place, words) in [
        ("- x\n", "reg:5:3", "a registry must be a mapping"),
        ("- name: {}\n", "reg:5:9", "must be text"),
        ("  src: yes\n", "reg:5:8", "`src` must be `true` or `false`, but it is `yes`"),
        ("  src: \"true\"\n", "reg:5:8", "`src: \"true\"` is text; remove the quotes"),
        ("  service-account: []\n", "reg:5:20", "`service-account` must be text"),
        ("imagesPath: []\n", "reg:5:13", "`imagesPath` must be text"),
        ("provenance: required\n", "reg:5:13", "`provenance` must be a mapping"),
    ] {
        registries(&format!("{REGISTRIES}{more}"), (&[(place, words)], None));
    }
}

#[test]
fn row_6_registries_without_a_good_name_leave_the_project_out() {
    registries("# nothing\n", (&[("reg:1:1", "the file is empty; write `registries:`")], None));
    registries("imagesPath: x\nregistries:\n", (&[("reg:1:1", "no `registries`")], None));
    for (more, place, words) in [
        ("- service-account: x\n", "reg:5:3", "no `name`"),
        ("- name:\n", "reg:5:3", "no `name`"),
        ("- name: \"\"\n", "reg:5:9", "not a registry host"),
        (
            "- name: https://gcr.io/x\n",
            "reg:5:9",
            "`https://gcr.io/x` is not a registry `name`: it is a URL; leave out `https://`",
        ),
        ("- name: gcr.io/X\n", "reg:5:9", "lower-case"),
        (
            "- name: gcr.io/x/\n",
            "reg:5:9",
            "`gcr.io/x/` is not a registry `name`: leave out the slash at the end",
        ),
    ] {
        registries(&format!("{REGISTRIES}{more}"), (&[(place, words)], None));
    }
}

#[test]
fn row_7_a_project_has_one_source_and_a_destination() {
    let none = ("reg:1:1", "no source registry");
    let nowhere = ("reg:1:1", "no destination registry");
    registries("registries: []\n", (&[none, nowhere], None));
    registries("registries:\n- name: a.example\n  src: false\n", (&[none], None));
    registries("registries:\n- name: a.example\n  src: true\n", (&[nowhere], None));
    let many =
        (0..1000).fold(REGISTRIES.to_owned(), |text, i| format!("{text}- name: {i}.example\n"));
    registries(&many, (&[("reg:1004:3", "a project may have 1000")], None));
    registries(
        &format!("{REGISTRIES}- {{name: b.example, src: true}}\n- {{src: true}}\n"),
        (
            &[
                ("reg:5:3", "second source registry: the first is on line 2"),
                ("reg:6:3", "no `name`"),
                ("reg:6:3", "second source registry"),
            ],
            None,
        ),
    );
}

#[test]
fn row_8_a_destination_stands_once_and_is_not_the_source() {
    registries(
        "registries:\n- name: d.example\n- name: d.example\n",
        (&[("reg:1:1", "no source registry"), ("reg:3:3", "it is already on line 2")], None),
    );
    registries(
        &format!("{REGISTRIES}- name: src.example/staging\n- name: DST.example/prod\n"),
        (
            &[
                ("reg:5:3", "`src.example/staging` is the source itself"),
                ("reg:6:3", "`dst.example/prod`: it is already on line 4"),
            ],
            None,
        ),
    );
}

#[test]
fn row_8_a_destination_is_not_inside_the_source() {
    registries(
        &format!(
            "{REGISTRIES}- name: src.example/staging/prod\n- name: src.example/staging-prod\n"
        ),
        (
            &[("reg:5:3", "`src.example/staging/prod` is inside the source `src.example/staging`")],
            None,
        ),
    );
    registries(
        "registries:\n- name: h.example\n  src: true\n- name: h.example/prod\n",
        (&[("reg:4:3", "inside the source `h.example`")], None),
    );
    // Side by side, or the other way round, they do not meet.
    for (source, destination) in [("h/a", "h/ab"), ("h/a/b", "h/a"), ("h/a", "g/a/b")] {
        let registries =
            format!("registries:\n- name: {source}\n  src: true\n- name: {destination}\n");
        let parsed = parse_thin("p", ("reg", &registries), ("img", "[]"));
        assert_eq!(parsed.problems, [], "{registries}");
    }
}

#[test]
fn row_20_provenance_is_kept_as_it_is_written() {
    let block = "provenance:\n  mode: require\n  signers: [a@b]\n  builders:\n  - id: x\n    level: 3\n    signers:\n    - c::d\n    caller: {ref: e}\n  levels: null\n";
    let text = format!("{REGISTRIES}{block}");
    let parsed = parse_thin("p", ("reg", &text), ("img", "[]"));
    assert_eq!(parsed.problems, []);
    let provenance = parsed.manifest.expect("a manifest").provenance.expect("a block");
    let keys: Vec<_> = provenance.members.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, ["mode", "signers", "builders"], "null is as good as absent");
    let text = |text: &str| RawYamlValue::Text(text.to_owned());
    assert_eq!(provenance.get("mode").map(|it| it.value.clone()), Some(text("require")));
    let RawYamlValue::List(builders) = &provenance.get("builders").expect("a list").value else {
        panic!("{provenance:#?}");
    };
    assert_eq!((builders[0].position.line, builders[0].position.column), (9, 5));
    let RawYamlValue::Mapping(members) = &builders[0].value else { panic!("{builders:#?}") };
    assert_eq!((members[1].0.as_str(), &members[1].1.value), ("level", &text("3")));
}

#[test]
fn row_21_provenance_of_other_keys_or_types_leaves_the_project_out() {
    registries(
        &format!(
            "{REGISTRIES}provenance: {{modus: x, builders: {{}}, levels: [{{level: 1, image: a}}]}}\n"
        ),
        (
            &[
                ("reg:5:14", "unknown key `modus`; did you mean `mode`?"),
                ("reg:5:34", "`builders` must be a list of mappings"),
                ("reg:5:58", "unknown key `image`; did you mean `images`?"),
            ],
            None,
        ),
    );
    for (member, place, words) in [
        ("mode: [warn]", "reg:6:9", "`mode` must be text, but it is a list"),
        ("signers: me", "reg:6:12", "`signers` must be a list of text, but it is `me`"),
        ("sources: [{a: b}]", "reg:6:13", "`sources` must be a list of text"),
        (
            "predicateTypes: [~]",
            "reg:6:20",
            "`predicateTypes` must be a list of text, but it is empty",
        ),
        ("level: high", "reg:6:10", "`level` must be a whole number, but it is `high`"),
        ("level: '2'", "reg:6:10", "`level: \"2\"` is text; remove the quotes"),
        ("builders: [x]", "reg:6:14", "`builders` must be a list of mappings"),
        ("builders: [{id: {}}]", "reg:6:19", "the `id` of a builder must be text"),
        ("builders: [{level: -1}]", "reg:6:22", "`level` must be"),
        ("builders: [{signers: x}]", "reg:6:24", "`signers` must be a list"),
        ("builders: [{caller: x}]", "reg:6:23", "`caller` must be a mapping"),
        ("levels: [{images: x}]", "reg:6:21", "`images` must be a list of text"),
        ("levels: [{level: []}]", "reg:6:20", "`level` must be"),
    ] {
        let text = format!("{REGISTRIES}provenance:\n  {member}\n");
        registries(&text, (&[(place, words)], None));
    }
}

#[test]
fn row_9_a_bad_image_name_leaves_out_the_image() {
    images(
        "- name: I\n  dmap: {<a>: [t], sha256:1: []}\n- dmap: {<a>: [t]}\n- name: ok\n  dmap: {<b>: [t]}\n",
        (
            &[
                ("img:1:9", "`I` is not an image name"),
                ("img:2:88", "not a digest"),
                ("img:3:3", "no `name`"),
            ],
            Some("ok t b"),
        ),
    );
}

#[test]
fn row_10_a_bad_digest_leaves_out_itself() {
    let short = format!("sha256:{}", "c".repeat(63));
    images(
        &format!(
            "- name: i\n  dmap:\n    \"{short}\": [t]\n    <a>: [u]\n    md5:1: []\n    1: []\n"
        ),
        (
            &[
                ("img:3:5", "64 hexadecimal digits; this has 63"),
                ("img:5:5", "md5"),
                ("img:6:5", "not a digest"),
            ],
            Some("i u a"),
        ),
    );
    images(
        &format!("- name: i\n  dmap: {{sha512:{}: []}}\n", "d".repeat(128)),
        (&[], Some("i - d")),
    );
    images(
        &format!("- name: i\n  dmap: {{sha512:{}: [t]}}\n", "d".repeat(128)),
        (&[("img:2:10", "by its sha256")], Some("")),
    );
}

#[test]
fn row_11_a_bad_tag_leaves_out_itself_and_a_digest_that_has_no_other() {
    images(
        "- name: i\n  dmap:\n    <a>: [\"a b\", t, ~, \"\"]\n    <b>: [.x]\n",
        (
            &[
                ("img:3:79", "`a b` is not a tag"),
                ("img:3:89", "empty tag"),
                ("img:3:92", "empty"),
                ("img:4:79", "`.x` is not a tag"),
            ],
            Some("i t a"),
        ),
    );
}

#[test]
fn row_12_a_name_too_long_for_its_registry_leaves_out_the_image_there() {
    let (long, short) = ("n".repeat(252), "n".repeat(200));
    let texts = |name: &str, source: &str| {
        let registries = format!(
            "registries: [{{name: {source}, src: true}}, {{name: d.example/{}}}, \
             {{name: e.example/{}/x}}, {{name: f.example}}]",
            "p".repeat(60),
            "p".repeat(60)
        );
        let images = expand(&format!("- name: ok\n- name: {name}\n  dmap: {{<a>: [t]}}\n"));
        let parsed = parse_thin("p", ("reg", &registries), ("img", &images));
        assert_eq!(parsed.problems, []);
        let set = EdgeSet::new(vec![parsed.manifest.expect("a manifest")]);
        (set.problems().iter().map(ToString::to_string).collect::<Vec<_>>(), set.len())
    };
    let (problems, len) = texts(&short, "s.example");
    assert_eq!((problems.len(), len), (1, 1));
    assert!(problems[0].starts_with("img:2:9: image `nnn"), "{problems:?}");
    assert!(problems[0].contains("below `d.example/ppp") && problems[0].contains(" and 1 more: "));
    let (problems, len) = texts(&long, "s.example/stage");
    assert_eq!((problems.len(), len), (1, 0));
    assert!(problems[0].contains("cannot be below `s.example/stage`: "), "{problems:?}");
}

#[test]
fn row_13_entries_of_one_name_are_merged() {
    images(
        "- name: i\n  dmap: {<a>: [t, t]}\n- name: j\n  dmap: {<b>: [x], <a>: [t]}\n\
         - name: i\n  dmap: {<b>: [v], <a>: [u, t]}\n- name: i\n  dmap: {<b>: }\n",
        (&[], Some("i t a, i u a, i v b, j t a, j x b")),
    );
    let text = expand("- name: i\n  dmap: {<a>: [t, t]}\n- name: i\n  dmap: {<a>: [u, t]}\n");
    let manifest = parse_thin("p", ("reg", REGISTRIES), ("img", &text)).manifest.expect("whole");
    let [image] = &manifest.images[..] else { panic!("{:?}", manifest.images) };
    let [entry] = &image.digests[..] else { panic!("{:?}", image.digests) };
    let places: Vec<String> =
        entry.tags.iter().map(|(tag, position)| format!("{tag} {position}")).collect();
    assert_eq!((image.position.line, entry.position.line), (1, 2));
    assert_eq!(places, ["t 2:84", "u 4:84"]);
}

#[test]
fn row_14_nothing_may_be_selected() {
    for text in ["", "# a comment\n", "---\n", "~", "[]", "- name: i\n", "- name: i\n  dmap:\n"] {
        images(text, (&[], Some("")));
    }
    images("- name: i\n  dmap: {}\n- name: j\n  dmap: null # none\n", (&[], Some("")));
    for more in ["images:\n", "images: []\n"] {
        let text = format!("{REGISTRIES}{more}");
        check(&text, parse_plain("plain", &text), (&[], Some("")));
    }
}

#[test]
fn row_6a_a_plain_manifest_without_images_is_half_of_a_thin_one() {
    let says = "no `images`: this looks like a thin promoter-manifest.yaml; use --thin-manifest-dir, or add `images:`";
    check(REGISTRIES, parse_plain("plain", REGISTRIES), (&[("plain:1:1", says)], None));
}

#[test]
fn row_15_no_tags_promote_the_digest_alone() {
    images("- name: i\n  dmap:\n    <a>: []\n    <b>:\n", (&[], Some("i - a, i - b")));
}

#[test]
fn row_16_a_tag_on_two_digests_is_read() {
    images("- name: i\n  dmap: {<a>: [t], <b>: [t]}\n", (&[], Some("i t a, i t b")));
}

#[test]
fn row_17_ways_of_writing_are_the_same() {
    for text in [
        "- name: i\n  dmap:\n    <a>: [t]\n",
        "- name: i\n  dmap:\n    <a>:\n    - t\n",
        "- name: i\n  dmap:\n    '<a>':\n      - 't'\n",
        "- \"name\": \"i\"\n  \"dmap\": {\"<a>\": [ \"t\" ]}\n",
        "[{name: i, dmap: {<a>: [t]}}]",
        "---\n- dmap: # no\n    ? <a>\n    : [t,]\n  name: |-\n    i\n...\n",
        "- name: >-\n    i\n  dmap: {<a>: [\"\\x74\"]}\n",
        "\u{feff}- name: i\n  dmap: {<a>: [t]}\n",
    ] {
        images(text, (&[], Some("i t a")));
        images(&text.replace('\n', "\r\n"), (&[], Some("i t a")));
    }
}

#[test]
fn row_18_plain_scalars_stay_text() {
    images(
        "- name: 1\n  dmap: {<a>: [1.20, 0x10, true, 2024-01-01, \"null\", 1_0]}\n",
        (&[], Some("1 0x10 a, 1 1.20 a, 1 1_0 a, 1 2024-01-01 a, 1 null a, 1 true a")),
    );
}

#[test]
fn row_19_an_anchor_alone_means_nothing() {
    images("- name: &x i\n  dmap: &y {<a>: [&z t]}\n", (&[], Some("i t a")));
}

#[test]
fn a_plain_manifest_is_one_file() {
    let text = expand(&format!(
        "{REGISTRIES}  service-account: me@x\nimages:\n- name: i\n  dmap: {{<a>: [t], sha256:1: []}}\n\
         imagesPath: ../x\nprovenance: {{mode: warn}}\n"
    ));
    let parsed = parse_plain("a/plain.yaml", &text);
    let problem = &parsed.problems[0];
    assert_eq!(
        (problem.project.as_deref(), &*problem.file),
        (Some("a/plain.yaml"), "a/plain.yaml")
    );
    let manifest = parsed.manifest.clone().expect("whole");
    assert_eq!(manifest.project, "a/plain.yaml");
    assert_eq!(manifest.source.prefix.to_string(), "src.example/staging");
    assert_eq!(manifest.destinations[0].service_account.as_deref(), Some("me@x"));
    assert_eq!(manifest.destinations[0].position.to_string(), "4:3");
    check("plain", parsed, (&[("a/plain.yaml:8:88", "not a digest")], Some("i t a")));
}

#[test]
fn a_problem_spans_the_whole_value() {
    let images = "- name: é\n  dmap:\n    sha256:abc: [t]\n- name: i\n  dmap: [\n    a, b]\n";
    let registries = "registries: [{name: s.example, src: true}, {name: d.example}]";
    let parsed = parse_thin("p", ("reg", registries), ("img", images));
    let said = |problem: &promotion_manifest::Problem| {
        let span = problem.span.expect("a place");
        let [start, end] = span.bytes.expect("bytes").map(|at| at as usize);
        (problem.rule.as_str(), span.start.to_string(), span.end.to_string(), &images[start..end])
    };
    assert_eq!(
        parsed.problems.iter().map(said).collect::<Vec<_>>(),
        [
            ("invalid-image-name", "1:9".into(), "1:10".into(), "é"),
            ("invalid-digest", "3:5".into(), "3:15".into(), "sha256:abc"),
            ("wrong-type", "5:9".into(), "6:10".into(), "[\n    a, b]"),
        ]
    );
}
