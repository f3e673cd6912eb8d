//! `docs/reference/configuration.md`.

use std::{collections::BTreeMap, time::Duration};

use http_server::Forwarded;
use redirector::{Config, EnvironmentOverrides, RangesFrom};

pub(crate) const UPSTREAM: &str = "upstream: {endpoint: https://up.example, path: a/b}\n";

#[test]
fn everything_but_the_upstream_has_its_documented_default() {
    let config = Config::from_yaml("f", "upstream: {endpoint: https://up.example}").unwrap();
    assert_eq!(config.listen.to_string(), "[::]:8080", "IPv6 and IPv4");
    assert_eq!(config.admin.unwrap().to_string(), "127.0.0.1:9090");
    assert_eq!(config.cache_dir.as_deref().unwrap().to_str(), Some("/var/cache/portolan"));
    assert_eq!((&config.info_url, &config.privacy_url), (&None, &None));
    assert_eq!(config.upstream.path, None);
    assert_eq!(config.canonical_upstream, config.upstream);
    assert_eq!(config.client_ip.forwarded, Forwarded::Auto);
    assert_eq!((config.client_ip.trusted_hops, config.client_ip.trusted_peers.len()), (1, 0));
    assert!(config.keep_upstream.is_empty() && config.ranges.is_empty());
    assert!(config.stores.is_empty() && !config.access_log);
    assert_eq!(config.presence.timeout, Duration::from_secs(1));
    assert_eq!(config.presence.positive_ttl, Duration::from_secs(24 * 3600));
    assert_eq!(config.presence.negative_ttl, Duration::from_secs(60));
    assert_eq!(config.presence.capacity, 1_000_000);
}

pub(crate) const FULL: &str = r#"
listen: 0.0.0.0:8081
admin: null
cache_dir: null
info_url: https://info.example/a?b#c
privacy_url: https://privacy.example/
upstream:           {endpoint: https://up.example/, path: prefix/of/repositories}
canonical_upstream: {endpoint: "http://127.0.0.1:5000", path: other}
client_ip:
  forwarded: required
  trusted_hops: 0
  trusted_peers: [10.0.0.0/8, "::1"]
keep_upstream: [gcp]
ranges:
  - {cloud: aws, format: aws, from: ip-ranges.json}
  - {cloud: corp, format: cidr, from: "https://corp.example/ranges"}
stores:
  - name: eu-west-3
    url: https://bucket.s3.dualstack.eu-west-3.amazonaws.com
    blob_prefix: containers/images/
    index: none
    serves: [{cloud: aws, regions: [eu-west-3]}]
  - {name: all, url: https://cdn.example/deep/, blob_prefix: "", serves: [{cloud: "*"}, {cloud: corp}]}
access_log: true
presence: {timeout: 250ms, positive_ttl: 7d, negative_ttl: 0s, capacity: 12}
"#;

#[test]
fn every_field_is_read_and_printed_again() {
    let config = Config::from_yaml("f", FULL).unwrap();
    assert_eq!((config.admin, &config.cache_dir), (None, &None));
    assert_eq!(config.info_url.as_ref().unwrap().as_str(), "https://info.example/a?b#c");
    assert_eq!(config.upstream.endpoint.as_str(), "https://up.example");
    assert_eq!(config.canonical_upstream.endpoint.as_str(), "http://127.0.0.1:5000");
    assert_eq!(config.client_ip.trusted_peers[1].to_string(), "::1/128");
    assert_eq!(config.ranges[0].from, RangesFrom::Path("ip-ranges.json".into()));
    assert!(matches!(&config.ranges[1].from, RangesFrom::Url(url) if url.path() == "/ranges"));
    assert_eq!(config.stores[1].url.as_str(), "https://cdn.example/deep");
    assert_eq!(config.stores[1].serves[0].regions.len(), 0);
    assert_eq!(config.presence.positive_ttl, Duration::from_secs(7 * 24 * 3600));
    let printed = config.to_yaml();
    assert_eq!(Config::from_yaml("printed", &printed).unwrap(), config, "{printed}");
    let printed = Config::built_in().to_yaml();
    let read = Config::from_yaml("printed", &printed).unwrap();
    assert_eq!(read.to_yaml(), printed);
}

/// The faults that a file of `UPSTREAM` and these lines has.
fn faults(lines: &str) -> String {
    Config::from_yaml("f.yaml", &format!("{UPSTREAM}{lines}")).unwrap_err().to_string()
}

/// Lines after the upstream's, and the problem that is reported for them.
pub(crate) const FAULTS: &[(&str, &str)] = &[
    ("lisen: x", "f.yaml:2:1: unknown key `lisen`; did you mean `listen`?"),
    (
        "stores: [{name: a, url: https://u, servs: []}]",
        "f.yaml:2:36: unknown key `servs`; did you mean `serves`?",
    ),
    ("proxy: x", "f.yaml:2:1: unknown key `proxy`; use one of `listen`, `admin`, "),
    ("access_log: maybe", "f.yaml:2:13: `access_log` must be `true` or `false`, but it is `maybe`"),
    ("access_log: yes", "f.yaml:2:13: `access_log` must be `true` or `false`, but it is `yes`"),
    ("access_log: on", "f.yaml:2:13: `access_log` must be `true` or `false`, but it is `on`"),
    ("access_log: 1", "f.yaml:2:13: `access_log` must be `true` or `false`, but it is `1`"),
    ("access_log: 'true'", "f.yaml:2:13: `access_log: \"true\"` is text; remove the quotes"),
    (
        "listen: x",
        "f.yaml:2:9: `listen`: `x` is not an address and port; write for example `127.0.0.1:8080` or `[::]:8080`",
    ),
    (
        "listen: 8080",
        "f.yaml:2:9: `listen`: `8080` is not an address and port; write for example `127.0.0.1:8080` or `[::]:8080`",
    ),
    (
        "admin: localhost",
        "f.yaml:2:8: `admin`: `localhost` is not an address and port; write for example `127.0.0.1:8080` or `[::]:8080`",
    ),
    ("admin: ''", "f.yaml:2:8: `admin`: `` is not an address"),
    ("cache_dir: ''", "f.yaml:2:12: `cache_dir`: it is empty"),
    ("info_url: about", "f.yaml:2:11: `info_url`: `about` is not a URL; begin with https://"),
    ("info_url: ftp://x", "f.yaml:2:11: `info_url`: `ftp://x` must be an http or https URL"),
    ("privacy_url: https://u:p@x", "f.yaml:2:14: `privacy_url`: "),
    (
        "canonical_upstream: {endpoint: x}",
        "f.yaml:2:32: `canonical_upstream.endpoint`: `x` is not a URL; begin with https://",
    ),
    (
        "canonical_upstream: {endpoint: https://x/y}",
        "f.yaml:2:32: `canonical_upstream.endpoint`: `https://x/y` has a path",
    ),
    (
        "canonical_upstream: {endpoint: https://x, path: A}",
        "f.yaml:2:49: `canonical_upstream.path`: `A`: ",
    ),
    (
        "canonical_upstream: {path: a}",
        "f.yaml:2:21: missing key `endpoint`; add a URL without a path, such as `https://registry.example`",
    ),
    ("client_ip: {forwarded: yes}", "f.yaml:2:24: `client_ip.forwarded`: `yes` is not one of"),
    (
        "client_ip: {trusted_hops: 17}",
        "f.yaml:2:27: `client_ip.trusted_hops` must be a whole number from 0 to 16, but it is `17`",
    ),
    (
        "client_ip: {trusted_hops: -1}",
        "f.yaml:2:27: `client_ip.trusted_hops` must be a whole number from 0 to 16, but it is `-1`",
    ),
    ("client_ip: {trusted_peers: [10.0.0.0/33]}", "f.yaml:2:29: `client_ip.trusted_peers`: "),
    ("keep_upstream: [a/b]", "f.yaml:2:17: `keep_upstream`: `a/b` is not the name of a cloud"),
    ("keep_upstream: ['*']", "f.yaml:2:17: `keep_upstream`: `*` is not the name of a cloud"),
    ("ranges: [{cloud: ../x, format: aws, from: x}]", "f.yaml:2:18: `ranges.cloud`: "),
    (
        "ranges: [{cloud: a, format: azure, from: x}]",
        "f.yaml:2:29: `ranges.format`: unknown format `azure`",
    ),
    (
        "ranges: [{cloud: a, format: aws, from: http://x/y}]",
        "f.yaml:2:40: `ranges.from`: `http://x/y` must be https",
    ),
    (
        "stores: [{name: a, url: x, serves: [{cloud: b}]}]",
        "f.yaml:2:25: `stores.url`: `x` is not a URL; begin with https://",
    ),
    ("stores: [{name: a, url: https://x/?y, serves: [{cloud: b}]}]", "f.yaml:2:25: `stores.url`: "),
    ("stores: [{name: a b, url: https://x, serves: [{cloud: b}]}]", "f.yaml:2:17: `stores.name`: "),
    ("stores: [{name: a, url: https://x, serves: []}]", "f.yaml:2:44: `stores.serves` is empty"),
    (
        "stores: [{name: a, url: https://x, serves: [{cloud: b, regions: []}]}]",
        "f.yaml:2:65: `stores.serves.regions` is empty",
    ),
    (
        "stores: [{name: a, url: https://x, serves: [{cloud: '*', regions: [c]}]}]",
        "f.yaml:2:67: `stores.serves`: `*` is every client and takes no regions",
    ),
    (
        "stores: [{name: a, url: https://x, blob_prefix: /x, serves: [{cloud: b}]}]",
        "f.yaml:2:49: `stores.blob_prefix`: ",
    ),
    (
        "stores: [{name: a, url: https://x, index: signed, serves: [{cloud: b}]}]",
        "f.yaml:2:43: `stores.index`: `signed` is not supported; the only value is `none`",
    ),
    ("presence: {timeout: 0s}", "f.yaml:2:21: `presence.timeout`: `0s` must be more than 0s"),
    ("presence: {timeout: 61s}", "f.yaml:2:21: `presence.timeout`: `61s` must be"),
    ("presence: {timeout: 1}", "f.yaml:2:21: `presence.timeout`: `1` is not a duration"),
    ("presence: {positive_ttl: 1w}", "f.yaml:2:26: `presence.positive_ttl`: "),
    ("presence: {negative_ttl: ''}", "f.yaml:2:26: `presence.negative_ttl`: "),
    (
        "presence: {capacity: 0}",
        "f.yaml:2:22: `presence.capacity` must be a whole number from 1 to 100000000, but it is `0`",
    ),
    (
        "upstream: {endpoint: https://x}",
        "f.yaml:2:1: duplicate key `upstream`: it is already on line 1; merge them",
    ),
    ("stores: [", "f.yaml:2:9: not valid YAML: "),
    (
        "listen: a: b",
        "f.yaml:2:10: not valid YAML: a `:` follows a value that has one already; put quotes",
    ),
    ("stores:\n\t- x", "f.yaml:3:1: tab in indentation; use spaces"),
    ("keep_upstream: *", "f.yaml:2:16: an unquoted `*` is a YAML alias; quote the asterisk"),
    ("keep_upstream: [*gcp]", "f.yaml:2:17: an unquoted `*` is a YAML alias; quote the asterisk"),
    ("stores: {name: x}", "f.yaml:2:9: `stores` must be a list (`- item`), but it is a mapping"),
    ("stores: x", "f.yaml:2:9: `stores` must be a list (`- item`), but it is `x`"),
    (
        "presence:\n - 1s",
        "f.yaml:3:2: `presence` must be a mapping (`key: value`), but it is a list",
    ),
    ("presence: 1s", "f.yaml:2:11: `presence` must be a mapping (`key: value`), but it is `1s`"),
    (
        "listen: [a]",
        "f.yaml:2:9: `listen` must be an address and port, such as `127.0.0.1:8080`, but it is a list",
    ),
    (
        "client_ip: {trusted_hops: many}",
        "f.yaml:2:27: `client_ip.trusted_hops` must be a whole number from 0 to 16, but it is `many`",
    ),
];

#[test]
fn a_fault_is_named_with_its_place() {
    for (lines, fault) in FAULTS {
        let found = faults(lines);
        assert!(found.starts_with(fault), "{lines}\n  has:      {found}\n  expected: {fault}");
        assert!(!found.contains('\n') && !found.contains(" at line "), "{lines}: {found}");
    }
    for text in ["", " \n", "# upstream\n", "---\n"] {
        let fault = Config::from_yaml("f.yaml", text).unwrap_err().to_string();
        let empty =
            "f.yaml: the file is empty; write at least `upstream: {endpoint: https://HOST}`";
        assert_eq!(fault, empty, "{text:?}");
    }
    for (text, fault) in [
        ("listen: 0.0.0.0:1", "f.yaml:1:1: missing key `upstream`; add a mapping with `endpoint`"),
        ("- a", "f.yaml:1:1: the file must be a mapping with `upstream`, but it is a list"),
    ] {
        let found = Config::from_yaml("f.yaml", text).unwrap_err().to_string();
        assert_eq!(found, fault);
    }
    for text in ["listen: 0.0.0.0:1", "- a", "\0"] {
        let fault = Config::from_yaml("f.yaml", text).unwrap_err().to_string();
        assert!(fault.starts_with("f.yaml:"), "{text:?}: {fault}");
    }
}

#[test]
fn all_faults_are_named_at_once_in_the_order_of_the_file() {
    let found = faults(
        "listen: x\n\
         client_ip: {forwarded: x}\n\
         stores:\n\
         \x20 - {name: a, url: x, index: x, serves: [{cloud: 'b c'}]}\n\
         \x20 - {name: a, url: https://x, serves: [{cloud: b}]}\n\
         presence: {timeout: x, capacity: 0}\n\
         admin: x\n",
    );
    let places: Vec<_> = found.lines().map(|line| line.split(": ").next().unwrap()).collect();
    let expected = ["2:9", "3:24", "5:20", "5:30", "5:50", "6:12", "7:21", "7:34", "8:8"];
    assert_eq!(places, expected.map(|place| format!("f.yaml:{place}")), "{found}");
}

#[test]
fn numbers_of_yaml_and_anchors_are_read() {
    for (written, capacity) in
        [("1_000", 1000), ("0x10", 16), ("0o17", 15), ("+12", 12), ("'12'", 12), ("&n 7", 7)]
    {
        let text = format!("{UPSTREAM}presence: {{capacity: {written}}}\n");
        let config = Config::from_yaml("f", &text).expect(written);
        assert_eq!(config.presence.capacity, capacity, "{written}");
    }
    let text = "upstream: &up {endpoint: https://up.example, path: &path a/b}
canonical_upstream: *up
stores:
- {name: *path, url: https://x.example, serves: &all [{cloud: '*'}]}
- {name: b, url: https://x.example, serves: *all}
";
    let config = Config::from_yaml("f", text).unwrap();
    assert_eq!(config.canonical_upstream, config.upstream);
    assert_eq!(config.stores[0].name, "a/b");
    assert_eq!(config.stores[1].serves, config.stores[0].serves);
    for written in ["012", "1e3", "1.0", "-0", "0x", "_", "''", "4294967296", "0x_", "99999999999"]
    {
        let found = faults(&format!("presence: {{capacity: {written}}}"));
        let expected =
            "f.yaml:2:22: `presence.capacity` must be a whole number from 1 to 100000000";
        assert!(found.starts_with(expected), "{written}: {found}");
    }
}

#[test]
fn copies_of_anchors_are_bounded() {
    let mut text = format!("{UPSTREAM}a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..8 {
        let before = level - 1;
        let items = vec![format!("*a{before}"); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    let found = Config::from_yaml("f.yaml", &text).unwrap_err().to_string();
    assert!(found.contains("too many YAML values: a file may have 1000000; split it"), "{found}");
}

#[test]
fn a_file_of_nothing_but_mistakes_has_a_bounded_report() {
    let text = format!("{UPSTREAM}keep_upstream: [{}]\n", "a/b, ".repeat(1200));
    let found = Config::from_yaml("f.yaml", &text).unwrap_err();
    assert_eq!(found.problems.len(), 1001);
    let last = found.problems.last().unwrap().to_string();
    assert_eq!(last, "f.yaml: 200 more problems not shown; fix those above first");
}

/// What archeio has: `reference` of region → bucket, written out on its own.
#[test]
fn the_built_in_configuration_is_registry_k8s_io() {
    let own = "af-south-1 ap-east-1 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 \
        ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 \
        ap-southeast-7 ca-central-1 ca-west-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 \
        eu-south-2 eu-west-1 eu-west-3 il-central-1 me-central-1 mx-central-1 sa-east-1 us-east-1 \
        us-east-2 us-west-1 us-west-2";
    let bucket =
        |r: &str| format!("https://prod-registry-k8s-io-{r}.s3.dualstack.{r}.amazonaws.com");
    let mut table: BTreeMap<&str, String> =
        own.split_whitespace().map(|region| (region, bucket(region))).collect();
    let london = "https://767373bbdcb8270361b96548387bf2a9ad0d48758c35-eu-west-2.s3.dualstack.eu-west-2.amazonaws.com";
    table.insert("eu-west-2", london.into());
    for (region, other) in [
        ("ap-east-2", "ap-east-1"),
        ("cn-north-1", "ap-east-1"),
        ("cn-northwest-1", "ap-east-1"),
        ("me-south-1", "me-central-1"),
    ] {
        table.insert(region, bucket(other));
    }
    assert_eq!(table.len(), 36);
    let config = Config::built_in();
    let mut found = BTreeMap::new();
    let (default, regional) = config.stores.split_last().unwrap();
    for store in regional {
        for serves in &store.serves {
            assert_eq!((serves.cloud.as_str(), serves.regions.is_empty()), ("aws", false));
            for region in &serves.regions {
                assert_eq!(found.insert(region.as_str(), store.url.to_string()), None, "{region}");
            }
        }
    }
    assert_eq!(found, table);
    assert_eq!(default.url.as_str(), "https://d1be1w964nk82h.cloudfront.net");
    assert_eq!(default.serves[0].cloud, "*");
    assert!(config.stores.iter().all(|store| store.blob_prefix == "containers/images/"));
    assert_eq!(config.keep_upstream, ["gcp"]);
    assert_eq!(config.upstream.endpoint.as_str(), "https://us-central1-docker.pkg.dev");
    assert_eq!(config.upstream.path.as_ref().unwrap().as_str(), "k8s-artifacts-prod/images");
    assert_eq!(config.canonical_upstream, config.upstream);
    assert_eq!(config.listen.port(), 8080);
    let url = |url: &Option<_>| url.as_ref().map(ToString::to_string).unwrap();
    assert_eq!(url(&config.info_url), "https://github.com/kubernetes/registry.k8s.io");
    assert_eq!(url(&config.privacy_url), "https://www.linuxfoundation.org/privacy-policy/");
    let from: Vec<_> = config.ranges.iter().map(|of| format!("{} {}", of.cloud, of.from)).collect();
    assert_eq!(
        from,
        [
            "aws https://ip-ranges.amazonaws.com/ip-ranges.json",
            "gcp https://www.gstatic.com/ipranges/cloud.json"
        ]
    );
}

#[test]
fn the_environment_overrides_the_built_in_configuration() {
    let some = |text: &str| Some(text.to_owned());
    let none = EnvironmentOverrides::default();
    let with = |variables: &EnvironmentOverrides| Config::built_in().with_environment(variables);
    assert_eq!(with(&none).unwrap(), Config::built_in());
    let empty = EnvironmentOverrides {
        port: some(""),
        upstream_endpoint: some(""),
        signature_endpoint: some(""),
        default_base_url: some(""),
        ..none.clone()
    };
    assert_eq!(with(&empty).unwrap(), Config::built_in());

    let upstream = EnvironmentOverrides {
        admin: some("127.0.0.1:9191"),
        port: some("5000"),
        upstream_endpoint: some("https://europe-west9-docker.pkg.dev/"),
        upstream_path: some("other/path"),
        default_base_url: some("https://cdn.registry.k8s.io"),
        ..none
    };
    let config = with(&upstream).unwrap();
    assert_eq!(config.listen.to_string(), "[::]:5000");
    assert_eq!(config.admin.unwrap().to_string(), "127.0.0.1:9191");
    assert_eq!(config.upstream.endpoint.as_str(), "https://europe-west9-docker.pkg.dev");
    assert_eq!(config.upstream.path.as_ref().unwrap().as_str(), "other/path");
    assert_eq!(config.canonical_upstream, config.upstream, "without its own it is the upstream");
    let changed: Vec<_> = config
        .stores
        .iter()
        .zip(&Config::built_in().stores)
        .filter(|(new, old)| new.url != old.url)
        .map(|(new, _)| (new.name.clone(), new.url.to_string()))
        .collect();
    assert_eq!(changed, [("default".to_owned(), "https://cdn.registry.k8s.io".to_owned())]);

    let signatures = EnvironmentOverrides {
        signature_endpoint: some("https://us-central1-docker.pkg.dev"),
        upstream_path: some(""),
        ..upstream
    };
    let config = with(&signatures).unwrap();
    assert_eq!(config.canonical_upstream.endpoint.as_str(), "https://us-central1-docker.pkg.dev");
    assert_eq!((&config.upstream.path, &config.canonical_upstream.path), (&None, &None));
}

#[test]
fn every_variable_that_makes_no_sense_is_named() {
    let some = |text: &str| Some(text.to_owned());
    let wrong = EnvironmentOverrides {
        admin: some("9191"),
        port: some("70000"),
        upstream_endpoint: some("nonsense"),
        upstream_path: some("A"),
        signature_endpoint: some("https://x/y"),
        default_base_url: some("ftp://x"),
    };
    let error = Config::built_in().with_environment(&wrong).unwrap_err().to_string();
    let names: Vec<_> = error.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        names,
        [
            "PORT",
            "PORTOLAN_ADMIN",
            "UPSTREAM_REGISTRY_ENDPOINT",
            "UPSTREAM_REGISTRY_PATH",
            "SIGNATURE_UPSTREAM_ENDPOINT",
            "DEFAULT_AWS_BASE_URL"
        ],
        "{error}"
    );
}
