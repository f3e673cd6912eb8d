//! What `portolan serve --check` prints: all that is in effect.

use std::{
    fs::File,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use crate::harness::{Ended, portolan, run, write};

/// The output for a configuration file with this text, in which `DIR` is the directory of its files.
async fn effective(directory: &TempDir, text: &str, flags: &[&str]) -> String {
    let dir = directory.path().display().to_string();
    let config = write(&directory.path().join("front.yaml"), &text.replace("DIR", &dir));
    let config = config.display().to_string();
    let flags: Vec<_> = flags.iter().map(|flag| flag.replace("DIR", &dir)).collect();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let ended = run(&[&["serve", "--check", "--config", &config], &flags[..]].concat()).await;
    ended.expect(0).stdout.replace(&dir, "DIR")
}

const GIVEN: &str = r#"
upstream: {endpoint: "https://registry.example"}
keep_upstream:
client_ip: {forwarded: auto, trusted_peers: ["::1"]}
ranges:
- {cloud: own, format: cidr, from: other.txt}
- {cloud: aws, format: cidr, from: DIR/aws.txt}
stores:
- {name: z-, url: "https://z.example", serves: [{cloud: aws, regions: [eu-west-3]}]}
- {name: "1", url: "https://a.example", blob_prefix: "", serves: [{cloud: "*"}]}
presence: {timeout: 1s}
"#;

const PRINTED: &str = r#"listen: "[::]:8080"  # default
admin: 127.0.0.1:9090  # default
cache_dir: /var/cache/portolan  # default
info_url: null  # default
privacy_url: null  # default
upstream:
  endpoint: https://registry.example
  path: null  # default
canonical_upstream:
  endpoint: https://registry.example  # default
  path: null  # default
client_ip:
  forwarded: auto
  trusted_hops: 1  # default
  trusted_peers:
    - "::1/128"
keep_upstream: []
ranges:
  - cloud: own
    format: cidr
    from: DIR/other.txt  # 2 prefixes from DIR/own.txt, less than a minute old
  - cloud: aws
    format: cidr
    from: DIR/aws.txt  # 1 prefix from DIR/aws.txt, 3 days old
stores:
  - name: z-  # store id 1
    url: https://z.example
    blob_prefix: containers/images/  # default
    index: none  # default
    serves:
      - cloud: aws
        regions:
          - eu-west-3
  - name: "1"  # store id 0
    url: https://a.example
    blob_prefix: ""
    index: none  # default
    serves:
      - cloud: "*"
        regions: null  # default
access_log: false  # default
presence:
  timeout: 1s
  positive_ttl: 1d  # default
  negative_ttl: 1m  # default
  capacity: 1000000  # default
"#;

#[tokio::test]
async fn every_field_is_printed_and_defaults_are_marked() {
    let directory = TempDir::new().expect("a temporary directory");
    write(&directory.path().join("aws.txt"), "198.51.100.0/24 eu-west-3\n");
    write(&directory.path().join("own.txt"), "192.0.2.0/24 a\n203.0.113.0/24 b\n");
    let modified = SystemTime::now() - Duration::from_secs(3 * 24 * 60 * 60 + 60);
    let list = File::options().append(true).open(directory.path().join("aws.txt"));
    list.and_then(|list| list.set_modified(modified)).expect("a time in the past");
    let printed = effective(&directory, GIVEN, &["--ranges", "own=DIR/own.txt"]).await;
    assert_eq!(printed, PRINTED);
    let again = effective(&directory, &printed, &["--ranges", "own=DIR/own.txt"]).await;
    let without_comments = |text: &str| {
        let lines = text.lines().map(|line| line.split("  #").next().unwrap_or_default());
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(without_comments(&again), without_comments(&printed), "it is read again");
    assert!(!again.contains("# default"), "everything is in the file now: {again}");
}

#[tokio::test]
async fn values_from_the_environment_are_marked() {
    let mut command = portolan(&["serve", "--check"]);
    command.env("PORT", "9999").env("PORTOLAN_ADMIN", "127.0.0.1:9191");
    command.env("UPSTREAM_REGISTRY_ENDPOINT", "https://other.example");
    let ended: Ended = command.output().await.expect("it runs").into();
    let printed = ended.expect(0).stdout;
    for line in [
        "listen: \"[::]:9999\"  # environment\n",
        "admin: 127.0.0.1:9191  # environment\n",
        "cache_dir: /var/cache/portolan\n",
        "upstream:\n  endpoint: https://other.example  # environment\n  path: k8s-artifacts-prod/images\n",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
}

#[tokio::test]
async fn an_admin_address_that_is_in_use_is_named_by_its_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address");
    let directory = TempDir::new().expect("a directory");
    let text = format!(
        "listen: 127.0.0.1:0\nadmin: {address}\nupstream: {{endpoint: \"https://registry.example\"}}\n"
    );
    let config = write(&directory.path().join("front.yaml"), &text);
    let ended = run(&["serve", "--config", config.to_str().expect("UTF-8")]).await.expect(2);
    let says = format!(
        "metrics and health (`admin`, PORTOLAN_ADMIN): cannot listen on {address}: the address is in use"
    );
    assert!(ended.stderr.contains(&says), "{}", ended.stderr);
}
