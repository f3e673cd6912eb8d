# What the interoperability scripts share: temporary files, servers on free ports, checks.
# Sourced, not run. Everything started here ends with the script, by process id.
# shellcheck shell=bash
# shellcheck disable=SC2034 # who sources it reads what it sets

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
portolan=${PORTOLAN:-$root/target/release/portolan}
work=$(mktemp -d)
declare -A pid_of

finish() {
  local status=$?
  for pid in "${pid_of[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pid_of[@]}"; do wait "$pid" 2>/dev/null || true; done
  if [ "$status" -ne 0 ]; then
    for log in "$work"/*.log; do printf -- '--- %s\n' "$log"; tail -n 20 "$log"; done >&2 || true
  fi
  # Images have folders that not even their owner may write to.
  find "$work" -type d ! -perm -u=w -exec chmod u+w {} +
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT

say() { printf '==> %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

[ -x "$portolan" ] || fail "$portolan is not there: cargo build --release, or set PORTOLAN"

# equal WHAT GOT WANTED
equal() { [ "$2" = "$3" ] || fail "$1: $2, not $3"; }

# need PROGRAM…: fails, with how to install them, unless all of them are on the PATH.
need() {
  local program packages='' tools=''
  for program; do
    command -v "$program" >/dev/null && continue
    case $program in
      crane | conformance | helm | registry) tools+=" $program" ;;
      htpasswd) packages+=' apache2-utils' ;;
      *) packages+=" $program" ;;
    esac
  done
  [ -z "$packages" ] || printf 'missing: apt-get install%s\n' "$packages" >&2
  # shellcheck disable=SC2016 # for the reader's shell
  [ -z "$tools" ] || printf 'missing:%s: PATH=$(tests/interop/tools.sh):$PATH\n' "$tools" >&2
  [ -z "$packages$tools" ] || fail "$(basename "$0") needs $*"
}

# start NAME COMMAND…: runs it in the background, its output in NAME.log.
start() {
  local name=$1
  shift
  : >"$work/$name.log" # for address, which may come first
  "$@" >>"$work/$name.log" 2>&1 &
  pid_of[$name]=$!
}

# stop NAME: ends it in an orderly way, after which another may start under that name.
stop() {
  kill "${pid_of[$1]}"
  wait "${pid_of[$1]}" || fail "$1 ended with $?"
  unset "pid_of[$1]"
}

# address NAME PATTERN: waits until NAME.log shows its address, and prints it. PATTERN has it as \1.
address() {
  local deadline=$((SECONDS + 30)) found
  while [ "$SECONDS" -lt "$deadline" ]; do
    found=$(sed -n "s/$2/\1/p" "$work/$1.log" | head -n 1)
    [ -n "$found" ] && { printf '%s' "$found"; return; }
    kill -0 "${pid_of[$1]}" 2>/dev/null || fail "$1 ended before it said where it listens"
    sleep 0.05
  done
  fail "$1 did not say where it listens"
}

# docker_registry NAME [YAML]: Debian's docker-registry on a free port, with these settings besides.
docker_registry() {
  cat >"$work/$1.yml" <<YAML
version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: $work/$1}, delete: {enabled: true}}
http: {addr: "127.0.0.1:0"}
${2:-}
YAML
  start "$1" docker-registry serve "$work/$1.yml"
}

# portolan_registry NAME FLAG…: Portolan's registry on a free port.
portolan_registry() {
  local name=$1
  shift
  start "$name" "$portolan" registry serve --listen 127.0.0.1:0 "$@"
}

registry_pattern='.*listening on \(127\.0\.0\.1:[0-9]*\).*'
portolan_pattern='.*"address":"\(127\.0\.0\.1:[0-9]*\)".*'
admin_pattern='.*"serving metrics and health","at":"\(127\.0\.0\.1:[0-9]*\)".*'

# requests_of OPERATIONS NAME…: the number of requests of these operations, a regular expression, to Portolan's registries
# NAME…, each of which was started with --admin 127.0.0.1:0.
requests_of() {
  local operations=$1 name
  shift
  for name; do curl -fsS "http://$(address "$name" "$admin_pattern")/metrics"; done |
    { grep -E "^portolan_registry_requests_total\{operation=\"($operations)\"" || true; } | awk '{ sum += $NF } END { print sum + 0 }'
}
writing='(write|delete)_[a-z]*|mount|(start|append|finish|cancel)_upload'

# blob FILE: adds FILE to the OCI layout in $layout; sets $digest and $size.
blob() {
  digest=$(sha256sum "$1" | cut -d' ' -f1)
  size=$(stat -c %s "$1")
  cp "$1" "$layout/blobs/sha256/$digest"
}

# multi_platform_layout DIR: an OCI layout with one image, tagged v1, for two platforms.
multi_platform_layout() {
  layout=$1
  local manifests=() platform config_digest config_size
  mkdir -p "$layout/blobs/sha256"
  printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
  for platform in amd64 arm64; do
    mkdir -p "$work/root-$platform"
    head -c 300000 /dev/urandom >"$work/root-$platform/data"
    tar -C "$work/root-$platform" -cf "$work/layer.tar" data
    blob "$work/layer.tar"
    local layer=$digest layer_size=$size
    printf '{"architecture":"%s","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
      "$platform" "$layer" >"$work/config.json"
    blob "$work/config.json"
    config_digest=$digest config_size=$size
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%s}]}' \
      "$config_digest" "$config_size" "$layer" "$layer_size" >"$work/manifest.json"
    blob "$work/manifest.json"
    manifests+=("{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:$digest\",\"size\":$size,\"platform\":{\"architecture\":\"$platform\",\"os\":\"linux\"}}")
  done
  printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s,%s]}' \
    "${manifests[0]}" "${manifests[1]}" >"$work/index.json"
  blob "$work/index.json"
  printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:%s","size":%s,"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}' \
    "$digest" "$size" >"$layout/index.json"
}

# content_addressed DIR [MANIFEST]: prints how many files DIR has, each with the sha256 that its name says. DIR is the
# blobs/sha256 of an OCI layout, or a `dir:` of skopeo's, whose manifest.json must have the sha256 MANIFEST.
content_addressed() {
  local file name count=0
  for file in "$1"/*; do
    name=$(basename "$file" .manifest.json)
    case $name in
      version) continue ;;
      manifest.json) name=$2 ;;
    esac
    [ "$(sha256sum "$file" | cut -d' ' -f1)" = "$name" ] || fail "$file is not what its name says"
    count=$((count + 1))
  done
  printf '%s' "$count"
}
