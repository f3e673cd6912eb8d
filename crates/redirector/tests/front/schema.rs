//! The JSON Schema of the configuration, held against the parser and the documentation.

use std::{fs, path::Path, sync::LazyLock};

use jsonschema::Validator;
use redirector::{Config, config_schema};
use serde_json::Value;

use crate::configuration::{FAULTS, FULL, UPSTREAM};

static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(config_schema().as_value()).unwrap());

/// Problems of these values are found by a grammar or a rule that JSON Schema cannot express.
const BEYOND_THE_SCHEMA: [&str; 7] = [
    "privacy_url: https://u:p@x",
    "client_ip: {trusted_peers: [10.0.0.0/33]}",
    "ranges: [{cloud: a, format: aws, from: http://x/y}]",
    "blob_prefix: a/../b/",
    "presence: {timeout: 0s}",
    "presence: {timeout: 61s}",
    "cloud: '*', regions",
];

/// Checks a valid configuration of the tests.
pub(crate) fn assert_accepted(yaml: &str) {
    let value = read(yaml).unwrap();
    let errors: Vec<_> = VALIDATOR.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{yaml}: {errors:?}");
}

/// Reads YAML as the front does.
fn read(yaml: &str) -> Result<Value, serde_saphyr::Error> {
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    serde_saphyr::from_str_with_options(yaml, options)
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn the_schema_accepts_the_examples_and_what_is_printed() {
    let examples = ["front.yaml", "registry.k8s.io.yaml"];
    let examples = examples.map(|name| fs::read_to_string(root().join("examples").join(name)));
    for text in examples.map(Result::unwrap).into_iter().chain([FULL.to_owned()]) {
        assert_accepted(&text);
        assert_accepted(&Config::from_yaml("f", &text).unwrap().to_yaml());
    }
    for blank in ["stores:", "listen:", "admin: null", "ranges:\nkeep_upstream: []", "client_ip:"] {
        let text = format!("{UPSTREAM}{blank}\n");
        assert!(Config::from_yaml("f", &text).is_ok(), "{blank}");
        assert_accepted(&text);
    }
}

#[test]
fn what_the_parser_rejects_by_type_the_schema_rejects() {
    let (mut checked, mut differing) = (0, Vec::new());
    for (lines, _) in FAULTS {
        let is_beyond = BEYOND_THE_SCHEMA.iter().any(|it| lines.contains(it));
        let value: Result<Value, _> = read(&format!("{UPSTREAM}{lines}"));
        let Ok(value) = value else { continue };
        if VALIDATOR.is_valid(&value) != is_beyond {
            differing.push(lines);
        }
        checked += usize::from(!is_beyond);
    }
    assert!(differing.is_empty(), "{differing:#?}");
    assert!(checked > 30, "{checked}");
    for text in ["listen: 0.0.0.0:1", "- a", "{}"] {
        assert!(!VALIDATOR.is_valid(&read(text).unwrap()), "{text}");
    }
}

#[test]
fn every_field_is_documented() {
    let page = fs::read_to_string(root().join("docs/reference/configuration.md")).unwrap();
    let schema = serde_json::to_value(config_schema()).unwrap();
    let objects = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    let mut fields = 0;
    for (name, field) in objects.flat_map(|it| it["properties"].as_object().unwrap()) {
        assert!(
            page.contains(&format!("| `{name}` |")),
            "docs/reference/configuration.md lacks `{name}`"
        );
        assert!(field["description"].is_string(), "{name} has no description");
        if let Some(default) = field["default"].as_str() {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
            let documented =
                [default.to_owned(), default.replace("1d", "24h").replace("1m", "60s")];
            assert!(
                documented.iter().any(|it| row.contains(&format!("`{it}`"))),
                "{row}: {default}"
            );
        }
        fields += 1;
    }
    assert!(fields >= 30, "{fields}");
}
