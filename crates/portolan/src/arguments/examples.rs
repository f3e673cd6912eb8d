//! The examples at the end of each command's help: the usual call first.

pub(super) const PROMOTE: &str = "\
Examples:
  Print the plan:
    portolan promote --thin-manifest-dir registry.example
  Promote, write a report, and stop after an hour:
    portolan promote --thin-manifest-dir registry.example --confirm --report report.json --deadline 1h";

pub(super) const MIRROR: &str = "\
Examples:
  Print the plan:
    portolan mirror --from registry.example/images --to file:///srv/store
  Copy to two stores with one read of the registry:
    portolan mirror --from registry.example/images --to file:///srv/a --to file:///srv/b --confirm";

pub(super) const SERVE: &str = "\
Examples:
  Check a configuration and print every setting:
    portolan serve --config front.yaml --check
  Serve:
    portolan serve --config front.yaml";

pub(super) const EXPLAIN: &str = "\
Examples:
  Where a client gets a tag from, with the built-in configuration:
    portolan explain --ip 35.180.1.1 /v2/pause/manifests/3.9
  Where it gets a blob from, with a configuration of your own:
    portolan explain --config front.yaml --ip 2600:1f13::1 /v2/app/blobs/sha256:…";

pub(super) const STORE_SERVE: &str = "\
Examples:
  Serve a mirrored directory on loopback:
    portolan store serve /srv/store
  Serve it to the network, with metrics and health on loopback:
    portolan store serve /srv/store --listen '[::]:8082' --admin 127.0.0.1:9092";

pub(super) const REGISTRY_SERVE: &str = "\
Examples:
  A registry for tests, in memory:
    portolan registry serve
  A registry for a team, with users, rights and TLS:
    portolan registry serve --storage file:///srv/registry --listen '[::]:443' \\
      --htpasswd users --rights rights.yaml --tls-cert chain.pem --tls-key key.pem";

pub(super) const DEMO: &str = "\
Examples:
  Show everything, then serve pulls:
    portolan demo
  Check everything and exit, for CI:
    portolan demo --exit";

pub(super) const SCHEMA_FRONT: &str = "\
Examples:
  Write the schema to a file for an editor:
    portolan schema front > front.schema.json
  List the fields of the configuration:
    portolan schema front | jq '.properties | keys'";

pub(super) const SCHEMA_MIRROR: &str = "\
Examples:
  Write the schema to a file:
    portolan schema mirror > mirror.schema.json
  List the codes of failures:
    portolan schema mirror | jq '.\"$defs\".FailureCode.oneOf[].const'";

pub(super) const SCHEMA_REPORT: &str = "\
Examples:
  Write the schema to a file:
    portolan schema report > report.schema.json
  List the members of a report:
    portolan schema report | jq '.properties | keys'";
