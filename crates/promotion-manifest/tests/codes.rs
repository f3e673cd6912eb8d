//! Every rule, broken: `docs/reference/codes.md`, "Rules of promotion manifests".

use promotion_manifest::{
    EdgeSet, MAX_FILE_BYTES, Problem, Rule, parse_plain, parse_thin, thin_layout,
};

const REGISTRIES: &str = "\
registries:
- name: src.example/staging
  src: true
- name: dst.example/prod
";

const IMAGES: &str = "- name: i\n  dmap: {<a>: [t]}\n";

/// Rules that only `manifest-source` can find broken, since they are about files on a disk.
const OF_FILES: [Rule; 3] = [Rule::UnreadableFile, Rule::LinkedDirectory, Rule::NameNotUtf8];

/// Images that break a rule.
const IN_IMAGES: &[(Rule, &str)] = &[
    (Rule::YamlSyntax, "- name: [\n"),
    (Rule::AmbiguousLineBreak, "- name: i\r  dmap: {<a>: [t]}\n"),
    (Rule::SecondDocument, "- name: i\n---\n- name: j\n"),
    (Rule::YamlTag, "- name: !!str i\n  dmap: {<a>: [t]}\n"),
    (Rule::YamlAlias, "- name: &x i\n  dmap: {<a>: [*x]}\n"),
    (Rule::DuplicateKey, "- name: i\n  name: j\n  dmap: {<a>: [t]}\n"),
    (Rule::UnknownKey, "- name: i\n  tags: []\n  dmap: {<a>: [t]}\n"),
    (Rule::WrongType, "- name: i\n  dmap: []\n"),
    (Rule::DigestOutsideDmap, "- name: i\n  dmap:\n  <a>: [t]\n"),
    (Rule::MissingName, "- dmap: {<a>: [t]}\n"),
    (Rule::InvalidImageName, "- name: I\n  dmap: {<a>: [t]}\n"),
    (Rule::InvalidDigest, "- name: i\n  dmap: {\"sha256:1\": [t]}\n"),
    (Rule::InvalidTag, "- name: i\n  dmap: {<a>: [\"t t\"]}\n"),
    (Rule::EmptyTag, "- name: i\n  dmap: {<a>: [~]}\n"),
    (Rule::Sha512WithTags, "- name: i\n  dmap: {<512>: [t]}\n"),
    (Rule::NameTooLong, "- name: <long>\n  dmap: {<a>: [t]}\n"),
];

/// Registries that break a rule.
const IN_REGISTRIES: &[(Rule, &str)] = &[
    (Rule::EmptyFile, ""),
    (Rule::MissingRegistries, "imagesPath: images.yaml\n"),
    (Rule::QuotedValue, "registries:\n- {name: a.example, src: \"true\"}\n- {name: b.example}\n"),
    (Rule::InvalidRegistry, "registries:\n- {name: A b, src: true}\n- {name: b.example}\n"),
    (Rule::MissingSource, "registries:\n- {name: b.example}\n"),
    (
        Rule::SecondSource,
        "registries:\n- {name: a.example, src: true}\n- {name: b.example, src: true}\n- {name: c.example}\n",
    ),
    (Rule::MissingDestination, "registries:\n- {name: a.example, src: true}\n"),
    (
        Rule::DestinationInSource,
        "registries:\n- {name: a.example/x, src: true}\n- {name: a.example/x/y}\n",
    ),
    (
        Rule::DuplicateDestination,
        "registries:\n- {name: a.example, src: true}\n- {name: b.example}\n- {name: b.example}\n",
    ),
];

fn expand(text: &str) -> String {
    let a = format!("sha256:{}", "a".repeat(64));
    let long = vec!["a"; 128].join("/");
    let sha512 = format!("sha512:{}", "a".repeat(128));
    text.replace("<a>", &a).replace("<512>", &sha512).replace("<long>", &long)
}

fn thin(registries: &str, images: &str) -> Vec<Problem> {
    let parsed = parse_thin("p", ("registries", registries), ("images", &expand(images)));
    let edges = EdgeSet::new(parsed.manifest.into_iter().collect());
    [parsed.problems, edges.problems().to_vec()].concat()
}

/// Texts that are too long to be rows.
fn long_texts() -> Vec<(Rule, Vec<Problem>)> {
    let too_large = "#".repeat(MAX_FILE_BYTES + 1);
    let values = format!("[{}]", "a,".repeat(1_000_001));
    let destinations: String = (0..1_001).map(|n| format!("- name: d{n}.example\n")).collect();
    let bad_tags = format!("- name: i\n  dmap: {{<a>: [{}]}}\n", "\"t t\",".repeat(1_001));
    vec![
        (Rule::FileTooLarge, thin(REGISTRIES, &too_large)),
        (Rule::TooManyValues, thin(REGISTRIES, &values)),
        (Rule::TooManyDestinations, thin(&format!("{REGISTRIES}{destinations}"), IMAGES)),
        (Rule::TooManyProblems, thin(REGISTRIES, &bad_tags)),
    ]
}

/// Problems of names of files, and of a file that is of the other kind.
fn of_layout() -> Vec<(Rule, Vec<Problem>)> {
    vec![
        (Rule::MisplacedFile, thin_layout(&["images/p/imgs.yaml"]).1),
        (Rule::MissingFile, thin_layout(&["images/p/images.yaml"]).1),
        (Rule::ThinFileAsPlain, parse_plain("images.yaml", &expand(IMAGES)).problems),
    ]
}

#[test]
fn each_rule_is_broken_by_a_text_and_its_problem_names_it() {
    let mut broken = [long_texts(), of_layout()].concat();
    broken.extend(IN_IMAGES.iter().map(|(rule, text)| (*rule, thin(REGISTRIES, text))));
    broken.extend(IN_REGISTRIES.iter().map(|(rule, text)| (*rule, thin(text, IMAGES))));
    for (rule, problems) in &broken {
        assert!(problems.iter().any(|problem| problem.rule == *rule), "{rule}: {problems:#?}");
    }
    let mut tested: Vec<_> = broken.iter().map(|(rule, _)| *rule).chain(OF_FILES).collect();
    tested.sort_unstable();
    assert_eq!(tested, Rule::ALL);
}
