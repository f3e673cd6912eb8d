#!/usr/bin/env bash
# Portolan's client and other projects' registries: the suite of the client, crates/registry-client/tests/suite,
# runs unchanged against Portolan's registry, Debian's docker-registry (distribution 2) and distribution 3; then against
# docker-registry with a password, on the directory that it has from before.
#
#     cargo build --release && PATH=$(tests/interop/tools.sh):$PATH tests/interop/registry-client.sh
#
# Needs cargo, docker-registry, registry (distribution 3) and htpasswd on the PATH. Where the specification lets
# registries differ, the suite says so, and that is shown.

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need cargo docker-registry registry htpasswd

say "building the suite"
(cd "$root" && cargo test --quiet --locked -p registry-client --test suite --no-run --message-format json) \
  >"$work/cargo.json" 2>"$work/cargo.log"
suite=$(grep '"name":"suite"' "$work/cargo.json" | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
[ -x "$suite" ] || fail "cargo does not say where the suite is"

# suite NAME PATTERN SETTING…: runs it against the server NAME, whose log says by PATTERN where it listens; shows how
# many tests passed, and how the server differs. Leaves NAME.differs.
suite() {
  local name=$1 host result
  host=$(address "$1" "$2")
  shift 2
  env PORTOLAN_SUITE_REGISTRY="$host" "$@" "$suite" --nocapture >"$work/$name-suite.log" 2>&1 || true
  grep -q "^against: $host" "$work/$name-suite.log" || fail "the suite did not run against $name"
  result=$(sed -n 's/^test result: //p' "$work/$name-suite.log")
  sed -n 's/^differs: //p' "$work/$name-suite.log" | LC_ALL=C sort -u >"$work/$name.differs"
  printf '    %s: %s\n' "$name" "${result:-no result}"
  sed 's/^/      differs: /' "$work/$name.differs"
  case $result in
    'ok. 0 passed'*) fail "the suite has no tests" ;;
    'ok. '*' 0 failed; 0 ignored; 0 measured; 0 filtered out;'*) ;;
    *) grep -A 3 ' panicked at ' "$work/$name-suite.log" | head -n 60 >&2 || true; wrong+=" $name" ;;
  esac
}

# distribution NAME PROGRAM DIRECTORY [AUTH]: docker-registry or registry on a free port, with deletions.
distribution() {
  cat >"$work/$1.yml" <<YAML
version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: $work/$3}, delete: {enabled: true}}
http: {addr: "127.0.0.1:0"}
${4:-}
YAML
  # Distribution 3 would try to send traces to a collector that is not there.
  start "$1" env OTEL_TRACES_EXPORTER=none "$2" serve "$work/$1.yml"
}

wrong=

say "the suite against $("$portolan" --version), $(docker-registry --version | head -n 1), and $(registry --version | head -n 1)"
# All tests of the suite run at once from one address, which has half of the uploads.
portolan_registry portolan --storage memory --max-uploads 2048
suite portolan "$portolan_pattern"
stop portolan
distribution docker-registry docker-registry debian
suite docker-registry "$registry_pattern"
distribution distribution-3 registry newest
suite distribution-3 "$registry_pattern"

say "and with a password"
# The suite's own, for a server that ends with this script.
htpasswd -Bbn somebody 'a:pass word' >"$work/htpasswd" 2>/dev/null
distribution docker-registry-basic docker-registry debian "auth: {htpasswd: {realm: suite, path: $work/htpasswd}}"
suite docker-registry-basic "$registry_pattern" PORTOLAN_SUITE_CREDENTIALS='somebody:a:pass word'
grep -q '^a wrong password' "$work/docker-registry-basic.differs" && fail "docker-registry took a wrong password"

[ -z "$wrong" ] || fail "does not hold:$wrong"
equal "how Portolan's registry differs" "$(cat "$work/portolan.differs")" 'a wrong password: it asks for none'
say "the client does the same with all of them"
