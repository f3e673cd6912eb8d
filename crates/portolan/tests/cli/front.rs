//! `portolan serve` and `portolan explain`.

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr},
};

use crate::harness::{end_of, portolan, run, signal, write};

const BLOB: &str =
    "/v2/pause/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[tokio::test]
async fn a_configuration_is_checked_and_every_fault_named() {
    let directory = TempDir::new().expect("a temporary directory");
    let file = |text| write(&directory.path().join("front.yaml"), text).display().to_string();
    let good = file("upstream: {endpoint: \"https://registry.example\", path: prod}\n");
    let ended = run(&["serve", "--check", "--config", &good]).await.expect(0);
    assert!(ended.stdout.contains("endpoint: https://registry.example"), "{}", ended.stdout);
    let bad = file(
        "upstream: {endpoint: \"https://registry.example\"}\nlisten: nowhere\nstores:\n- {name: a, url: \"ftp://x\", serves: [], index: head}\n",
    );
    let ended = run(&["serve", "--check", "--config", &bad]).await.expect(2);
    let (prefix, _) = ended.stderr.split_once(&bad).expect("the file is named");
    let places: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(places.len(), 4, "{}", ended.stderr);
    for line in places {
        assert!(line.starts_with(&format!("{prefix}{bad}:")), "{line}");
    }
    let ended = run(&["serve", "--config", "/nonexistent.yaml"]).await.expect(2);
    assert!(ended.stderr.contains("/nonexistent.yaml"), "{}", ended.stderr);
}

#[tokio::test]
async fn the_built_in_configuration_takes_the_variables_of_archeio() {
    let mut command = portolan(&["serve", "--check"]);
    command.env("PORT", "9999").env("UPSTREAM_REGISTRY_ENDPOINT", "https://other.example");
    let ended: crate::harness::Ended = command.output().await.expect("it runs").into();
    let ended = ended.expect(0);
    assert!(ended.stdout.contains(":9999"), "{}", ended.stdout);
    assert!(ended.stdout.contains("https://other.example"), "{}", ended.stdout);
}

#[tokio::test]
async fn variables_mean_what_they_mean_to_archeio() {
    for (path, effective) in
        [("", "path: null  # environment\n"), ("/a/b/", "path: a/b  # environment\n"), ("A", "")]
    {
        let mut command = portolan(&["serve", "--check"]);
        let ended: crate::harness::Ended =
            command.env("UPSTREAM_REGISTRY_PATH", path).output().await.expect("it runs").into();
        if effective.is_empty() {
            let ended = ended.expect(2);
            assert!(ended.stderr.contains("UPSTREAM_REGISTRY_PATH"), "{}", ended.stderr);
        } else {
            let ended = ended.expect(0);
            assert!(ended.stdout.contains(effective), "{path:?}: {}", ended.stdout);
        }
    }
}

#[tokio::test]
async fn ranges_that_a_flag_names_must_be_there() {
    let files = ["--ranges", "aws=/nonexistent/ip-ranges.json", "--ranges", "gcp=/nonexistent/x"];
    let ended = run(&[&["explain"], &files[..], &["--ip", "192.0.2.1", BLOB]].concat()).await;
    let ended = ended.expect(2);
    assert!(ended.stderr.contains("/nonexistent/ip-ranges.json"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_file_without_its_flag_gets_a_tip() {
    let ended = run(&["serve", "--check", "front.yaml"]).await.expect(2);
    assert!(ended.stderr.contains("`--config front.yaml`"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_configuration_hides_no_value_and_controls_no_terminal() {
    let upstream = "upstream: {endpoint: \"https://registry.example\"}\n";
    for (settings, said) in [
        (
            "ranges:\n- &a {cloud: a, format: cidr, from: a}\n- <<: *a\n  cloud: b\n",
            "front.yaml:4:3: merge keys (`<<`) are not supported; write the fields here\n",
        ),
        (
            "access_log: !!bool true\n",
            "front.yaml:2:20: YAML tags (`!…`) are not supported; write the value without it\n",
        ),
        ("---\nlisten: 127.0.0.1:0\n", "front.yaml:2:1: second YAML document: "),
        (
            "stores: [{name: \"\\e[31m\", url: \"https://a.example\", serves: [{cloud: a}]}]\n",
            "`\\u{1b}[31m` must be a name",
        ),
    ] {
        let directory = TempDir::new().expect("a temporary directory");
        let file = write(&directory.path().join("front.yaml"), &format!("{upstream}{settings}"));
        let ended = run(&["serve", "--check", "--config", file.to_str().expect("UTF-8")]).await;
        let ended = ended.expect(2);
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
        assert!(!ended.stderr.contains("from_str"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn missing_unknown_and_mistyped_fields_are_all_named_at_once() {
    let directory = TempDir::new().expect("a temporary directory");
    let text = "lisen: 0.0.0.0:8080
upstream: {path: team/images}
client_ip: {trusted_hops: one}
ranges:
- {cloud: office, format: csv, from: office.txt}
stores:
- {name: a, serves: [{regions: [eu-west-3]}]}
- {name: a, url: \"https://a.example\", index: null, serves: gcp}
presence: {timeout: 90}
";
    let file = write(&directory.path().join("front.yaml"), text);
    let file = file.to_str().expect("UTF-8");
    let ended = run(&["serve", "--check", "--config", file]).await.expect(2);
    let printed = ended.stderr.replace(file, "front.yaml");
    let printed: Vec<_> = printed.lines().map(|line| line.trim_start_matches("error: ")).collect();
    let expected = [
        "front.yaml:1:1: unknown key `lisen`; did you mean `listen`?",
        "front.yaml:2:11: missing key `endpoint`; add a URL without a path, such as `https://registry.example`",
        "front.yaml:3:27: `client_ip.trusted_hops` must be a whole number from 0 to 16, but it is `one`",
        "front.yaml:5:27: `ranges.format`: unknown format `csv` of address ranges; use `aws`, `gcp` or `cidr`",
        "front.yaml:7:3: missing key `url`; add a URL, such as `https://bucket.example`",
        "front.yaml:7:22: missing key `cloud`; add the name of a cloud, or `\"*\"` for every client",
        "front.yaml:8:10: `stores.name`: duplicate name `a`; give each store a name of its own",
        "front.yaml:8:60: `stores.serves` must be a list (`- item`), but it is `gcp`",
        "front.yaml:9:21: `presence.timeout`: `90` is not a duration; write a whole number and ms, s, m, h or d, such as 90s",
    ];
    assert_eq!(printed, expected, "{}", ended.stderr);
}

#[tokio::test]
async fn paths_in_a_configuration_are_relative_to_its_file_and_a_missing_one_is_refused_everywhere()
{
    let directory = TempDir::new().expect("a temporary directory");
    let at = |name: &str| directory.path().join(name);
    write(&at("office.txt"), "198.51.100.0/24\n");
    let yaml = |list: &str| {
        format!(
            "listen: 127.0.0.1:0\nadmin: null\ncache_dir: cache\n\
             upstream: {{endpoint: \"https://registry.example\"}}\n\
             ranges:\n- {{cloud: office, format: cidr, from: {list}}}\n"
        )
    };
    let config = write(&at("front.yaml"), &yaml("office.txt")).display().to_string();
    let check = run(&["serve", "--check", "--config", &config]).await.expect(0);
    for path in [at("office.txt"), at("cache")] {
        assert!(check.stdout.contains(&format!(": {}", path.display())), "{}", check.stdout);
    }
    let explain = ["explain", "--config", &config, "--ip", "198.51.100.1", BLOB];
    let explained = run(&explain).await.expect(0).stdout;
    assert!(explained.contains("cloud office, no region"), "{explained}");

    let (mut child, mut log, _) = start_with_file(&config, &[]).await;
    write(&at("front.yaml"), &yaml("offce.txt"));
    let missing = format!("{} does not exist; correct `from`", at("offce.txt").display());
    signal(&child, "HUP").await;
    let refused = loop {
        let event = event(&mut log).await;
        if event["message"].as_str().is_some_and(|text| text.starts_with("SIGHUP")) {
            break event;
        }
    };
    assert!(refused["error"].as_str().is_some_and(|text| text.contains(&missing)), "{refused}");
    child.kill().await.expect("it runs");
    for (arguments, code) in [(&["serve", "--check"][..], 1), (&["serve"], 2)] {
        let arguments = [arguments, &["--config", &config]].concat();
        let ended = run(&arguments).await.expect(code);
        assert!(
            ended.stderr.contains(&format!("front.yaml:6:39: `ranges`: {missing}")),
            "{}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("os error"), "{}", ended.stderr);
    }
}

/// A front with `settings`, started; its log, and where it listens.
async fn start(directory: &TempDir, settings: &str) -> (Child, Log, oci::Host) {
    start_with(directory, settings, &[]).await
}

/// The same with these flags.
async fn start_with(
    directory: &TempDir,
    settings: &str,
    flags: &[&str],
) -> (Child, Log, oci::Host) {
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: null\nupstream: {{endpoint: \"https://registry.example\", path: prod}}\n{settings}"
    );
    let config = write(&directory.path().join("front.yaml"), &text).display().to_string();
    start_with_file(&config, flags).await
}

/// A front with this configuration file.
async fn start_with_file(config: &str, flags: &[&str]) -> (Child, Log, oci::Host) {
    let arguments = ["serve", "--config", config];
    let mut child = portolan(&[&arguments, flags].concat()).spawn().expect("it starts");
    let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
    let host = loop {
        if let Some(address) = event(&mut log).await["address"].as_str() {
            break address.parse().expect("a host");
        }
    };
    (child, log, host)
}

type Log = Lines<BufReader<ChildStderr>>;

/// The next event of the log.
async fn event(log: &mut Log) -> serde_json::Value {
    let line = log.next_line().await.expect("UTF-8").expect("there is more to come");
    serde_json::from_str(&line).expect("the log is JSON")
}

#[tokio::test]
async fn the_front_logs_its_address_responds_and_drains() {
    let directory = TempDir::new().expect("a temporary directory");
    let (child, mut log, host) = start(&directory, "").await;
    let found = testkit::get(&host, BLOB).await.expect("a response");
    assert_eq!(found.status(), 307);
    assert_eq!(
        found.headers()["location"],
        format!("https://registry.example/v2/prod{}", &BLOB[3..])
    );
    signal(&child, "TERM").await;
    end_of(child).await.expect(0);
    while let Some(line) = log.next_line().await.expect("UTF-8") {
        assert!(
            !line.contains(r#""message":"request""#),
            "no line per request without `access_log`: {line}"
        );
    }
}

#[tokio::test]
async fn the_access_log_names_the_client_behind_the_peer() {
    let directory = TempDir::new().expect("a temporary directory");
    let settings = "access_log: true\nclient_ip: {trusted_hops: 0}\n";
    let (child, mut log, host) = start(&directory, settings).await;
    let request =
        http::Request::get(format!("{BLOB}?token=secret")).header("x-forwarded-for", "192.0.2.7");
    let request = request.body(testkit::Body::empty()).expect("a request");
    testkit::send(&host, request).await.expect("a response");
    let event = event(&mut log).await;
    assert_eq!((&event["client"], &event["peer"]), (&"192.0.2.7".into(), &"127.0.0.1".into()));
    assert_eq!((&event["method"], &event["path"]), (&"GET".into(), &BLOB.into()));
    assert_eq!(event["status"], 307);
    assert!(event["location"].as_str().is_some_and(|url| !url.contains('?')), "{event}");
    assert!(event["milliseconds"].is_u64(), "{event}");
    signal(&child, "TERM").await;
    end_of(child).await.expect(0);
}

#[tokio::test]
async fn a_failing_store_is_logged_once_with_its_cause_and_so_is_its_recovery() {
    let directory = TempDir::new().expect("a temporary directory");
    let unreachable = testkit::TestHost::unreachable();
    let bucket = testkit::TestBucket::start().await;
    bucket.fail(testkit::Fault::everywhere("").status(503));
    let settings = format!(
        "client_ip: {{trusted_hops: 0}}\nranges:\n- {{cloud: a, format: cidr, from: {0}}}\nstores:\n\
         - {{name: refusing, url: \"http://{unreachable}\", serves: [{{cloud: a, regions: [x]}}]}}\n\
         - {{name: plain, url: \"{2}\", serves: [{{cloud: a, regions: [y]}}]}}\n\
         - {{name: sick, url: \"{1}/base\", serves: [{{cloud: \"*\"}}]}}\n",
        write(&directory.path().join("a.txt"), "198.51.100.0/24 x\n203.0.113.0/24 y\n").display(),
        bucket.url(),
        bucket.url().replace("http:", "https:")
    );
    let (child, mut log, host) = start(&directory, &settings).await;
    let pull = async |client: &str| {
        let request =
            http::Request::get(format!("{BLOB}?token=secret")).header("x-forwarded-for", client);
        let request = request.body(testkit::Body::empty()).expect("a request");
        assert_eq!(testkit::send(&host, request).await.expect("a response").status(), 307);
    };
    for _ in 0..3 {
        pull("198.51.100.7").await;
        pull("203.0.113.7").await;
        pull("192.0.2.7").await;
    }
    bucket.clear_faults();
    pull("192.0.2.7").await;
    signal(&child, "TERM").await;
    let mut logged = Vec::new();
    while let Some(line) = log.next_line().await.expect("UTF-8") {
        let event: serde_json::Value = serde_json::from_str(&line).expect("the log is JSON");
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        if event["store"].is_string() {
            logged.push(["level", "store", "url", "cause", "message"].map(text));
        }
    }
    end_of(child).await.expect(0);
    let failed = "a blob store fails; clients are sent to the upstream instead";
    let (refused, sick) = (format!("http://{unreachable}"), format!("{}/base", bucket.url()));
    let plain = sick.replace("http:", "https:").replace("/base", "");
    let status = "the response is 503 Service Unavailable";
    assert_eq!(
        logged,
        [
            ["WARN", "refusing", refused.as_str(), "connection refused", failed],
            ["WARN", "plain", plain.as_str(), "the port does not speak TLS", failed],
            ["WARN", "sick", sick.as_str(), status, failed],
            ["INFO", "sick", sick.as_str(), "", "a blob store works again"],
        ]
    );
}

#[tokio::test]
async fn explain_says_where_a_client_is_sent_and_why() {
    let directory = TempDir::new().expect("a temporary directory");
    let ranges = write(&directory.path().join("aws.txt"), "198.51.100.0/24 eu-west-3\n");
    let text = format!(
        "upstream: {{endpoint: \"https://registry.example\"}}\nranges:\n- {{cloud: aws, format: cidr, from: {}}}\n\
         stores:\n- {{name: paris, url: \"https://paris.example\", serves: [{{cloud: aws, regions: [eu-west-3]}}]}}\n",
        ranges.display()
    );
    let config = write(&directory.path().join("front.yaml"), &text);
    let config = config.to_str().expect("UTF-8");
    let near = run(&["explain", "--config", config, "--ip", "198.51.100.7", BLOB]).await.expect(0);
    for word in
        ["198.51.100.0/24", "eu-west-3", "paris", "https://registry.example/v2/pause/blobs/"]
    {
        assert!(near.stdout.contains(word), "{}", near.stdout);
    }
    let far = run(&["explain", "--config", config, "--ip", "192.0.2.1", BLOB]).await.expect(0);
    assert!(!far.stdout.contains("paris.example"), "{}", far.stdout);
}

#[tokio::test]
async fn explain_prints_the_candidates_as_json() {
    let directory = TempDir::new().expect("a temporary directory");
    let at = |name: &str| directory.path().join(name);
    write(&at("own.txt"), "198.51.100.0/24 paris\n");
    let yaml = "upstream: {endpoint: \"https://registry.example\"}\n\
                ranges: [{cloud: own, format: cidr, from: own.txt}]\n\
                stores: [{name: near, url: \"https://near.example\", serves: [{cloud: own}]}]\n";
    let config = write(&at("front.yaml"), yaml).display().to_string();
    let flags = ["explain", "--config", &config, "--output", "json", "--ip"];
    let explain = async |more: [&str; 2]| run(&[&flags[..], &more].concat()).await;
    let digest = BLOB.rsplit('/').next().expect("a digest");
    let blob = explain(["198.51.100.1", BLOB]).await.expect(0).json();
    let expected = serde_json::json!({
        "request": format!("blob {digest}"),
        "client": {"address": "198.51.100.1", "matched": "198.51.100.0/24", "cloud": "own", "region": "paris"},
        "reason": "nearest",
        "candidates": [
            {"kind": "store", "name": "near", "url": format!("https://near.example/containers/images/{digest}")},
            {"kind": "upstream", "name": null, "url": format!("https://registry.example{BLOB}")},
        ],
        "response": {"status": 307, "location": null, "code": null, "message": null},
        "hint": null,
        "ranges": [{"cloud": "own", "source": at("own.txt").display().to_string(), "prefixes": 1, "causes": []}],
    });
    assert_eq!(blob, expected);
    let wrong = explain(["192.0.2.1", "/v2/app/tags"]).await.expect(1).json();
    assert_eq!(wrong["response"]["status"], 404, "{wrong}");
    assert_eq!(wrong["hint"], "did you mean /v2/app/tags/list ?");
    let tag = explain(["192.0.2.1", "/v2/app/manifests/v1"]).await.expect(0).json();
    assert_eq!(tag["response"]["location"], "https://registry.example/v2/app/manifests/v1");
    assert_eq!((&tag["reason"], &tag["client"]), (&"not-a-blob".into(), &serde_json::Value::Null));
}

#[tokio::test]
async fn explain_ends_with_1_for_a_path_that_gets_an_error_and_hints() {
    let directory = TempDir::new().expect("a temporary directory");
    let text = "upstream: {endpoint: \"https://registry.example\"}\n";
    let config = write(&directory.path().join("front.yaml"), text).display().to_string();
    let explain =
        async |path: &str| run(&["explain", "--config", &config, "--ip", "192.0.2.1", path]).await;
    let by_digest = format!("app@{}", &BLOB["/v2/pause/blobs/".len()..]);
    let hinted = format!("/v2/app/manifests/{}", &BLOB["/v2/pause/blobs/".len()..]);
    for (path, hint) in [
        ("app:1.0", "/v2/app/manifests/1.0"),
        (&by_digest, &hinted),
        ("https://registry.example/v2/app/manifests/1.0", "/v2/app/manifests/1.0"),
        ("v2/app/tags/list", "/v2/app/tags/list"),
        ("nonsense here", "give the path of a request, such as /v2/NAME/manifests/TAG"),
        ("/v2/_catalog", "404"),
        ("/privacy", "404"),
    ] {
        let ended = explain(path).await.expect(1);
        assert!(ended.stdout.contains(hint), "{path}: {}", ended.stdout);
    }
    for path in [BLOB, "/v2/", "/v2/app/manifests/1.0"] {
        let ended = explain(path).await.expect(0);
        assert!(!ended.stdout.contains("hint"), "{}", ended.stdout);
    }
}

#[tokio::test]
async fn explain_names_a_bad_digest_and_gives_no_hint_below_an_endpoint() {
    let directory = TempDir::new().expect("a temporary directory");
    let text = "upstream: {endpoint: \"https://registry.example\"}\n";
    let config = write(&directory.path().join("front.yaml"), text).display().to_string();
    let explain =
        async |path: &str| run(&["explain", "--config", &config, "--ip", "192.0.2.1", path]).await;
    for path in ["/v2/app/blobs/sha256:123", "/v2/app/manifests/sha256:123", "app@sha256:123"] {
        let out = explain(path).await.expect(1).stdout;
        let expected =
            "`sha256:123` is not a digest: a sha256 digest has 64 hexadecimal digits; this has 3";
        assert!(out.contains(expected) && !out.contains("did you mean"), "{path}: {out}");
        assert!(
            !path.starts_with('/') || out.contains("a request with an invalid digest"),
            "{path}: {out}"
        );
    }
    let out = explain("/v2/app/manifests/").await.expect(1).stdout;
    assert!(!out.contains("hint") && out.contains("a request with an invalid tag"), "{out}");
    let out = explain("/v2/app/tags").await.expect(1).stdout;
    assert!(out.contains("did you mean /v2/app/tags/list ?"), "{out}");
}

/// Runs `serve --check` on a configuration with `settings`, which begin at line 2.
async fn check(settings: &str, flags: &[&str]) -> crate::harness::Ended {
    let directory = TempDir::new().expect("a temporary directory");
    let at = |name: &str| directory.path().join(name);
    write(&at("aws.txt"), "198.51.100.0/24 eu-west-3\n203.0.113.0/24 us-east-1\n");
    let settings = settings.replace("DIR", &directory.path().display().to_string());
    let flags: Vec<_> =
        flags.iter().map(|it| it.replace("DIR", &directory.path().display().to_string())).collect();
    let text = format!("upstream: {{endpoint: \"https://registry.example\"}}\n{settings}");
    let config = write(&at("front.yaml"), &text).display().to_string();
    let mut arguments = vec!["serve", "--check", "--config", &config];
    arguments.extend(flags.iter().map(String::as_str));
    run(&arguments).await
}

const AWS: &str = "ranges: [{cloud: aws, format: cidr, from: DIR/aws.txt}]\n";

#[tokio::test]
async fn a_check_warns_of_clouds_and_regions_that_no_range_has() {
    let fine = "stores:\n- {name: a, url: \"https://a.example\", serves: [{cloud: aws, regions: [eu-west-3]}]}\n- {name: b, url: \"https://b.example\", serves: [{cloud: \"*\"}]}\n";
    let ended = check(&format!("{AWS}{fine}"), &[]).await.expect(0);
    assert!(!ended.stderr.contains("warning") && ended.stderr.ends_with("front.yaml: valid\n"));
    let settings = format!(
        "{AWS}keep_upstream: [gpc]\nstores:\n- name: a\n  url: https://a.example\n  serves:\n  - {{cloud: aws, regions: [eu-west-3, eu-wset-3]}}\n  - {{cloud: azure}}\n"
    );
    let ended = check(&settings, &[]).await.expect(0);
    for warning in [
        "front.yaml:3:17: `keep_upstream`: no loaded range belongs to the cloud `gpc`",
        "front.yaml:8:13: `stores.serves`: no loaded range is in the region `eu-wset-3` of `aws`",
        "front.yaml:9:13: `stores.serves`: no loaded range belongs to the cloud `azure`",
    ] {
        assert!(ended.stderr.contains(warning), "{warning}: {}", ended.stderr);
    }
    assert_eq!(ended.stderr.matches("warning: ").count(), 3, "{}", ended.stderr);
    assert!(ended.stdout.contains("keep_upstream"), "{}", ended.stdout);
}

#[tokio::test]
async fn a_check_warns_of_trust_in_a_header_that_is_ignored() {
    let client_ip = |forwarded: &str| {
        format!(
            "client_ip:\n  forwarded: {forwarded}\n  trusted_hops: 1\n  trusted_peers: [10.0.0.0/8]\n"
        )
    };
    let ended = check(&client_ip("never"), &[]).await.expect(0);
    for (position, name) in [("4:17", "trusted_hops"), ("5:19", "trusted_peers")] {
        let warning = format!(
            "front.yaml:{position}: `client_ip.{name}` has no effect with `forwarded: never`"
        );
        assert!(ended.stderr.contains(&warning), "{warning}: {}", ended.stderr);
    }
    for settings in [client_ip("auto"), "client_ip: {forwarded: never}\n".to_owned()] {
        let stderr = check(&settings, &[]).await.expect(0).stderr;
        assert!(!stderr.contains("warning"), "{settings}: {stderr}");
    }
}

#[tokio::test]
async fn a_check_fails_where_something_can_never_have_an_effect() {
    let star = |name: &str| {
        format!("- {{name: {name}, url: \"https://{name}.example\", serves: [{{cloud: \"*\"}}]}}\n")
    };
    let missing = "ranges: [{cloud: aws, format: cidr, from: DIR/missing.txt}]\n".to_owned();
    let torn = "ranges: [{cloud: aws, format: aws, from: DIR/aws.txt}]\n".to_owned();
    for (settings, flags, said) in [
        (missing, &[][..], "front.yaml:2:43: `ranges`: "),
        (torn, &[], "front.yaml:2:42: `ranges`: "),
        (
            "listen: 127.0.0.1:8080\nadmin: 127.0.0.1:8080\n".to_owned(),
            &[],
            "front.yaml:3:8: `admin` ",
        ),
        ("listen: 0.0.0.0:9090\n".to_owned(), &[], "front.yaml:2:9: `admin` "),
        (
            format!("stores:\n{}{}", star("a"), star("b")),
            &[],
            "front.yaml:4:56: `stores.serves`: no client of `*` is ever sent to the store `b`",
        ),
        (
            format!(
                "{AWS}stores:\n{}- {{name: b, url: \"https://b.example\", serves: [{{cloud: aws}}]}}\n",
                star("a")
            ),
            &[],
            "no client of `aws` is ever sent to the store `b`",
        ),
        (
            format!(
                "{AWS}keep_upstream: [aws]\nstores: [{{name: b, url: \"https://b.example\", serves: [{{cloud: aws}}]}}]\n"
            ),
            &[],
            "`keep_upstream` names the cloud",
        ),
        (
            AWS.to_owned(),
            &["--ranges", "asw=DIR/aws.txt"],
            "the configuration does not name the cloud `asw`; it names aws",
        ),
        (AWS.to_owned(), &["--ranges", "aws=DIR/missing.txt"], "--ranges: "),
    ] {
        let ended = check(&settings, flags).await.expect(1);
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("error: ") && !ended.stderr.contains("error: error: "),
            "{}",
            ended.stderr
        );
    }
    check("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n", &[]).await.expect(0);
}

/// A store and a list of ranges under TLS, with a certificate of their own.
#[tokio::test]
async fn the_front_trusts_the_certificates_of_ca_file_for_probes_and_ranges() {
    let directory = TempDir::new().expect("a temporary directory");
    let server = testkit::TestTlsServer::start("127.0.0.1", "192.0.2.0/24\n").await;
    let ca_file = write(&directory.path().join("ca.pem"), server.certificate());
    let (ca_file, url) = (ca_file.display().to_string(), format!("https://{}", server.address()));
    for (flags, location, requests, ranges) in [
        (&["--ca-file", &*ca_file][..], &*url, 2, "1 prefix"),
        (&[], "https://registry.example", 0, "use --ca-file to trust it"),
    ] {
        let cache = TempDir::new().expect("a temporary directory");
        let settings = format!(
            "cache_dir: {}\npresence: {{timeout: 1s}}\nranges:\n- {{cloud: own, format: cidr, from: \"{url}/list\"}}\n\
             stores:\n- {{name: near, url: \"{url}\", serves: [{{cloud: \"*\"}}]}}\n",
            cache.path().display()
        );
        let before = server.requests().len();
        let (child, _log, host) = start_with(&directory, &settings, flags).await;
        let found = testkit::get(&host, BLOB).await.expect("a response");
        assert_eq!(found.status(), 307);
        let found = found.headers()["location"].to_str().expect("ASCII");
        assert!(found.starts_with(location), "{flags:?}: {found}");
        assert_eq!(server.requests().len() - before, requests, "{flags:?}");
        signal(&child, "TERM").await;
        end_of(child).await.expect(0);
        let config = directory.path().join("front.yaml").display().to_string();
        let check = run(&[&["serve", "--check", "--config", &config], flags].concat()).await;
        let said = format!("{}{}", check.stdout, check.stderr);
        assert!(said.contains(ranges), "{flags:?}: {said}");
    }
}
